import dataclasses

import numpy as np
import pytest
from scipy import stats

from nexperia_tf import errors
from nexperia_tf.statistics import certificate, intervals, operating_point


def violations(*, n, max_escape, confidence, runs, seed):
    """How often the true escape rate of the chosen threshold exceeds the bound."""
    random = np.random.default_rng(seed)
    # Uniform scores: the escape rate of a threshold is the threshold itself.
    scores = random.random((runs, n))
    chosen = [
        certificate.choose(s, max_escape=max_escape, confidence=confidence)
        for s in scores
    ]
    assert all(c.guaranteed for c in chosen)
    return np.mean([c.threshold > max_escape for c in chosen])


@pytest.mark.parametrize(
    ("n", "max_escape", "confidence"),
    [(827, 0.009, 0.95), (827, 0.005, 0.95), (300, 0.03, 0.9), (60, 0.1, 0.99)],
)
def test_the_guarantee_holds_in_2000_simulations(n, max_escape, confidence):
    runs, delta = 2000, 1 - confidence
    found = violations(
        n=n, max_escape=max_escape, confidence=confidence, runs=runs, seed=n
    )
    assert found <= delta + 3 * np.sqrt(delta * (1 - delta) / runs)


@pytest.mark.parametrize("n", [598, 827, 998, 3000])
@pytest.mark.parametrize("max_escape", [0.003, 0.005, 0.007, 0.009, 0.05])
def test_one_more_miss_would_break_the_exact_binomial(n, max_escape):
    allowed = certificate.misses_allowed(n, max_escape, 0.95)
    if allowed >= 0:
        assert stats.binomtest(allowed, n, max_escape, "less").pvalue <= 0.05
    assert stats.binomtest(allowed + 1, n, max_escape, "less").pvalue > 0.05


def test_827_defects_are_refused_three_per_mille_and_998_are_named():
    scores = np.linspace(0.1, 0.9, 827)
    found = certificate.choose(scores, max_escape=0.003, confidence=0.95)
    assert not found.guaranteed
    assert found.defects_needed == 998
    assert found.threshold == scores[0]  # the strictest there is
    assert "TPR 99.7 %" in found.refusal
    assert "827 calibration defects; 998 are needed" in found.refusal
    assert found.certified_escape == pytest.approx(0.003616, abs=1e-6)
    enough = certificate.choose(np.linspace(0, 1, 998), max_escape=0.003)
    assert enough.guaranteed


def test_the_threshold_is_the_score_behind_the_allowed_misses():
    scores = np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, 827))
    found = certificate.choose(scores, max_escape=0.009)
    assert found.misses_allowed == 2
    assert found.threshold == np.sort(scores)[2]
    assert np.sum(scores < found.threshold) == 2


def test_what_is_certified_is_the_one_sided_exact_limit():
    found = certificate.certified_escape(827, 2, 0.95)
    assert stats.binom.cdf(2, 827, found) == pytest.approx(0.05)
    assert found <= 0.009  # what misses_allowed promised


def test_tied_scores_never_claim_more():
    scores = np.full(827, 0.5)
    found = certificate.choose(scores, max_escape=0.009)
    assert found.threshold == 0.5
    one_by_one = certificate.choose(np.linspace(0, 1, 827), max_escape=0.009)
    assert found.certified_escape == one_by_one.certified_escape


@pytest.mark.parametrize("share", [0, 1, 5, -0.1])
def test_shares_are_shares(share):
    with pytest.raises(errors.BadInput, match=f"--max-escape.*Received {share}"):
        certificate.choose(np.linspace(0, 1, 9), max_escape=share)
    with pytest.raises(errors.BadInput, match="--prevalence"):
        operating_point.dppm(0.1, share)


def test_scores_of_no_defect_or_nan_are_refused():
    with pytest.raises(errors.BadInput, match="Received 0 of 0"):
        certificate.choose(np.array([]))
    with pytest.raises(errors.BadInput, match="Received 1 of 2"):
        certificate.choose(np.array([0.5, np.nan]))


def band_of(n_good, max_overkill=0.005):
    random = np.random.default_rng(6)
    labels = np.repeat([1, 0], [827, n_good])
    scores = np.concatenate([random.beta(9, 1, 827), random.beta(1, 9, n_good)])
    found = operating_point.band(
        labels, scores, pass_below=0.3, max_overkill=max_overkill
    )
    return labels, scores, found


