"""Claim: pictures that all look alike, most of them copies, do not hold up prepare.

    python benchmarks/look_alikes.py [--devices 300] [--copies 24] [--any-angle]
        [--seed 0] [--raw RAW]

Draws what public sets of castings hold: discs of one design photographed from one
place, 300x300 pixels, colour JPEG. Each device was photographed once; every other file
of it was decoded, turned by quarters or mirrored, every third also made brighter or
darker and every third tilted by up to 3 degrees, and saved again as JPEG of quality 75
to 95. Runs `nexperia prepare` on them, on a terminal of its own, and prints seconds of
CPU, candidate pairs, milliseconds a pair, the peak of memory, which files were tied to
their device, whether different devices were kept apart, and beside the time left that
the bar showed the time it took.

With --any-angle the tilt is up to 180 degrees, which nothing promises to find. With
--raw that folder is prepared and nothing drawn.
"""

import argparse
import collections
import csv
import json
import os
import pathlib
import pty
import re
import sys
import tempfile
import time

import cv2
import numpy as np

SIDE = 300  # pixels
DRAWN = 512  # pixels a side before the camera
TILT = 3.0  # degrees
DEFECTIVE = 5  # every so manieth device has a pore
SHARES = (0.1, 0.3, 0.5, 0.8)  # of the pairs; there the time left is compared


def device(number: int, seed: int) -> np.ndarray:
    """One photograph of one casting, uint8 RGB `(SIDE, SIDE, 3)`."""
    random = np.random.default_rng((seed, number))
    y, x = np.mgrid[:DRAWN, :DRAWN].astype(np.float32)
    centre = DRAWN / 2 + random.normal(0, 2, 2)
    x, y = x - centre[0], y - centre[1]
    radius, angle = np.hypot(x, y) / DRAWN, np.arctan2(y, x)
    levels = np.select(
        [radius < 0.06, radius < 0.13, radius < 0.36, radius < 0.43],
        [60.0, 175.0, 140.0, 190.0],
        225.0,
    ).astype(np.float32)
    vane = np.cos(7 * (angle + 6 * radius) + random.normal(0, 0.05)) > 0.8
    levels[vane & (radius > 0.13) & (radius < 0.36)] = 165
    levels += 12 * (x * random.normal(0.6, 0.2) + y * random.normal(0.3, 0.2)) / DRAWN
    metal = radius < 0.43
    levels += metal * (7 * _texture(random, 1.5) + 5 * _texture(random, 12))
    for _ in range(random.integers(3, 9)):  # what every casting has
        _spot(levels, random, size=(1, 4), depth=25)
    if number % DEFECTIVE == 0:
        _spot(levels, random, size=(6, 12), depth=80)
    seen = cv2.resize(levels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    colours = seen[..., None] * np.float32([1.0, 0.98, 0.94])
    colours += random.normal(0, 1.2, colours.shape)
    return np.clip(np.rint(colours), 0, 255).astype(np.uint8)


def _texture(random: np.random.Generator, coarse: float) -> np.ndarray:
    white = random.normal(0, 1, (DRAWN, DRAWN)).astype(np.float32)
    texture = cv2.GaussianBlur(white, (0, 0), coarse)
    return texture / texture.std()


def _spot(levels: np.ndarray, random: np.random.Generator, *, size, depth) -> None:
    """A pore at a random place of the disc."""
    angle, radius = random.uniform(0, 2 * np.pi), random.uniform(0.15, 0.4)
    place = DRAWN / 2 + DRAWN * radius * np.array([np.cos(angle), np.sin(angle)])
    spot = np.zeros_like(levels)
    cv2.circle(spot, place.astype(int).tolist(), int(random.integers(*size)), 1, -1)
    levels -= depth * cv2.GaussianBlur(spot, (0, 0), 1)


def copy(
    pixels: np.ndarray, number: int, random: np.random.Generator, most: float
) -> np.ndarray:
    """The `number`th copy of a photograph, tilted by at most so many degrees."""
    turned = np.rot90(pixels, number % 4)
    turned = np.ascontiguousarray(turned[:, ::-1] if number // 4 % 2 else turned)
    if number % 3 == 1:
        brighter = turned * random.uniform(0.85, 1.1)
        turned = np.clip(np.rint(brighter), 0, 255).astype(np.uint8)
    if number % 3 == 2:
        middle, degrees = ((SIDE - 1) / 2,) * 2, random.uniform(-most, most)
        way = cv2.getRotationMatrix2D(middle, degrees, 1)
        border = cv2.BORDER_REPLICATE
        turned = cv2.warpAffine(turned, way, (SIDE, SIDE), borderMode=border)
    return turned


def draw(raw: pathlib.Path, devices: int, copies: int, seed: int, most: float) -> None:
    """Writes the set: `good` and `defect`, each file named by its device."""
    for number in range(devices):
        random = np.random.default_rng((seed, number, 1))
        folder = raw / ("good" if number % DEFECTIVE else "defect")
        folder.mkdir(parents=True, exist_ok=True)
        first = None
        for k in range(copies):
            pixels = device(number, seed) if k == 0 else copy(first, k, random, most)
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(75, 96))]
            _, content = cv2.imencode(".jpg", pixels[..., ::-1], quality)
            if k == 0:  # the others are made of what this file shows
                first = cv2.imdecode(content, cv2.IMREAD_COLOR)[..., ::-1]
            (folder / f"device{number:04}_{k:02}.jpg").write_bytes(content.tobytes())


