"""A small form of benchmarks/guarantee.py: its settings, its own functions."""

import numpy as np
import pytest

SIMULATIONS = 120
MOST = 0.05 + 3 * np.sqrt(0.05 * 0.95 / SIMULATIONS)


@pytest.fixture(scope="module")
def benchmark(script):
    return script("benchmarks/guarantee")


@pytest.mark.parametrize(
    ("setting", "given"),
    [
        (("bell", 0.3, 100, 10, 0.02), True),
        (("bad lots", 0.2, 100, 10, 0.02), True),
        (("skewed", 0.1, 200, 5, 0.01), True),
        (("urn", 0.1, 400, 3, 0.01), True),
        (("bell", 0.3, 30, 10, 0.01), False),
        (("bad lots", 0.5, 6, 50, 0.1), False),
        (("bell", 0.0, 600, 1, 0.01), True),
    ],
)
def test_the_promise_holds_and_is_not_always_refused(
    benchmark, monkeypatch, setting, given
):
    monkeypatch.setattr(benchmark, "POPULATION", 200_000)
    found = benchmark.simulated(benchmark.Setting(*setting), SIMULATIONS)
    assert found["now"] <= MOST
    assert (found["refused"] < 0.5) is given
    if setting[3] == 1:
        assert found["before"] == found["now"] and found["needed"] == 1


def test_the_old_rule_breaks_its_promise_where_lots_are_few(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "POPULATION", 200_000)
    found = benchmark.simulated(benchmark.Setting("bell", 0.3, 6, 50, 0.1), SIMULATIONS)
    assert found["before"] > MOST >= found["now"]


def test_the_promise_survives_the_choice_of_the_best_epoch(benchmark, monkeypatch):
    from nexperia_tf.statistics import metrics

    monkeypatch.setattr(benchmark, "POPULATION", 200_000)
    found = benchmark.epochs_chosen(1000, metrics.partial_auc, 0.01, SIMULATIONS)
    assert found["before"] > MOST >= found["now"]
    assert found["refused"] == 0


def test_evaluate_says_the_same(benchmark):
    setting = benchmark.Setting("bell", 0.1, 100, 10, 0.02)
    assert benchmark.same_through_the_command(setting, 1) == 1
