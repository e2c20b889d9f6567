"""drift.json: what was found, for programs."""

import math

from nexperia_tf.drift import judging, words

SCHEMA = 1


def as_json(drift: judging.Drift, *, than: str) -> dict:
    """What drift.json holds, and a server answers.

    Args:
        drift: what was found.
        than: what the pictures were compared with, in words.
    """
    return {
        "schema": SCHEMA,
        "state": drift.state,
        "said": words.said(drift, than=than),
        "pictures": drift.pictures,
        "lots": drift.lots,
        "pictures_without_lot": drift.unlotted,
        "lots_of_unknown_machines": drift.left_out,
        "compared_with": {
            "what": than,
            "lots": drift.known,
            "within_machines": drift.machines,
        },
        "false_alarms": drift.false_alarms,
        "least_p": drift.least_p,
        "changes": [
            {
                "what": words.of_change(each, than=than),
                "check": words.check(each),
                **_number(each),
            }
            for each in drift.changes
        ],
        "numbers": [_number(each) for each in drift.numbers],
    }


def _number(change: judging.Change) -> dict:
    return {
        "name": change.name,
        "before": words.in_units(change.name, change.before),
        "now": words.in_units(change.name, change.now),
        "p": change.p,
        "lots": change.lots,
        "of_lots": change.of,
        "place": list(change.place) if change.place else None,
        # As the difference of logarithms, or of shares, that is seen in half the cases.
        "unseen": change.unseen if math.isfinite(change.unseen) else None,
    }
