import cv2
import numpy as np
import pytest

from nexperia_tf.data.duplicates import candidates, fingerprints
from nexperia_tf.data.measure import gradients, views


@pytest.fixture(scope="module")
def thumbnails() -> np.ndarray:
    """Pictures with structure of several sizes, any two different."""
    random = np.random.default_rng(0)
    levels = np.full((60, 64, 64), 100.0)
    for side in (4, 8, 16):
        coarse = random.normal(0, 15, (60, side, side))
        levels += np.kron(coarse, np.ones((64 // side, 64 // side)))
    return np.clip(levels, 0, 255).astype(np.uint8)


def test_a_turned_picture_has_its_numbers_in_other_places(thumbnails):
    upright = gradients.describe(views.band(thumbnails[:2]))
    for turn, places in enumerate(gradients.turned_indices()):
        turned = np.stack([views.turned(one, turn) for one in thumbnails[:2]])
        described = gradients.describe(views.band(turned))
        np.testing.assert_allclose(described, upright[:, places], atol=2e-3)


def test_copies_are_candidates_in_all_turns_and_others_are_few(thumbnails):
    copies = candidates.simulated_copies(thumbnails[:8], 1)
    turned = [views.turned(one, turn) for turn, one in enumerate(copies)]
    found, settings = candidates.search(np.concatenate([thumbnails, turned]))
    pairs = {(pair.a, pair.b) for pair in found}
    assert pairs >= {(k, 60 + k) for k in range(8)}
    assert len(pairs) <= 8 + settings["expected_false_pairs"]


def test_the_turn_of_a_candidate_brings_it_back(thumbnails):
    turned = [views.turned(one, turn) for turn, one in enumerate(thumbnails[:8])]
    found, _ = candidates.search(np.concatenate([thumbnails, turned]))
    turns = {pair.a: pair.turn for pair in found if pair.b == 60 + pair.a}
    for place, turn in turns.items():
        back = views.turned(turned[place], turn)
        np.testing.assert_array_equal(back, thumbnails[place])
    assert sorted(turns) == list(range(8))


def test_pictures_without_content_are_not_compared(thumbnails):
    flat = np.full((3, 64, 64), 7, np.uint8)
    found, settings = candidates.search(np.concatenate([flat, thumbnails]))
    assert settings["compared"] == 60
    assert all(pair.a >= 3 for pair in found)
    assert candidates.search(flat) == ([], {"compared": 0})


def test_a_noisy_copy_of_a_plain_picture_is_a_candidate_by_its_fingerprint():
    random = np.random.default_rng(0)
    coarse = random.normal(0, 12, (64, 64))  # of the product: all show it
    own = random.normal(0, 1.3, (200, 64, 64))
    plain = 120 + cv2.GaussianBlur(coarse, (0, 0), 3) + own
    noisy = plain[:5] + random.normal(0, 1.1, (5, 64, 64))
    levels = np.rint(np.concatenate([plain, noisy])).astype(np.uint8)
    found, _ = candidates.search(levels)
    assert {(pair.a, pair.b) for pair in found} >= {(k, 200 + k) for k in range(5)}
    plain, prints = fingerprints.of(levels, np.arange(205), noise=1.5)
    pairs = fingerprints.nearest(prints)
    assert len(plain) == 205 and len(pairs) <= 10
    assert set(pairs) >= {(k, 200 + k) for k in range(5)}


def test_tilted_copies_are_candidates_where_few_false_ones_may_be(monkeypatch):
    monkeypatch.setattr(candidates, "FEWEST_FALSE", 20)
    monkeypatch.setattr(candidates, "FALSE_PER_IMAGE", 0)
    random = np.random.default_rng(0)
    part = np.full((64, 64), 150.0)
    part[:4] = part[-4:] = part[:, :3] = part[:, -3:] = 40
    part[15:17] = part[31:33] = part[47:49] = 60  # all show it
    own = [cv2.GaussianBlur(n, (0, 0), 2) for n in random.normal(0, 57, (400, 64, 64))]
    parts = np.clip(np.rint(part + own), 0, 255).astype(np.uint8)
    turns = [cv2.getRotationMatrix2D((31.5, 31.5), angle, 1) for angle in (-6, 6)]
    tilted = [
        cv2.warpAffine(one, turns[k % 2], (64, 64), borderMode=cv2.BORDER_REPLICATE)
        for k, one in enumerate(parts[:50])
    ]
    found, _ = candidates.search(np.concatenate([parts, tilted]))
    assert {(pair.a, pair.b) for pair in found} == {(k, 400 + k) for k in range(50)}
