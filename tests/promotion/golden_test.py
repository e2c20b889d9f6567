"""`nexperia golden add|check` on real pictures with a real SavedModel."""

import csv

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, labels
from nexperia_tf.evaluation import golden
from nexperia_tf.promotion import golden_set


@pytest.fixture(scope="module")
def model(publish_tiny, tmp_path_factory):
    return publish_tiny(tmp_path_factory.mktemp("golden") / "model")


@pytest.fixture
def parts(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in "abcdef":
        pixels = rng.integers(0, 256, (40, 36), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def verdicts(model, parts):
    """What the model calls each picture, asked by another way."""
    from nexperia_tf.serving import predict

    return {row["path"]: row["label"] for row in predict.predict(model, parts)}


def add_as_called(model, parts, out, run_command):
    called = verdicts(model, parts)
    for verdict in labels.NAMES:
        named = [parts / name for name, label in called.items() if label == verdict]
        if named:
            words = ("--golden", out, "--verdict", verdict)
            assert run_command("golden", "add", *named, *words) == 0
    return called


def test_pictures_are_kept_by_content_and_adding_again_changes_nothing(
    parts, tmp_path, run_command, capsys
):
    out = tmp_path / "golden"
    words = ("--golden", out, "--verdict", "defect", "--note", "claim 7", "--who", "q")
    assert run_command("golden", "add", parts, *words) == 0
    assert "6 added, 0 there already; now 6 defects" in capsys.readouterr().out
    table = (out / "golden.csv").read_bytes()
    with open(out / "golden.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image_id"] for row in rows} == {f"{n}.png" for n in "abcdef"}
    for row in rows:
        kept = (out / row["file"]).read_bytes()
        assert kept == (parts / row["image_id"]).read_bytes()
        assert row["sha256"] in row["file"] and row["note"] == "claim 7"
    assert run_command("golden", "add", parts / "a.png", *words) == 0
    assert "0 added, 1 there already" in capsys.readouterr().out
    assert (out / "golden.csv").read_bytes() == table


def test_the_same_pixels_in_another_format_are_the_same_golden_picture(parts, tmp_path):
    golden_set.add(tmp_path / "g", [parts / "a.png"], "defect")
    Image.open(parts / "a.png").save(tmp_path / "a.bmp")
    assert golden_set.add(tmp_path / "g", [tmp_path / "a.bmp"], "defect").there == 1
    with pytest.raises(errors.BadInput, match="golden as defect already .a.png"):
        golden_set.add(tmp_path / "g", [tmp_path / "a.bmp"], "good")


@pytest.mark.parametrize("kind", ["torn", "missing"])
def test_an_unreadable_picture_adds_nothing(parts, tmp_path, run_command, capsys, kind):
    bad = parts / "z.png"
    if kind == "torn":
        bad.write_bytes((parts / "a.png").read_bytes()[:200])
    words = ("--golden", tmp_path / "g", "--verdict", "good")
    assert run_command("golden", "add", parts / "a.png", bad, *words) == 2
    said = capsys.readouterr().err
    assert str(bad) in said and said.count("\n") == 1
    assert not (tmp_path / "g").exists()


def test_a_first_adding_that_was_cut_off_is_made_good_by_adding_again(parts, tmp_path):
    out = tmp_path / "golden"
    golden_set.add(out, [parts], "good")
    (out / golden.NAME).unlink()
    assert golden_set.add(out, [parts], "good").new == 6
    (out / golden.NAME).unlink()
    (out / "pictures" / "of_the_family.png").touch()
    with pytest.raises(errors.BadInput, match="name a golden set or a new folder"):
        golden_set.add(out, [parts], "good")


def test_verdicts_that_hold_succeed_and_a_changed_one_fails_by_name(
    parts, model, tmp_path, run_command, capsys
):
    called = add_as_called(model, parts, tmp_path / "g", run_command)
    assert run_command("golden", "check", model, "--golden", tmp_path / "g") == 0
    assert "6 of 6 golden verdicts hold, 0 changed" in capsys.readouterr().out
    other = parts.parent / "extra.png"
    pixels = np.random.default_rng(9).integers(0, 256, (40, 36), np.uint8)
    Image.fromarray(pixels).save(other)
    (label,) = verdicts(model, _alone(other)).values()
    wrong = next(name for name in labels.NAMES if name != label)
    golden_set.add(tmp_path / "g", [other], wrong, note="claim 8")
    assert run_command("golden", "check", model, "--golden", tmp_path / "g") == 1
    said = capsys.readouterr().out
    assert f"golden {wrong} extra.png is called {label}: score" in said
    assert "claim 8" in said and "6 of 7 golden verdicts hold, 1 changed" in said
    assert len(called) == 6


def _alone(path):
    folder = path.parent / "alone"
    folder.mkdir()
    path.rename(folder / path.name)
    (path.parent / path.name).write_bytes((folder / path.name).read_bytes())
    return folder


def test_a_golden_picture_that_was_replaced_is_refused(
    parts, model, tmp_path, run_command, capsys
):
    golden_set.add(tmp_path / "g", [parts / "a.png"], "good")
    (line,) = golden_set.read(tmp_path / "g")
    (tmp_path / "g" / line.file).write_bytes((parts / "b.png").read_bytes())
    assert run_command("golden", "check", model, "--golden", tmp_path / "g") == 2
    assert "is not the picture that was added" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "{parts}"), "--verdict: say what"),
        (("add", "{parts}", "--verdict", "gut"), "--verdict gut: unknown"),
        (("check", "{model}"), "holds no golden set"),
        (("check", "{model}", "{model}"), "takes one model"),
        (("check", "{model}", "--note", "x"), "--note x: has no effect with check"),
        (("look", "{model}"), "unknown; choose one of add, check"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    parts, model, tmp_path, run_command, capsys, words, said
):
    words = [word.format(parts=parts, model=model) for word in words]
    assert run_command("golden", *words, "--golden", tmp_path / "none") == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1


