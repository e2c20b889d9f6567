"""`nexperia golden add|check`: pictures whose verdict must never change."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Literal

import tyro

from nexperia_tf import bounds, command, errors, labels
from nexperia_tf.promotion import golden_set
from nexperia_tf.statistics import wording

CHANGED = 1  # exit code, as of `evaluate --golden`


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Keeps pictures whose verdict must never change, and asks a model for them."""

    action: tyro.conf.Positional[Literal["add", "check"]]
    """add pictures to the set, or check a model by it."""

    named: tyro.conf.Positional[tuple[str, ...]]
    """add: pictures and folders of pictures. check: a run folder or SavedModel
    folder."""

    golden: str = "golden"
    """Folder of the golden set; adding makes it."""

    verdict: Literal["good", "defect"] | None = None
    """What the added pictures must always be called."""

    note: str = ""
    """Why the added pictures are golden, such as a customer's complaint."""

    who: str = ""
    """Who says so; the user of this computer when empty."""

    trust: bool = False
    """Run a SavedModel that no MANIFEST.sha256 vouches for: it is a program."""


def main(arguments: Arguments) -> int:
    """Adds or checks; a changed verdict gives exit code 1."""
    if not arguments.named:
        raise errors.BadInput(
            "golden add takes pictures or folders, golden check a model; name one."
        )
    if arguments.action == "add":
        return _add(arguments)
    return _check(arguments)


def _add(arguments: Arguments) -> int:
    bounds.check_unused(arguments, ["trust"], "with add")
    if arguments.verdict is None:
        raise errors.BadInput(
            f"--verdict: say what the pictures must be called, "
            f"{' or '.join(labels.NAMES)}."
        )
    added = golden_set.add(
        arguments.golden,
        arguments.named,
        arguments.verdict,
        note=arguments.note,
        who=arguments.who or golden_set.user(),
    )
    defects = sum(line.verdict == labels.DEFECT for line in added.lines)
    print(
        f"{arguments.golden}: {added.new} added, {added.there} there already; now "
        f"{wording.counted(defects, 'defect')} and "
        f"{wording.counted(len(added.lines) - defects, 'good picture')}"
    )
    return 0


def _check(arguments: Arguments) -> int:
    bounds.check_unused(arguments, ["verdict", "note", "who"], "with check")
    if len(arguments.named) > 1:
        raise errors.BadInput(
            f"golden check takes one model. Received {len(arguments.named)}."
        )
    golden_set.read(arguments.golden)  # before TensorFlow is imported
    command.import_tensorflow()
    from nexperia_tf.serving import predict

    (model,) = arguments.named
    served = predict.open_model(model, trust=arguments.trust)
    checked = golden_set.check(served, arguments.golden)
    for line in lines(checked, served.folder):
        print(line)
    print(f"In force: {served.calibration.words}")
    return CHANGED if checked.changed else 0


def lines(checked: golden_set.Checked, model: pathlib.Path) -> Iterator[str]:
    """What a model makes of a golden set, for people."""
    for each in checked.changed:
        line = each.line
        why = f"; {line.note}" if line.note else ""
        yield (
            f"golden {line.verdict} {line.image_id} is called {each.label}: score "
            f"{each.score:.4g}{why} ({line.file})"
        )
    if n := checked.trained_on:
        yield (
            f"{model} was trained on {n} of these pictures or their twins: what it "
            "says of them shows little about new ones"
        )
    changed = len(checked.changed)
    yield (
        f"{model}: {len(checked.asked) - changed} of {len(checked.asked)} golden "
        f"verdicts hold, {changed} changed"
    )
