"""Which pictures a command is pointed at, and how a raw folder of them is read.

The docstring of a field is its help on the command line of every command that has it.
"""

import dataclasses
import os
import pathlib
from typing import Annotated, Literal

import tyro

from nexperia_tf import bounds
from nexperia_tf.data import limits

AUTO = "auto"  # of `unboxed`: as the layout has it
Path = Annotated[str | pathlib.Path, tyro.conf.arg(metavar="PATH")]


@dataclasses.dataclass(frozen=True)
class RawOptions:
    """How a raw folder is read."""

    unboxed: Literal["auto", "drop", "keep"] = AUTO
    """Defects without a box: auto drops them where the layout has boxes."""

    good: str = ""
    """Which class is the good one, or which several are, with commas (default: good, ok
    or pass)."""

    group: str = ""
    """Column whose values stay whole when splitting (default: lot, or group)."""

    depth_range: Annotated[tuple[float, float] | None, *bounds.DEPTH_RANGE] = None
    """Values of 16-bit pictures that become black and white; else those of the run to
    start from, else the .1 and 99.9 percentile of the training split."""

    max_pixels: Annotated[int, *bounds.MAX_PIXELS] = limits.MAX_PIXELS
    """A picture with more pixels than this is not read."""

    def named(self) -> dict[str, object]:
        """Values by name, None where one is left open.

        So summary.json and the names of data folders have always known them.
        """
        most = None if self.max_pixels == limits.MAX_PIXELS else self.max_pixels
        return {
            "unboxed": None if self.unboxed == AUTO else self.unboxed,
            "good": self.good or None,
            "group": self.group or None,
            "depth_range": self.depth_range and tuple(map(float, self.depth_range)),
            "max_pixels": most,
        }


@dataclasses.dataclass(frozen=True)
class Place:
    """Where pictures are, and where their records are kept."""

    data: Path = "sample"
    """sample, a raw folder, LAYOUT:FOLDER with second_stage, first_stage, hand_over or
    folder as LAYOUT, or a folder that nexperia prepare wrote."""

    data_dir: Path = "data"
    """Where prepared records are kept; made once for each content."""

    def __post_init__(self):
        for name in ("data", "data_dir"):  # a path is kept as its text, as JSON has it
            object.__setattr__(self, name, os.fspath(getattr(self, name)))


@dataclasses.dataclass(frozen=True)
class DataSource(RawOptions, Place):  # the fields of the last base come first
    """Which pictures, and how they are read.

    How they are split belongs to training and preparing: who evaluates under other
    splits prepares the folder so, and names what was prepared.
    """

    def over(self, own: "DataSource") -> "DataSource":
        """What `own` says, but for what is named here.

        >>> named = DataSource(data="", data_dir="here", good="fine")
        >>> named.over(DataSource("photos", good="ok", group="lot")).good
        'fine'
        """
        names = [field.name for field in dataclasses.fields(DataSource)]
        said = {name: getattr(own, name) for name in names}
        named = {name: getattr(self, name) for name in names}
        said |= {n: value for n, value in named.items() if value != getattr(NOTHING, n)}
        return DataSource(**said)


NOTHING = DataSource(data="", data_dir="")  # where a run, say, knows its own
