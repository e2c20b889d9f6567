"""What a sample holds: lots, labels, names, and everything planted among them.

The plan is a list of files; no pixel is drawn here. Label, name, lot, machine and
place in the reel are drawn independently of each other, so that no part of a name
tells a defect from a good device.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from nexperia_tf import errors
from nexperia_tf import labels as label_names
from nexperia_tf.sample import marking, visibility

# Devices per defect type in the hand-over of the second batch; 20.3 % of all.
PROPORTIONS = {
    "chipping": 3681,
    "foreign_material": 1952,
    "scratch": 749,
    "lead_glue": 625,
    "lead_defect": 254,
    "empty_pocket": 203,
    "marking_defect": 175,
    "device_flip": 135,
    "pocket_damage": 5,
}
DEFECT_SHARE = 7779 / 38302
UNBOXED_TYPES = ("device_flip", "empty_pocket")  # by their nature, no rectangle

# What the re-inspection of good devices found.
ESCAPEES = {
    "foreign_material": 38,
    "chipping": 23,
    "marking_defect": 16,
    "lead_defect": 6,
}

# Planted files for each device of the sample.
RATES = {
    "byte_copy": 0.006,
    "png_copy": 0.0015,
    "jpeg_copy": 0.0015,
    "brightness_copy": 0.005,
    "shifted_copy": 0.005,
    "burst": 0.008,
    "truncated": 0.001,
    "empty_file": 0.0006,
    "text_file": 0.0006,
}
ESCAPEE_RATE = 0.010  # of the devices filed as good
NO_DEVICE_RATE = 0.004  # of the devices filed as good
UNBOXED_RATE = 0.012  # of the boxed defects
ZERO_BOX_RATE = 0.004  # of the boxed defects
TEST_RATE = 0.10  # of all files, layout second_stage

BROKEN = ("truncated", "empty_file", "text_file")
COPIES = tuple(kind for kind in RATES if kind not in BROKEN)
SMALLEST = 20
_ALL_KINDS_FROM = 150  # devices; smaller samples round the rates, larger plant each

MACHINES = (13, 20, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60)


@dataclasses.dataclass(frozen=True)
class Lot:
    """One production lot: one code on every device, one machine, one camera."""

    name: str
    machine: int
    code: str
    date: str


@dataclasses.dataclass(frozen=True)
class Device:
    """One physical device.

    Attributes:
        index: its number; with the seed it names every random detail.
        lot: number of its lot in the plan.
        defect_type: what is wrong with it, "" when good; "no_device" for frames that
            show none.
        visibility: a level of the look's table, "" when good.
    """

    index: int
    lot: int
    defect_type: str = ""
    visibility: str = ""

    @property
    def label(self) -> str:
        """The true label."""
        return label_names.DEFECT if self.defect_type else label_names.GOOD


@dataclasses.dataclass(frozen=True)
class File:
    """One file of the raw folder.

    Attributes:
        name: file stem.
        device: what the picture shows.
        lot: number of the lot that the name says.
        filed_as: folder of the hand-over, "good" or a defect type.
        kind: "" for an ordinary photograph, else what was planted.
        annotation: "box", "zero", "missing", or "" where none belongs.
        source: position in the plan of the file that this one copies, or None.
        shot: number of the photograph among those of the same device.
    """

    name: str
    device: Device
    lot: int
    filed_as: str
    kind: str = ""
    annotation: str = ""
    source: int | None = None
    shot: int = 0


@dataclasses.dataclass(frozen=True)
class Plan:
    """All files of a sample, and the lots their names speak of."""

    lots: list[Lot]
    files: list[File]


def plan(devices: int, seed: int, *, look: str = visibility.STANDARD) -> Plan:
    """Plans a sample of `devices` devices and the files planted beside them.

    Args:
        devices, seed: how many devices, and which.
        look: a key of `visibility.LOOKS`.

    Raises:
        errors.BadInput: fewer devices than make a sample, or a negative seed.
    """
    if devices < SMALLEST:
        raise errors.BadInput(
            f"--devices {devices}: a sample needs at least {SMALLEST} devices."
        )
    if seed < 0:
        raise errors.BadInput(f"--seed {seed}: must be 0 or more.")
    random = np.random.default_rng([seed, 0])
    difficulty = visibility.LOOKS[look]
    lots = _lots(random, devices)
    names = _Names(random, lots)
    all_devices = _devices(random, len(lots), devices, difficulty.levels)
    files = _photographs(random, names, all_devices)
    _plant_wrong_labels(random, files, difficulty.escapees)
    _plant_annotations(random, files)
    _plant_copies(random, names, files, devices)
    _plant_broken_files(random, names, files, devices, len(lots))
    return Plan(lots, files)


def quotas(shares: dict[str, float], count: int, *, at_least: int = 0) -> list[str]:
    """`count` names in the proportions of `shares`, by largest remainder.

    >>> quotas({"a": 3, "b": 1}, 8)
    ['a', 'a', 'a', 'a', 'a', 'a', 'b', 'b']
    """
    total = sum(shares.values())
    exact = {name: count * share / total for name, share in shares.items()}
    quota = {name: max(at_least, int(number)) for name, number in exact.items()}
    by_remainder = sorted(exact, key=lambda name: int(exact[name]) - exact[name])
    for name in by_remainder * 2:
        if sum(quota.values()) < count:
            quota[name] += 1
    names = [name for name, number in quota.items() for _ in range(number)]
    while len(names) > count:  # at_least took more than there is: largest gives back
        names.remove(max(quota, key=names.count))
    return names


def _lots(random, devices: int) -> list[Lot]:
    count = max(min(devices // 3, 20), devices // 40)
    letters = "ABCDEFGH"
    lots: dict[str, Lot] = {}
    while len(lots) < count:
        prefix = ("WEP", "WEL", "WEE", "WEA")[
            int(np.searchsorted([0.68, 0.955, 0.993], random.random()))
        ]
        week, number = random.integers(911, 941), random.integers(0, 1000)
        letter, digit = letters[random.integers(8)], random.integers(1, 9)
        name = f"{prefix}{week}{number:03d}{letter}{digit}A"
        lots[name] = Lot(
            name=name,
            machine=MACHINES[len(lots) % len(MACHINES)],
            code=marking.CODES[int(random.integers(len(marking.CODES)))],
            date=marking.DATES[int(random.integers(len(marking.DATES)))],
        )
    return list(lots.values())


def _devices(random, lots: int, devices: int, table) -> list[Device]:
    """All devices, lot after lot, every lot with the same share of defects."""
    weights = random.uniform(0.5, 1.5, lots)
    ends = np.rint(np.cumsum(weights) / weights.sum() * devices).astype(int)
    lot_of = np.searchsorted(ends, np.arange(devices), side="right")
    # Devices in random order within their lot: every n-th of this row is a defect.
    row = np.lexsort((random.random(devices), lot_of))
    count = max(4, round(DEFECT_SHARE * devices))
    places = (np.arange(count) + random.random()) * devices / count
    types = quotas(PROPORTIONS, count, at_least=1 if count >= 60 else 0)
    drawn = list(zip(types, _levels(random, types, table)))
    assigned = {
        int(row[int(place)]): drawn[k]
        for place, k in zip(places, random.permutation(count))
    }
    return [
        Device(index, int(lot_of[index]), *assigned.get(index, ("", "")))
        for index in range(devices)
    ]


def _levels(random, types: list[str], table) -> list[str]:
    """A visibility for each defect, in the table's proportions within its type."""
    levels = {}
    for name in sorted(set(types)):
        shares = {k: level.share for k, level in table[name].items()}
        quota = quotas(shares, types.count(name))
        levels[name] = [quota[k] for k in random.permutation(len(quota))]
    return [levels[name].pop() for name in types]


