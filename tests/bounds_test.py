"""Every number and every choice of every command is held to what is declared."""

import dataclasses
import importlib
import math
import re
import typing

import annotated_types
import pytest

from nexperia_tf import bounds, cli, command, errors
from nexperia_tf.models import backbones

# Words that a command cannot do without.
NEEDED = {
    "sample": ["OUT"],
    "prepare": ["RAW", "--out", "DIR"],
    "predict": ["MODEL", "FOLDER", "--out", "scores.csv"],
    "repeat": ["MODEL", "FOLDER"],
    "explain": ["RUN", "PICTURE"],
    "drift": ["MODEL", "FOLDER"],
    "golden": ["check", "MODEL"],
    "promote": ["NEW"],
    "rollback": ["MODELS"],
    "serve": ["MODELS"],
    "ensemble": ["A", "B", "--out", "BASE"],
    "forest": ["FEATURES", "--out", "FOREST"],
    "weights": ["resnet50"],
}
NUMBERS = ["0", "-1", "nan", "inf", "-inf", "1e30", str(10**30), "1.5", ".5", "1", "x"]


def _arguments(name):
    return importlib.import_module(cli.COMMANDS[name][0]).Arguments


def _leaves(arguments):
    for name, kind in bounds.declared(arguments).items():
        if dataclasses.is_dataclass(kind):
            yield from _leaves(kind)
        else:
            yield name, kind


def _parts(kind):
    """The plain types in a declaration, and its interval where it has one."""
    plain, metadata = kind, ()
    if typing.get_origin(kind) is typing.Annotated:
        plain, *metadata = typing.get_args(kind)
    found = [each for each in metadata if isinstance(each, annotated_types.Interval)]
    return set(typing.get_args(plain) or (plain,)), found[0] if found else None


def _inside(value, interval):
    return (
        math.isfinite(value)
        and (interval.gt is None or value > interval.gt)
        and (interval.ge is None or value >= interval.ge)
        and (interval.lt is None or value < interval.lt)
        and (interval.le is None or value <= interval.le)
    )


def _fits(word, plain, interval):
    try:
        value = int(word) if int in plain else float(word)
    except ValueError:
        return False
    return _inside(value, interval)


# Training has forty numbers, and a command line is parsed for each of their words.
PATIENTLY = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "train" else [])
    for name in cli.COMMANDS
]


@pytest.mark.parametrize("name", PATIENTLY)
def test_a_number_is_taken_where_its_bounds_hold_and_refused_elsewhere(name):
    arguments = _arguments(name)
    for field, kind in _leaves(arguments):
        plain, interval = _parts(kind)
        if not plain & {int, float} or str in plain:  # sizes_test has sizes
            continue
        assert interval, f"--{field} has no bounds"
        for word in NUMBERS:
            argv = [*NEEDED.get(name, []), f"--{field.replace('_', '-')}", word]
            if _fits(word, plain, interval):
                command.parse(arguments, argv)
                continue
            with pytest.raises(errors.BadInput) as refused:
                command.parse(arguments, argv)
            said = str(refused.value)
            assert said.startswith(f"--{field.replace('_', '-')} "), said
            assert bounds.in_words(interval) in said and "\n" not in said


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_choice_with_a_typo_is_refused_and_the_nearest_is_named(name):
    arguments = _arguments(name)
    for field, kind in _leaves(arguments):
        if bounds.is_positional(kind):
            continue
        names = backbones.names() if field == "backbone" else bounds.choices_of(kind)
        for choice in names:
            typo = choice[:-1] + "q"
            argv = [*NEEDED.get(name, []), f"--{field.replace('_', '-')}", typo]
            with pytest.raises(errors.BadInput, match="unknown") as refused:
                command.parse(arguments, argv)
            if len(choice) > 3:
                assert "did you mean" in str(refused.value)
            assert choice in str(refused.value)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_shows_bounds_beside_defaults(name, capsys):
    arguments = _arguments(name)
    with pytest.raises(SystemExit):
        command.parse(arguments, ["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for _, kind in _leaves(arguments):
        if interval := _parts(kind)[1]:
            assert f"({bounds.in_words(interval)}; default: " in shown


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (float, True, "a number is expected"),
        (int, 1.5, "a whole number is expected"),
        (bool, 1, "true or false is expected"),
        (str, 3, "a text is expected"),
        (float, math.nan, "a number is expected"),
        (typing.Literal["a", "b"], 1, "one of a, b is expected"),
        (
            typing.Annotated[int, *bounds.IMAGE_SIZE],
            1,
            r"in \[32, 4096\] is expected: the network makes them 32 times smaller",
        ),
    ],
)
def test_what_is_expected_is_said(kind, value, words):
    assert re.search(words, bounds.problem(value, kind))


def test_a_word_without_a_flag_is_named_as_help_names_it():
    with pytest.raises(errors.BadInput, match="^BACKBONE resnet51: unknown; did you"):
        command.parse(_arguments("weights"), ["resnet51"])


@dataclasses.dataclass
class Named:
    labels: typing.Annotated[str, *bounds.a_file()] = ""
    weights: typing.Annotated[str, *bounds.a_file("none")] = "none"


def test_a_file_that_is_not_there_is_said(tmp_path):
    (tmp_path / "there.csv").touch()
    bounds.check_files(Named())
    bounds.check_files(Named(str(tmp_path / "there.csv"), "none"))
    with pytest.raises(errors.BadInput, match=r"^--labels no.csv: no such file\.$"):
        bounds.check_files(Named("no.csv"))
    with pytest.raises(
        errors.BadInput, match=r"no: no such file; pass none, or a file"
    ):
        bounds.check_files(Named(weights="no"))


@dataclasses.dataclass(frozen=True)
class Inner:
    data: str = "sample"
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Outer:
    """Its `inner` names nothing of itself, whatever the class does."""

    inner: Inner = Inner(data="")
    split: str = "test"


def test_what_is_unused_is_told_by_the_default_of_the_outer_field():
    bounds.check_unused(Outer(), ["data", "seed"], "here")
    with pytest.raises(errors.BadInput, match="^--data sample: has no effect here; l"):
        bounds.check_unused(Outer(Inner()), ["data"], "here")


def test_a_field_is_changed_wherever_it_is():
    changed = bounds.changed(Outer(), {"seed": 3, "split": "train"})
    assert changed == Outer(Inner("", 3), "train")
    with pytest.raises(errors.BadInput, match="sed: unknown; did you mean seed"):
        bounds.changed(Outer(), {"sed": 3})
