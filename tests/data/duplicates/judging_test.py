"""A few pairs looked at in full say what all of them would have said."""

import pathlib

import cv2
import numpy as np
import pytest

from nexperia_tf.data import images
from nexperia_tf.data.duplicates import (
    candidates,
    connected,
    judging,
    verify,
)
from nexperia_tf.data.measure import signature
from nexperia_tf.data.proof import jpeg_traces

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(script) -> dict[str, bytes]:
    """Castings, each with turned copies as JPEG, and copies of some without loss."""
    look_alikes = script("benchmarks/look_alikes")
    random, found = np.random.default_rng(0), {}
    for number in range(4):
        first = look_alikes.device(number, 0)
        pictures = {
            f"{k}.jpg": look_alikes.copy(first, turn, random, 3.0)
            for k, turn in enumerate((0, 1, 2, 7))
        }
        if number < 2:
            scratched = first.copy()
            cv2.line(scratched, (120, 140), (150, 160), (60, 60, 60), 1)
            brighter = first + np.uint8(6)
            pictures |= {"4.png": brighter, "5.png": scratched, "6.png": first}
        for name, pixels in pictures.items():
            options = [cv2.IMWRITE_JPEG_QUALITY, 90] if name.endswith("jpg") else []
            _, content = cv2.imencode(pathlib.Path(name).suffix, pixels, options)
            found[f"device{number}_{name}"] = content.tobytes()
    return found


def verifier_of(files: dict[str, bytes], **options) -> verify.Verifier:
    pixels = [images.load(content).pixels for content in files.values()]
    small = [
        cv2.resize(images.grey(p), (signature.SIDE,) * 2, interpolation=cv2.INTER_AREA)
        for p in pixels
    ]
    lossy = [name.endswith("jpg") for name in files]
    return verify.Verifier(np.stack(small), pixels.__getitem__, lossy, **options)


@pytest.fixture(scope="module")
def verifier(files) -> verify.Verifier:
    return verifier_of(files)


@pytest.fixture(scope="module")
def pairs(files) -> list[candidates.Candidate]:
    """All of one device in the turns they are in, and upright across devices."""
    turns = {"1": 1, "2": 2, "3": 7}
    names, found = list(files), []
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            same = names[a][:7] == names[b][:7]
            upright = names[a][8] not in turns
            turn = turns.get(names[b][8], 0) if same and upright else 0
            found.append(candidates.Candidate(a, b, turn))
    return found


@pytest.fixture(scope="module")
def judged(pairs, verifier) -> tuple[dict, list[tuple[int, int]]]:
    said = []
    found = judging.verdicts(pairs, verifier, 1, lambda *now: said.append(now))
    return found, said


def test_the_cheap_way_says_of_all_pairs_what_a_full_look_says(pairs, verifier, judged):
    found, _ = judged
    full = {(p.a, p.b): verifier.verdict(p, whole=True) for p in pairs}
    copies = {ends for ends, verdict in full.items() if verdict.same_photograph}
    assert copies == {ends for ends, v in found.items() if v.same_photograph}
    assert len(copies) >= 4
    tied = [ends for ends, v in full.items() if v.twin or v.same_photograph]
    assert connected.components(tied) == connected.components(found)
    assert len(connected.components(tied)) == 4
    assert set(tied) <= set(found)
    among = {place for ends in copies for place in ends}
    altered = {e: v.altered for e, v in full.items() if v.altered and set(e) <= among}
    assert all(found[ends].altered for ends in altered)


def test_any_number_of_workers_says_the_same(pairs, verifier, judged):
    found, _ = judged
    again = judging.verdicts(pairs, verifier, 3, lambda *now: None)
    assert again == found


def test_progress_ends_where_all_pairs_are_judged(pairs, judged):
    _, said = judged
    done, totals = zip(*said)
    assert list(done) == sorted(done) and len(pairs) in done
    assert done[-1] == totals[-1] >= len(pairs) == totals[0]


def test_most_pairs_of_one_device_are_not_looked_at_in_full(
    pairs, verifier, monkeypatch
):
    looked = []
    verdict = verifier.verdict

    def counted(pair, *, whole=False):
        looked.append(pair)
        return verdict(pair, whole=whole)

    monkeypatch.setattr(verifier, "verdict", counted)
    lossy = [p for p in pairs if max(p.a, p.b) >= 14]  # the devices of JPEG alone
    within = [p for p in lossy if p.a >= 14 and (p.a < 18) == (p.b < 18)]
    judging.verdicts(within, verifier, 1, lambda *now: None)
    assert len(within) == 12 and len(looked) < len(within)


def test_jpeg_is_tried_only_at_qualities_of_the_files_own_table(files, monkeypatch):
    tried, coded = [], jpeg_traces._coded
    pair = candidates.Candidate(0, 6, 0)  # a JPEG, and what it was made of

    def counted(part, quality, sampling):
        tried.append(quality)
        return coded(part, quality, sampling)

    def verdict(*qualities):
        tried.clear()
        return verifier_of(files, qualities=lambda place: qualities).verdict(pair)

    monkeypatch.setattr(jpeg_traces, "_coded", counted)
    assert verdict(90).same_photograph and set(tried) == {90}
    assert not verdict().same_photograph and tried == []
    assert not verdict(75).same_photograph and set(tried) == {75}
