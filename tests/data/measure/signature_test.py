import csv

import imagehash
import numpy as np
from PIL import Image

from nexperia_tf.data.measure import signature


def _picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12), np.uint8)
    return np.asarray(
        Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC)
    )


def test_a_person_finds_a_dimmed_copy_by_the_manifests_phash(run_command, tmp_path):
    raw, wanted = tmp_path / "raw", _picture(3)
    (raw / "good").mkdir(parents=True)
    (raw / "ng").mkdir()
    for seed in range(8):
        Image.fromarray(_picture(seed)).save(raw / "good" / f"{seed}.png")
        Image.fromarray(_picture(seed + 8)).save(raw / "ng" / f"{seed}.png")
    assert run_command("prepare", raw, "--out", tmp_path / "out") == 0
    with open(tmp_path / "out" / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    dimmed = Image.fromarray(wanted // 2 + 30).resize((60, 45))
    mine = imagehash.phash(dimmed, hash_size=16)
    bits = {r["image_id"]: mine - imagehash.hex_to_hash(r["phash"]) for r in rows}
    nearest, second = sorted(bits, key=bits.get)[:2]
    assert nearest == "good/3"
    assert bits[nearest] <= 20 and bits[second] >= 80


def test_colour_and_grey_are_hashed_as_imagehash_hashes_them():
    grey = _picture(0)
    colour = np.dstack([grey, grey[::-1], grey[:, ::-1]])
    for pixels in (grey, colour, np.full((30, 40), 128, np.uint8)):
        expected = str(imagehash.phash(Image.fromarray(pixels), hash_size=16))
        assert signature.phash(pixels) == expected and len(expected) == 64
