"""Which recipes a search tries: what flags leave of the list."""

import pytest

from nexperia_tf import configs, errors, sizes
from nexperia_tf.configs import candidates, checks, recipes

FACTS = recipes.Facts(gpu=False, given=20, placed=180, boxed=0, flips="both")
SIZE = sizes.Size(224, 224)


def asked(**given):
    return configs.Config().changed(recipe="search", **given)


def names(shown_at=1.0, size=SIZE, **given):
    listed = candidates.listed(asked(**given), size=size, shown_at=shown_at)
    return [candidate.name for candidate in listed]


def test_the_standard_recipe_is_first_and_one_other_size_is_tried():
    small, large = names(), names(shown_at=0.3)
    assert small[0] == large[0] == "standard" and len(small) == len(large) == 8
    assert small[-1] == "smaller" and large[-1] == "larger"
    assert "smaller" not in names(size=sizes.Size(64, 64))


def test_every_recipe_is_another_one_and_can_be_trained():
    closed = []
    for candidate in candidates.listed(asked(), size=SIZE, shown_at=1.0):
        config = recipes.filled(candidate.of(asked()), FACTS)
        config = recipes.with_epochs(config, devices=200, steps=50)
        checks.check(config)
        checks.check_used(config)
        assert config not in closed and not recipes.searches(config)
        closed.append(config)


@pytest.mark.parametrize(
    ("given", "gone"),
    [
        ({"flip": "both"}, {"as they lie"}),
        ({"drawn_look": "any"}, {"cracks"}),
        ({"drawn_look": "cracks"}, set()),  # it then is the standard one
        ({"first_epochs": 3}, {"one stage", "given"}),
        ({"freeze": "stem"}, {"all layers"}),
        ({"image_size": 96}, {"smaller"}),
        ({"standardise": "picture"}, {"brightness"}),
    ],
)
def test_a_flag_wins_over_a_recipe_that_says_otherwise(given, gone):
    assert set(names()) - set(names(**given)) == gone


def test_a_network_that_goes_on_sees_pictures_as_it_has_learned_to():
    assert "brightness" not in names(init="runs/before")


def test_what_a_flag_forbids_is_said():
    cracks = candidates.Candidate("cracks", {"drawn_look": "cracks"})
    words = "--drawn-look any: recipe cracks is tried with --drawn-look cracks"
    with pytest.raises(errors.BadInput, match=words):
        cracks.of(asked(drawn_look="any"))
    with pytest.raises(errors.BadInput, match="unknown"):
        candidates.Candidate("new", {"drawn_lok": "any"}).of(asked())


def test_the_config_of_a_run_that_has_searched_searches_no_more(tmp_path):
    closed = recipes.with_epochs(
        recipes.filled(asked(time_budget=30.0, search_plan="plan.json"), FACTS),
        devices=200,
        steps=50,
    )
    payload = configs.to_json(closed, {"channels": 1, "search": {"took": "standard"}})
    again = configs.from_json(payload, where="config.json")
    assert again.recipe.recipe == "search" and not recipes.searches(again)
    assert again.recipe.search_plan == ""  # as out, no part of what is replayed
    checks.check_search(again)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "--recipe search: say how many minutes .* --time-budget 30"),
        (
            {"time_budget": 3.0, "search_plan": "p.json"},
            "--search-plan p.json and --time-budget 3: .*leave one of them out",
        ),
        ({"search_plan": "p.json"}, "--search-plan p.json: no such file"),
    ],
)
def test_a_search_without_an_end_or_with_two_is_refused(given, words):
    with pytest.raises(errors.BadInput, match=words):
        checks.check_search(asked(**given))


def test_a_plan_without_a_search_would_be_ignored():
    config = configs.Config().changed(search_plan="p.json")
    with pytest.raises(errors.BadInput, match="no effect without --recipe search"):
        checks.check_used(config)


def test_minutes_of_a_search_are_no_clock_and_can_be_repeated():
    checks.check(asked(time_budget=30.0, deterministic=True))
    with pytest.raises(errors.BadInput, match="--time-budget ends a run by the clock"):
        checks.check(configs.of(time_budget=30.0, deterministic=True))
