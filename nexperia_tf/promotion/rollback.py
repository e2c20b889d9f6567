"""`nexperia rollback`: an older version answers again, and the history says so."""

import dataclasses
import pathlib
from typing import Annotated

import tyro

from nexperia_tf import bounds, command
from nexperia_tf.promotion import golden_set, versions


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Publishes an older version again as the next number, which every server follows,
    and writes that into versions.csv."""

    models: tyro.conf.Positional[str]
    """Folder of a model's versions, such as models/line."""

    to: Annotated[int | None, *bounds.within(ge=1, le=10**9)] = None
    """Number of the version to go back to; the one before when not given."""

    who: str = ""
    """Who goes back; the user of this computer when empty."""

    note: str = ""
    """Why, for the history."""


def main(arguments: Arguments) -> None:
    """Goes back and says where."""
    base = pathlib.Path(arguments.models)
    folder, number = versions.go_back(
        base,
        arguments.to,
        who=arguments.who or golden_set.user(),
        when=golden_set.now(),
        note=arguments.note,
    )
    print(f"SavedModel: {folder}, which is version {number} again")
    print(f"History: {base / versions.HISTORY}")
