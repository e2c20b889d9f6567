"""Which values the fields of a dataclass take, declared beside them.

    epochs: Annotated[int, *within(ge=1, le=1000)] = 20
    loss: Literal["focal", "bce"] = "focal"
    backbone: Annotated[str, *one_of(names)] = "resnext"
    labels: Annotated[str, *a_file()] = ""

pydantic holds values to them, `--help` shows them, and an error says what
is expected: by flag on a command line, by key in a config.json.
"""

import dataclasses
import difflib
import functools
import json
import pathlib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import annotated_types
import pydantic
import tyro

from nexperia_tf import errors, sizes

MANY = 20  # names that nobody reads through in an error
_STRICT = pydantic.ConfigDict(strict=True, allow_inf_nan=False)
_OPEN = "open"  # metadata of a field that a recipe decides
_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    types.NoneType: "none",
}


def within(
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    why: str = "",
) -> tuple:
    """Metadata of a number between two bounds; never infinite, never NaN.

    Args:
        gt, ge: what it is above, or at least.
        lt, le: what it is below, or at most.
        why: the reason, said to whoever breaks a bound.
    """
    interval = annotated_types.Interval(gt=gt, ge=ge, lt=lt, le=le)
    return interval, *_hinted(in_words(interval)), *([_Why(why)] if why else [])


def one_of(names: Callable[[], Sequence[str]]) -> tuple:
    """Metadata of a text that is one of `names()`, which are asked when it is used."""

    def check(name: str) -> str:
        if name not in names():
            raise ValueError(unknown(name, names()))
        return name

    return (pydantic.AfterValidator(check),)


def a_file(*words: str) -> tuple:
    """Metadata of a path of a file that is there, or one of `words`, or empty."""
    return (_File(words),)


def unknown(name: str, names: Sequence[str]) -> str:
    """What to say of a name that is none of `names`.

    >>> unknown("fokal", ["focal", "bce"])
    'unknown; did you mean focal? Choose one of focal, bce'
    """
    near = difflib.get_close_matches(name, names, n=1)
    if near and len(names) > MANY:
        return f"unknown; did you mean {near[0]}"
    hint = f"did you mean {near[0]}? Choose" if near else "choose"
    return f"unknown; {hint} one of {', '.join(names)}"


def check(instance: object, *, name: Callable[[str], str] | None = None) -> None:
    """Holds every field of a dataclass, and of those in it, to its declaration.

    Args:
        instance: of a dataclass.
        name: how a field is called in the message; as a flag by default.

    Raises:
        errors.BadInput: the first field that breaks its bounds.
    """
    for field, kind, value, _ in fields(instance):
        if said := problem(value, kind):
            if name:
                called = f"{name(field)} {json_of(value)}"
            elif is_positional(kind):
                called = f"{field.upper()} {value}"
            else:
                called = flag(field, value)
            raise errors.BadInput(f"{called}: {said}.")


def check_files(instance: object) -> None:
    """Looks for every file that a field of a dataclass names, see `a_file`.

    Raises:
        errors.BadInput: the first that is not there.
    """
    for field, kind, value, _ in fields(instance):
        for words in (
            each.words for each in _metadata(kind) if isinstance(each, _File)
        ):
            if value and value not in words and not pathlib.Path(value).is_file():
                others = "".join(f"{word}, " for word in words)
                remedy = f"; pass {others}or a file that is there" if words else ""
                raise errors.BadInput(f"{flag(field, value)}: no such file{remedy}.")


def check_unused(
    instance: object,
    names: Iterable[str],
    because: str,
    *,
    usual: Mapping[str, object] | None = None,
) -> None:
    """Refuses fields that were given and would be ignored.

    Args:
        instance: of a dataclass.
        names: the fields.
        because: the cause in words, such as `with --loss bce`.
        usual: further values that nobody need have given, by field.

    Raises:
        errors.BadInput: one of them differs from its default.
    """
    names = set(names)
    for field, _, value, default in fields(instance):
        common = (usual or {}).get(field, default)
        if field in names and value not in (default, common):
            leave = f"at {common}" if common else "out"
            raise errors.BadInput(
                f"{flag(field, value)}: has no effect {because}; leave it {leave}."
            )


