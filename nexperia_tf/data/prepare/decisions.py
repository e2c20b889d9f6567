"""Decisions of a person on single images, which override the automatic ones.

`decisions.csv` lies in the raw folder or next to it (if there are two, both count),
with the header `path,decision,value`:

    path,decision,value
    good/a.bmp,keep,
    good/b.bmp,drop,
    good/c.bmp,relabel,defect
    good/d.bmp,relabel,defect:scratch
    good/e.bmp,not_a_duplicate,good/f.bmp

Paths are those of the manifest, with or without the ending. Where there is a column
`sha256`, a row that has one means the files of that SHA-256, whatever their path: so a
server's history knows a picture. `not_a_duplicate` without a value denies every copy of
the image. `unsure` changes nothing: someone has looked and could not say. Further
columns, such as who decided and when, are ignored.
"""

import collections
import dataclasses
import difflib
import pathlib
from collections.abc import Mapping, Sequence

from nexperia_tf import errors, labels
from nexperia_tf.data import manifest, tables
from nexperia_tf.data.duplicates import search

NAME = "decisions.csv"
HEADER, SHA256 = ("path", "decision", "value"), "sha256"
LISTED = 20  # unmatched rows for which the closest name is searched
UNSURE = "unsure"
KINDS = ("not_a_duplicate", "keep", "drop", "relabel", UNSURE)


@dataclasses.dataclass(frozen=True)
class Decision:
    """One line of decisions.csv; `path` and `other` are paths of the manifest."""

    path: str
    kind: str
    value: str = ""
    other: str = ""


@dataclasses.dataclass(frozen=True)
class Decisions:
    """All decisions of a person.

    Attributes:
        applied: the decisions on images of this folder.
        unmatched: paths that are no image of this folder, for the report.
        closest: for the first of these the image that was probably meant.
    """

    applied: tuple[Decision, ...] = ()
    unmatched: tuple[str, ...] = ()
    closest: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def kept(self) -> set[str]:
        return {d.path for d in self.applied if d.kind == "keep"}

    @property
    def judged(self) -> set[str]:
        """Images that the cleaning rules leave to the person who judged them."""
        return {d.path for d in self.applied if d.kind in ("keep", "relabel")}


def read(
    file: pathlib.Path | None, raw: pathlib.Path, rows: Sequence[manifest.Row]
) -> Decisions:
    """Decisions on a raw folder's images.

    Args:
        file: the table; by default decisions.csv in the raw folder and the one next
            to it, where they exist.
        raw: the raw folder.
        rows: its images.

    Raises:
        errors.BadInput: `file` is missing, or a line is not understood or contradicts
            another one.
    """
    if file is not None and not file.is_file():
        raise errors.BadInput(f"{file}: no such file; name an existing decisions.csv.")
    tables_read = [file] if file else places(raw)
    paths = {name: row.path for row in rows for name in (row.image_id, row.path)}
    unlabelled = {
        name for row in rows if not row.label for name in (row.image_id, row.path)
    }
    applied: list[Decision] = []
    unmatched: list[str] = []
    of_hash = collections.defaultdict(list)
    for row in rows:
        of_hash[row.sha256].append(row.path)
    lines = [
        line
        for table in tables_read
        for line in tables.read(table, HEADER, known=(SHA256,))[1]
    ]
    for where, cells in lines:
        for name in _names(cells, of_hash):
            known = paths if name else {}  # no file has that hash
            path = name or cells["path"] or cells.get(SHA256, "")
            decision = _decision(where, cells | {"path": path}, known)
            if cells["decision"].lower() == "relabel" and name in unlabelled:
                raise errors.BadInput(
                    f"{where}: {name} came without a label and is only scored; put it "
                    "among the labelled images to learn from it."
                )
            (applied if isinstance(decision, Decision) else unmatched).append(decision)
    _refuse_contradictions(" and ".join(map(str, tables_read)), applied)
    unmatched = list(dict.fromkeys(unmatched))
    closest = _closest(unmatched[:LISTED], [row.path for row in rows])
    return Decisions(tuple(dict.fromkeys(applied)), tuple(unmatched), closest)


def places(raw: pathlib.Path) -> list[pathlib.Path]:
    """The decisions.csv in the raw folder and the one next to it, where they exist."""
    inside, outside = raw / NAME, raw.resolve().parent / NAME
    return [file for file in (inside, outside) if file.is_file()]


def _names(cells: dict[str, str], of_hash: Mapping[str, list[str]]) -> list[str]:
    """The images that a line means; "" where it names a hash that none has."""
    sha256 = cells.get(SHA256, "").lower()
    return of_hash.get(sha256, [""]) if sha256 else [cells["path"]]


def _closest(names: Sequence[str], paths: Sequence[str]) -> dict[str, str]:
    """For each name the path that is most like it, where one is like it at all."""
    by_file = {_stem(path): path for path in reversed(paths)}
    closest = {}
    for name in names:
        # A name in the wrong folder, case or ending is nearer than a like one.
        stems = difflib.get_close_matches(_stem(name), by_file, n=1, cutoff=0.8)
        if stems:
            closest[name] = by_file[stems[0]]
    return closest


