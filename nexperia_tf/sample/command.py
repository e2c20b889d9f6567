"""Draws look-alike devices: `nexperia sample OUT --devices N`.

The raw folder it makes has the layout, the names and the faults of a hand-over from the
line, and `truth.csv` beside them says what was planted. No stage reads truth.csv; a
person gives it to `nexperia evaluate --labels`.
"""

from __future__ import annotations

import dataclasses
import pathlib
import struct
from collections.abc import Callable
from typing import Annotated, Literal

import cv2
import numpy as np
import tyro

from nexperia_tf import bounds, command, errors, files
from nexperia_tf import labels as label_names
from nexperia_tf.data import progress
from nexperia_tf.sample import canvas, defects, drawing, plan, visibility
from nexperia_tf.sample import look as looks
from nexperia_tf.sample.canvas import HEIGHT, WIDTH
from nexperia_tf.sample.look import Look
from nexperia_tf.sample.plan import Device, File, Lot

VERSION = visibility.VERSION
SCHEMA = 2  # of summary.json; 1 had no looks, and no size in its table
LAYOUTS = ("hand_over", "second_stage")
TRUTH = "truth.csv"
TRUTH_HEADER = (
    *("image_id", "label", "defect_type", "visibility", "kind", "source"),
    *("filed_as", "annotation", "x1", "y1", "x2", "y2", "device", "lot"),
)

_PASS_FOLDER = "20191003_SOT23_PassImage"
_LABELED_FOLDER = "20191129_Labeled_Image"

Box = tuple[int, int, int, int]


def draw(
    out: str | pathlib.Path,
    *,
    devices: int = 3400,
    seed: int = 0,
    layout: str = "hand_over",
    look: str = visibility.STANDARD,
    on_progress: progress.Callback = progress.silent,
) -> None:
    """Draws a raw folder of look-alike devices; the same bytes for the same arguments.

    Args:
        out: the folder to make; it appears when it is complete.
        devices: how many devices; copies and broken files come on top.
        seed: another seed draws other devices.
        layout: "hand_over" or "second_stage".
        look: how visible the defects are, a key of `visibility.LOOKS`: "standard", or
            "hard", which is version 1 of the sample.
        on_progress: called as `on_progress(step, pictures drawn, pictures)`.

    Raises:
        errors.BadInput: `out` exists or cannot be written, fewer than 20 devices, or
            an unknown layout or look.
    """
    for flag, value, known in (
        ("layout", layout, LAYOUTS),
        ("look", look, visibility.LOOKS),
    ):
        if value not in known:
            raise errors.BadInput(
                f"--{flag} {value}: choose one of {', '.join(known)}."
            )
    planned = plan.plan(devices, seed, look=look)
    difficulty = visibility.LOOKS[look]
    paths = _PATHS[layout](planned.files, seed)
    with files.new_folder(out) as folder:
        for name in {str(pathlib.PurePosixPath(path).parent) for path in paths}:
            (folder / name).mkdir(parents=True, exist_ok=True)
        boxes = []
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # one picture is too small to share among threads
        try:
            for place in range(len(paths)):
                content, box = _file(planned, place, seed, difficulty)
                (folder / paths[place]).write_bytes(content)
                boxes.append(box)
                on_progress("Drawing pictures", place + 1, len(paths))
        finally:
            cv2.setNumThreads(threads)
        _ANNOTATE[layout](folder, planned.files, paths, boxes, seed)
        _write_truth(folder, planned, paths, boxes)
        _write_summary(folder, planned, devices, seed, layout, look)


def device(
    seed: int,
    index: int,
    defect_type: str | None = None,
    *,
    level: str = "plain",
    look: str = visibility.STANDARD,
) -> tuple[np.ndarray, Box | None]:
    """Draws one device alone, quickly.

    Args:
        seed, index: name the device; the same numbers give the same pixels.
        defect_type: a key of the look's table, None for a good device.
        level: how visible the defect is, a level of that table.
        look: a key of `visibility.LOOKS`.

    Returns:
        Pixels, uint8 of shape `(267, 275)`, and the box x1, y1, x2, y2 around the
        defect; None for good devices and for defects that have no box by nature.

    >>> pixels, box = device(0, 7, "chipping")
    >>> pixels.shape, pixels.dtype.name, len(box)
    ((267, 275), 'uint8', 4)
    """
    lots = plan.plan(plan.SMALLEST, seed).lots
    lot = index % len(lots)
    shown = Device(index, lot, defect_type or "", level if defect_type else "")
    return _photograph(shown, lots[lot], seed, visibility.LOOKS[look])