def fields(
    instance: object, defaults: object = None
) -> Iterator[tuple[str, object, object, object]]:
    """Name, declaration, value and default of all fields, those within fields, too.

    Args:
        instance: of a dataclass.
        defaults: another one of it, in place of the defaults of its class.
    """
    kinds = declared(type(instance))
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        default = _default(field) if defaults is None else getattr(defaults, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, default)
        else:
            yield field.name, kinds[field.name], value, default


def _default(field: dataclasses.Field) -> object:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


def changed(instance, values: Mapping[str, object]):
    """The same dataclass with other values of its fields and of those within them.

    Raises:
        errors.BadInput: there is no such field.
    """
    known = [name for name, *_ in fields(instance)]
    for name in values:
        if name not in known:
            raise errors.BadInput(f"{name}: {unknown(name, known)}.")
    return _changed(instance, values)


def _changed(instance, values: Mapping[str, object]):
    replaced = {}
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            replaced[field.name] = _changed(value, values)
        elif field.name in values:
            replaced[field.name] = values[field.name]
    return dataclasses.replace(instance, **replaced)


@functools.cache
def declared(kind: type) -> dict[str, object]:
    """Types of a dataclass' fields with what is declared beside them."""
    return typing.get_type_hints(kind, include_extras=True)


def is_positional(kind: object) -> bool:
    """Whether a field is a word without a flag on the command line."""
    return tyro.conf.Positional in _metadata(kind)


def without_bounds(kind: object) -> object:
    """A declared type without what stands beside it: text, number, choice.

    >>> without_bounds(typing.Annotated[float | None, *SHARE])
    float | None
    """
    is_declared = typing.get_origin(kind) is typing.Annotated
    return typing.get_args(kind)[0] if is_declared else kind


def flag(field: str, value: object) -> str:
    """A field and its value as they stand on a command line.

    >>> flag("batch_size", -1)
    '--batch-size -1'
    """
    words = " ".join(map(str, value)) if isinstance(value, tuple) else value
    return f"--{field.replace('_', '-')} {words}"


def json_of(value: object) -> str:
    """A value as JSON writes it, text for what JSON has no word for."""
    return json.dumps(value, default=str)


def problem(value: object, kind: object) -> str | None:
    """What is wrong with a value of a declared type, or None."""
    try:
        _adapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        return _said(error.errors()[0], value, kind)
    return None


@functools.cache
def _adapter(kind: object) -> pydantic.TypeAdapter:
    return pydantic.TypeAdapter(kind, config=_STRICT)


def _said(error: dict, value: object, kind: object) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if choices := choices_of(kind):
        wrong = error["input"]  # of several, the one that is unknown
        if isinstance(wrong, str):
            return unknown(wrong, choices)
    reasons = [each.words for each in _metadata(kind) if isinstance(each, _Why)]
    return ": ".join([f"{expected(kind)} is expected", *reasons])


def choices_of(kind: object) -> tuple[str, ...]:
    """The names that a type allows; none where it is no choice.

    >>> choices_of(typing.Literal["focal", "bce"] | None)
    ('focal', 'bce')
    """
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    return sum(map(choices_of, typing.get_args(kind)), ())


def expected(kind: object) -> str:
    """What a declared type takes, in words.

    >>> expected(typing.Annotated[int, *within(ge=1)])
    'a whole number from 1 on'
    >>> expected(typing.Annotated[float | None, *SHARE])
    'a number in (0, 1) or none'
    """
    plain = without_bounds(kind)
    bounds = "".join(
        f" {in_words(each)}"
        for each in _metadata(kind)
        if isinstance(each, annotated_types.Interval)
    )
    if choices := choices_of(plain):
        return f"one of {', '.join(choices)}"
    parts = typing.get_args(plain) if _is_union(plain) else (plain,)
    if _OPEN in _metadata(kind):  # nobody need type none: a flag is left out
        parts = [part for part in parts if part is not types.NoneType]
    first, *others = (_NAMES.get(part, "a text") for part in parts)
    return " or ".join([f"{first}{bounds}", *others])


