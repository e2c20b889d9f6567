"""Dataclasses as JSON."""

import dataclasses
import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nexperia_tf.evaluation import serialise

NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(2**62), 2**62),
    st.floats(width=32).map(np.float32),
    st.integers(-128, 127).map(np.int8),
)
VALUES = st.recursive(
    st.one_of(NUMBERS, st.booleans(), st.none(), st.text()),
    lambda parts: st.one_of(
        st.lists(parts),
        st.lists(parts).map(tuple),
        st.dictionaries(st.text(), parts),
    ),
)


@given(VALUES)
def test_anything_made_of_numbers_and_words_is_strict_json(value):
    plain = serialise.plain(value)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@given(NUMBERS)
def test_a_number_is_itself_or_none_where_it_is_not_finite(number):
    python = number.item() if isinstance(number, np.generic) else number
    assert serialise.plain(number) == (python if math.isfinite(number) else None)


@dataclasses.dataclass
class Run:
    name: str
    auc: float = dataclasses.field(metadata={"json": "AUC"})
    notes: dict = dataclasses.field(default_factory=dict, metadata={"flat": True})
    why: str = dataclasses.field(
        default="", metadata={"written": lambda run: bool(run.why)}
    )


def test_fields_have_the_keys_of_the_contract_and_empty_ones_are_left_out():
    plain = serialise.plain([Run("a", 0.9, {"lots": 3}), Run("b", math.nan, why="few")])
    assert plain == [
        {"name": "a", "AUC": 0.9, "lots": 3},
        {"name": "b", "AUC": None, "why": "few"},
    ]
