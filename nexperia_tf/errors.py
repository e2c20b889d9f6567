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