def test_a_model_that_learned_from_a_golden_picture_says_so(parts, model, tmp_path):
    from nexperia_tf.runs import training_pictures
    from nexperia_tf.serving import export

    golden_set.add(tmp_path / "g", [parts / "a.png", parts / "b.png"], "good")
    first, _ = golden_set.read(tmp_path / "g")
    line = training_pictures.Line(first.pixel_sha256, training_pictures.PICTURE, "r")
    training_pictures.write(
        model / training_pictures.EXPORTED, training_pictures.TrainingSet((line,))
    )
    try:
        checked = golden_set.check(export.load(model, trust=True), tmp_path / "g")
    finally:
        (model / training_pictures.EXPORTED).unlink()
    assert checked.trained_on == 1 and len(checked.asked) == 2


def test_a_golden_set_and_a_list_by_name_are_read_by_one_reader(parts, tmp_path):
    golden_set.add(tmp_path / "g", [parts / "a.png"], "good")
    (line,) = golden.read(tmp_path / "g" / "golden.csv")
    assert (line.image_id, line.verdict) == ("a.png", "good")
    (tmp_path / "list.csv").write_text("image_id,why\nd1,returned\n")
    (line,) = golden.read(tmp_path / "list.csv")
    assert (line.image_id, line.verdict, line.pixel_sha256) == ("d1", "defect", "")
    content = (tmp_path / "g" / "golden.csv").read_text()
    (tmp_path / "g" / "golden.csv").write_text(content.replace(",good,", ",gut,"))
    with pytest.raises(errors.BadInput, match="golden.csv:2: verdict 'gut'"):
        golden.read(tmp_path / "g" / "golden.csv")


def test_evaluate_finds_golden_pictures_by_their_pixels(tmp_path):
    from nexperia_tf import predictions
    from nexperia_tf.evaluation import candidates, subjects
    from nexperia_tf.runs import training_pictures

    table = predictions.Predictions(["x", "y"], [1, 0], [0.9, 0.1])
    judged = candidates.Candidate(
        subjects.Subject("m", table),
        hashes=training_pictures.PictureHashes({"x": "aa", "y": "bb", "t": "cc"}, {}),
    )
    set_ = [golden.Line("renamed.png", "defect", p) for p in ("aa", "cc")]
    set_.append(golden.Line("fine.png", "good", "bb"))
    names, note = golden.must_be_caught(set_, judged, path="g")
    assert names == ("x",)  # t is no judged device, y is golden as good
    assert note.startswith("1 of 2 golden defects are not among")
    with pytest.raises(errors.BadInput, match="none of its 1 defects"):
        golden.must_be_caught(set_[1:], judged, path="g")
