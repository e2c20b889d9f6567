"""Claim: a SavedModel tells pictures of another product from its own.

    python benchmarks/unfamiliar.py RUN RUN ...

Each run is exported with what its training pictures look like, and its SavedModel is
shown its own test split (whose share of `unfamiliar` >= 1 is the false-alarm rate), the
test pictures of every other run, its own pictures spoilt, blank ones and noise.
"""

import argparse
import pathlib
import tempfile

import cv2
import numpy as np

from nexperia_tf import command

command.import_tensorflow()

from nexperia_tf import preprocess  # noqa: E402
from nexperia_tf.data.records import reading  # noqa: E402
from nexperia_tf.evaluation import repeatability  # noqa: E402
from nexperia_tf.runs import familiar, run_folders  # noqa: E402
from nexperia_tf.serving import export  # noqa: E402

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    parser.add_argument("--most", type=int, default=200, help="pictures of each kind")
    asked = parser.parse_args()
    runs = [run_folders.load(run) for run in asked.runs]
    shown = {run.name: own_pictures(run, asked.most) for run in runs}
    print("model, shown: pictures, share of unfamiliar >= 1, median of unfamiliar")
    for run in runs:
        known = familiar.of_model(run.model(), run.dataset, seed=0)
        with tempfile.TemporaryDirectory() as base:
            version = export.publish(
                run.model(with_map=True),
                pathlib.Path(base),
                backbone=run.config.network.backbone,
                calibration=run.calibration,
                familiar=known,
            )
            served = export.load(version)
        print(f"{run.name}: limit by {known.devices} held-out devices, stated false")
        print(f"  alarms {known.false_alarm:.1%}")
        mine = shown[run.name]
        kinds = {"its own test split": mine, **spoilt(mine)}
        kinds |= {name: other for name, other in shown.items() if other is not mine}
        for name, pictures in kinds.items():
            far = unfamiliar(served, pictures)
            print(
                f"{run.name}, {name}: {len(far)}, {(far >= 1).mean():.1%}, "
                f"{np.median(far):.2f}"
            )


def own_pictures(run: run_folders.Run, most: int) -> list[np.ndarray]:
    """Test pictures of a run, drawn once, uint8 `(height, width, channels)`."""
    names = reading.metadata(run.dataset, "test", ["image_id"])["image_id"]
    drawn = np.random.default_rng(0).permutation(len(names))[:most]
    found = reading.examples(run.dataset, "test", [names[i] for i in drawn])
    return [
        preprocess.decode(example.image, run.channels).numpy()
        for example in found.values()
    ]


def spoilt(pictures: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Blank pictures, noise, and the pictures as no camera should give them."""
    rng, shape = np.random.default_rng(1), pictures[0].shape
    change = repeatability.CHANGES
    return {
        "5 % brighter": [change["5 % brighter"](each) for each in pictures],
        "1 degree": [change["turned 1 degree left"](each) for each in pictures],
        "black": [np.zeros(shape, np.uint8)],
        "grey": [np.full(shape, 120, np.uint8)],
        "noise": [rng.integers(0, 256, shape, np.uint8) for _ in range(8)],
        "negative": [255 - each for each in pictures],
        "half as bright": [np.uint8(each * 0.5) for each in pictures],
        "blurred by 4 pixels": [
            cv2.GaussianBlur(each, (0, 0), 4).reshape(each.shape) for each in pictures
        ],
        "a third beside": [np.roll(each, each.shape[1] // 3, 1) for each in pictures],
        "turned by 90 degrees": [np.rot90(each) for each in pictures],
    }


def unfamiliar(served: export.Served, pictures: list[np.ndarray]) -> np.ndarray:
    """What the SavedModel's output `unfamiliar` says of each picture."""
    channels = served.facts["channels"]
    boxed = [
        preprocess.letterbox_pixels(
            as_channels(np.ascontiguousarray(picture), channels), served.image_size
        )
        for picture in pictures
    ]
    parts = [np.stack(boxed[i : i + BATCH]) for i in range(0, len(boxed), BATCH)]
    return np.concatenate([served.answers(part)["unfamiliar"] for part in parts])


def as_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """The picture in grey or in three channels, as the model takes it."""
    if picture.shape[-1] == channels:
        return picture
    if channels == 3:
        return np.repeat(picture, 3, axis=-1)
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., np.newaxis]


if __name__ == "__main__":
    main()