class _Names:
    """File stems of the real grammar; no two alike, one mix of patterns for all."""

    def __init__(self, random, lots: list[Lot]):
        self._random, self._lots, self._taken = random, lots, set()

    def new(self, lot: int, *, after: str | None = None) -> str:
        """A free stem; `after` asks for the next place of the reel after that stem."""
        while True:
            stem = self._draw(lot) if after is None else _next_in_reel(after)
            place = _place(stem)
            if place not in self._taken:
                self._taken.add(place)
                return stem
            after = None if after is None else stem

    def _draw(self, index: int) -> str:
        random, lot = self._random, self._lots[index]
        sub, track = random.integers(1, 78), random.integers(1, 3)
        sequence, position = random.integers(3, 1264), random.integers(1, 5)
        place = f"{track}_{sequence}_{position}"
        pattern = int(np.searchsorted([0.55, 0.95, 0.995], random.random()))
        return (
            f"{lot.name}_{sub:02d}-{lot.code}-ITISA{lot.machine}-{place}",
            f"{lot.name}_{sub:02d}-APG_ITIS_H{lot.machine}_{place}",
            f"{lot.name}_{sub:02d}_{place}",
            place,
        )[pattern]


def _place(stem: str) -> tuple[str, str]:
    """Lot with reel, and place in it: one place is one device, in any pattern."""
    head, place = stem[: -len(_tail(stem))], _tail(stem)
    return head[:15], place


def _tail(stem: str) -> str:
    track, sequence, position = stem.replace("-", "_").split("_")[-3:]
    return f"{track}_{sequence}_{position}"


