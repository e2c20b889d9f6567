import numpy as np
import pytest
from PIL import Image

WRONG = ("OK/3", "OK/17", "NG/5")  # image ids whose pictures show the other class


def _draw(raw, *, counts=(40, 30), wrong=WRONG, boxed=False, seed=0):
    """Noise in lots; pictures of NG, and wrong ones of OK, have a dark line."""
    random = np.random.default_rng(seed)
    rows = ["path,label,group,defect_type" + ",x1,y1,x2,y2" * boxed]
    for name, label, count in zip(("OK", "NG"), ("good", "defect"), counts):
        (raw / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(110, 200, (40, 52)).astype(np.uint8)
            row = random.integers(8, 30)
            if (name == "NG") != (f"{name}/{i}" in wrong):
                pixels[row : row + 4, 6:46] = random.integers(0, 60, (4, 40))
            Image.fromarray(pixels).save(raw / name / f"{i}.png")
            kind = ("", "scratch" if i % 3 else "dent")[name == "NG"]
            box = f",6,{row},46,{row + 4}" if name == "NG" else ",,,,"
            rows.append(f"{name}/{i}.png,{label},lot {i % 7},{kind}" + box * boxed)
    (raw / "labels.csv").write_text("\n".join(rows))
    return raw


@pytest.fixture(scope="session")
def wrongly_labelled():
    """`draw(folder)` draws pictures in lots, and `draw.wrong` are wrongly labelled."""
    _draw.wrong = WRONG
    return _draw


@pytest.fixture(scope="package")
def audited(tmp_path_factory, run_command):
    """A folder with raw pictures and its audit `out`, of some wrong labels."""
    folder = tmp_path_factory.mktemp("audited")
    raw = _draw(folder / "raw")
    out = folder / "out"
    data = ("--data-dir", folder / "data")
    assert run_command("audit", raw, "--out", out, "--unlike", 2, *data) == 0
    return folder
