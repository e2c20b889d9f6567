"""Draws the carrier tape: a pocket, its empty floor, or the guide beside it."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np

from nexperia_tf.sample import canvas
from nexperia_tf.sample.look import Look

# Points of the pocket's left half, in pixels of a frame whose pocket is centred.
_FINE = (((31, 32), (28, 40), (29, 68)), ((83, 192), (91, 200), (92, 212)))
_EDGES = (
    ((28, 110), (28, 186), (36, 190), (80, 190)),
    ((104, 212), (99, 226), (101, 242), (108, 245)),
)
_MARKS = (((45, 23), (74, 23)), ((45, 27), (74, 27)))

# A tape's edge, and the areas outside it.
_WAVE = np.array([(x, 2.0 * math.sin(x / 60.0)) for x in range(-10, 300, 20)])
_ABOVE = np.concatenate([_WAVE, [(300, -60), (-20, -60)]])
_BELOW = np.concatenate([_WAVE, [(300, 40), (-20, 40)]])


def pocket(look: Look) -> np.ndarray:
    """The tape and its pocket without a device, uint8 of shape `(267, 275)`."""
    random = canvas.stream(look.key, canvas.POCKET)
    frame = np.full((canvas.HEIGHT, canvas.WIDTH), look.floor, np.uint8)
    if look.mesh:
        _cracks(frame, random, look.floor)
    _tape_edges(frame, random, look.floor, look.pocket[1])
    _walls(frame, random, look)
    clouds = canvas.mottle(random, frame.shape, 48) // 32
    frame = cv2.subtract(cv2.add(frame, clouds), 4)
    _inner_lines(frame, random, look)
    canvas.path(frame, [(113, 246), (142, 246)], look.floor + 15, 2, at=look.pocket)
    return frame


def empty(frame: np.ndarray, look: Look) -> None:
    """Adds what only an empty pocket shows: the floor's hole, its edges, flares."""
    random = canvas.stream(look.key, canvas.DEVICE)
    floor, (dx, dy) = look.floor, look.pocket
    ring = canvas.star(np.full(61, random.uniform(39, 50)))
    for start in range(0, 60, 3):  # brighter at its sides
        shade = floor + 18 + int(16 * abs(math.cos(math.radians(6 * start))))
        canvas.path(frame, ring[start : start + 4], shade, at=(140 + dx, 132 + dy))
    wall = floor + int(random.integers(25, 60))
    for level, run in (
        (wall, ((25, 35), (27, 80), (29, 120), (26, 185), (30, 189))),
        (floor + 14, ((30, 189), (60, 190), (86, 188))),
        (floor + 60, ((86, 188), (95, 191), (100, 202))),
        (floor + 12, ((96, 212), (97, 228), (100, 231), (137, 230))),
    ):
        _on_both_sides(frame, look, [run], level)
    for _ in range(int(random.integers(1, 4))):
        _flare(frame, random)


def guide(look: Look) -> np.ndarray:
    """The camera moved onto the metal guide: brushed grey with a ragged edge."""
    random = canvas.stream(look.key, canvas.POCKET)
    shape = (canvas.HEIGHT, canvas.WIDTH)
    streaks = canvas.bell(random, (1, shape[1]), 9) + canvas.bell(random, shape, 4)
    frame = np.clip(125 + streaks, 0, 255).astype(np.uint8)
    edge = int(random.integers(25, 60))
    frame[:, :edge] = look.floor
    rows = np.arange(0, canvas.HEIGHT + 8, 6)
    ragged = canvas.bell(random, (1, len(rows)), 2)[0]
    canvas.path(frame, np.stack([ragged, rows], axis=1), 235, 4, at=(edge, 0))
    glow = np.zeros_like(frame)
    ends = random.uniform(-20, 230, 2)
    smear = [(ends[0], 290), (ends.mean() + 15, 140), (ends[1], -25)]
    width = int(random.integers(10, 26))
    canvas.path(glow, canvas.curve(*smear), 45, width, at=(edge, 0))
    return cv2.add(frame, cv2.GaussianBlur(glow, (0, 0), 6))


def _on_both_sides(frame, look: Look, runs, level: int, thickness: int = 1) -> None:
    """Draws smooth paths of the pocket's left half, and mirrored those of the right."""
    canvas.paths(frame, _smooth(tuple(runs)), level, thickness, at=look.pocket)


@functools.lru_cache(4096)
def _smooth(runs: tuple) -> list[np.ndarray]:
    """Smooth paths through few points, and their mirror images."""
    smooth = [canvas.curve(*run) for run in runs]
    return smooth + [(canvas.WIDTH - 1, 0) + run * (-1, 1) for run in smooth]


def _inner_lines(frame, random, look: Look) -> None:
    """Rounded inner frame, recess of the lower lead, marks above the upper leads."""
    floor = look.floor
    faint = floor + int(random.integers(8, 18))
    bright = floor + int(random.integers(15, 75))
    bright_recess = floor + int(random.integers(15, 75))
    low, high = int(random.integers(75, 185)), int(random.integers(50, 80))
    y = int(random.integers(200, 218))
    broad = (
        ((26, 33), (20, 42), (18, 62), (17, low)),
        ((93, y + 14), (90, y + 22), (92, 241)),
    )
    _on_both_sides(frame, look, broad, faint, 2)
    _on_both_sides(frame, look, _FINE, faint)
    _on_both_sides(frame, look, _EDGES, floor + 9)
    _on_both_sides(frame, look, _MARKS, floor + 10, 2)
    _on_both_sides(frame, look, [((25, 33), (21, 42), (20, high))], bright)
    glint = ((97, y), (93, y + 12), (92, y + 22))
    _on_both_sides(frame, look, [glint], bright_recess, 2)


