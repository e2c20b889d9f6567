from nexperia_tf.data import manifest
from nexperia_tf.data.duplicates import resolve, search

A, B, C, D = (f"{name}.bmp" for name in "abcd")


def _rows(**splits: str) -> dict[str, manifest.Row]:
    return {
        path: manifest.Row(path[0], path, label="good", split=splits.get(path[0], ""))
        for path in (A, B, C, D)
    }


def _findings(*, twins=()) -> search.Findings:
    return search.Findings(
        pairs=[
            search.Pair(A, B, search.BYTE, 1.0, 0.0),
            search.Pair(A, C, search.PHOTOMETRIC, 0.99, 2.0),
            *(search.Pair(x, y, search.TWIN, 0.9, 9.0) for x, y in twins),
        ],
        clusters=[[A, B, C]],
        twin_groups=[sorted({*pair}) for pair in twins],
        settings={},
    )


def _dropped(rows) -> dict:
    return {
        path: (row.duplicate_of, row.duplicate_kind)
        for path, row in rows.items()
        if row.dropped_because == "duplicate"
    }


def test_one_copy_stays_and_the_others_say_of_what_they_are_copies():
    rows = _rows()
    resolve.name_groups(list(rows.values()), _findings())
    resolve.drop_duplicates(list(rows.values()), _findings())
    assert [row.cluster for row in rows.values()] == ["a", "a", "a", ""]
    assert _dropped(rows) == {B: ("a", "byte"), C: ("a", "photometric")}


def test_a_copy_kept_by_a_person_stays_in_place_of_the_first():
    rows = _rows()
    resolve.drop_duplicates(list(rows.values()), _findings(), kept={C})
    assert _dropped(rows) == {A: ("c", "photometric"), B: ("c", "photometric")}


def test_an_image_that_must_be_scored_is_never_dropped():
    rows = _rows(b="unlabelled", c="unlabelled")
    resolve.drop_duplicates(list(rows.values()), _findings())
    assert _dropped(rows) == {A: ("b", "byte")}


def test_an_image_that_cleaning_dropped_replaces_no_other():
    rows = _rows()
    rows[A].dropped_because = "no_annotation"
    resolve.drop_duplicates(list(rows.values()), _findings())
    assert _dropped(rows) == {C: ("b", "photometric")}


def test_copies_with_two_labels_are_a_conflict_and_all_of_them_go():
    rows = _rows()
    rows[C].label = "defect"
    conflicts = resolve.drop_conflicts(list(rows.values()), _findings())
    reasons = [row.dropped_because for row in rows.values()]
    assert reasons == ["label_conflict"] * 3 + [""]
    assert [[row.path for row in cluster] for cluster in conflicts] == [[A, B, C]]


def test_a_person_settles_a_conflict():
    rows = _rows()
    rows[C].label = "defect"
    resolve.drop_conflicts(list(rows.values()), _findings(), kept={C})
    assert [path for path, row in rows.items() if row.used] == [C, D]
    rows = _rows()
    rows[C].label, rows[C].dropped_because = "defect", "decision"
    assert resolve.drop_conflicts(list(rows.values()), _findings()) == []
    assert rows[A].used and rows[B].used


def test_given_splits_lose_copies_within_a_split_only_until_repaired():
    rows = _rows(a="train", b="train", c="test", d="validation")
    findings = _findings(twins=[(A, D)])
    everything = list(rows.values())
    resolve.drop_duplicates(everything, findings, across_splits=False)
    assert _dropped(rows) == {B: ("a", "byte")}
    used = {path: row.split for path, row in rows.items() if row.used}
    left = resolve.leaks(findings.pairs, used)
    assert (len(left.duplicates), len(left.twins)) == (1, 1)
    assert resolve.repair(everything, findings) == 1
    assert _dropped(rows)[A] == ("c", "photometric")
    used = {path: row.split for path, row in rows.items() if row.used}
    assert used == {C: "test", D: "validation"}
    assert resolve.leaks(findings.pairs, used).pairs == []


def test_groups_in_several_splits_are_counted():
    rows = list(_rows().values())
    for row, group in zip(rows, ["x", "x", "y", "y"]):
        row.group = group
    split_of = {A: "train", B: "test", C: "train", D: "train"}
    assert resolve.split_groups(rows, split_of) == 1
