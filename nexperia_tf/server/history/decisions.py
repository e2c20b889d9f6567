"""What persons have decided on verdicts: all is kept, and the last one counts.

Out they go as the decisions.csv that `nexperia prepare --decisions` reads, which knows
a picture by its SHA-256.
"""

import dataclasses
import typing
from collections.abc import Collection, Iterator, Mapping

import sqlalchemy as sql

from nexperia_tf import errors, labels
from nexperia_tf.server.history import database, tables

YES, NO, UNSURE = "yes", "no", "unsure"
HEADER = (
    *("path", "decision", "value", "sha256", "who", "when", "note"),
    *("model", "version", "score", "label"),
)
_DECISIONS, _VERDICTS = tables.DECISIONS, tables.VERDICTS
_OTHER = {labels.GOOD: labels.DEFECT, labels.DEFECT: labels.GOOD}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """A person's word on a verdict.

    Attributes:
        verdict_id: which verdict.
        decision: yes where the model's label is right, no where it is not, or unsure.
        kind: of the defect, where the picture shows one.
        who: the person.
        note: what else there is to say.
        time: when it was said, UTC, as rows have it.
        label: what the picture shows by it: good, defect, or "" where that is open.
    """

    verdict_id: int
    decision: str
    kind: str = ""
    who: str
    note: str = ""
    time: str = dataclasses.field(default_factory=tables.now)
    label: str = ""


def add(history: database.Database, decision: Decision) -> Decision:
    """Appends a decision; returns it with its label, which follows from the verdict.

    Raises:
        errors.BadInput: no such verdict, or something in it that cannot be.
        opening.Unwritable: the history cannot be used now.
    """
    _check(decision)
    query = sql.select(_VERDICTS.c.label).where(_VERDICTS.c.id == decision.verdict_id)
    with history.writing() as connection:
        model_says = connection.execute(query).scalar()
        if not model_says:
            why = "could not be read" if model_says == "" else "is not in the history"
            raise errors.BadInput(f"verdict {decision.verdict_id}: {why}.")
        decision = dataclasses.replace(decision, label=_label(decision, model_says))
        if decision.kind and decision.label != labels.DEFECT:
            raise errors.BadInput(
                f"kind {errors.cut(decision.kind)}: only defects have one."
            )
        connection.execute(sql.insert(_DECISIONS).values(tables.row_of(decision)))
    return decision


def _check(decision: Decision) -> None:
    if decision.decision not in (YES, NO, UNSURE):
        raise errors.BadInput(
            f"decision {errors.cut(decision.decision)}: yes, no or unsure is expected."
        )
    if not decision.who:
        raise errors.BadInput("who: the name of the person who decides is missing.")
    for name, most in (("who", 200), ("kind", 200), ("note", 2000)):
        text = getattr(decision, name)
        if len(text) > most or not text.isprintable():
            raise errors.BadInput(f"{name}: one line of at most {most} characters.")


def _label(decision: Decision, model_says: str) -> str:
    """
    >>> _label(Decision(verdict_id=1, decision=NO, who="Ann"), "good")
    'defect'
    """
    if decision.decision == UNSURE:
        return ""
    return model_says if decision.decision == YES else _OTHER[model_says]


def of_verdicts(
    history: database.Database, ids: Collection[int]
) -> dict[int, list[Mapping]]:
    """The decisions on some verdicts, oldest first, by verdict."""
    found: dict[int, list[Mapping]] = {}
    if not ids or not history.has(_DECISIONS):
        return found
    query = sql.select(_DECISIONS).where(_DECISIONS.c.verdict_id.in_(ids))
    with history.reading() as connection:
        for row in connection.execute(query.order_by(_DECISIONS.c.id)).mappings():
            found.setdefault(row["verdict_id"], []).append(row)
    return found


def last() -> sql.ColumnElement[bool]:
    """The condition that no later decision on the same verdict is there."""
    later = _DECISIONS.alias()
    same = later.c.verdict_id == _DECISIONS.c.verdict_id
    return ~sql.exists().where(same, later.c.id > _DECISIONS.c.id)


def kinds(history: database.Database) -> list[str]:
    """The kinds of defects that persons have named."""
    query = sql.select(_DECISIONS.c.kind).where(_DECISIONS.c.kind != "").distinct()
    with history.reading() as connection:
        return sorted(connection.execute(query).scalars())


def rows(history: database.Database) -> Iterator[tuple]:
    """The lines of decisions.csv, of `HEADER`: one for each picture that is decided.

    The same picture may have several verdicts; the last decision on any of them counts.
    """
    if not history.has(_DECISIONS):
        return
    joined = _DECISIONS.join(_VERDICTS, _VERDICTS.c.id == _DECISIONS.c.verdict_id)
    v = _VERDICTS.c
    columns = [v.path, v.picture_sha256, v.model, v.version, v.score]
    columns += [v.kept_as, v.label.label("model_says")]
    query = sql.select(_DECISIONS, *columns).select_from(joined)
    by_picture: dict[str, Mapping] = {}
    with history.reading() as connection:
        for row in connection.execute(query.order_by(_DECISIONS.c.id)).mappings():
            by_picture[row["picture_sha256"]] = row
    yield from map(_line, by_picture.values())


def _line(row: typing.Mapping) -> tuple:
    kind = f":{row['kind']}" if row["kind"] else ""
    return (
        row["path"] or row["kept_as"] or "",
        "relabel" if row["label"] else UNSURE,
        row["label"] + kind,
        row["picture_sha256"],
        row["who"],
        row["time"],
        row["note"],
        row["model"],
        row["version"],
        row["score"],
        row["model_says"],
    )
