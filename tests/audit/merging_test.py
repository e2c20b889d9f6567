import pytest
from sklearn import metrics

from nexperia_tf import errors
from nexperia_tf.audit.review import merging
from nexperia_tf.data import tables

FIRST = """path,decision,value,who,when,note
a.png,relabel,good,Ann,2026-01-01T10:00:00Z,
b.png,keep,,Ann,2026-01-01T10:01:00Z,"looks, fine"
c.png,drop,,Ann,2026-01-01T10:02:00Z,
d.png,relabel,defect:scratch,Ann,2026-01-01T10:03:00Z,
"""
SECOND = """path,decision,value
b.png,keep,
c.png,keep,
d.png,relabel,defect:dent
e.png,unsure,
a.png,relabel,good
"""


@pytest.fixture
def both(tmp_path):
    (tmp_path / "first.csv").write_text(FIRST)
    (tmp_path / "second.csv").write_text(SECOND)
    return tmp_path / "first.csv", tmp_path / "second.csv"


def test_where_reviewers_disagree_nothing_is_decided(
    both, tmp_path, run_command, capsys
):
    out = tmp_path / "merged.csv"
    assert run_command("audit", "--merge", *both, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "Decided by both: 4, alike: 2; Cohen's kappa 0.38" in printed
    assert "c.png: Ann drop, second keep" in printed
    header, lines = tables.read(out, ("path", "decision"))
    decided = {cells["path"]: cells for _, cells in lines}
    assert header[:3] == ["path", "decision", "value"]
    assert list(decided) == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert decided["a.png"]["value"] == "good" and decided["a.png"]["who"] == "Ann"
    assert decided["d.png"]["decision"] == "unsure"
    assert "second: relabel defect:dent" in decided["d.png"]["who"]


def test_kappa_is_that_of_scikit_learn(both):
    first, second = map(merging.read, both)
    paths = ["a.png", "b.png", "c.png", "d.png"]
    said = [[found[path].words for path in paths] for found in (first, second)]
    kappa = metrics.cohen_kappa_score(*said)
    assert merging.merge(first, second).kappa == pytest.approx(kappa)


def test_the_same_label_written_otherwise_is_no_disagreement(tmp_path):
    found = []
    for name, said in (("a", "relabel,good"), ("b", "Relabel, GOOD ")):
        (tmp_path / name).write_text(f"path,decision,value\na.png,{said}\n")
        found.append(merging.read(tmp_path / name))
    assert not merging.merge(*found).disagreed


def test_a_new_label_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("path,decision,value\na.png,relabel,\n")
    with pytest.raises(errors.BadInput, match="a.csv:2: label '' is unknown"):
        merging.read(tmp_path / "a.csv")


def test_reviewers_who_say_one_thing_only_have_no_kappa(both):
    found = merging.read(both[1])
    same = {path: found[path] for path in ("b.png", "c.png")}
    assert merging.merge(same, same).kappa is None


def test_tables_that_cannot_be_merged_are_refused(both, tmp_path, run_command, capsys):
    out = tmp_path / "merged.csv"
    both[1].write_text(SECOND + "b.png,drop,\n")
    assert run_command("audit", "--merge", *both, "--out", out) == 2
    assert "second.csv:7: b.png is decided twice" in capsys.readouterr().err
    with pytest.raises(errors.BadInput, match="decision 'guess' is unknown"):
        (tmp_path / "odd.csv").write_text("path,decision,value\na.png,guess,\n")
        merging.read(str(tmp_path / "odd.csv"))
    assert run_command("audit", "--merge", both[0], "--out", out) == 2
    assert "decisions.csv of two reviewers" in capsys.readouterr().err
    assert run_command("audit", "--merge", both[0], both[0], "--out", out) == 2
    assert "is named twice" in capsys.readouterr().err
    assert not out.exists()