def prepared(raw: pathlib.Path, out: pathlib.Path) -> dict:
    """Runs the command; its use of the machine, and what its bar showed when."""
    argv = ["prepare", str(raw), "--out", str(out), "--fresh"]
    child, terminal = pty.fork()
    if not child:
        os.environ |= {"TERM": "xterm", "COLUMNS": "100"}
        os.execv(sys.executable, [sys.executable, "-m", "nexperia_tf", *argv])
    shown, said, start = [], "", time.monotonic()
    for text in _lines(terminal):
        said = (said + text)[-2000:]
        for share, left in _BAR.findall(text):
            seconds = sum(int(n) * 60**k for k, n in enumerate(left.split(":")[::-1]))
            now = time.monotonic() - start
            shown.append((now, int(share) / 100, seconds, _cpu(child)))
    _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(said)
    return {
        "wall": time.monotonic() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss / 1024,
        "shown": shown,
    }


_BAR = re.compile(r"Verifying pairs\D*?(\d+)%\D*?(\d+:\d+:\d+)")
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _lines(terminal: int):
    """What a command draws, without its colours, until it ends."""
    while True:
        try:
            text = os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # as Linux says that the other end is closed
            return
        if not text:
            return
        yield _COLOURS.sub("", text)


def _cpu(process: int) -> float:
    """Seconds of CPU of a process that runs."""
    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(out: pathlib.Path, used: dict) -> None:
    """Prints what was measured and found."""
    summary = json.loads((out / "summary.json").read_text())
    pairs = _number(summary, "candidates")
    print(
        f"{used['cpu']:.0f} s of CPU, {used['wall']:.0f} s by the clock, peak "
        f"{used['peak']:.0f} MB; {pairs:,} candidate pairs"
    )
    shown = used["shown"]
    if shown:
        busy = shown[-1][3] - shown[0][3]
        print(f"verifying: {busy:.1f} s of CPU, {1000 * busy / pairs:.2f} ms a pair")
    for share in SHARES:
        reached = [one for one in shown if one[1] >= share][:1]
        for now, part, left, _ in reached:
            true = shown[-1][0] - now
            print(f"at {part:.0%}: {left} s left on the bar, {true:.0f} in truth")
    with (out / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    group = {row["path"]: row["twin_group"] or row["cluster"] or None for row in rows}
    found = collections.defaultdict(collections.Counter)
    for path, name in group.items():
        device_of = pathlib.PurePosixPath(path).name.split("_")[0]
        found[device_of][name or path] += 1
    tied = sum(max(names.values()) for names in found.values())
    whole = sum(len(names) == 1 for names in found.values())
    held = collections.Counter(name for names in found.values() for name in names)
    mixed = sum(devices > 1 for devices in held.values())
    print(
        f"tied to their device {tied} of {len(rows)} files; whole {whole} of "
        f"{len(found)} devices; groups that hold two devices {mixed}"
    )
    print(f"pairs by kind {_number(summary, 'pairs')}")


def _number(tree: dict, name: str):
    """The value of a key, wherever it lies."""
    if name in tree:
        return tree[name]
    inner = (_number(value, name) for value in tree.values() if isinstance(value, dict))
    return next((value for value in inner if value is not None), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", type=int, default=300)
    parser.add_argument("--copies", type=int, default=24)
    parser.add_argument("--any-angle", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--raw", type=pathlib.Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        raw = options.raw or pathlib.Path(place) / "raw"
        if not options.raw:
            most = 180.0 if options.any_angle else TILT
            draw(raw, options.devices, options.copies, options.seed, most)
        out = pathlib.Path(place) / "prepared"
        report(out, prepared(raw, out))


if __name__ == "__main__":
    main()
