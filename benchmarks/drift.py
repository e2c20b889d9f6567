"""Claim: nexperia drift raises at most 1 % false alarms and finds what matters.

    python benchmarks/drift.py FOLDER --model RUN --table numbers.npz
    python benchmarks/drift.py FOLDER --size 128 --table numbers.npz

FOLDER holds pictures that the model was not trained on, whose lots names or labels.csv
tell. They are measured as they are and changed: 5 % brighter, blurred by 2 pixels,
with a smudge on the lens, with a faint shadow. Windows of whole lots, up to 500
pictures, are then drawn and judged, with the model's own pictures before; without a
model, what is left of FOLDER's lots are the pictures before, and nothing is scored.
"""

import argparse
import itertools
import pathlib
from collections.abc import Callable

import cv2
import numpy as np

from nexperia_tf import command

command.import_tensorflow()

from nexperia_tf import preprocess, sizes  # noqa: E402
from nexperia_tf.data import images, progress  # noqa: E402
from nexperia_tf.data.raw import listing  # noqa: E402
from nexperia_tf.drift import judging, lots, measure, pictures, reference  # noqa: E402
from nexperia_tf.serving import export, predict, scoring  # noqa: E402
from nexperia_tf.statistics import intervals  # noqa: E402

PICTURES = 500  # of a window, at most
TOGETHER = 32


def brighter(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture * 1.05), 0, 255).astype(np.uint8)


def blurred(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), 2)


def smudge(picture: np.ndarray) -> np.ndarray:
    """A spot a fifth of the picture wide that blurs and takes a tenth of the light."""
    soft = cv2.GaussianBlur(picture, (0, 0), 3) * 0.9
    share = spot(picture, 0.1)
    return np.rint(picture * (1 - share) + soft * share).astype(np.uint8)


def shadow(picture: np.ndarray) -> np.ndarray:
    """A spot, an eighth of the picture wide, that takes 15 % of the light."""
    return np.rint(picture * (1 - 0.15 * spot(picture, 0.06))).astype(np.uint8)


def spot(picture: np.ndarray, sigma: float) -> np.ndarray:
    """1 in the spot's middle and 0 far from it; sigma of the longer side."""
    height, width = picture.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    far = np.hypot(rows - 0.7 * height, columns - 0.3 * width)
    return np.exp(-((far / (sigma * max(height, width))) ** 2) / 2)


