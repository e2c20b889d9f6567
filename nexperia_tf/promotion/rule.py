"""When a newer model may take the place of an older one: the rule, and what it says."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from typing import Annotated

from nexperia_tf import bounds, errors, files
from nexperia_tf.drift import judging, words
from nexperia_tf.promotion import comparing, golden_set
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import non_inferiority, wording

SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a newer model must show. A rule.json holds those that differ.

    Attributes:
        confidence: of each limit, one-sided.
        catch_margin: how much lower its share of caught defects may be.
        overkill_margin: how much higher its share of rejected good devices may be.
        flips_margin: how much higher its share of verdicts that flip on pictures
            changed a little may be.
        repeat: most devices of each class whose pictures are changed; 0 changes none.
        golden_escapes: golden defects that it may let pass.
        golden_overkills: golden good ones that it may reject.
        golden_needed: whether there must be a golden set.
        keep_guarantee: whether its threshold must be guaranteed where the old one's is.
        drift_needed: whether pictures of the line must have been compared with those of
            its training, and be steady.
    """

    confidence: Annotated[float, *bounds.within(ge=0.5, lt=1)] = (
        non_inferiority.CONFIDENCE
    )
    catch_margin: Annotated[float, *bounds.SHARE] = 0.02
    overkill_margin: Annotated[float, *bounds.SHARE] = 0.02
    flips_margin: Annotated[float, *bounds.SHARE] = 0.1
    repeat: Annotated[int, *bounds.within(ge=0, le=10**6)] = 100
    golden_escapes: Annotated[int, *bounds.within(ge=0, le=10**6)] = 0
    golden_overkills: Annotated[int, *bounds.within(ge=0, le=10**6)] = 0
    golden_needed: bool = False
    keep_guarantee: bool = True
    drift_needed: bool = False

    @property
    def sha256(self) -> str:
        """Of all its values, whatever file they came from."""
        values = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(values.encode()).hexdigest()


