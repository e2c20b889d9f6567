import pytest

from nexperia_tf import configs, errors
from nexperia_tf.configs import checks


@pytest.mark.parametrize(
    ("knob", "value", "words"),
    [
        ("rotation", -1.0, r"--rotation -1.0: a number in \[0, 45\] is expected"),
        ("zoom", 1.0, r"--zoom 1.0: a number in \[0, 1\) is expected"),
        ("brightness", 1.5, r"--brightness 1.5: a number in \[0, 1\] is expected"),
        ("contrast", 1.0, r"--contrast 1.0: a number in \[0, 1\) is expected"),
        ("drawn", 1.0, r"--drawn 1.0: a number in \[0, 1\) is expected"),
        ("drawn_map", -1.0, r"--drawn-map -1.0: a number in \[0, 1000\] is expected"),
    ],
)
def test_a_number_out_of_range_is_refused(knob, value, words):
    with pytest.raises(errors.BadInput, match=words):
        checks.check(configs.of(**{knob: value}))


def test_good_pictures_alone_are_refused():
    with pytest.raises(errors.BadInput, match="but good pictures; pass --drawn"):
        checks.check(configs.of(drawn_only=True))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"balance": "loss"}, "--balance loss weighs devices"),
        ({"augment": "cutmix"}, "--augment cutmix would move"),
    ],
)
def test_a_map_keeps_to_the_places_of_defects(knobs, words):
    with pytest.raises(errors.BadInput, match=words):
        checks.check(configs.of(drawn=0.5, drawn_map=1.0, **knobs))


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"loss": "bce", "alpha": 0.5}, "--alpha 0.5: has no effect with --loss bce"),
        ({"loss": "bce", "gamma": 1.0}, "--gamma 1.0: has no effect with --loss bce"),
        (
            {"step_epochs": 9.0},
            "--step-epochs 9.0: has no effect without --schedule",
        ),
        ({"augment": "crop", "zoom": 0.2}, "--zoom 0.2: has no effect with --augment"),
        (
            {"drawn_look": "cracks"},
            "--drawn-look cracks: has no effect with --drawn 0",
        ),
        (
            {"first_drawn": 0.3},
            "--first-drawn 0.3: has no effect with --first-epochs 0",
        ),
        ({"monitor": "last", "patience": 3}, "--patience 3: has no effect with --mon"),
    ],
)
def test_a_value_that_would_be_ignored_is_refused(knobs, words):
    with pytest.raises(errors.BadInput, match=words):
        checks.check_asked(configs.of(**knobs))
    checks.check_asked(configs.of(**knobs), resume=True)  # as it was begun


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"weights": "no.safetensors"}, "--weights no.safetensors: no such file"),
        ({"init": "no"}, "--init no: not a run folder"),
        ({"data": "no"}, "--data no: no is no folder"),
        ({"data": "folder:no"}, "--data folder:no: no is no folder"),
        ({"keep_splits": "no"}, "--keep-splits no: no such folder"),
        (
            {"init": "a", "weights": "imagenet"},
            "--init a and --weights imagenet: a run",
        ),
        ({"deterministic": True, "augment": "mixup"}, "--augment mixup: keras-cv"),
    ],
)
def test_names_of_nothing_are_refused_before_anything_is_read(knobs, words):
    with pytest.raises(errors.BadInput, match=words):
        checks.check_asked(configs.of(**knobs))


@pytest.mark.parametrize("name", configs.names())
def test_no_named_experiment_holds_what_is_ignored_or_refused(name):
    checks.check(configs.load(name))
    checks.check_used(configs.load(name))
