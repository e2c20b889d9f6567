"""The exceptions that a person, not a programmer, is meant to read."""


class BadInput(ValueError):
    """Input a person can mend.

    The message is one line: which file or flag, what is wrong, what to do. Commands
    print it without a traceback and exit with 2.
    """


class Stopped(KeyboardInterrupt):
    """Another process asks this one to end; whatever Ctrl-C unwinds, this does, too.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def cut(text: str, most: int = 100) -> str:
    """A text as a message holds it: the middle of a long one is left out.

    >>> cut("0123456789", 7)
    '01...89'
    """
    if len(text) <= most:
        return text
    kept = (most - 3) // 2
    return f"{text[:kept]}...{text[-kept:]}"


def quoted(text: str) -> str:
    """The same in quotes, as of a cell of a table."""
    return repr(cut(text))
