"""The two classes, once: a device is good (0) or a defect (1, the positive class)."""

from nexperia_tf import errors

GOOD = "good"
DEFECT = "defect"
NAMES = (GOOD, DEFECT)  # the index is the integer label
POSITIVE = NAMES.index(DEFECT)
UNLABELLED = -1  # integer label of devices whose verdict nobody has given


def parse(text: str, *, where: str) -> int:
    """Integer label of `good`, `defect`, `0` or `1`, in any case.

    Raises:
        errors.BadInput: any other word; `where` names the file and row.
    """
    word = text.strip().lower()
    if word in NAMES:
        return NAMES.index(word)
    if word in ("0", "1"):
        return int(word)
    raise errors.BadInput(
        f"{where}: label {errors.quoted(text)} is unknown; write good or defect (or 0 "
        "or 1)."
    )