def _photograph(
    shown: Device, lot: Lot, seed: int, difficulty, *, shot: int = 0
) -> tuple[np.ndarray, Box | None]:
    """One photograph of a device, and the box around its defect."""
    clean = looks.faultless(seed, shown.index, lot)
    box = None
    if not shown.defect_type:
        frame, seen = drawing.render(clean), clean
    elif shown.defect_type == "no_device":
        seen = _no_device(clean)
        frame = drawing.render(seen)
    else:
        frame, seen, box = defects.draw(
            clean, shown.defect_type, shown.visibility, difficulty
        )
        if shown.defect_type in plan.UNBOXED_TYPES:
            box = None
    if shot:  # the reel moved by a pixel between two photographs of a burst
        move = canvas.stream((seed, shown.index, shot), canvas.LOOK)
        dx, dy = (int(v) for v in move.integers(-1, 2, 2))
        frame, box = _shifted(frame, dx, dy), _shifted_box(box, dx, dy)
    return drawing.expose(frame, seen, shot=shot), box


def _no_device(clean: Look) -> Look:
    """A frame that shows no device: an empty pocket, or the camera beside it."""
    if clean.key[-1] % 2:
        return dataclasses.replace(clean, device=False)
    return dataclasses.replace(clean, guide=True)


def _file(
    plan: plan.Plan, place: int, seed: int, difficulty
) -> tuple[bytes, Box | None]:
    """Content of one file of the plan, and the true box of what it shows."""
    file = plan.files[place]
    pixels, box = _photograph(
        file.device, plan.lots[file.device.lot], seed, difficulty, shot=file.shot
    )
    if file.kind in _ALTER:
        random = np.random.default_rng([seed, 1, place])
        pixels, box = _ALTER[file.kind](random, pixels, box)
    return _ENCODE.get(file.kind, _bmp)(pixels), box


def _brighter(random, pixels, box):
    gain = float(random.choice([random.uniform(0.8, 0.92), random.uniform(1.08, 1.2)]))
    table = np.clip(np.rint(np.arange(256) * gain), 0, 255).astype(np.uint8)
    return table[pixels], box


def _moved(random, pixels, box):
    dx, dy = (int(v) for v in random.choice([-1, 1], 2) * random.integers(1, 6, 2))
    return _shifted(pixels, dx, dy), _shifted_box(box, dx, dy)


