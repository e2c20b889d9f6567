"""Claims of an averaged SavedModel: same scores, same verdicts, less time than k calls.

Publishes the mean of several runs, then
- compares its scores with the mean of the members' own SavedModels on 200 pictures,
- has a process that imports tensorflow and nothing of ours score 500 files, and
  compares scores and verdicts with those that nexperia evaluate judges,
- times one call of the ensemble against a call of each member, in turn.

    python benchmarks/ensemble_serving.py RUN RUN ... --data sample
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from nexperia_tf import command
from nexperia_tf.data.source import DataSource

command.import_tensorflow()

import tensorflow as tf  # noqa: E402
from model_timing import interleaved, machine, timed  # noqa: E402

from nexperia_tf.data.records import reading, store  # noqa: E402
from nexperia_tf.evaluation import candidates  # noqa: E402
from nexperia_tf.runs import run_folders  # noqa: E402
from nexperia_tf.serving import combination, ensemble, export  # noqa: E402
from nexperia_tf.serving.members import open_members  # noqa: E402

COMPARED, FILES = 200, 500
FOREIGN = """
import json, sys, tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
names = open(sys.argv[2]).read().splitlines()
scores, words = [], []
for start in range(0, len(names), 50):
    images = [open(name, "rb").read() for name in names[start : start + 50]]
    answer = serve(image_bytes=tf.constant(images))
    scores += answer["score"].numpy().tolist()
    words += [word.decode() for word in answer["label"].numpy()]
assert not [name for name in sys.modules if name.startswith("nexperia")]
print(json.dumps([scores, words]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--data", default="sample")
    parser.add_argument("--split", default="test")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        members = open_members(arguments.runs)
        mean = combination.asked(("mean",), [member.name for member in members])
        version = ensemble.publish(
            members, mean, place / "mean", in_force=run_folders.Calibration()
        )
        dataset = store.build(DataSource(arguments.data))
        found = reading.load(dataset, arguments.split).take(FILES)
        pictures = [record["image"] for record in found.as_numpy_iterator()]
        served = export.load(version)
        same_scores(served, [member.served for member in members], pictures)
        opened = candidates.load(
            version, split=arguments.split, named=DataSource(arguments.data)
        )
        same_verdicts(served, opened.subject.scored, pictures, place)
        times(served, [m.served for m in members], pictures, arguments.rounds)


def same_scores(served, members: list, pictures: list[bytes]) -> None:
    pictures = pictures[:COMPARED]
    expected = np.mean([one.score_bytes(pictures)[0] for one in members], axis=0)
    found, _ = served.score_bytes(pictures)
    print(
        f"{len(pictures)} pictures: mean of {len(members)} SavedModels and the "
        f"ensemble differ by at most {np.abs(expected - found).max():.1e}"
    )


def same_verdicts(served, judged, pictures: list[bytes], place: pathlib.Path) -> None:
    names = []
    for number, content in enumerate(pictures):
        names.append(place / f"{number}.picture")
        names[-1].write_bytes(content)
    (place / "names").write_text("\n".join(map(str, names)))
    shown = subprocess.run(
        [sys.executable, "-c", FOREIGN, str(served.folder), str(place / "names")],
        cwd=place,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    scores, words = json.loads(shown.stdout.splitlines()[-1])
    scored = judged.score[: len(names)]
    verdicts = run_folders.verdicts(scored, served.facts["threshold"])
    print(
        f"{len(names)} files in a process without us: "
        f"{sum(a == b for a, b in zip(words, verdicts))} verdicts as evaluate's "
        f"({words.count('defect')} defect), scores differ by at most "
        f"{np.abs(scored - np.array(scores)).max():.1e}"
    )


def times(served, members: list, pictures: list[bytes], rounds: int) -> None:
    print(machine())
    for count in (1, 32):
        batch = tf.constant(pictures[:count])

        def call(one, batch=batch):
            return one.signature(export.BYTES)(image_bytes=batch)["score"].numpy()

        jobs = {"ensemble": timed(lambda: call(served))}
        for number, one in enumerate(members):
            jobs[f"member {number + 1}"] = timed(lambda one=one: call(one))
        seconds = {k: v["seconds"] for k, v in interleaved(jobs, rounds).items()}
        together = seconds.pop("ensemble")
        apart = sum(seconds.values())
        print(
            f"{count} pictures: ensemble {1000 * together:.1f} ms, its {len(members)} "
            f"members one after the other {1000 * apart:.1f} ms, ratio "
            f"{together / apart:.2f}"
        )


if __name__ == "__main__":
    main()
