"""The benchmark of look-alikes draws what it says and reads what the command shows."""

import types

import numpy as np
import pytest

from nexperia_tf.data import images, manifest


@pytest.fixture(scope="module")
def benchmark(script) -> types.ModuleType:
    return script("benchmarks/look_alikes")


def test_each_device_is_drawn_with_its_copies(benchmark, tmp_path):
    benchmark.draw(tmp_path, 2, 3, 0, 3.0)
    files = sorted(path.name for path in tmp_path.rglob("*.jpg"))
    assert files == [f"device000{d}_0{k}.jpg" for d in (0, 1) for k in (0, 1, 2)]
    first, turned = (
        images.load((tmp_path / "good" / f"device0001_0{k}.jpg").read_bytes()).pixels
        for k in (0, 1)
    )
    assert first.shape == turned.shape == (300, 300, 3)
    grey = [images.grey(pixels).astype(float).ravel() for pixels in (first, turned)]
    back = images.grey(np.rot90(turned, -1)).astype(float).ravel()
    assert np.corrcoef(grey[0], back)[0, 1] > 0.99 > np.corrcoef(*grey)[0, 1]


def test_what_the_bar_shows_is_read(benchmark):
    drawn = "\x1b[2KVerifying pairs \x1b[38m━━━━━\x1b[0m  \x1b[35m 42%\x1b[0m 0:01:07\r"
    plain = benchmark._COLOURS.sub("", drawn)
    assert benchmark._BAR.findall(plain) == [("42", "0:01:07")]


@pytest.mark.slow
def test_a_copy_whose_little_grain_is_lost_in_sampling_is_tied(
    benchmark, run_command, tmp_path
):
    raw, out = tmp_path / "raw", tmp_path / "prepared"
    benchmark.draw(raw, 39, 3, 0, benchmark.TILT)
    assert run_command("prepare", raw, "--out", out) == 0
    rows = manifest.read(out / "manifest.csv")
    own = {row.twin_group for row in rows if "device0038" in row.path}
    assert len(own) == 1 and own != {""}
