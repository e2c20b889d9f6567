import numpy as np
import pytest

from nexperia_tf import errors
from nexperia_tf.audit import ranking


def _scored(n=2000, *, wrong=0.03, seed=0, lots=40, shift=0.0):
    """Labels of which some are wrong, held-out scores of the truth, and lots."""
    random = np.random.default_rng(seed)
    truth = (random.random(n) < 0.25).astype(int)
    lot = random.integers(0, lots, n)
    logits = np.where(truth == 1, 2.5, -2.5) + random.normal(0, 1.2, n)
    logits += shift * random.normal(0, 1, lots)[lot]
    flipped = random.random(n) < wrong
    label = np.where(flipped, 1 - truth, truth)
    return label, 1 / (1 + np.exp(-logits)), [f"lot {each}" for each in lot], flipped


def _found(ranked, flipped, share):
    listed = ranked.order[: round(share * len(flipped))]
    return flipped[listed].sum() / flipped.sum()


def test_thresholds_counts_and_errors_are_those_of_cleanlab():
    count = pytest.importorskip("cleanlab.count", reason="extra oracles")
    rank = pytest.importorskip("cleanlab.rank", reason="extra oracles")
    label, score, _, _ = _scored(wrong=0.05)
    ours = ranking.rank(label, score)
    both = np.stack([1 - score, score], axis=1)
    theirs = count.get_confident_thresholds(label, both)
    np.testing.assert_allclose(ours.thresholds, theirs, atol=1e-9)
    joint = count.estimate_joint(
        label, both, confident_joint=count.compute_confident_joint(label, both)
    )
    # Theirs is calibrated in whole counts.
    np.testing.assert_allclose(ours.joint, joint, atol=1 / len(label))
    adjusted = rank.get_normalized_margin_for_each_label(
        label,
        both - theirs,  # by how much each class lies above its threshold
    )
    apart = np.argsort(adjusted, kind="stable")
    assert list(ours.order[:200]) == list(apart[:200])


def test_wrong_labels_come_first():
    label, score, lots, flipped = _scored()
    assert _found(ranking.rank(label, score), flipped, 0.06) > 0.9
    assert _found(ranking.rank(label, score, lots), flipped, 0.06) > 0.9


def test_the_number_of_wrong_labels_is_estimated_for_each_class():
    label, score, _, flipped = _scored(n=20_000, wrong=0.05)
    ranked = ranking.rank(label, score)
    for given in (0, 1):
        wrong = int(np.sum(flipped & (label == given)))
        assert ranked.wrong(given) == pytest.approx(wrong, rel=0.3)


def test_lots_that_score_higher_as_a_whole_do_not_flood_the_list():
    label, score, lots, flipped = _scored(shift=2.0)
    plain, allowed = (ranking.rank(label, score, g) for g in (None, lots))
    assert _found(allowed, flipped, 0.06) > _found(plain, flipped, 0.06) + 0.1
    first = [lots[place] for place in plain.order[:60]]
    now = [lots[place] for place in allowed.order[:60]]
    assert max(map(first.count, first)) > max(map(now.count, now))


def test_lots_that_do_not_differ_change_nothing_much():
    label, score, lots, _ = _scored()
    assert np.abs(ranking.rank(label, score, lots).allowance).max() < 0.3


def test_pictures_that_each_stand_alone_get_no_allowance():
    label, score, _, _ = _scored(n=100)
    assert not ranking.rank(label, score, [""] * 100).allowance.any()


def test_certain_scores_have_a_place():
    label, score = np.array([0, 0, 1, 1]), np.array([0.0, 1.0, 1.0, 0.0])
    ranked = ranking.rank(label, score)
    assert np.isfinite(ranked.margin).all()
    assert set(ranked.order[:2]) == {1, 3}


def test_one_class_or_no_probability_is_refused():
    with pytest.raises(errors.BadInput, match="3 good and 0 defect"):
        ranking.rank(np.zeros(3, int), np.full(3, 0.5))
    for bad in (1.5, -0.1, np.nan):
        with pytest.raises(errors.BadInput, match="probabilities"):
            ranking.rank(np.array([0, 1]), np.array([0.5, bad]))
