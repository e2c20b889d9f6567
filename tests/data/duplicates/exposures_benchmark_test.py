import pathlib
import types

import pytest

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def exposures(script) -> types.ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield script("benchmarks/exposures")


def test_a_set_is_a_run_of_rising_exposures_of_one_kind(exposures):
    crack = [f"crack/exp{k}_num_{100 + 20 * k}.jpg" for k in range(1, 7)]
    free = [f"free/exp{k}_num_{101 + 20 * k}.jpg" for k in range(1, 7)]
    later = ["crack/exp1_num_9000.jpg", "crack/exp2_num_9400.jpg"]  # far apart
    assert exposures.runs([*free, *later, *crack]) == [
        crack,
        later[:1],
        later[1:],
        free,
    ]


def test_a_pair_is_tied_where_one_group_holds_both(exposures):
    pairs = exposures.tied([["a", "b"], ["c", "d"]], [["a", "b", "c"], ["d", "e"]])
    assert [tie for *_, tie in pairs] == [True, False, False, False]
