"""Claim: analytic intervals of 4,000 scores take < 50 ms, of a million < 10 s.

python benchmarks/interval_speed.py
"""

import time

import numpy as np

from nexperia_tf.statistics import intervals


def seconds(devices: int) -> dict[str, float]:
    """Wall time of each interval, best of three."""
    random = np.random.default_rng(0)
    labels = (random.random(devices) < 0.2).astype(int)
    first = random.normal(size=devices) + 3 * labels
    second = first + 0.3 * random.normal(size=devices)
    work = {
        "Newcombe 5": lambda: intervals.newcombe(labels, first),
        "logit-DeLong": lambda: intervals.logit_delong(labels, first),
        "paired DeLong": lambda: intervals.delong_covariance(labels, [first, second]),
    }
    return {name: min(_timed(call) for _ in range(3)) for name, call in work.items()}


def _timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    for devices, limit in ((4_000, 0.05), (1_000_000, 10.0)):
        total = 0.0
        for name, taken in seconds(devices).items():
            total += taken
            print(f"{devices:9,} scores  {name:14} {1000 * taken:8.1f} ms")
        print(
            f"{devices:9,} scores  together {total / limit:.3f} of the {limit} s limit"
        )
