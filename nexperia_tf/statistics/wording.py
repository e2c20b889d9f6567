"""Shares and counts as sentences hold them."""


def counted(count: int, word: str) -> str:
    """A count with its word.

    >>> counted(1, "lot"), counted(2, "lot")
    ('1 lot', '2 lots')
    """
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def percent(share: float) -> str:
    """A share in per cent.

    >>> percent(0.005), percent(0.997), percent(0.03)
    ('0.5 %', '99.7 %', '3 %')
    """
    return f"{100 * share:.4g} %"
