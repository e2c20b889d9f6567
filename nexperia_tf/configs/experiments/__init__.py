"""One small file for each named experiment, with what differs from the defaults."""
