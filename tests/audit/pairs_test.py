import pytest

from nexperia_tf import files
from nexperia_tf.audit import items, pairs
from nexperia_tf.data import manifest

HEADER = ("path_a", "path_b", "kind", "similarity")


@pytest.fixture
def found(tmp_path):
    labels = {
        "a": "good",
        "b": "good",
        "c": "defect",
        "d": "good",
        "e": "",
        "f": "good",
    }
    rows = [manifest.Row(name, name, label=label) for name, label in labels.items()]
    rows[1].dropped_because = "duplicate"
    table = [
        ("a", "b", "geometric", 0.93),
        ("a", "c", "twin", 0.95),
        ("a", "d", "twin", 0.90),
        ("d", "f", "twin", 0.80),
        ("b", "d", "byte", 1.0),
        ("c", "e", "pixel", 1.0),
    ]
    files.write_csv(tmp_path / "duplicates.csv", HEADER, table)
    return pairs.read(tmp_path / "duplicates.csv", rows)


def test_pairs_with_different_labels_conflict_and_unlabelled_ones_do_not(found):
    assert [(p.first.path, p.second.path) for p in pairs.conflicts(found)] == [
        ("a", "c")
    ]


def test_what_is_not_proven_by_bytes_is_doubtful_the_least_alike_first(found):
    doubted = pairs.doubtful(found, 5)
    named = [(p.kind, p.first.path, p.second.path) for p in doubted]
    assert named == [
        ("geometric", "a", "b"),
        ("twin", "d", "f"),
        ("twin", "a", "d"),
    ]
    assert len(pairs.doubtful(found, 1)) == 2


def test_the_one_that_was_dropped_is_asked_about(found):
    asked = [item for pair in found for item in items.of_pair(pair)]
    of_kind = {kind: [i for i in asked if i.kind == kind] for kind in items.TITLES}
    assert [item.row.path for item in of_kind[items.COPY]][-1] == "b"
    assert [item.row.path for item in of_kind[items.CONFLICT]] == ["a", "c"]
    assert of_kind[items.CONFLICT][0].other.path == "c"
    assert "a near duplicate of c, labelled defect" in of_kind["conflict"][0].reasons
