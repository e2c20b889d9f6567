"""How large pictures are to a network: the one type for height and width."""

import re
import typing

from nexperia_tf import errors

AUTO = "auto"  # follows the shape of the pictures
LEAST, MOST = 32, 4096  # pixels of a side
STEP = 32  # so many times smaller the network makes them
EXPECTED = (
    f"one side or HEIGHTxWIDTH in [{LEAST}, {MOST}] is expected: the network makes "
    f"them {STEP} times smaller, and one pixel must be left"
)
_WRITTEN = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?", re.ASCII)


class Size(typing.NamedTuple):
    """Height and width, in pixels, of the canvas that pictures are letterboxed to.

    >>> Size.of(224), Size.of("320x128")
    (Size(height=224, width=224), Size(height=320, width=128))
    >>> str(Size(320, 128)), Size(320, 128).plain, Size(64, 64).plain
    ('320x128', '320x128', 64)
    """

    height: int
    width: int

    @classmethod
    def of(cls, given: "int | str | tuple[int, int]") -> "Size":
        """The size that is written as `plain` writes it, or as two sides.

        Raises:
            errors.BadInput: it is neither.
        """
        if isinstance(given, tuple) and len(given) == 2:
            return cls(*given)
        if isinstance(given, int) and not isinstance(given, bool):
            return cls(given, given)
        written = _WRITTEN.fullmatch(given) if isinstance(given, str) else None
        if not written:
            said = f"image_size {errors.cut(repr(given))}: {EXPECTED}."
            raise errors.BadInput(said)
        return cls(int(written[1]), int(written[2] or written[1]))

    @property
    def plain(self) -> int | str:
        """As config.json and nexperia.json have it: a number where it is a square."""
        return self.height if self.height == self.width else str(self)

    @property
    def area(self) -> int:
        """Pixels of the canvas."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


def problem(given: object) -> str:
    """What is wrong with a size as `plain` writes it, or ""."""
    try:
        sides = Size.of(given) if isinstance(given, int | str) else ()
    except errors.BadInput:
        sides = ()
    return "" if sides and all(LEAST <= side <= MOST for side in sides) else EXPECTED
