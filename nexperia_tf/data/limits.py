"""How much is decoded unless a person says otherwise; imports nothing."""

MAX_PIXELS = 64_000_000  # a header may promise more than memory holds: checked first
