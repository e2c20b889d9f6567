"""Claim: no stage takes more than n to the power of 1.1, in time or in memory.

Draws samples of 1, 2, 4 and 8 times as many devices and runs every stage on each, in a
process of its own: seconds of CPU, and the peak of the largest process. The exponent is
the slope of a line through the logarithms. What every run costs, however few pictures
it has (imports, tracing), makes that of whole runs small; so that of what each doubling
adds stands beside it.

    python benchmarks/growth.py                  # 200 to 1,600 devices
    python benchmarks/growth.py --devices 1000 --times 1 2 4 8
"""

import argparse
import csv
import pathlib
import sys
import tempfile

import many_files
import numpy as np

from nexperia_tf.data import manifest

MOST = 1.1
NEXPERIA = [sys.executable, "-m", "nexperia_tf"]

RECORDS = """
import sys
from nexperia_tf import command
command.import_tensorflow()
from nexperia_tf.data import source
from nexperia_tf.data.records import store
store.build(source.DataSource(sys.argv[1], sys.argv[2]))
"""
INPUT = """
import sys
from nexperia_tf import command
command.import_tensorflow()
from nexperia_tf.data import source
from nexperia_tf.data.input import balance, batching, order, pictures
from nexperia_tf.data.records import reading, store
dataset = store.build(source.DataSource(sys.argv[1], sys.argv[2]))
labels = reading.metadata(dataset, "train", ("label",))["label"]
order = order.Order(32, 0, balance.Balance.of(labels))
shown = pictures.Pictures(128, reading.channels(dataset), "none")
for batch in batching.training(dataset, shown, order, epochs=1):
    pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=200, help="of the smallest")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 2, 4, 8])
    arguments = parser.parse_args()
    sizes = [arguments.devices * times for times in sorted(arguments.times)]
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        model = pathlib.Path(place, "model")
        many_files.run([sys.executable, "-c", many_files.PUBLISH, model, 1])
        for size in sizes:
            for stage, used in measured(pathlib.Path(place, str(size)), size, model):
                found.setdefault(stage, []).append(used)
                print(f"{size} devices, {stage}: {used[0]:.1f} s of CPU", flush=True)
    print(table(sizes, found))


def measured(place: pathlib.Path, devices: int, model: pathlib.Path):
    """Yields each stage with seconds of CPU and MiB at the peak."""
    for stage, argv in stages(place, devices, model).items():
        if stage == "evaluate":
            _write_scores(place)
        _, usage, _ = many_files.run(argv)
        yield stage, (usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def stages(place: pathlib.Path, devices: int, model: pathlib.Path) -> dict[str, list]:
    """The command lines of all stages, in their order."""
    place.mkdir()
    raw, prepared, data = place / "raw", place / "prepared", place / "data"
    python, of_records = [sys.executable, "-c"], [prepared, data]
    return {
        "sample": [*NEXPERIA, "sample", raw, "--devices", devices],
        "prepare": [*NEXPERIA, "prepare", raw, "--out", prepared, "--fresh"],
        "records": [*python, RECORDS, *of_records],
        "baseline": [*NEXPERIA, "baseline", prepared, "--data-dir", data],
        "input, one epoch": [*python, INPUT, *of_records],
        "predict": [*NEXPERIA, "predict", model, raw, "--out", place / "scores.csv"],
        "evaluate": [
            *NEXPERIA,
            "evaluate",
            place / "predictions.csv",
            "--out",
            place / "report",
        ],
    }


def _write_scores(place: pathlib.Path) -> None:
    """Scores of all pictures that are used, by chance."""
    rows = [row for row in manifest.read(place / "prepared/manifest.csv") if row.used]
    chance = np.random.default_rng(0)
    with (place / "predictions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", "label", "score", "group"])
        for row in rows:
            is_defect = int(row.label == "defect")
            logit = chance.normal(2 * is_defect - 1)
            score = 1 / (1 + np.exp(-logit))
            writer.writerow([row.image_id, is_defect, score, row.group])


def exponents(sizes, values) -> tuple[float, float]:
    """The exponent of the whole, and that of what each doubling adds.

    >>> whole, added = exponents([1, 2, 4, 8], [10 + n**1.5 for n in (1, 2, 4, 8)])
    >>> round(whole, 2), round(added, 2)
    (0.52, 1.5)
    """
    sizes, values = np.log(sizes), np.asarray(values, float)
    whole = np.polyfit(sizes, np.log(values), 1)[0]
    steps = np.diff(values)
    if len(steps) < 2 or (steps <= 0).any():
        return float(whole), float("nan")
    return float(whole), float(np.polyfit(sizes[1:], np.log(steps), 1)[0])


def table(sizes: list[int], found: dict[str, list[tuple[float, float]]]) -> str:
    """Seconds, MiB and exponents of every stage; a star where one is too large."""
    heads = "".join(f"{size:>9,}" for size in sizes)
    lines = [f"{'devices':<24}{heads}  exponent  of what is added"]
    for stage, used in found.items():
        for name, values in zip(("s of CPU", "MiB"), zip(*used)):
            cells = "".join(f"{value:9.1f}" for value in values)
            whole, added = exponents(sizes, values)
            star = " *" if whole > MOST else ""
            title = f"{stage}, {name}"
            lines.append(f"{title:<24}{cells}{whole:10.2f}{added:10.2f}{star}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