def _metadata(kind: object) -> tuple:
    """What stands beside a type."""
    return getattr(kind, "__metadata__", ())


def in_words(interval: annotated_types.Interval) -> str:
    """An interval as a person writes it.

    >>> in_words(annotated_types.Interval(ge=0, lt=1))
    'in [0, 1)'
    >>> in_words(annotated_types.Interval(gt=0))
    'above 0'
    """
    low, high = _first(interval.ge, interval.gt), _first(interval.le, interval.lt)
    if high is None:
        return f"above {low}" if interval.gt is not None else f"from {low} on"
    left = "[" if interval.ge is not None else "("
    right = "]" if interval.le is not None else ")"
    return f"in {left}{low}, {high}{right}"


def _first(preferred: float | None, other: float | None) -> float | None:
    return other if preferred is None else preferred


def _is_union(kind: object) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


@dataclasses.dataclass(frozen=True)
class _Why:
    """The reason of a bound."""

    words: str


@dataclasses.dataclass(frozen=True)
class _File:
    """A path of a file, or one of some words."""

    words: tuple[str, ...]


def by_recipe(**bounds: float) -> tuple:
    """Metadata of a field that `--recipe` decides where it is None.

    Args:
        bounds: those of a number, see `within`.
    """
    interval = (annotated_types.Interval(**bounds),) if bounds else ()
    words = "".join(f"{in_words(each)}; " for each in interval)
    hint = f"({words}default: by --recipe)"
    return *interval, _OPEN, tyro.conf.arg(help_behavior_hint=lambda _: hint)


def _hinted(words: str) -> tuple:
    """Has `--help` show the words beside the default."""
    hint = f"({words}; default: {{}})"
    return (tyro.conf.arg(help_behavior_hint=hint.format),)


def _two_values(value: object) -> object:
    """Refuses what is no range of 16-bit values."""
    if value is None:
        return value
    whole = isinstance(value, tuple | list) and len(value) == 2
    numbers = whole and all(type(each) in (int, float) for each in value)
    if not numbers or not 0 <= value[0] < value[1] <= MOST_OF_16_BITS:
        raise ValueError(f"two numbers, 0 <= LOW < HIGH <= {MOST_OF_16_BITS}")
    return value


def _a_size(value: object) -> object:
    if said := sizes.problem(value):
        raise ValueError(said)
    return value


def _a_size_or_auto(value: object) -> object:
    if value != sizes.AUTO and (said := sizes.problem(value)):
        raise ValueError(f"{sizes.AUTO}, {said}")
    return value


def _a_fold(value: str) -> str:
    number, _, count = value.partition("/")
    if value and not (
        number.isdecimal()
        and count.isdecimal()
        and 1 <= int(number) <= int(count)
        and int(count) >= 2
    ):
        raise ValueError("a fold of how many is expected, such as 1/5")
    return value


# Bounds that several commands share.
MOST_OF_16_BITS = 65535
DEPTH_RANGE = (pydantic.BeforeValidator(_two_values),)
MOST_PIXELS = 178_956_970  # of what is decoded anywhere; Pillow refuses as many
MAX_PIXELS = within(ge=1, le=MOST_PIXELS, why="no larger picture can be decoded")
SHARE = within(gt=0, lt=1)
SEED = within(ge=0, le=2**31 - 1)
BATCH = within(ge=1, le=65536)
IMAGE_SIZE = (
    pydantic.BeforeValidator(_a_size),
    tyro.conf.arg(metavar="SIDE|HEIGHTxWIDTH"),
)
IMAGE_SIZE_OR_AUTO = (
    pydantic.BeforeValidator(_a_size_or_auto),
    tyro.conf.arg(metavar="auto|SIDE|HEIGHTxWIDTH"),
)
FOLD = (pydantic.AfterValidator(_a_fold), tyro.conf.arg(metavar="I/K"))
CALIBRATION_SHARE = within(ge=0, lt=0.7)
