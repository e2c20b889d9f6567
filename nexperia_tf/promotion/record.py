"""The record of a promotion: who compared what, on which devices, and what came out.

The same as JSON, for programs, and as one page of text, for people.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

from nexperia_tf import files, version
from nexperia_tf.evaluation import golden
from nexperia_tf.evaluation.report import formats
from nexperia_tf.promotion import comparing, golden_set, held_out, models
from nexperia_tf.promotion import rule as rules

SCHEMA = 1
MOST = 20  # names of devices on the page


@dataclasses.dataclass(frozen=True)
class Record:
    """All that a decision rests on.

    Attributes:
        new, old: the models.
        held: the devices that both were asked about.
        compared: their figures.
        rule: what was asked for.
        checks: what the rule says.
        golden: the golden set, its folder, and what the newer model makes of it.
        flips: verdicts that flip, where pictures were changed.
        who, when, note: the person, the time (UTC), what they said.
    """

    new: models.Model
    old: models.Model
    held: held_out.HeldOut
    compared: comparing.Compared
    rule: rules.Rule
    checks: Sequence[rules.Check]
    golden: tuple[str, golden_set.Checked] | None
    flips: comparing.Flips | None
    who: str
    when: str
    note: str

    @property
    def promoted(self) -> bool:
        return all(check.passed for check in self.checks)

    def as_json(self) -> dict:
        """What promotion.json holds."""
        return {
            "schema": SCHEMA,
            "promoted": self.promoted,
            "when": self.when,
            "who": self.who,
            "note": self.note,
            "nexperia_tf": version.__version__,
            "over": self._over(),
            "new": _model(self.new),
            "old": _model(self.old),
            "devices": self._devices(),
            "golden": self._golden(),
            "rule": dataclasses.asdict(self.rule),
            "rule_sha256": self.rule.sha256,
            "checks": [dataclasses.asdict(check) for check in self.checks],
            "figures": dataclasses.asdict(self.compared),
            "flips": self.flips and dataclasses.asdict(self.flips),
        }

    def _over(self) -> str:
        """What is replaced, as the history calls it."""
        name = pathlib.PurePath(self.old.name).name
        return f"version {name}" if name.isdecimal() else self.old.name

    def _devices(self) -> dict:
        return {
            "source": self.held.table.source,
            "sha256": self.held.sha256,
            "defects": self.compared.new.caught.of,
            "good": self.compared.new.overkill.of,
            "groups": self.compared.groups,
            "left_out": self.held.left_out,
        }

    def _golden(self) -> dict | None:
        if self.golden is None:
            return None
        folder, checked = self.golden
        return {
            "folder": folder,
            "sha256": files.sha256(f"{folder}/{golden.NAME}"),
            "pictures": len(checked.asked),
            "trained_on": checked.trained_on,
            "changed": [
                {
                    "image_id": each.line.image_id,
                    "verdict": each.line.verdict,
                    "called": each.label,
                    "score": each.score,
                    "sha256": each.line.sha256,
                }
                for each in checked.changed
            ],
        }

    def as_text(self, published: str) -> str:
        """The page.

        Args:
            published: what was done, such as `published as version 4`.
        """
        return "\n".join(_page(self, published)) + "\n"


def _model(model: models.Model) -> dict:
    return {
        "name": model.name,
        "files_sha256": model.fingerprint,
        "model_sha256": model.identity,
        "in_force": model.served.calibration.words,
        "trained_on": len(model.training_set.lines),
    }


def _page(record: Record, published: str) -> Iterator[str]:
    facts = record.as_json()
    yield f"# {record.new.name} over {record.old.name}: {published}"
    yield ""
    by = f" by {record.who}" if record.who else ""
    yield f"Decided {record.when}{by}, nexperia_tf {facts['nexperia_tf']}."
    if record.note:
        yield f"Note: {record.note}"
    yield ""
    yield "| asked | passed | what was found |"
    yield "|---|---|---|"
    for check in record.checks:
        yield f"| {check.what} | {'yes' if check.passed else 'NO'} | {check.said} |"
    yield ""
    yield from _figures(record)
    yield ""
    yield from _devices(record)
    yield ""
    yield "## Hashes (SHA-256)"
    yield ""
    yield from _hashes(facts)


def _figures(record: Record) -> Iterator[str]:
    new, old = record.compared.new, record.compared.old
    yield "## Figures"
    yield ""
    yield "Each model at its own threshold; limits in brackets, 95 %, two-sided."
    yield ""
    yield "| | new | old |"
    yield "|---|---|---|"
    rows = (
        ("threshold", *(m.served.calibration.words for m in (record.new, record.old))),
        ("defects caught", new.caught.words, old.caught.words),
        ("good devices rejected", new.overkill.words, old.overkill.words),
        ("AUC", formats.auc(new.auc), formats.auc(old.auc)),
    )
    for name, *cells in rows:
        yield f"| {name} | {cells[0]} | {cells[1]} |"
    for kind in record.compared.kinds:
        yield f"| caught: {kind.kind} | {kind.new} of {kind.of} | {kind.old} |"
    for what, names in (
        ("Defects that only the old one catches", record.compared.newly_missed),
        ("Good devices that only the new one rejects", record.compared.newly_rejected),
    ):
        if names:
            more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
            yield ""
            yield f"{what}: {', '.join(names[:MOST])}{more}."


def _devices(record: Record) -> Iterator[str]:
    told = record.as_json()["devices"]
    groups = told["groups"]
    lots = "each device its own" if groups is None else f"of {groups} lots or groups"
    yield "## Devices"
    yield ""
    yield (
        f"{told['source']}: {told['defects']} defects and {told['good']} good devices, "
        f"{lots}. Neither model has learned from any of these pictures, as far as "
        "their lists and those of twins say."
    )
    if told["left_out"]:
        yield ""
        yield "Left out before:"
        yield ""
    for reason, count in told["left_out"].items():
        yield f"- {count} {reason}"


def _hashes(facts: dict) -> Iterator[str]:
    yield "| what | hash |"
    yield "|---|---|"
    for word in ("new", "old"):
        told = facts[word]
        yield f"| {word} model, weights and calibration | {told['model_sha256']} |"
        yield f"| {word} model, all files | {told['files_sha256']} |"
    yield f"| devices and labels | {facts['devices']['sha256']} |"
    if facts["golden"]:
        yield f"| golden set | {facts['golden']['sha256']} |"
    yield f"| rule | {facts['rule_sha256']} |"
