"""Numbers as a report writes them, read again."""

import math

from hypothesis import given
from hypothesis import strategies as st

from nexperia_tf.evaluation.report import formats
from nexperia_tf.statistics import clustered, intervals

RATES = st.floats(0, 1)


def read(text: str) -> float:
    return float(text.removesuffix(" %")) / 100


@given(RATES)
def test_a_share_is_written_to_half_of_its_last_digit(rate):
    text = formats.share(rate)
    _, _, decimals = text.removesuffix(" %").partition(".")
    assert abs(read(text) - rate) <= 0.5 * 10 ** -(2 + len(decimals)) + 1e-9


@given(RATES)
def test_a_share_says_0_or_100_only_where_that_is_so_to_four_decimals(rate):
    if formats.share(rate) in ("0 %", "100 %"):
        assert min(rate, 1 - rate) <= 0.0005


@given(RATES, RATES)
def test_written_limits_hold_what_the_exact_ones_hold(one, other):
    low, high = sorted((one, other))
    rate = intervals.Interval((low + high) / 2, low, high, "")
    written = [read(end) for end in formats.limits(rate).split(" to ")]
    assert written[0] <= low + 1e-8 and written[1] >= high - 1e-8


def test_what_is_not_known_is_said_in_words():
    assert formats.share(None) == "unknown"
    none = intervals.Interval(0.5, None, None, "none")
    assert formats.limits(none) == formats.ends(none) == "none"
    alone = clustered.Headline(0.9, None, None, "none", reason="one lot")
    assert formats.auc(alone) == "0.9000 (no interval: one lot)"


@given(st.floats(0, 1), st.floats(0, 1))
def test_an_auc_is_warned_of_exactly_where_its_limits_reach_chance(one, other):
    low, high = sorted((one, other))
    warned = bool(formats.warning(intervals.Interval(math.nan, low, high, "")))
    assert warned is (low <= 0.5)
