"""Folders of published versions: which are there, which are whole, what they say.

Nothing here imports TensorFlow: a server's front looks for versions with it.
"""

import pathlib
import typing

from nexperia_tf import bounds, errors, files
from nexperia_tf.runs import run_folders

GRAPH = "saved_model.pb"  # what makes a folder a SavedModel
FACTS = pathlib.PurePosixPath("assets.extra/nexperia.json")  # settings baked in
DEPTH_RANGE = "depth_range"  # in FACTS


def versions(base: pathlib.Path) -> list[pathlib.Path]:
    """The published versions below `base`, lowest first."""
    if not base.is_dir():
        return []
    return sorted((p for p in base.iterdir() if p.name.isdecimal()), key=_number)


def next_version(base: pathlib.Path) -> int:
    """One above the highest version below `base`; 1 when there is none."""
    return max((_number(path) for path in versions(base)), default=0) + 1


def _number(path: pathlib.Path) -> int:
    return int(path.name)


def find(folder: str | pathlib.Path) -> pathlib.Path:
    """The newest version's folder of a run, a base folder or the version itself.

    Raises:
        errors.BadInput: there is no SavedModel.
    """
    folder = pathlib.Path(folder)
    for base in (folder, folder / run_folders.SAVED_MODEL):
        if (base / GRAPH).is_file():
            return base
        if published := versions(base):
            return published[-1]
    raise errors.BadInput(
        f"{folder}: holds no SavedModel; name a run folder or what nexperia export "
        "wrote."
    )


def refuse_unvouched(version: pathlib.Path) -> None:
    """Holds a SavedModel to its own manifest, or to that of the run it lies in.

    Raises:
        errors.BadInput: a file is missing, differs, or is named by neither.
    """
    if why := unvouched(version):
        raise errors.BadInput(
            f"{why} A SavedModel is a program: pass --trust to run it all the same, or "
            "export it again."
        )


def unvouched(version: pathlib.Path) -> str:
    """What is wrong with a SavedModel by its own or its run's manifest, or ""."""
    run = version.resolve().parents[1]
    in_run = version.resolve().parent.name == run_folders.SAVED_MODEL
    try:
        if (version / files.MANIFEST).is_file():
            files.verify_manifest(version, whole=".")
        elif in_run and (run / files.MANIFEST).is_file():  # as older exports were kept
            files.verify_manifest(
                run, whole=f"{run_folders.SAVED_MODEL}/{version.resolve().name}"
            )
        else:
            return f"{version}: holds no {files.MANIFEST}, which vouches for its files."
    except errors.BadInput as error:
        return str(error)
    return ""


def facts(version: pathlib.Path) -> dict:
    """What nexperia.json holds."""
    found = files.read_json(version / FACTS)
    size, channels = found.get("image_size"), found.get("channels")
    said = bounds.problem(size, typing.Annotated[int | str, *bounds.IMAGE_SIZE])
    if said or channels not in (1, 3):
        what = f"image_size {size}: {said}" if said else f"channels {channels}: 1 or 3"
        raise errors.BadInput(f"{version / FACTS}: {what}.")
    depth_range = found.get(DEPTH_RANGE)
    if said := bounds.problem(
        depth_range, typing.Annotated[object, *bounds.DEPTH_RANGE]
    ):
        raise errors.BadInput(
            f"{version / FACTS}: {DEPTH_RANGE} {depth_range}: {said}."
        )
    return found


def _short(number: float | None) -> str:
    return "none" if number is None else f"{number:.6g}"


def disagreement(run: run_folders.Run) -> str:
    """How the newest SavedModel of a run differs from its calibration.json, or ""."""
    published = versions(run.folder / run_folders.SAVED_MODEL)
    if not published:
        return ""
    version = published[-1]
    baked = run_folders.calibration_from(
        files.read_json(version / FACTS), where=str(version / FACTS)
    )
    for name in ("temperature", "offset", "threshold", "reject_from"):
        stored, served = getattr(run.calibration, name), getattr(baked, name)
        if stored != served:
            path = run.folder / run_folders.CALIBRATION
            return (
                f"{path}: its {name} is {_short(stored)}, but "
                f"{version} has {_short(served)} baked in; export the run again: "
                f"nexperia export --run {run.folder}"
            )
    return ""