def test_the_band_rejects_hardly_any_good_device_without_a_look():
    labels, scores, found = band_of(3003)
    assert found.reject_from in scores
    rejected = int(np.sum(scores[labels == 0] >= found.reject_from))
    assert rejected == certificate.misses_allowed(3003, 0.005, 0.95)
    shares = operating_point.shares(scores[labels == 0], found, confidence=0.95)
    total = shares.passed.value + shares.reviewed.value + shares.rejected.value
    assert total == pytest.approx(1)
    assert shares.rejected.high < 0.01


def test_too_few_good_devices_reject_nothing_without_a_look():
    labels, scores, found = band_of(500)
    assert found.reject_from is None
    assert found.good_needed == 598
    shares = operating_point.shares(scores[labels == 1], found, confidence=0.95)
    assert shares.rejected.value == 0


def test_a_model_that_separates_needs_no_review():
    labels = np.repeat([1, 0], [700, 700])
    scores = np.concatenate([np.linspace(0.6, 0.9, 700), np.linspace(0.1, 0.4, 700)])
    found = operating_point.band(labels, scores, pass_below=0.6)
    assert found.pass_below == found.reject_from == 0.6


def test_dppm_counts_escapes_among_what_is_shipped():
    # Of a million devices 10,000 are defects, of which 50 are shipped.
    assert operating_point.dppm(0.005, 0.01) == pytest.approx(1e6 * 50 / 990_050)
    assert operating_point.dppm(0, 0.01) == 0
    assert operating_point.dppm(1, 0.2) == pytest.approx(200_000)
    assert operating_point.yield_loss(0.02, 0.2) == pytest.approx(0.016)


@pytest.mark.parametrize("threshold", [0.5, 0.01, 2e-5, 1e-7])
def test_the_served_threshold_forgives_the_fifth_decimal(threshold):
    served = operating_point.serving_threshold(threshold)
    assert 0 < served < threshold
    assert np.float32(threshold) >= np.float32(served)
    assert threshold - served <= 1.0001e-5


def test_a_server_rejects_no_good_device_that_the_band_leaves_for_a_look():
    found = band_of(3003)[2]
    served = operating_point.serving_reject_from(found)
    assert found.reject_from <= served <= 1
    assert served > found.good_limit + operating_point.ROUNDING
    close = dataclasses.replace(found, reject_from=0.4 + 1e-9, good_limit=0.4)
    assert operating_point.serving_reject_from(close) == pytest.approx(0.4 + 2e-5)
    top = dataclasses.replace(found, reject_from=1.0, good_limit=1 - 1e-9)
    assert operating_point.serving_reject_from(top) == 1.0
    assert operating_point.serving_reject_from(band_of(500)[2]) is None


def test_mapie_never_finds_a_higher_safe_threshold():
    """MAPIE's bounds are valid but wider: exact binomial is at least as generous."""
    control = pytest.importorskip(
        "mapie.risk_control", reason="MAPIE comes with the extra `oracles`"
    )
    random = np.random.default_rng(7)
    compared = 0
    for n, max_escape in [(827, 0.02), (827, 0.009), (400, 0.05), (200, 0.1)]:
        scores = random.beta(5, 1, n)
        ours = certificate.choose(scores, max_escape=max_escape)
        oracle = control.BinaryClassificationController(
            lambda scores: np.stack([1 - scores, scores], axis=1),
            risk="recall",
            target_level=1 - max_escape,
            confidence_level=0.95,
            # A hair below each score: MAPIE rejects above, not at, a threshold.
            list_predict_params=np.sort(scores) - 1e-12,
            fwer_method="fixed_sequence",
            best_predict_param_choice="precision",
        )
        oracle.calibrate(scores, np.ones(n, dtype=int))
        p_values = np.asarray(oracle.p_values).ravel()
        order = np.argsort(scores, kind="stable")
        exact = stats.binom.cdf(np.arange(n), n, max_escape)
        assert np.all(p_values >= exact - 1e-9)
        safe = np.asarray(oracle.valid_predict_params).ravel()
        # Never more conservative than MAPIE, never less safe than the exact binomial.
        compared += safe.size
        assert not safe.size or safe.max() <= ours.threshold
        place = int(np.flatnonzero(scores[order] == ours.threshold)[0])
        assert exact[place] <= 0.05 < exact[place + 1]
    assert compared


def test_the_band_and_the_guarantee_agree_with_clopper_pearson():
    for misses in range(4):
        one_sided = certificate.certified_escape(827, misses, 0.95)
        two_sided = intervals.clopper_pearson(misses, 827, confidence=0.9)
        assert one_sided == pytest.approx(two_sided.high)
