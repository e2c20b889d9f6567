"""The one exception that a person, not a programmer, is meant to read."""


class BadInput(ValueError):
    """Input a person can mend.

    The message is one line: which file or flag, what is wrong, what to do. Commands
    print it without a traceback and exit with 2.
    """