def read(path: str | os.PathLike) -> Rule:
    """Reads a rule.json; keys that it lacks have their defaults.

    Raises:
        errors.BadInput: a key is unknown, a value out of its bounds, or the schema a
            newer one.
    """
    values = files.read_json(path)
    schema = values.pop("schema", SCHEMA)
    if schema != SCHEMA:
        raise errors.BadInput(
            f"{path}: schema {bounds.json_of(schema)}: this version reads {SCHEMA}."
        )
    known = [field.name for field in dataclasses.fields(Rule)]
    for name in values:
        if name not in known:
            said = bounds.unknown(name, known)
            raise errors.BadInput(f"{path}: key {name!r}: {said}.")
    found = Rule(**values)
    bounds.check(found, name=lambda field: f"{path}: {field}")
    return found


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that the rule asks.

    Attributes:
        what: its name.
        passed: whether the newer model may be published as far as this goes.
        said: figures and limit, in one sentence.
    """

    what: str
    passed: bool
    said: str


def decide(
    rule: Rule,
    compared: comparing.Compared,
    *,
    golden: golden_set.Checked | None = None,
    flips: comparing.Flips | None = None,
    thresholds: Sequence[run_folders.Calibration] = (),
    drift: judging.Drift | None = None,
) -> tuple[Check, ...]:
    """What the rule says of a newer model; it is published where all checks pass.

    Args:
        rule: the margins.
        compared: both models on the same devices.
        golden: what the newer one makes of the golden set; None where there is none.
        flips: verdicts that flip; None where none were tried.
        thresholds: those in force, of the newer and of the older model.
        drift: pictures of the line beside those of the newer model's training; None
            where there are none.
    """
    checks = [_golden(rule, golden), _catch(rule, compared), _overkill(rule, compared)]
    if rule.repeat:
        checks.append(_flips(rule, flips))
    if rule.keep_guarantee and thresholds:
        checks.append(_guarantee(*thresholds))
    if drift or rule.drift_needed:
        checks.append(_drift(rule, drift))
    return tuple(checks)


def _golden(rule: Rule, golden: golden_set.Checked | None) -> Check:
    what = "golden set"
    if golden is None:
        return Check(what, not rule.golden_needed, "no golden set was named")
    escapes = [each for each in golden.changed if each.escapes]
    overkills = [each for each in golden.changed if not each.escapes]
    said = (
        f"{len(escapes)} of {len(golden.asked)} golden pictures escape "
        f"({rule.golden_escapes} allowed), {len(overkills)} are rejected that are good "
        f"({rule.golden_overkills} allowed)"
    )
    if golden.changed:
        said += f"; first {golden.changed[0].line.image_id}"
    if golden.trained_on:
        said += f"; {golden.trained_on} of them were trained on"
    passed = (
        len(escapes) <= rule.golden_escapes and len(overkills) <= rule.golden_overkills
    )
    return Check(what, passed, said)


def _catch(rule: Rule, compared: comparing.Compared) -> Check:
    new, old, found = compared.new.caught, compared.old.caught, compared.catch
    said = (
        f"{new.words} against {old.words} of the defects are caught: "
        f"{_points(found.value)}, at worst {_points(found.low)} "
        f"({_level(rule)}; allowed {_points(-rule.catch_margin)})"
    )
    passed = found.low > -rule.catch_margin
    return Check(
        "catch rate", passed, said + _too_few(passed, rule.catch_margin, found, rule)
    )


def _overkill(rule: Rule, compared: comparing.Compared) -> Check:
    new, old, found = compared.new.overkill, compared.old.overkill, compared.overkill
    said = (
        f"{new.words} against {old.words} of the good devices are rejected: "
        f"{_points(found.value)}, at worst {_points(found.high)} "
        f"({_level(rule)}; allowed {_points(rule.overkill_margin)})"
    )
    passed = found.high < rule.overkill_margin
    return Check(
        "overkill", passed, said + _too_few(passed, rule.overkill_margin, found, rule)
    )


def _flips(rule: Rule, flips: comparing.Flips | None) -> Check:
    if flips is None:
        return Check("repeatability", False, "no picture was changed and tried")
    found = flips.difference
    said = (
        f"{flips.new} against {flips.old} of {found.of} verdicts flip on pictures "
        f"changed a little: {_points(found.value)}, at worst {_points(found.high)} "
        f"({_level(rule)}; allowed {_points(rule.flips_margin)})"
    )
    passed = found.high < rule.flips_margin
    return Check(
        "repeatability", passed, said + _too_few(passed, rule.flips_margin, found, rule)
    )


def _guarantee(new: run_folders.Calibration, old: run_folders.Calibration) -> Check:
    lost = old.origin == run_folders.GUARANTEED and new.origin != run_folders.GUARANTEED
    said = f"new {new.words}; old {old.words}"
    if lost:
        said += "; guarantee one with nexperia evaluate RUN --max-escape"
    return Check("guarantee", not lost, said)


def _drift(rule: Rule, drift: judging.Drift | None) -> Check:
    what = "drift"
    if drift is None:
        return Check(what, False, "no pictures of the line were named (--line)")
    allowed = [judging.STEADY]
    if not rule.drift_needed:
        allowed.append(judging.TOO_LITTLE)
    return Check(what, drift.state in allowed, words.said(drift))


def _too_few(
    passed: bool, margin: float, found: non_inferiority.Difference, rule: Rule
) -> str:
    """What to say of a check that failed where so few devices can show nothing."""
    needed = non_inferiority.devices_needed(margin, confidence=rule.confidence)
    if passed or found.of >= needed:
        return ""
    return f"; {found.of} are too few to show that: at least {needed} are needed"


def _points(difference: float) -> str:
    """
    >>> _points(-0.0123), _points(0)
    ('-1.23 points', '+0.00 points')
    """
    return f"{100 * difference:+.2f} points"


def _level(rule: Rule) -> str:
    return f"{wording.percent(rule.confidence)} sure"
