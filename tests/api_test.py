import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import nexperia_tf
from nexperia_tf import errors, files
from nexperia_tf.models import backbones


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Noise, and a bright square on the defective ones."""
    folder = tmp_path_factory.mktemp("api") / "raw"
    noise = np.random.default_rng(0)
    for i in range(80):
        kind = "good" if i % 2 else "defect"
        pixels = noise.integers(0, 128, (24, 32)).astype(np.uint8)
        if kind == "defect":
            pixels[8:16, 8:16] += 127
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / kind / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def run(raw):
    """A run of three lines, of a network that trains in seconds."""
    shape = backbones.Shape((1,), planes=(4,), stem=4)
    prepared = raw.parent / "prepared"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "tiny", shape)
        told = {"good": "good", "group": None, "workers": 1}
        rows = nexperia_tf.prepare(raw, prepared, **told)
        assert sum(row.used for row in rows) == 80
        return nexperia_tf.train(
            data=prepared,
            data_dir=raw.parent / "data",
            out=raw.parent / "runs" / "mine",
            recipe="plain",
            backbone="tiny",
            image_size=32,
            epochs=1,
            batch_size=8,
        )


def test_a_run_predicts_a_folder_of_pictures(run, raw):
    rows = run.predict(raw / "defect")
    assert len(rows) == 40 and not any(row["problem"] for row in rows)
    again = nexperia_tf.load(run.path).predict(raw / "defect", threshold=0.0)
    assert [row["score"] for row in again] == [row["score"] for row in rows]
    assert {row["label"] for row in again} == {"defect"}
    saved_model = nexperia_tf.load(run.path / "saved_model")
    assert saved_model.predict(raw / "defect") == rows


def test_a_run_is_judged_as_the_command_judges_it(run, run_command, tmp_path):
    found = nexperia_tf.evaluate(run.path, out=tmp_path / "mine", heatmaps=False)
    words = (run.path, "--out", tmp_path / "theirs", "--no-heatmaps")
    assert run_command("evaluate", *words) == 0
    theirs = files.read_json(tmp_path / "theirs" / "report.json")
    assert found["auc"] == theirs["auc"] and found["n"] == theirs["n"]


def test_what_does_not_exist_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(errors.BadInput, match="epoch: unknown; did you mean epochs"):
        nexperia_tf.train(data="sample", epoch=3)
    with pytest.raises(errors.BadInput, match="god: unknown; did you mean good"):
        nexperia_tf.prepare("raw", "out", god="ok")
    with pytest.raises(errors.BadInput, match="gruop: unknown; did you mean group"):
        nexperia_tf.evaluate("model", data="photos", gruop="tray")
    with pytest.raises(errors.BadInput, match="--ema 2: a number in"):
        nexperia_tf.train(data="sample", ema=2)
    with pytest.raises(errors.BadInput, match="holds no SavedModel"):
        nexperia_tf.load(tmp_path)
    with pytest.raises(AttributeError, match="nothing"):
        nexperia_tf.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_else():
    asked = (
        "import sys, nexperia_tf\n"
        "assert {'train', 'load', 'Config'} <= set(dir(nexperia_tf))\n"
        "from nexperia_tf import train, Config\n"
        "assert Config().changed(epochs=3).optimisation.epochs == 3\n"
        "heavy = {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", asked], check=True)
