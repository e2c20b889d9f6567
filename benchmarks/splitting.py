"""How near splits of whole lots come to the shares asked for, and how long that takes.

    python benchmarks/splitting.py

splits simulated folders twice: greedily, as the package did before, and with the
integer program behind it (`nexperia_tf.data.prepare.assignment`). Lots hold a Poisson
number of devices; a lot's share of defects is Beta distributed around the folder's,
with intraclass correlation 1/3, and its kinds of defect are Dirichlet distributed.
"""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np

from nexperia_tf.data.prepare import assignment, splits


@dataclasses.dataclass(frozen=True)
class Folder:
    """Simulated lots: how many, of how many devices, with which defects."""

    lots: int
    devices: int
    share: float
    kinds: int
    single: int = 0  # devices that have no lot

    def counts(self, seed: int) -> np.ndarray:
        """Devices by unit and stratum: good, defect, each kind; largest units first."""
        random = np.random.default_rng(seed)
        rows = []
        for size in random.poisson(self.devices, self.lots) + 1:
            # Beta(a, b) with a + b = 2: intraclass correlation 1 / (a + b + 1).
            bad = random.binomial(
                size, random.beta(2 * self.share, 2 * (1 - self.share))
            )
            of_kind = random.dirichlet(np.full(self.kinds, 0.3))
            rows.append([size - bad, bad, *random.multinomial(bad, of_kind)])
        rows += [[1, 0] + [0] * self.kinds] * self.single
        counts = np.array(rows, float)
        counts = counts[:, counts.sum(axis=0) > 0]
        return counts[np.argsort(-counts[:, :2].sum(axis=1), kind="stable")]


FOLDERS = (
    Folder(8, 20, 0.2, 4),
    Folder(15, 220, 0.2, 8),
    Folder(40, 20, 0.05, 20),
    Folder(300, 20, 0.02, 20),
    Folder(4000, 8, 0.05, 8),
    Folder(4000, 8, 0.05, 8, single=38000),
)


def asked(counts: np.ndarray) -> assignment.Problem:
    """The usual three splits of these units."""
    held = np.zeros((3, counts.shape[1]))
    return assignment.Problem(
        counts, np.array(splits.FRACTIONS), held, [0, 1], 4.0 ** np.arange(3)[::-1]
    )


def worst(problem: assignment.Problem, places: np.ndarray) -> float:
    """Largest relative error of a label's share."""
    off = np.abs(problem.holdings(places) - problem.wanted) / problem.wanted
    return float(off[:, problem.labels].max())


def counts_of(problem: assignment.Problem) -> np.ndarray:
    """How many units hold each label; fewer than splits cannot reach them all."""
    return (problem.counts[:, problem.labels] > 0).sum(axis=0)


def line(folder: Folder, seeds: Sequence[int]) -> str:
    """Both splits of one kind of folder, as means over the seeds."""
    cells = []
    for seed in seeds:
        problem = asked(folder.counts(seed))
        first = assignment.greedy(problem)
        start = time.perf_counter()
        second = assignment.assign(problem)
        seconds = time.perf_counter() - start
        assert problem.key(second) <= problem.key(first)
        lacks = [problem.key(places)[0] > 0 for places in (first, second)]
        lacks.append((counts_of(problem) < len(splits.ASKED)).any())
        kinds = [problem.key(places)[1] for places in (first, second)]
        errors = [worst(problem, places) for places in (first, second)]
        cells.append([*lacks, *kinds, *errors, seconds])
    mean, most = np.mean(cells, axis=0), np.max(cells, axis=0)
    name = f"{folder.lots} lots of {folder.devices}, {folder.kinds} kinds"
    name += f", {folder.single:,} single" if folder.single else ""
    return (
        f"| {name} | {mean[0]:.0%}, {mean[1]:.0%} ({mean[2]:.0%}) | "
        f"{mean[3]:.1f}, {mean[4]:.1f} | {mean[5]:.1%}, {mean[6]:.1%} | {most[7]:.1f} |"
    )


def main() -> None:
    """Prints one line for each kind of folder."""
    print("| folder | a label lacks (must) | kinds train lacks | worst label | s |")
    print("|---|---|---|---|---|")
    for folder in FOLDERS:
        seeds = range(20 if folder.lots < 1000 else 3)
        print(line(folder, seeds), flush=True)


if __name__ == "__main__":
    main()