CHANGES: dict[str, Callable] = {
    "as it is": lambda picture: picture,
    "5 % brighter": brighter,
    "blurred by 2 pixels": blurred,
    "smudge": smudge,
    "faint shadow": shadow,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--model", help="run or SavedModel with its drift.npz")
    parser.add_argument("--size", type=int, default=128, help="canvas without a model")
    parser.add_argument("--table", type=pathlib.Path, help="measured before, or now")
    parser.add_argument("--windows", type=int, default=1000, help="unchanged ones")
    parser.add_argument("--changed", type=int, default=300, help="of each change")
    parser.add_argument("--lots", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--take", type=int, help="lots of the folder; all by default")
    parser.add_argument("--fewest", type=int, default=12, help="pictures of a lot")
    parser.add_argument("--false-alarms", type=float, default=judging.FALSE_ALARMS)
    asked = parser.parse_args()
    served = predict.open_model(asked.model) if asked.model else None
    found = measured(asked, served)
    known, threshold = None, 0.5
    if served:
        known = reference.of_export(served.folder).pictures(served.calibration)
        threshold = served.calibration.threshold
    by_lot = {
        name: list(each.lots(asked.fewest)) for name, each in found.items()
    }  # in the same order for each change
    count = len(by_lot["as it is"])
    print(f"{asked.folder}: {len(found['as it is'])} pictures, {count} lots to draw")
    if known:
        print(f"compared with {len(list(known.lots()))} lots of the model")
    print("lots, pictures, change: found; by pictures alone, by the network alone")
    for many in asked.lots:
        for change in CHANGES:
            windows = asked.windows if change == "as it is" else asked.changed
            report(by_lot, change, many, windows, known, threshold, asked.false_alarms)


def measured(
    asked: argparse.Namespace, served: export.Served | None
) -> dict[str, pictures.Pictures]:
    """All pictures of the folder by change, also kept in the table."""
    if asked.table and asked.table.is_file():
        kept = np.load(asked.table)
    else:
        kept = measured_now(asked, served)
        if asked.table:
            np.savez(asked.table, **kept)
    return {
        name: pictures.Pictures(
            kept["numbers"][place],
            kept["score"][place],
            kept["unfamiliar"][place],
            kept["lot"],
            kept["machine"],
            np.zeros(len(kept["lot"]), bool),
        )
        for place, name in enumerate(CHANGES)
    }


def measured_now(asked: argparse.Namespace, served: export.Served | None) -> dict:
    found = predict.pictures(asked.folder)
    told = lots.of_folder(found)
    names = [name for name in found.named if told[name][0]]
    used = sorted({told[name][0] for name in names})[: asked.take]
    names = [name for name in names if told[name][0] in used]
    size = served.image_size if served else sizes.Size.of(asked.size)
    rows = []
    work = scoring.in_threads(
        lambda name: canvases(found, name, size), names, 2 * TOGETHER
    )
    tracked = iter(progress.track(work, "Measuring", total=len(names)))
    while batch := list(itertools.islice(tracked, TOGETHER)):
        rows += answered(served, [each for each in batch if each is not None])
    used, numbers, score, unfamiliar = zip(*rows)
    return {
        "numbers": np.stack(numbers, axis=1).astype(np.float32),
        "score": np.stack(score, axis=1).astype(np.float32),
        "unfamiliar": np.stack(unfamiliar, axis=1).astype(np.float32),
        "lot": np.array([told[name][0] for name in used]),
        "machine": np.array([told[name][1] for name in used]),
    }


def canvases(found: listing.Listing, name: str, size: sizes.Size):
    """The name, and the canvas of each change; None of what cannot be read."""
    try:
        picture = images.load(found.path(name).read_bytes()).pixels
    except (images.UnreadableImage, images.UnsupportedImage):
        return None
    picture = (
        picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    )
    boxed = [
        preprocess.letterbox_pixels(change(picture)[..., np.newaxis], size)
        for change in CHANGES.values()
    ]
    return name, boxed, [measure.of_canvas(canvas) for canvas in boxed]


def answered(served: export.Served | None, batch: list[tuple]) -> list[tuple]:
    changes = len(CHANGES)
    if served is None:
        blank = np.zeros(changes), np.full(changes, np.nan)
        return [(name, numbers, *blank) for name, _, numbers in batch]
    said = served.answers(np.concatenate([np.stack(boxed) for _, boxed, _ in batch]))
    score, far = (said[key].reshape(-1, changes) for key in ("score", "unfamiliar"))
    return [
        (name, numbers, score[i], far[i]) for i, (name, _, numbers) in enumerate(batch)
    ]


def report(
    by_lot: dict[str, list[pictures.Pictures]],
    change: str,
    many: int,
    windows: int,
    known: pictures.Pictures | None,
    threshold: float,
    false_alarms: float,
) -> None:
    """Judges so many windows of a change and prints the share that was found."""
    hits, by_pictures, by_network, counts, least = [], [], [], [], []
    for window in range(windows):
        random = np.random.default_rng([window, many])
        order = random.permutation(len(by_lot[change]))
        if many >= len(order) - (known is None):
            return
        chosen = order[:many]
        before = known
        if before is None:
            before = joined([by_lot["as it is"][place] for place in order[many:]])
        new = joined(
            [some(by_lot[change][place], PICTURES // many, random) for place in chosen]
        )
        drift = judging.judge(before, new, threshold=threshold, channels=1, seed=window)
        names = {each.name for each in drift.changes}
        hits.append(bool(names))
        by_network.append(bool(names & set(judging.NETWORK)))
        by_pictures.append(bool(names - set(judging.NETWORK)))
        counts.append(len(new))
        least.append(drift.least_p)
    share = intervals.clopper_pearson(sum(hits), len(hits))
    print(
        f"{many:3}, {np.mean(counts):4.0f}, {change}: {sum(hits)} of {len(hits)} = "
        f"{np.mean(hits):.1%} ({share.low:.1%} to {share.high:.1%}); "
        f"{np.mean(by_pictures):.1%}, {np.mean(by_network):.1%}"
        + (f"; smallest p {np.median(least):.1g}" if change == "as it is" else ""),
        flush=True,
    )


def some(
    lot: pictures.Pictures, most: int, random: np.random.Generator
) -> pictures.Pictures:
    return lot[random.permutation(len(lot))[:most]]


def joined(parts: list[pictures.Pictures]) -> pictures.Pictures:
    """All of them; a lot is its place, for two machines may share a name."""
    columns = {
        name: np.concatenate([vars(part)[name] for part in parts])
        for name in vars(parts[0])
    }
    number = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return pictures.Pictures(**columns | {"lot": number.astype(str)})


if __name__ == "__main__":
    main()
