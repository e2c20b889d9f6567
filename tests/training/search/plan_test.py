"""Minutes become steps: what fits, what is kept of a plan, what is refused."""

import dataclasses

import pytest

from nexperia_tf import errors, files
from nexperia_tf.configs import candidates
from nexperia_tf.training.search import plan


def fitted(seconds, recipes=8, **changed):
    costs, lengths = [10.0] * recipes, [100.0] * recipes
    finals = changed.get("finals", [100.0] * recipes)
    return plan.fitted(costs, lengths, finals, parts=3, seconds=seconds)


def test_more_minutes_try_no_less():
    before = (0, 0.0)
    for seconds in range(100, 4000, 50):
        rungs = fitted(seconds)
        now = (rungs[0].recipes, rungs[-1].share) if rungs else (0, 0.0)
        assert now >= before
        before = now
        if rungs:
            trials = plan.expected(rungs, [10.0] * 8, [100.0] * 8)
            assert trials + 100 <= seconds
            assert rungs[0].share >= plan.LEAST_FIRST
            assert rungs[-1].share >= min(plan.SHARES)
            assert rungs[-1].keeps == 1
    assert before == (8, 1)
    assert all(rung.share == 1 for rung in fitted(4000))


def test_each_round_takes_half_as_many_twice_as_far():
    rungs = fitted(1000)
    assert [rung.recipes for rung in rungs] == [8, 4, 2]
    assert [rung.keeps for rung in rungs] == [4, 2, 1]
    shares = [rung.share for rung in rungs]
    assert shares[1] == 2 * shares[0] and shares[2] == 2 * shares[1]


@pytest.mark.parametrize("seconds", [500, 1000, 4000])
def test_the_parts_that_decide_have_chosen_nothing_before(seconds):
    *screening, last = fitted(seconds)
    assert not set(last.parts) & {part for rung in screening for part in rung.parts}
    assert len(last.parts) >= 2 and last.recipes == 2


def test_the_training_that_follows_has_its_minutes():
    least = plan.least([10.0] * 8, [100.0] * 8, [100.0] * 8, parts=3)
    assert fitted(least) and not fitted(least - 1)
    # A slow recipe that could win is not tried where its training would not fit.
    slow = [100.0] * 7 + [5000.0]
    assert fitted(2000, finals=slow)[0].recipes == 7


def test_larger_pictures_and_second_stages_cost_what_they_cost():
    cost = plan.Cost(setup=5.0, step=0.1, batch=32)
    one = plan.Length(0, 4, 0, 50)
    two = plan.Length(4, 4, 50, 50)
    assert cost.of(two, 0) == pytest.approx(2 * 5 + 8 * plan.KEEPING + 400 * 0.1)
    assert cost.of(two, 0) == pytest.approx(2 * cost.of(one, 0))
    assert cost.of(one, 320) > cost.of(one, 0)
    more = cost.of(one, 0, area=2.0) - cost.of(one, 0)
    assert more == pytest.approx(200 * 0.1)
    assert cost.finish(1000) > plan.FINISH


@pytest.fixture
def made():
    lengths = {
        (name, part): plan.Length(20, 6, 50, 40 + part)
        for name in ("standard", "cracks")
        for part in range(3)
    }
    rungs = plan.with_trials(plan.arranged(2, 0.5, 3, full=False), lengths)
    tried = (
        candidates.Candidate("standard", {}),
        candidates.Candidate("cracks", {"drawn_look": "cracks"}),
    )
    parts = (plan.Part(20, 5), plan.Part(21, 6), plan.Part(20, 6))
    return plan.Plan(30.0, 3, parts, tried, rungs, {"trials": 100})


def test_a_plan_says_every_step(made):
    (rung,) = made.rungs
    assert [(t.recipe, t.part) for t in rung.trials] == [
        (name, part) for name in ("standard", "cracks") for part in range(3)
    ]
    assert {(t.first_epochs, t.epochs) for t in rung.trials} == {(10, 3)}
    assert [t.steps for t in rung.trials[:3]] == [620, 623, 626]
    assert "2 recipes for 50% of their steps on 3 parts" in made.described()


def test_a_plan_is_read_as_it_was_written(made, tmp_path):
    plan.write(tmp_path / "plan.json", made)
    assert plan.read(tmp_path / "plan.json") == made


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema", 9, "schema 1 is expected"),
        ("rungs", [], "the last keeps 1"),
        ("recipes", [{"name": "cracks", "changes": {}}], "standard first"),
        ("recipes", [{"name": "../a", "changes": {}}], "letters, digits"),
        ("parts", 3, "no plan of a search"),
        ("more", 3, "no plan of a search"),
    ],
)
def test_what_is_no_plan_is_refused_in_a_line(made, tmp_path, key, value, words):
    path = tmp_path / "plan.json"
    plan.write(path, made)
    files.write_json(path, files.read_json(path) | {key: value})
    with pytest.raises(errors.BadInput, match=words) as refused:
        plan.read(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_a_plan_that_lacks_a_trial_is_refused(made, tmp_path):
    (rung,) = made.rungs
    fewer = dataclasses.replace(rung, trials=rung.trials[1:])
    plan.write(tmp_path / "plan.json", dataclasses.replace(made, rungs=(fewer,)))
    with pytest.raises(errors.BadInput, match="one for each recipe and part"):
        plan.read(tmp_path / "plan.json")
