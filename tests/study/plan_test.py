"""Which runs a study is, in which order."""

import collections

import pytest

from nexperia_tf import configs, errors
from nexperia_tf.study import plan


def names(planned):
    return [step.name for step in planned.steps]


@pytest.fixture(scope="module")
def whole():
    return plan.make(scale="paper", seeds=3, extended=True, backbone_data="hand_over:x")


def test_no_run_stands_twice_and_none_waits_for_a_later_one(whole):
    assert len(set(names(whole))) == len(names(whole))
    for place, step in enumerate(whole.steps):
        assert set(step.like) <= set(names(whole)[:place])


def test_each_loss_has_as_many_settings_and_the_wide_networks_take_the_best(whole):
    original, ours = whole.families
    assert (original.name, ours.name) == (plan.ORIGINAL, "ours")
    assert {len(ours.tried[f"resnext-{loss}"]) for loss in ("bce", "focal")} == {6}
    for loss in (plan.BCE, plan.FOCAL):
        assert whole.step(f"wide-{loss}").like == ours.tried[f"resnext-{loss}"]
    best = ours.tried["resnext-focal"][-1]
    known = {step.name: step.config for step in whole.steps}
    resolved = whole.step("wide-focal").resolved(known, best)
    assert resolved.loss.gamma == known[best].loss.gamma
    assert resolved.loss.alpha == known[best].loss.alpha
    assert resolved.network.backbone == plan.PARTNERS[whole.base.network.backbone]


def test_the_original_recipe_puts_alpha_on_the_defects(whole):
    config = whole.step("original-wide-focal").config
    assert (config.loss.loss, config.loss.gamma, config.loss.alpha) == (
        "focal",
        2,
        0.25,
    )
    assert whole.step("original-resnext-bce").config.loss.loss == "bce"


def test_further_seeds_folds_and_bags_are_of_our_members(whole):
    ours = whole.families[-1]
    assert {len(runs) for runs in ours.seeds.values()} == {2}
    assert {len(runs) for runs in ours.folds.values()} == {plan.FOLDS}
    assert len(ours.bags) == plan.BAGS
    seeds = {whole.step(name).config.run.seed for name in ours.seeds["wide-bce"]}
    assert seeds == {whole.base.run.seed + 1, whole.base.run.seed + 2}
    parts = collections.Counter(step.part.kind for step in whole.steps if step.part)
    assert parts == {plan.FOLD: 4 * plan.FOLDS, plan.BAG: plan.BAGS}
    assert not any(whole.step(n).judged_on_test for n in ours.folds["resnext-bce"])
    assert all(whole.step(name).judged_on_test for name in ours.bags)
    assert not whole.step(plan.PRETRAINED).judged_on_test


def test_small_runs_take_their_epochs_from_the_number_of_devices():
    epochs = {
        devices: plan.make(train_devices=devices).base.optimisation.epochs
        for devices in (1000, 10_000)
    }
    assert epochs == {1000: 10, 10_000: 3}
    given = plan.make(config="study_small", train_devices=1000)
    assert (
        given.base.optimisation.epochs
        == configs.load("study_small").optimisation.epochs
    )


def test_what_all_runs_share_no_run_differs_by():
    planned = plan.make(shared={"data": "photos", "seed": 5})
    assert {step.config.data.data for step in planned.steps} == {"photos"}
    for step in planned.steps:
        said = plan.differs(step, planned.base)
        assert "photos" not in said and "seed" not in said
    differing = [plan.differs(step, planned.base) for step in planned.steps]
    assert len(set(differing)) == len(differing)


def test_what_makes_no_study_is_refused():
    with pytest.raises(errors.BadInput, match="--seeds 0: from 1 on"):
        plan.make(seeds=0)
    with pytest.raises(errors.BadInput, match="backbone resnet50: a study compares"):
        plan.make(shared={"backbone": "resnet50"})
