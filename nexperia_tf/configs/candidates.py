"""The short list of recipes that `--recipe search` tries: differences to the standard.

Each is an idea that was best on some product or other (benchmarks/RESULTS.md,
"Recipes"), and the standard recipe always is the first. Flags hold for all: an idea
that a flag forbids is not tried.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

from nexperia_tf import bounds, errors, sizes
from nexperia_tf.configs import recipes

if typing.TYPE_CHECKING:
    from nexperia_tf import configs

STANDARD = recipes.STANDARD
# In order of what is tried rather than the next, where the minutes are few.
DIFFERENCES: Mapping[str, Mapping[str, object]] = {
    STANDARD: {},
    "one stage": {"first_epochs": 0},  # drawn and given defects together
    "given": {"first_epochs": 0, "drawn": 0.0, "drawn_map": 0.0},
    "cracks": {"drawn_look": "cracks"},
    "all layers": {"freeze": "none"},  # of the second stage
    "as they lie": {"flip": "none", "rotation": 0.0, "zoom": 0.0},
    "brightness": {"standardise": "imagenet"},  # it counts
}
SCALED = {"larger": 1.4, "smaller": 0.7}  # sides of the canvas: one of them is tried
WORTH_ENLARGING = 0.9  # of their own sides pictures are shown at, at most
SMALLEST = 64  # pixels of a side that is still tried


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A recipe that is tried.

    Attributes:
        name: of the idea.
        changes: by which it differs from the standard recipe, by field.
    """

    name: str
    changes: Mapping[str, object] = dataclasses.field(default_factory=dict)

    @property
    def flags(self) -> str:
        """The difference as it is typed, "" for the standard recipe.

        >>> Candidate("cracks", {"drawn_look": "cracks"}).flags
        '--drawn-look cracks'
        >>> Candidate("still", {"zoom": 0.0, "rotation": 7.5}).flags
        '--zoom 0 --rotation 7.5'
        """
        return " ".join(
            bounds.flag(name, f"{value:g}" if isinstance(value, float) else value)
            for name, value in self.changes.items()
        )

    def of(self, asked: "configs.Config") -> "configs.Config":
        """What is asked for, with the difference in it.

        Raises:
            errors.BadInput: a flag says otherwise, or there is no such field.
        """
        values = asked.flat()
        for field, value in self.changes.items():
            if field in values and not _is_free(asked, field, value):
                raise errors.BadInput(
                    f"{bounds.flag(field, values[field])}: recipe {self.name} is tried "
                    f"with {bounds.flag(field, value)}; leave the flag out."
                )
        return asked.changed(**self.changes)


def _is_free(asked: "configs.Config", field: str, value: object) -> bool:
    values = asked.flat()
    if field in recipes.KEPT and asked.network.init:
        return False  # the network has learned to see pictures otherwise
    return values[field] == value or recipes.open_in(values, field)


def listed(
    asked: "configs.Config", *, size: sizes.Size, shown_at: float
) -> Sequence[Candidate]:
    """The recipes that flags leave to be tried, the standard one first.

    Args:
        asked: what is asked for.
        size: of the canvas of the standard recipe.
        shown_at: by how much it resizes pictures.
    """
    name = "larger" if shown_at <= WORTH_ENLARGING else "smaller"
    other = scaled(size, SCALED[name])
    differences = dict(DIFFERENCES)
    if other != size and min(other) >= min(SMALLEST, *size):
        differences[name] = {"image_size": other.plain}
    found = []
    for candidate in (Candidate(*each) for each in differences.items()):
        try:
            candidate.of(asked)
        except errors.BadInput:
            continue
        found.append(candidate)
    return found


def scaled(size: sizes.Size, factor: float) -> sizes.Size:
    """The canvas with sides of so many times the length, in steps of `sizes.STEP`.

    >>> scaled(sizes.Size(224, 224), 1.4).plain, scaled(sizes.Size(128, 352), 0.7).plain
    (320, '96x256')
    """
    height, width = (
        min(
            max(round(side * factor / sizes.STEP) * sizes.STEP, sizes.LEAST), sizes.MOST
        )
        for side in size
    )
    return sizes.Size(height, width)
