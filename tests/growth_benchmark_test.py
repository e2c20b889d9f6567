"""The exponents that the benchmark of growth prints."""

import pathlib
import types

import numpy as np
import pytest


@pytest.fixture(scope="module")
def growth(script) -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pathlib.Path(__file__).parents[1] / "benchmarks")
        yield script("benchmarks/growth")


def test_exponents_are_those_of_powers_with_and_without_a_start(growth):
    sizes = np.array([1, 2, 4, 8])
    assert growth.exponents(sizes, 3 * sizes**1.2) == pytest.approx((1.2, 1.2))
    whole, added = growth.exponents(sizes, 10 + sizes**1.5)
    assert whole < 0.6 and added == pytest.approx(1.5)


def test_memory_that_shrinks_has_no_exponent_of_what_is_added(growth):
    whole, added = growth.exponents([1, 2, 4], [5, 4, 4.5])
    assert whole < 0 and np.isnan(added)