def _stem(path: str) -> str:
    return pathlib.PurePosixPath(path).stem.lower()


def apply_labels(rows: Sequence[manifest.Row], decisions: Decisions) -> None:
    """Gives rows the label that a person decided, and drops what a person dropped."""
    known = {row.path: row for row in rows}
    for decision in decisions.applied:
        row = known[decision.path]
        if decision.kind == "drop":
            row.dropped_because = row.dropped_because or "decision"
        if decision.kind == "relabel":
            row.label, _, row.defect_type = decision.value.partition(":")
            row.boxes = row.boxes if row.label == labels.DEFECT else []


def without_denied(findings: search.Findings, decisions: Decisions) -> search.Findings:
    """Findings without the pairs that a person denied.

    The denied image leaves the clusters it shares with the other one; where it was the
    first of a cluster, the other one leaves. The two may end up in different groups,
    unless other pairs connect them.
    """
    denials = [d for d in decisions.applied if d.kind == "not_a_duplicate"]
    if not denials:
        return findings
    pairs = [p for p in findings.pairs if not any(_denies(d, p) for d in denials)]
    clusters = [_left(cluster, denials) for cluster in findings.clusters]
    clusters = [cluster for cluster in clusters if len(cluster) > 1]
    tied = {path for group in findings.twin_groups for path in group}
    loose = [c for c in findings.clusters if not tied.intersection(c)]
    touched = {end for d in denials for end in (d.path, d.other)}
    twin_groups = []
    for group in [*findings.twin_groups, *loose]:
        if touched.intersection(group):
            twin_groups += _tied(group, pairs, clusters)
        elif tied.intersection(group):
            twin_groups.append(group)
    return dataclasses.replace(
        findings, pairs=pairs, clusters=clusters, twin_groups=twin_groups
    )


def _denies(denial: Decision, pair: search.Pair) -> bool:
    ends = {pair.path_a, pair.path_b}
    return denial.path in ends and (not denial.other or denial.other in ends)


def _left(cluster: list[str], denials: list[Decision]) -> list[str]:
    leaving = set()
    for denial in denials:
        if denial.path in cluster and not denial.other:
            leaving.add(denial.path)
        elif {denial.path, denial.other} <= set(cluster):
            is_first = denial.path == cluster[0]
            leaving.add(denial.other if is_first else denial.path)
    return [path for path in cluster if path not in leaving]


def _tied(
    group: list[str], pairs: list[search.Pair], clusters: list[list[str]]
) -> list[list[str]]:
    """The parts of a group that pairs and clusters still hold together."""
    parts = [{path} for path in group]
    ties = [{pair.path_a, pair.path_b} for pair in pairs] + [set(c) for c in clusters]
    for tie in ties:
        met = [part for part in parts if part & tie]
        if len(met) > 1:
            parts = [part for part in parts if not part & tie] + [set.union(*met)]
    return sorted(sorted(part) for part in parts if len(part) > 1)


def understood(where: str, cells: Mapping[str, str]) -> tuple[str, str]:
    """Kind and value of a line, however they are written.

    Raises:
        errors.BadInput: the decision is unknown, or a new label is none.
    """
    kind, value = cells["decision"].lower(), cells["value"]
    if kind not in KINDS:
        raise errors.BadInput(
            f"{where}: decision {errors.quoted(kind)} is unknown; write one of "
            f"{', '.join(KINDS)}."
        )
    return kind, _checked_label(where, value) if kind == "relabel" else value


def _decision(where: str, cells: dict[str, str], paths: dict[str, str]):
    """The decision of a line, or the name in it that is no image."""
    kind, value = understood(where, cells)
    path = _slashes(cells["path"])
    if path not in paths:
        return path
    if kind == "not_a_duplicate" and value:
        if _slashes(value) not in paths:
            return _slashes(value)
        return Decision(paths[path], kind, other=paths[_slashes(value)])
    return Decision(paths[path], kind, value if kind == "relabel" else "")


def _checked_label(where: str, value: str) -> str:
    label, _, kind = (part.strip() for part in value.partition(":"))
    label = label.lower()
    if label not in labels.NAMES or (kind and label == labels.GOOD):
        raise errors.BadInput(
            f"{where}: label {errors.quoted(value)} is unknown; write good, defect or "
            "defect:TYPE."
        )
    return f"{label}:{kind}" if kind else label


def _refuse_contradictions(file: str, decisions: list[Decision]) -> None:
    earlier_decisions: dict[tuple[str, str], Decision] = {}
    for decision in decisions:
        if decision.kind in ("not_a_duplicate", UNSURE):
            continue
        topic = "label" if decision.kind == "relabel" else "use"
        earlier = earlier_decisions.setdefault((decision.path, topic), decision)
        if earlier != decision:
            raise errors.BadInput(
                f"{file}: {decision.path} is to be both {_words(earlier)} and "
                f"{_words(decision)}; keep one of the lines."
            )


def _words(decision: Decision) -> str:
    return f"{decision.kind} {decision.value}".strip()


def _slashes(path: str) -> str:
    return path.replace("\\", "/")
