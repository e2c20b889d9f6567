"""Which of two runs is better, in words."""

from nexperia_tf.evaluation.report import answers
from nexperia_tf.statistics import comparison as comparisons
from nexperia_tf.statistics import operating_point


def comparison(found: list[dict]) -> list[str]:
    """For each pair of runs the verdict and what it rests on."""
    return [f"{verdict(pair)} {evidence(pair)}" for pair in found]


def verdict(pair: dict) -> str:
    """Which of two runs ranks better, in one sentence."""
    first, second = pair["first"], pair["second"]
    if pair["verdict"] == comparisons.TOO_FEW:
        return f"{first} and {second}: too few {pair['grouped_by']}s for a verdict."
    if pair["verdict"] != comparisons.APART:
        return f"{first} and {second} are not distinguishable."
    if pair["difference"]["value"] < 0:
        first, second = second, first
    return f"{first} ranks better than {second}."


def evidence(pair: dict) -> str:
    """What the verdict rests on: difference, limits, both p, devices needed."""
    difference = pair["difference"]
    level = operating_point.percent(difference["confidence"])
    limited = f"{level}: {answers.ends(difference, signed=True)}"
    if difference["low"] is None:
        limited = "no interval"
    said = [
        f"AUC of {pair['first']} less that of {pair['second']}: "
        f"{difference['value']:+.5f} ({limited}); {_both_p(pair)}."
    ]
    if pair["verdict"] == comparisons.TOO_FEW:
        said.append(
            f"A sign flip of {_lots(pair)} cannot reach the level that "
            f"{_family(pair)}; {pair['groups_needed']} would do."
        )
    elif pair["verdict"] != comparisons.APART:
        said.append(
            "A difference counts where both p lie below "
            f"{comparisons.SIGNIFICANCE}{_corrected(pair)}."
        )
    if pair["verdict"] != comparisons.APART and (needed := pair["devices_needed"]):
        said.append(
            f"{answers.devices(needed).capitalize()} devices like these would tell a "
            "true difference of this size."
        )
    return " ".join(said)


def _both_p(pair: dict) -> str:
    """The two p that must agree, and what both are after correction."""
    drawn = pair["bootstrap"]
    if pair["p_sign_flip"] is None:
        said = (
            f"p {p_value(pair['p_delong'])} by paired DeLong, "
            f"{p_value(pair['p_bootstrap'])} by paired bootstrap of {drawn['units']} "
            f"{drawn['resampled']}"
        )
    else:
        said = f"p {p_value(pair['p_sign_flip'])} by sign flip of {_lots(pair)}"
        if pair["difference"]["low"] is not None:
            said += f", {p_value(pair['p_jackknife'])} by paired jackknife"
    if pair["family"] == 1:
        return said
    among = f"among {pair['family']} comparisons"
    return f"{said}; {p_value(pair['p_adjusted'])} {among}"


def p_value(p: float) -> str:
    """A p as a person writes it; no test shows that one is 0.

    >>> p_value(0.0123), p_value(0.0)
    ('= 0.012', '< 1e-16')
    """
    return f"= {p:.2g}" if p >= 1e-16 else "< 1e-16"


def _lots(pair: dict) -> str:
    return operating_point.counted(pair["bootstrap"]["units"], pair["grouped_by"])


def _family(pair: dict) -> str:
    if pair["family"] == 1:
        return f"p < {comparisons.SIGNIFICANCE} asks for"
    return f"p < {comparisons.SIGNIFICANCE} among {pair['family']} comparisons asks for"


def _corrected(pair: dict) -> str:
    if pair["family"] == 1:
        return ""
    return f", corrected by Holm for {pair['family']} comparisons"
