import numpy as np
import pytest

from nexperia_tf import errors, labels, predictions


def table(n=6, **columns):
    random = np.random.default_rng(3)
    return predictions.Predictions(
        image_id=[f"d{i}" for i in range(n)],
        label=[i % 2 for i in range(n)],
        score=random.random(n),
        columns=columns,
    )


def written(tmp_path, text):
    path = tmp_path / "scores.csv"
    path.write_text(text, "utf-8")
    return path


def test_every_bit_of_a_score_survives_the_file(tmp_path):
    scores = [5e-324, 1 - 2**-53, 0.1 + 0.2, 1 / 3, 0.0, 1.0]
    before = predictions.Predictions(
        image_id=list("abcdef"),
        label=[0, 1, -1, 1, 0, 0],
        score=scores,
        columns={"lot": list("uvwxyz"), "note": ["a,b", "", 'c"', "", "", ""]},
    )
    predictions.write(tmp_path / "p.csv", before)
    after = predictions.read(tmp_path / "p.csv")
    assert after.score.tolist() == scores
    assert after.label.tolist() == [0, 1, -1, 1, 0, 0]
    assert after.image_id.tolist() == list("abcdef")
    assert after.columns["lot"].tolist() == list("uvwxyz")
    assert after.columns["note"][0] == "a,b"
    assert not after.labelled


def test_the_header_follows_the_contract(tmp_path):
    kinds = {"defect_type": ["", "chip"] * 3, "lot": ["L"] * 6, "group": ["L"] * 6}
    predictions.write(tmp_path / "p.csv", table(**kinds))
    header = (tmp_path / "p.csv").read_text().splitlines()[0]
    assert header == "image_id,label,score,group,lot,defect_type"


def test_tables_of_other_programs_are_read(tmp_path):
    path = written(
        tmp_path, "\ufeffimage_id,label,score\r\na,good,0.25\r\nb,1.0,1e-3\r\n\r\n"
    )
    assert predictions.read(path).label.tolist() == [0, 1]
    assert predictions.read(path).score.tolist() == [0.25, 0.001]
    assert predictions.read(path).labelled


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("image_id,label,score\n", "holds no device"),
        (
            "id,score\na,1\n",
            "column 'image_id' is missing; the header must",
        ),
        ("image_id,label,score\na,1,nan\n", "'a'.*no probability.*NaN"),
        ("image_id,label,score\na,1,\n", "csv:2: score '' is no number"),
        ("image_id,label,score\na,1,3.2\n", "score 3.2 of 'a'.*sigmoid"),
        ("image_id,label,score\na,maybe,.2\n", "label 'maybe' is unknown"),
        ("image_id,label,score\na,1,.2\na,1,.2\n", "'a' appears 2 times"),
        (
            "image_id,label,score\na,1,.2\nb,1\n",
            "csv:3: 2 cells where the header has 3",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(errors.BadInput, match=words) as error:
        predictions.read(path)
    assert str(path) in str(error.value)


def test_a_missing_or_binary_file_is_one_clear_line(tmp_path):
    with pytest.raises(errors.BadInput, match="no such file"):
        predictions.read(tmp_path / "none.csv")
    (tmp_path / "p.csv").write_bytes(b"\x89PNG\x00\x81" * 9)
    with pytest.raises(errors.BadInput, match="not UTF-8"):
        predictions.read(tmp_path / "p.csv")


def test_other_labels_judge_the_same_scores(tmp_path):
    scored = table(defect_type=["", "chip", "", "chip", "", "chip"])
    path = written(
        tmp_path,
        "label,image_id,defect_type,why\n"
        + "1,d0,,\n1,d1,,\n0,d2,,\n0,d3,,\n0,d4,,\ndefect,d5,,\n"
        + "good,another,,\n,unjudged,,\n",
    )
    verdicts = predictions.read_labels(path)
    judged = predictions.relabelled(scored, verdicts, source=str(path))
    assert judged.label.tolist() == [1, 1, 0, 0, 0, 1]
    assert judged.score.tolist() == scored.score.tolist()
    assert judged.columns["defect_type"].tolist() == ["", "chip", "", "", "", "chip"]
    del verdicts["d4"]
    with pytest.raises(errors.BadInput, match=r"no label for 1 of 6 .* first is 'd4'"):
        predictions.relabelled(scored, verdicts, source=str(path))


def test_two_verdicts_on_one_device_are_refused(tmp_path):
    path = written(tmp_path, "image_id,label\na,1\na,0\n")
    with pytest.raises(errors.BadInput, match="csv:3: 'a' is named twice"):
        predictions.read_labels(path)


def test_runs_are_brought_into_one_order_or_refused():
    first = table()
    second = first.take(np.array([3, 1, 0, 5, 4, 2]))
    for run in predictions.aligned([first, second]):
        assert run.image_id.tolist() == first.image_id.tolist()
        assert run.score.tolist() == first.score.tolist()
    with pytest.raises(errors.BadInput, match="other devices"):
        predictions.aligned([first, table(n=5)])
    other = predictions.Predictions(
        image_id=first.image_id, label=1 - first.label, score=first.score
    )
    with pytest.raises(errors.BadInput, match="6 devices another label"):
        predictions.aligned([first, other])


def test_an_empty_column_counts_as_absent():
    assert table(lot=[""] * 6).column("lot") is None
    assert table().column("lot") is None
    assert table(lot=["L", *[""] * 5]).column("lot") is not None
    assert labels.UNLABELLED == -1