def _tape_edges(frame, random, floor: int, dy: float) -> None:
    """Thin light lines above and below the pocket; darker tape outside them."""
    dark = max(18, floor - int(random.integers(8, 18)))
    top = (0.0, float(np.clip(random.normal(7 + dy, 6), -8, 30)))
    canvas.area(frame, _ABOVE, dark, at=top)
    if random.random() < 0.6:
        level = floor + int(random.integers(12, 45))
        canvas.path(frame, _WAVE, level, int(random.integers(1, 4)), at=top)
    bottom = (0.0, float(np.clip(random.normal(258 + dy, 6), 245, 275)))
    canvas.area(frame, _BELOW, dark, at=bottom)
    if random.random() < 0.4:
        level = floor + int(random.integers(15, 50))
        canvas.path(frame, _WAVE, level, int(random.integers(1, 3)), at=bottom)
    if random.random() < 0.12:  # the frame sits high: a wavy smile, round corners
        y = float(random.uniform(247, 258))
        left = [(3, 210), (5, y - 8), (14, y + 2), (60, y + 4), (110, y + 1)]
        right = [(150, y), (200, y + 5), (262, y + 1), (271, y - 10), (272, 210)]
        level = floor + int(random.integers(50, 110))
        canvas.path(frame, canvas.curve(*left, *right), level, 3)


def _walls(frame, random, look: Look) -> None:
    """Beaded bright walls at both sides; the lower end bends inwards."""
    margin = 48
    rows = np.arange(30, 231, 10)
    bends = random.uniform(6, 11, 2)
    x = 2.5 + np.outer(bends, np.maximum((rows - 180) / 50.0, 0) ** 2)
    x += canvas.bell(random, x.shape, 8) / 20
    if look.dent:
        x[0] += look.dent * np.exp(-(((rows - 120) / 25.0) ** 2))
    x[1] = 2 * margin - 1 - x[1]  # both sides are drawn on one strip
    walls = np.zeros((canvas.HEIGHT, 2 * margin), np.uint8)
    runs = np.stack([x, np.broadcast_to(rows, x.shape)], axis=2)
    thickness = int(random.integers(2, 5))
    canvas.paths(walls, runs, 90, thickness + 2, at=look.pocket)
    canvas.paths(walls, runs, 255, thickness, at=look.pocket)
    beads = canvas.bell(random, walls.shape, 14) - 50
    beads += canvas.mottle(random, walls.shape, 35) // 3
    levels = look.floor + random.integers(40, 110, 2)
    beads += np.repeat(levels, margin).astype(np.int16)
    shade = np.clip(beads, look.floor + 12, 250).astype(np.uint8)
    for side, half in (
        (np.s_[:, :margin], np.s_[:, :margin]),
        (np.s_[:, -margin:], np.s_[:, margin:]),
    ):
        frame[side] = canvas.mix(frame[side], shade[half], walls[half])


def _cracks(frame, random, floor: int) -> None:
    """A net of fine dark cracks with cells of 15 to 30 pixels."""
    cell = int(random.integers(16, 26))
    rows, columns = canvas.HEIGHT // (cell // 2) + 2, canvas.WIDTH // cell + 2
    x = np.arange(columns) * cell + canvas.bell(random, (rows, columns), 4)
    y = np.arange(rows)[:, None] * (cell // 2)
    y = y + canvas.bell(random, (rows, columns), 2.5)
    level = floor - int(random.integers(7, 15))
    nodes = np.stack([x, y], axis=2)
    risers = np.stack([nodes[:-1:2], nodes[1::2][: rows // 2]], axis=2)
    canvas.paths(frame, nodes, level)
    canvas.paths(frame, risers.reshape(-1, 2, 2), level)


def _flare(frame, random) -> None:
    """A crinkled reflection of the cover tape near the border."""
    x = random.choice([random.uniform(0, 60), random.uniform(205, 275)])
    y = random.choice([random.uniform(5, 70), random.uniform(180, 260)])
    glow = np.zeros_like(frame)
    size = random.uniform(7, 30)
    turn = random.uniform(0, 6)
    cos, sin = math.cos(turn), math.sin(turn)
    squeeze = np.array([(cos, sin), (-0.45 * sin, 0.45 * cos)])
    for scale, level in ((1.5, 40), (1.0, 90), (0.6, 180), (0.35, 255)):
        reach = size * scale * random.uniform(0.5, 1.3, 18)
        canvas.area(glow, canvas.star(reach) @ squeeze, level, at=(x, y))
    glow = cv2.GaussianBlur(glow, (0, 0), 1.5)
    crinkles = cv2.add(canvas.mottle(random, frame.shape, 5), 60)
    cv2.add(frame, cv2.min(glow, crinkles), dst=frame)
