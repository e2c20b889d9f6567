"""A model is a program: which ones are run, and what is said of the others."""

import csv
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import nexperia_tf
from nexperia_tf import errors, files
from nexperia_tf.serving import export


@pytest.fixture(scope="module")
def base(tmp_path_factory, publish_tiny):
    base = tmp_path_factory.mktemp("trust") / "base"
    publish_tiny(base)
    return base


@pytest.fixture
def version(base, tmp_path):
    """A version of its own, copied out of the folder it was published in."""
    shutil.copytree(base / "1", tmp_path / "copied")
    return tmp_path / "copied"


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    rng, raw = np.random.default_rng(0), tmp_path_factory.mktemp("raw")
    for name, low in (("good", 0), ("defect", 60)):
        (raw / name).mkdir()
        for i in range(12):
            pixels = rng.integers(low, low + 196, (33, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(raw / name / f"{i}.png")
    return raw


def _without(version):
    (version / files.MANIFEST).unlink()


def _changed(version):
    (version / export.FACTS).write_text("{}")


def _other_graph(version):
    tf.saved_model.save(tf.Module(), str(version))


def _added(version):
    (version / "variables" / "more").write_text("")


def _not_named(version):
    lines = (version / files.MANIFEST).read_text().splitlines(keepends=True)
    kept = [line for line in lines if "saved_model.pb" not in line]
    (version / files.MANIFEST).write_text("".join(kept))


def _empty_manifest(version):
    (version / files.MANIFEST).write_text("")


BROKEN = {
    _without: "holds no MANIFEST.sha256",
    _changed: "differs from its SHA-256",
    _other_graph: "differs from its SHA-256|is not named by",
    _added: "more: is not named by MANIFEST.sha256",
    _not_named: "saved_model.pb: is not named by MANIFEST.sha256",
    _empty_manifest: "names no file",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_no_manifest_vouches_for_is_not_run(broken, version):
    export.load(version)
    broken(version)
    with pytest.raises(errors.BadInput, match=BROKEN[broken]) as refused:
        export.load(version)
    assert "A SavedModel is a program: pass --trust" in str(refused.value)


@pytest.mark.slow
def test_every_command_that_opens_one_refuses_in_one_line_and_takes_trust(
    version, base, raw, tmp_path, run_command, capsys
):
    _without(version)
    commands = {
        "predict": [version, raw, "--out", tmp_path / "scores.csv"],
        "evaluate": [
            *(version, "--data", raw, "--data-dir", tmp_path / "data"),
            *("--split", "train", "--no-heatmaps", "--out", tmp_path / "report"),
        ],
        "ensemble": [base, version, "--out", tmp_path / "both"],
    }
    for name, argv in commands.items():
        capsys.readouterr()
        assert run_command(name, *argv) == 2, name
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1 and "pass --trust" in shown, name
        assert run_command(name, *argv, "--trust") == 0, name
    with open(tmp_path / "scores.csv") as file:
        assert len(list(csv.DictReader(file))) == 24
    with pytest.raises(errors.BadInput, match="holds no MANIFEST"):
        nexperia_tf.load(version)
    assert len(nexperia_tf.load(version, trust=True).predict(raw)) == 24


def test_an_older_export_is_vouched_for_by_the_run_it_lies_in(base, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(base, run / "saved_model")
    inside = run / "saved_model" / "1"
    _without(inside)
    files.write_manifest(run)
    export.load(run)
    export.load(inside)
    _added(inside)
    with pytest.raises(errors.BadInput, match="is not named"):
        export.load(run)
    (inside / "variables" / "more").unlink()
    _changed(inside)
    with pytest.raises(errors.BadInput, match="differs from its SHA-256"):
        export.load(inside)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ('{"image_size": 32, "channels": 4}', "channels"),
        ('{"channels": 1}', "image_size None"),
        ("[" * 100_000, "not valid JSON"),
        ('{"image_size": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"image_size": 32, "channels": 1, "threshold": "low"}', "temperature"),
    ],
)
def test_facts_that_make_no_sense_are_one_line(
    facts, words, version, raw, run_command, capsys, tmp_path
):
    (version / export.FACTS).write_text(facts)
    files.write_manifest(version)
    argv = ["predict", version, raw, "--out", tmp_path / "scores.csv"]
    assert run_command(*argv) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and words in shown
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize("content", [b"", b"no graph", b"\xff" * 100])
def test_a_damaged_graph_is_one_line_though_it_is_trusted(content, version):
    (version / "saved_model.pb").write_bytes(content)
    with pytest.raises(errors.BadInput, match="cannot be loaded|has no signature"):
        export.load(version, trust=True).signature(export.BYTES)
