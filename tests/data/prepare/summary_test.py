"""Counts of a preparation, and the lines made of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexperia_tf import labels
from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import summary

ROWS = st.lists(
    st.builds(
        lambda label, split, reason: manifest.Row(
            image_id="a",
            path="a.png",
            label=label,
            split="" if reason else split,
            dropped_because=reason,
        ),
        st.sampled_from(labels.NAMES),
        st.sampled_from(manifest.SPLITS),
        st.sampled_from(["", "", *manifest.REASONS]),
    )
)


@given(ROWS)
def test_images_are_used_plus_dropped_with_a_reason(rows):
    used = sum(map(len, summary.by_split(rows).values()))
    assert used + sum(summary.dropped(rows).values()) == len(rows)
    line = summary.in_words(rows).splitlines()[0]
    assert line.startswith(
        f"{len(rows)} images = {used} used + {len(rows) - used} dropped"
    )


def test_reasons_come_in_the_order_of_the_contract_and_only_those_there_are():
    rows = [
        manifest.Row(image_id="a", path="a", dropped_because=reason)
        for reason in (manifest.REASONS[2], manifest.REASONS[0], manifest.REASONS[2])
    ]
    expected = [(manifest.REASONS[0], 1), (manifest.REASONS[2], 2)]
    assert list(summary.dropped(rows).items()) == expected


@pytest.mark.parametrize("threshold", [None, 0.4])
def test_a_frame_that_was_not_judged_is_not_below_the_threshold(threshold):
    row = manifest.Row(image_id="a", path="a", device_score=None)
    assert not summary.is_below(row, threshold)
    row.device_score = 0.3
    assert summary.is_below(row, threshold) is (threshold is not None)


def test_rows_of_decisions_that_name_nothing_are_named_up_to_a_handful():
    names = [f"{number}.png" for number in range(summary.NAMED + 2)]
    decided = {"unmatched": names, "closest": {"0.png": "O.png"}}
    (line,) = summary.warnings({"decisions": decided})
    assert f"{len(names)} rows name no picture" in line and "(O.png?)" in line
    assert "and 2 more" in line and names[-1] not in line
    assert summary.warnings({"decisions": {"unmatched": []}}) == []


def test_an_older_summary_warns_of_nothing_it_does_not_hold():
    assert summary.warnings({}) == summary.facts({}) == []