def _next_in_reel(stem: str) -> str:
    track, sequence, position = _tail(stem).split("_")
    head = stem[: -len(_tail(stem))]
    return f"{head}{track}_{int(sequence) % 1263 + 1}_{position}"


def _photographs(random, names: _Names, devices: list[Device]) -> list[File]:
    files = []
    for device in devices:
        kind = device.defect_type
        boxed = kind and kind not in UNBOXED_TYPES
        files.append(
            File(
                name=names.new(device.lot),
                device=device,
                lot=device.lot,
                filed_as=kind or label_names.GOOD,
                annotation="box" if boxed else "",
            )
        )
    return files


def _sample(random, places: list[int], count: int) -> list[int]:
    chosen = random.permutation(len(places))[:count]
    return [places[k] for k in sorted(chosen)]


def _plant_wrong_labels(random, files: list[File], visible: dict[str, int]) -> None:
    """Escapees, and frames without a device, among those filed as good."""
    good = [k for k, file in enumerate(files) if file.filed_as == label_names.GOOD]
    escapees = max(1, round(ESCAPEE_RATE * len(good)))
    empty = round(NO_DEVICE_RATE * len(good))
    if len(files) >= _ALL_KINDS_FROM:
        empty = max(2, empty)
    chosen = random.permutation(good)[: escapees + empty]
    types = quotas(ESCAPEES, escapees)
    levels = quotas(visible, escapees)
    for place, kind, level in zip(chosen, types, random.permutation(levels)):
        device = dataclasses.replace(
            files[place].device, defect_type=kind, visibility=str(level)
        )
        files[place] = dataclasses.replace(files[place], device=device, kind="escapee")
    for place in chosen[escapees:]:
        device = dataclasses.replace(files[place].device, defect_type="no_device")
        files[place] = dataclasses.replace(
            files[place], device=device, kind="no_device"
        )


def _plant_annotations(random, files: list[File]) -> None:
    """Boxed defects whose box was forgotten, or shrank to a point."""
    boxed = [k for k, file in enumerate(files) if file.annotation == "box"]
    missing, zero = round(UNBOXED_RATE * len(boxed)), round(ZERO_BOX_RATE * len(boxed))
    if len(files) >= _ALL_KINDS_FROM:
        missing, zero = max(1, missing), max(1, zero)
    chosen = _sample(random, boxed, missing + zero)
    for number, place in enumerate(random.permutation(chosen)):
        kind = ("unboxed", "missing") if number < missing else ("zero_box", "zero")
        files[place] = dataclasses.replace(
            files[place], kind=kind[0], annotation=kind[1]
        )


def _count(kind: str, devices: int) -> int:
    count = round(RATES[kind] * devices)
    return max(1, count) if devices >= _ALL_KINDS_FROM else count


def _plant_copies(random, names: _Names, files: list[File], devices: int) -> None:
    """Copies of devices, a quarter of them under the name of another lot.

    Every tenth exact copy is filed in another class, as happens on a line.
    """
    lots = max(file.lot for file in files) + 1
    kinds = [kind for kind in COPIES for _ in range(_count(kind, devices))]
    ordinary = [k for k, file in enumerate(files) if file.kind != "no_device"]
    sources = random.permutation(ordinary)
    for number, (place, kind) in enumerate(zip(sources, kinds)):
        source = files[place]
        if kind == "burst":
            for shot in range(1, 2 + int(random.integers(1, 3))):
                name = names.new(source.lot, after=source.name)
                files.append(_copy(source, int(place), name, kind, shot=shot))
            continue
        lot = source.lot if random.random() < 0.75 else int(random.integers(lots))
        name = names.new(lot)
        if kind == "byte_copy" and number % 10 == 1:
            name = f"{source.name} - Copy"
            lot = source.lot
        copy = _copy(source, int(place), name, kind, lot=lot)
        if kind == "byte_copy" and number % 10 == 2:
            refiled = label_names.GOOD if source.device.defect_type else "scratch"
            copy = dataclasses.replace(
                copy,
                filed_as=refiled,
                annotation="" if refiled == label_names.GOOD else "missing",
            )
        files.append(copy)


def _copy(source: File, place: int, name: str, kind: str, **changes) -> File:
    return dataclasses.replace(source, name=name, source=place, kind=kind, **changes)


def _plant_broken_files(random, names, files, devices, lots) -> None:
    """Further devices whose files cannot be read."""
    index = devices
    for kind in BROKEN:
        for _ in range(_count(kind, devices)):
            bad = random.random() < DEFECT_SHARE
            device = Device(
                index,
                int(random.integers(lots)),
                "chipping" if bad else "",
                "plain" if bad else "",
            )
            (file,) = _photographs(random, names, [device])
            annotation = "missing" if file.annotation else ""
            files.append(dataclasses.replace(file, kind=kind, annotation=annotation))
            index += 1
