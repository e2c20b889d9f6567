"""Alignment of two pictures, and which of two alignments is the better one."""

import unittest.mock

import cv2
import numpy as np
import pytest

from nexperia_tf.data.duplicates import candidates, search, verify
from nexperia_tf.data.measure import signature, views
from nexperia_tf.data.proof import alignment, laying, same_photo
from nexperia_tf.sample import command as sample

SIDE = 128


@pytest.fixture(scope="module")
def part():
    pixels, _ = sample.device(0, 1)
    pixels = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return pixels.astype(np.float32)


def motion_of(shift=(0.0, 0.0), degrees=0.0) -> np.ndarray:
    motion = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), degrees, 1)
    motion[:, 2] += shift
    return motion


@pytest.mark.parametrize(
    ("shift", "degrees"), [((2.0, -1.0), 0.0), ((0.4, 1.3), 2.0), ((0, 0), -3.0)]
)
def test_align_finds_the_motion_that_was_made(part, shift, degrees):
    made = motion_of(shift, degrees)
    moving = cv2.warpAffine(part, made, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    bands = views.band(np.stack([part, moving]))
    found = alignment.align(*bands, np.eye(2, 3))
    corners = np.array([[x, y, 1] for x in (0, SIDE) for y in (0, SIDE)])
    assert np.abs(corners @ (found - made).T).max() < 0.3  # pixels, of up to 3.6


def test_a_motion_that_takes_a_corner_too_far_is_none(part):
    moving = cv2.warpAffine(part, motion_of((30.0, 0.0)), (SIDE, SIDE))
    start = motion_of((30.0, 0.0))
    assert alignment.align(*views.band(np.stack([part, moving])), start) is None


def test_a_motion_means_the_same_at_another_size():
    motion = motion_of((3.0, -2.0), 5.0)
    small, large = ((SIDE, SIDE),) * 2, ((2 * SIDE, 4 * SIDE),) * 2
    there = alignment.rescaled(motion, small, large)
    np.testing.assert_allclose(
        alignment.rescaled(there, large, small), motion, atol=1e-9
    )
    # The centre of a pixel, at both sizes.
    x, y = 10.0, 20.0
    moved = motion @ [x, y, 1]
    scaled = there @ [4 * (x + 0.5) - 0.5, 2 * (y + 0.5) - 0.5, 1]
    np.testing.assert_allclose(scaled, (moved + 0.5) * [4, 2] - 0.5)


def test_one_photograph_is_never_given_up_for_a_better_alignment():
    same = {"shared_noise": 1.0, "shared_grain": 1.0, "shared_texture": 1.0}
    proven = same_photo.Comparison(
        **same, max_local_residual=1, max_line_residual=1, deviation=2.0, off_curve=0.0
    )
    assert proven.same_photograph
    nearer = same_photo.Comparison(**same, deviation=0.1)
    assert not laying.lies_better(nearer, proven)
    assert laying.lies_better(nearer, same_photo.Comparison(**same, deviation=0.3))
    assert not laying.lies_better(nearer, same_photo.Comparison(**same, deviation=0.15))


def test_what_an_earlier_run_found_is_neither_computed_nor_another(
    tmp_path, monkeypatch
):
    parts = [sample.device(number, 1)[0] for number in range(4)]
    noise = np.random.default_rng(0).normal(0, 2, parts[0].shape)
    pictures = [*parts, np.clip(parts[0] + noise, 0, 255).astype(np.uint8)]
    pictures += [parts[1][2:, 1:], 255 - parts[2]]
    small = [
        cv2.resize(p, (signature.SIDE,) * 2, interpolation=cv2.INTER_AREA)
        for p in pictures
    ]
    pairs = [candidates.Candidate(a, b, 0) for b in range(4, 7) for a in range(4)]

    def judged(names) -> list:
        with search.pairs_known(tmp_path) as known:
            verifier = verify.Verifier(
                np.stack(small),
                pictures.__getitem__,
                [False] * len(pictures),
                contents=names,
                known=known,
            )
            monkeypatch.setattr(alignment, "align", looks := unittest.mock.Mock())
            looks.side_effect = align
            return [verifier.verdict(pair) for pair in pairs], looks.call_count

    align = alignment.align
    first, some = judged("abcdefg")
    assert some > 0 and any(verdict.same_photograph for verdict in first)
    again, none = judged("abcdefg")
    assert again == first and none == 0
    _, anew = judged("ABCDEFG")
    assert anew == some