def _shifted(pixels: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """The picture moved by whole pixels, its border repeated."""
    rows = np.clip(np.arange(HEIGHT) - dy, 0, HEIGHT - 1)
    columns = np.clip(np.arange(WIDTH) - dx, 0, WIDTH - 1)
    return pixels[rows][:, columns]


def _shifted_box(box: Box | None, dx: int, dy: int) -> Box | None:
    if box is None:
        return None
    x1, x2 = np.clip([box[0] + dx, box[2] + dx], 0, WIDTH - 1).tolist()
    y1, y2 = np.clip([box[1] + dy, box[3] + dy], 0, HEIGHT - 1).tolist()
    return x1, y1, x2, y2


def _bmp(pixels: np.ndarray) -> bytes:
    """An 8-bit grey BMP, bottom row first, as the cameras write it."""
    height, width = pixels.shape
    stride = (width + 3) // 4 * 4
    size = 14 + 40 + 1024 + stride * height
    header = struct.pack("<2sIHHI", b"BM", size, 0, 0, 14 + 40 + 1024)
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 8, 0, stride * height, 2835, 2835, 256, 0
    )
    grey = np.arange(256, dtype=np.uint8)
    palette = np.stack([grey, grey, grey, np.zeros_like(grey)], axis=1)
    rows = np.zeros((height, stride), np.uint8)
    rows[:, :width] = pixels[::-1]
    return header + info + palette.tobytes() + rows.tobytes()


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def _jpeg(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


_ALTER: dict[str, Callable] = {"brightness_copy": _brighter, "shifted_copy": _moved}
_ENCODE: dict[str, Callable[[np.ndarray], bytes]] = {
    "png_copy": _png,
    "jpeg_copy": _jpeg,
    "truncated": lambda pixels: _bmp(pixels)[:30000],
    "empty_file": lambda pixels: b"",
    "text_file": lambda pixels: b"error: camera did not answer in time\n",
}


# --- the two layouts ---------------------------------------------------------------


def _ending(file: File) -> str:
    # A PNG keeps the ending of the file it replaced: content decides, not the name.
    return ".jpg" if file.kind == "jpeg_copy" else ".bmp"


def _hand_over_paths(plan_files: list[File], seed: int) -> list[str]:
    return [
        f"{_PASS_FOLDER}/{file.name}{_ending(file)}"
        if file.filed_as == label_names.GOOD
        else f"{_LABELED_FOLDER}/{file.filed_as}/{file.name}{_ending(file)}"
        for file in plan_files
    ]


def _second_stage_paths(plan_files: list[File], seed: int) -> list[str]:
    random = np.random.default_rng([seed, 2])
    count = max(2, round(plan.TEST_RATE * len(plan_files)))
    test = {int(place) for place in random.permutation(len(plan_files))[:count]}
    return [
        f"test/test_contest/test/{file.name}{_ending(file)}"
        if place in test
        else "train/train_contest/"
        f"{'good_all' if file.filed_as == label_names.GOOD else 'defect'}/"
        f"{file.name}{_ending(file)}"
        for place, file in enumerate(plan_files)
    ]


def _drawn_box(file: File, box: Box | None) -> Box | None:
    """The rectangle somebody drew: the true one, a point, or none."""
    if file.annotation == "zero":
        x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
        return x, y, x, y
    return box if file.annotation == "box" else None


def _hand_over_annotations(folder, plan_files, paths, boxes, seed) -> None:
    rows: dict[str, list[str]] = {
        file.filed_as: []
        for file in plan_files
        if file.filed_as not in (label_names.GOOD, *plan.UNBOXED_TYPES)
    }
    for file, box in zip(plan_files, boxes):
        drawn = _drawn_box(file, box)
        if drawn is not None:
            corners = ",".join(map(str, drawn))
            row = f"{file.name},{file.filed_as},rectangle,{corners}\n"
            rows[file.filed_as].append(row)
    for name, lines in rows.items():
        path = folder / _LABELED_FOLDER / name / "ImageLabel.csv"
        files.write_text(path, "".join(sorted(lines)))


def _second_stage_annotations(folder, plan_files, paths, boxes, seed) -> None:
    random = np.random.default_rng([seed, 3])
    areas, submission = [], []
    for file, path, box in zip(plan_files, paths, boxes):
        drawn = _drawn_box(file, box)
        if path.startswith("test/"):
            submission.append(file.name)
        elif drawn is not None:
            areas.append((file.name, *drawn))
    submission = [(name, round(random.random(), 6)) for name in sorted(submission)]
    header = ("id", "x_1", "y_1", "x_2", "y_2")
    files.write_csv(folder / "defect_area.csv", header, sorted(areas))
    header = ("id", "defect_score")
    files.write_csv(folder / "submission_sample.csv", header, submission)


_PATHS = {"hand_over": _hand_over_paths, "second_stage": _second_stage_paths}
_ANNOTATE = {
    "hand_over": _hand_over_annotations,
    "second_stage": _second_stage_annotations,
}


def _write_truth(folder, plan, paths, boxes) -> None:
    """Writes what was planted, one row for each file, sorted by image_id."""
    ids = [str(pathlib.PurePosixPath(path).with_suffix("")) for path in paths]
    rows = []
    for file, image_id, box in zip(plan.files, ids, boxes):
        shown = file.device
        rows.append(
            (
                image_id,
                shown.label,
                shown.defect_type,
                shown.visibility,
                file.kind,
                "" if file.source is None else ids[file.source],
                file.filed_as,
                file.annotation,
                *(box or ("", "", "", "")),
                shown.index,
                plan.lots[shown.lot].name,
            )
        )
    files.write_csv(folder / TRUTH, TRUTH_HEADER, sorted(rows))


def _write_summary(
    folder, plan, devices: int, seed: int, layout: str, look: str
) -> None:
    difficulty = visibility.LOOKS[look]
    kinds = [file.kind or "device" for file in plan.files]
    types = [file.device.defect_type or "good" for file in plan.files]
    files.write_json(
        folder / "summary.json",
        {
            "schema": SCHEMA,
            "sample_version": difficulty.version,
            "look": look,
            "devices": devices,
            "seed": seed,
            "form": layout,
            "files": len(plan.files),
            "lots": len(plan.lots),
            "files_by_kind": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
            "files_by_type": {kind: types.count(kind) for kind in sorted(set(types))},
            "visibility": {
                kind: {name: level._asdict() for name, level in levels.items()}
                for kind, levels in difficulty.levels.items()
            },
            "shapes": difficulty.shapes,
        },
    )


# --- command -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Draw a raw folder of look-alike devices."""

    out: tyro.conf.Positional[pathlib.Path] = dataclasses.field(kw_only=True)
    """Folder to make; it must not exist."""
    devices: Annotated[int, *bounds.within(ge=plan.SMALLEST, le=10**7)] = 3400
    """How many devices; copies and broken files come on top."""
    seed: Annotated[int, *bounds.SEED] = 0
    """Another seed draws other devices."""
    layout: Annotated[
        Literal["hand_over", "second_stage"], tyro.conf.arg(aliases=["--form"])
    ] = "hand_over"
    """Layout of the folder."""
    look: Literal["standard", "hard"] = visibility.STANDARD
    """How visible the defects are: standard is about as hard as the published task;
    hard is version 1 of the sample, for comparison with figures of it."""


def main(arguments: Arguments) -> None:
    """Draws the sample and says where it is."""
    with progress.reporting() as on_progress:
        draw(
            arguments.out,
            devices=arguments.devices,
            seed=arguments.seed,
            layout=arguments.layout,
            look=arguments.look,
            on_progress=on_progress,
        )
    version = visibility.LOOKS[arguments.look].version
    print(f"{arguments.out}: {arguments.devices} devices, version {version}")
