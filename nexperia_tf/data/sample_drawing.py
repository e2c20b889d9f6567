"""Draws one SOT23 device in its tape pocket, upside down under dark-field light.

A device is described by a frozen `Look` and drawn by `render`; every random detail of
the drawing comes from streams keyed by the look, so a changed look (a bent lead, no
marking) leaves every other pixel as it was. Only integer paths of OpenCV and numpy
touch pixels: the same look gives the same bytes on any machine.
"""

from __future__ import annotations

import dataclasses
import math
import statistics

import cv2
import numpy as np

from nexperia_tf.data import sample_marking

WIDTH, HEIGHT = 275, 267
BODY = (102, 43)  # half width and half height of the moulded body, pixels
LEAD_NAMES = ("top_left", "top_right", "bottom")

# The device is drawn upright on a layer of its own and then turned into the frame.
_LAYER = (236, 264)  # rows, columns
_CENTRE = (_LAYER[1] // 2, _LAYER[0] // 2)
_LEAD_ORIGIN = {"top_left": (-86, -92), "top_right": (54, -92), "bottom": (-17, 41)}
_LEAD_SHAPE = (50, 30)  # rows, columns

# Streams of random numbers of one device.
LOOK, POCKET, DEVICE, DEFECT, NOISE, SPECKS = range(6)

# 256 equally likely values of a normal variable: noise from bytes, free of rounding.
_QUANTILES = np.array(
    [statistics.NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)]
)


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where the body's centre lies in the frame (pixels) and its angle (degrees)."""

    x: float = 131.0
    y: float = 140.0
    angle: float = 0.0

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Moves `(n, 2)` points, pixels from the body's centre, into the frame."""
        angle = math.radians(self.angle)
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        return np.asarray(points, float) @ turn.T + (self.x, self.y)


@dataclasses.dataclass(frozen=True)
class Lead:
    """One lead.

    Attributes:
        foot: grey level of the foot.
        length: visible rows, 50 when whole.
        shift: sideways offset of the foot against the knee, pixels.
        flat: a plain saturated block, as seen on a tilted device.
    """

    foot: int = 140
    length: int = 50
    shift: float = 0.0
    flat: bool = False


@dataclasses.dataclass(frozen=True)
class Look:
    """Everything that is seen on one frame, except what lies on top of the device.

    Attributes:
        key: names the random streams of this device.
        floor: grey level of the pocket's floor.
        body: levels by which the body is brighter than the floor.
        focus: sigma of the blur, pixels.
        noise: standard deviation of the sensor noise, levels.
        mesh: the net of fine dark cracks that some machines show.
        lines: weak horizontal scan lines.
        pepper: isolated black pixels.
        pocket: offset of the pocket in the frame, pixels.
        pose: of the device in the frame.
        marking: what the laser wrote, None for a blank body.
        leads: top left, top right and bottom; None where one is missing.
        specks: number of harmless specks on body and floor.
        device: False for an empty pocket.
        tilted: the device stands on edge and shows a bright bar.
        dent: deformation of the pocket's wall, pixels.
        guide: the camera looks at the metal guide instead of a pocket.
    """

    key: tuple[int, ...]
    floor: int = 42
    body: int = 12
    focus: float = 0.7
    noise: float = 2.0
    mesh: bool = False
    lines: bool = False
    pepper: bool = False
    pocket: tuple[float, float] = (0.0, 0.0)
    pose: Pose = Pose()
    marking: sample_marking.Marking | None = None
    leads: tuple[Lead | None, Lead | None, Lead | None] = (Lead(), Lead(), Lead())
    specks: int = 2
    device: bool = True
    tilted: bool = False
    dent: float = 0.0
    guide: bool = False


def stream(key: tuple[int, ...], part: int) -> np.random.Generator:
    """The random numbers of one part of one device."""
    return np.random.default_rng([*key, part])


def bell(random: np.random.Generator, shape: tuple[int, int], sd: float) -> np.ndarray:
    """Integer normal noise, int16 of `shape`."""
    table = np.rint(_QUANTILES * sd).astype(np.int16)
    count = shape[0] * shape[1]
    return table[np.frombuffer(random.bytes(count), np.uint8)].reshape(shape)


def mottle(
    random: np.random.Generator, shape: tuple[int, int], grain: float
) -> np.ndarray:
    """Cloudy texture, uint8 of `shape` over 0-255; `grain` is the size of a cloud."""
    rows = max(2, math.ceil(shape[0] / grain))
    columns = max(2, math.ceil(shape[1] / grain))
    coarse = np.frombuffer(random.bytes(rows * columns), np.uint8)
    return cv2.resize(
        coarse.reshape(rows, columns),
        (shape[1], shape[0]),
        interpolation=cv2.INTER_LINEAR_EXACT,
    )


def mix(under: np.ndarray, over: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`over` seen through `alpha` (0-255) on `under`, all uint8, in integers."""
    alpha = alpha.astype(np.int32)
    blend = under * (255 - alpha) + over * alpha + 127
    return (blend // 255).astype(np.uint8)


def subpixels(points: np.ndarray) -> np.ndarray:
    """Points in pixels as the fixed-point integers that cv2 draws with."""
    scale = 1 << sample_marking.SUBPIXEL_BITS
    return np.rint(np.asarray(points, float) * scale).astype(np.int32)


def path(image: np.ndarray, points: np.ndarray, level: int, thickness: int = 1) -> None:
    """Draws an antialiased open path through `(n, 2)` points, in place."""
    cv2.polylines(
        image,
        [subpixels(points)],
        False,
        int(level),
        thickness,
        cv2.LINE_AA,
        sample_marking.SUBPIXEL_BITS,
    )


def area(image: np.ndarray, points: np.ndarray, level: int) -> None:
    """Fills an antialiased polygon, in place."""
    cv2.fillPoly(
        image,
        [subpixels(points)],
        int(level),
        cv2.LINE_AA,
        sample_marking.SUBPIXEL_BITS,
    )


def render(look: Look) -> np.ndarray:
    """The frame as light reaches the sensor: in full focus and free of noise.

    Returns:
        uint8 of shape `(267, 275)`.
    """
    if look.guide:
        return _guide(look)
    frame = _pocket(look)
    if look.device:
        values, mask = _device(look)
        seen = _turned(np.dstack([values, mask]), look.pose)
        through = 255 - seen[:, :, 1].astype(np.uint16)
        under = (frame * through + 127) // 255
        frame = cv2.add(under.astype(np.uint8), seen[:, :, 0])
    else:
        _hole(frame, look)
    _specks(frame, look)
    return frame


def expose(frame: np.ndarray, look: Look, *, shot: int = 0) -> np.ndarray:
    """What the sensor makes of a frame: out of focus and noisy.

    Args:
        frame: uint8 of shape `(267, 275)`, as `render` gives it.
        look: the frame's look.
        shot: another photograph of the same device has another number.

    Returns:
        uint8 of shape `(267, 275)`.
    """
    random = stream((*look.key, shot), NOISE)
    frame = cv2.GaussianBlur(frame, (0, 0), look.focus)
    # Neighbouring pixels of the camera are correlated by about one half.
    clouds = bell(random, frame.shape, 2.2 * look.noise)
    clouds = cv2.GaussianBlur((clouds + 128).astype(np.uint8), (0, 0), 0.8)
    noise = clouds.astype(np.int16) - 128 + bell(random, frame.shape, 0.7 * look.noise)
    if look.lines:
        noise += bell(random, (HEIGHT, 1), 1.2)
    if look.pepper:
        count = 250
        rows = random.integers(0, HEIGHT, count)
        noise[rows, random.integers(0, WIDTH, count)] -= 60
    return cv2.add(frame, noise, dtype=cv2.CV_8U)


def _pocket(look: Look) -> np.ndarray:
    """The tape and its pocket without a device."""
    random = stream(look.key, POCKET)
    floor, (dx, dy) = look.floor, look.pocket
    frame = np.full((HEIGHT, WIDTH), floor, np.uint8)
    if look.mesh:
        _cracks(frame, random, floor)
    _tape_edges(frame, random, floor, dy)
    _walls(frame, random, look)

    def at(*points):
        return np.array(points, float) + (dx, dy)

    faint = floor + int(random.integers(8, 20))
    bright = floor + int(random.integers(25, 70))
    for side in (1, -1):  # the right half mirrors the left one

        def mirrored(*points, side=side):
            return at(*((x if side == 1 else 274 - x, y) for x, y in points))

        y1, y2 = random.integers(70, 100), random.integers(50, 75)
        path(frame, mirrored((26, 33), (21, 45), (19, 60), (18, y1)), faint, 2)
        path(frame, mirrored((25, 34), (21, 46), (20, y2)), bright)
        path(frame, mirrored((32, 33), (29, 40), (30, 68)), faint)
        # S-curve of the recess for the lower lead
        path(frame, mirrored((86, 196), (91, 206), (93, 222), (98, 240)), faint, 2)
        y1 = int(random.integers(200, 218))
        path(frame, mirrored((97, y1), (94, y1 + 12), (92, y1 + 24)), bright, 2)
        path(frame, mirrored((102, 212), (99, 225), (102, 241)), faint)
        x = 45 if side == 1 else 274 - 214
        path(frame, mirrored((x, 23), (x + 29, 23)), floor + 9, 2)
        path(frame, mirrored((x, 27), (x + 29, 27)), floor + 12)
    path(frame, at((113, 246), (142, 246)), floor + 16, 2)
    return frame


def _tape_edges(frame, random, floor, dy) -> None:
    """Thin light lines above and below the pocket; darker tape outside them."""
    dark = max(18, floor - int(random.integers(8, 18)))
    wave = np.array([(x, 2.0 * math.sin(x / 60.0)) for x in range(-10, 300, 20)])
    top = float(np.clip(random.normal(7 + dy, 6), -8, 30))
    band = np.concatenate([wave + (0, top), [(300, -20), (-20, -20)]])
    area(frame, band, dark)
    if random.random() < 0.6:
        level = floor + int(random.integers(12, 45))
        path(frame, wave + (0, top), level, int(random.integers(1, 4)))
    bottom = float(np.clip(random.normal(258 + dy, 6), 245, 275))
    band = np.concatenate([wave + (0, bottom), [(300, 290), (-20, 290)]])
    area(frame, band, dark)
    if random.random() < 0.45:
        level = floor + int(random.integers(15, 60))
        path(frame, wave + (0, bottom), level, int(random.integers(1, 4)))
        if bottom < 257:  # the frame sits high: a wavy smile with round corners
            smile = np.array(
                [(4, 215), (6, 240), (18, bottom + 2), (60, bottom + 4),
                 (130, bottom), (200, bottom + 5), (258, bottom + 2), (270, 240)]
            )  # fmt: skip
            path(frame, smile, level + 45, 3)


def _walls(frame, random, look) -> None:
    """Beaded bright walls at both sides; the lower end bends inwards."""
    floor, (dx, dy) = look.floor, look.pocket
    rows = np.arange(30, 231, 5)
    for side in (1, -1):
        level = floor + int(random.integers(40, 110))
        bend = float(random.uniform(5, 10))
        thickness = int(random.integers(3, 6))
        beads = bell(random, (1, len(rows)), 14)[0]
        columns = 6.5 + bend * np.clip((rows - 180) / 50.0, 0, None) ** 2
        if side == 1 and look.dent:
            columns = columns + look.dent * np.exp(-(((rows - 120) / 25.0) ** 2))
        x = columns if side == 1 else 274 - columns
        points = np.stack([x + dx, rows + dy], axis=1)
        for k in range(len(rows) - 1):
            shade = int(np.clip(level + beads[k], 0, 250))
            path(frame, points[k : k + 2], shade, thickness)


def _cracks(frame, random, floor) -> None:
    """A net of fine dark cracks with cells of 15 to 30 pixels."""
    cell = int(random.integers(16, 26))
    rows, columns = HEIGHT // (cell // 2) + 2, WIDTH // cell + 2
    y, x = np.mgrid[0:rows, 0:columns] * np.array([cell // 2, cell]).reshape(2, 1, 1)
    x = x + bell(random, x.shape, 4)
    y = y + bell(random, y.shape, 2.5)
    level = floor - int(random.integers(3, 8))
    for k in range(rows):
        path(frame, np.stack([x[k], y[k]], axis=1), level)
    for k in range(0, rows - 1, 2):
        for c in range(columns):
            path(frame, [(x[k, c], y[k, c]), (x[k + 1, c], y[k + 1, c])], level)


def _hole(frame, look) -> None:
    """What an empty pocket shows: the floor's hole, recess and cover-tape flares."""
    random = stream(look.key, DEVICE)
    floor, (dx, dy) = look.floor, look.pocket
    radius = float(random.uniform(39, 50))
    for start in range(0, 360, 12):
        angles = np.radians([start, start + 6, start + 12])
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius
        shade = floor + 18 + int(14 * abs(math.cos(math.radians(start))))
        path(frame, ring + (140 + dx, 132 + dy), shade)
    for x in (27, 254):
        bow = 2.0 if x == 27 else -2.0
        wall = np.array([(x - bow, 35), (x, 80), (x + bow, 120), (x - bow, 185)])
        path(frame, wall + (dx, dy), floor + int(random.integers(25, 50)))
    level = floor + 14
    for run in (
        [(26, 186), (60, 189), (86, 188)],
        [(252, 186), (220, 187), (188, 188)],
    ):
        path(frame, np.array(run) + (dx, dy), level)
    for side in (1, -1):
        arc = np.array([(88, 188), (95, 193), (100, 202)], float)
        if side == -1:
            arc[:, 0] = 280 - arc[:, 0]
        path(frame, arc + (dx, dy), floor + 60)
    path(frame, np.array([(98, 230), (183, 229)]) + (dx, dy), floor + 10)
    for _ in range(int(random.integers(1, 4))):
        _flare(frame, random)


def _flare(frame, random) -> None:
    """A crinkled reflection of the cover tape near the border."""
    x = float(random.choice([random.uniform(0, 60), random.uniform(205, 275)]))
    y = float(random.uniform(5, 250))
    glow = np.zeros_like(frame)
    size = float(random.uniform(6, 22))
    tilt = float(random.uniform(-0.6, 0.6))
    for scale, level in ((1.6, 50), (1.0, 110), (0.5, 255)):
        angles = np.radians(np.arange(0, 360, 30))
        reach = size * scale * random.uniform(0.6, 1.2, len(angles))
        outline = np.stack(
            [reach * np.cos(angles) * 0.6 + tilt * reach * np.sin(angles),
             reach * np.sin(angles)], axis=1
        )  # fmt: skip
        area(glow, outline + (x, y), level)
    glow = cv2.GaussianBlur(glow, (0, 0), 2.0)
    texture = mottle(random, frame.shape, 4)
    np.copyto(
        frame, cv2.add(frame, cv2.min(glow, cv2.add(texture, 90))), where=glow > 0
    )


def _guide(look) -> np.ndarray:
    """The camera moved onto the metal guide: brushed grey with a ragged edge."""
    random = stream(look.key, POCKET)
    frame = np.full((HEIGHT, WIDTH), 125, np.uint8)
    streaks = bell(random, (1, WIDTH), 9) + bell(random, (HEIGHT, WIDTH), 4)
    frame = cv2.add(frame, streaks, dtype=cv2.CV_8U)
    edge = int(random.integers(25, 60))
    frame[:, :edge] = look.floor
    ragged = np.arange(0, HEIGHT + 8, 6)
    jagged = np.stack([edge + bell(random, (1, len(ragged)), 2)[0], ragged], axis=1)
    path(frame, jagged, 235, 4)
    smear = np.array([(80, 270), (140, 150), (230, -5)]) + (edge - 40, 0)
    glow = np.zeros_like(frame)
    path(glow, smear, 45, 18)
    return cv2.add(frame, cv2.GaussianBlur(glow, (0, 0), 6))


def _device(look) -> tuple[np.ndarray, np.ndarray]:
    """The upright device: premultiplied levels and coverage, uint8 `_LAYER` each."""
    random = stream(look.key, DEVICE)
    values, mask = np.zeros(_LAYER, np.uint8), np.zeros(_LAYER, np.uint8)
    (cx, cy), (w, h) = _CENTRE, BODY
    level = look.floor + look.body
    body = (slice(cy - h, cy + h), slice(cx - w, cx + w))
    grain = bell(random, (2 * h, 2 * w), 2.5)
    values[body] = cv2.add(np.full_like(values[body], level), grain, dtype=cv2.CV_8U)
    mask[body] = 255
    edge = int(random.integers(12, 34))
    step = 5 + float(random.integers(0, 6))
    side = int(random.choice([1, -1]))
    outline = [
        ([(-w, -h), (-w, h)], level + edge),
        ([(w, -h), (w, h)], level + edge + int(random.integers(-6, 7))),
        ([(-w, -h), (w, -h)], level + edge // 3),
        ([(-w, h), (w, h)], level + edge // 3 + int(random.integers(0, 10))),
        ([(side * (w + step), -h + 3), (side * (w + step), h + 2)], look.floor + 13),
        ([(-w + 4, h + step), (w - 4, h + step)], look.floor + 7),
    ]
    for points, shade in outline:
        for layer, ink in ((values, shade), (mask, 255)):
            path(layer, np.array(points) + (cx - 0.5, cy - 0.5), ink)
    if look.marking is not None:
        sample_marking.draw(
            values, look.marking, centre=(cx - 0.5, cy - 0.5), body=level
        )
    for name, lead in zip(LEAD_NAMES, look.leads):
        if lead is not None:
            _lead(values, mask, name, lead, stream((*look.key, len(name)), DEVICE))
    if look.tilted:
        bar = np.array([(-w, -h), (w, -h + 3)]) + (cx, cy)
        for layer, ink in ((values, 230), (mask, 255)):
            path(layer, bar, ink, 6)
    return values, mask


def _lead(values, mask, name, lead, random) -> None:
    """Places one lead; rows run from the tip of the foot to the body."""
    block = _lead_levels(lead, random)
    rows, columns = block.shape
    cover = np.full(block.shape, 255, np.uint8)
    corner = int(random.integers(1, 4))
    cover[0, :corner] = cover[0, columns - corner :] = 0
    cover[1, :1] = cover[1, columns - 1 :] = 90
    hidden = rows - lead.length
    block, cover = block[hidden:], cover[hidden:]
    if name == "bottom":
        block, cover = block[::-1], cover[::-1]
    x, y = _LEAD_ORIGIN[name]
    x, y = x + _CENTRE[0], y + _CENTRE[1] + (0 if name == "bottom" else hidden)
    for k in range(len(block)):
        # A bent lead leaves the body straight and drifts sideways from the knee on.
        reach = (len(block) - k if name != "bottom" else k + 1) / rows
        x_row = x + round(lead.shift * max(0.0, reach - 0.35) / 0.65)
        there = (y + k, slice(x_row, x_row + columns))
        values[there] = mix(values[there], block[k], cover[k])
        mask[there] = np.maximum(mask[there], cover[k])


def _lead_levels(lead, random) -> np.ndarray:
    """Grey levels of a whole lead, uint8 of shape `_LEAD_SHAPE`."""
    rows, columns = _LEAD_SHAPE
    if lead.flat:
        return np.full((rows, columns), 252, np.uint8)
    bend, knee = 14 + int(random.integers(0, 3)), 27 + int(random.integers(-3, 3))
    profile = np.empty(rows)
    profile[:3] = lead.foot * 1.15
    profile[3:bend] = lead.foot
    profile[bend : bend + 2] = 74
    profile[bend + 2 : knee] = np.linspace(88, 78, knee - bend - 2)
    profile[knee - 3 : knee] = (100, 135, 180)
    profile[knee:] = 255
    profile[-5:] = (175, 150, 160, 150, 105)
    levels = profile[:, None] + bell(random, (rows, 1), 11) * (profile < 200)[:, None]
    levels = levels + bell(random, (rows, columns), 6)
    rough = knee + bell(random, (1, columns), 1.3)[0]
    below = np.arange(rows)[:, None]
    levels = np.where((below >= rough) & (below < rows - 5), 255, levels)
    levels[2:bend, :1] += 45  # light rims of the foot
    levels[2:bend, -2:] += int(random.integers(10, 90))
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _turned(layers: np.ndarray, pose: Pose) -> np.ndarray:
    """Moves upright layers into the frame, in fixed-point arithmetic throughout."""
    angle = math.radians(pose.angle)
    cos, sin = round(math.cos(angle) * 2**14), round(math.sin(angle) * 2**14)
    x = (32 * np.arange(WIDTH) - round(32 * pose.x)).astype(np.int32)[None, :]
    y = (32 * np.arange(HEIGHT) - round(32 * pose.y)).astype(np.int32)[:, None]
    # Source positions in 1/32 pixel, the fraction that cv2.remap works with.
    u = ((cos * x + sin * y) >> 14) + 32 * _CENTRE[0] - 16
    v = ((cos * y - sin * x) >> 14) + 32 * _CENTRE[1] - 16
    whole = np.dstack([u >> 5, v >> 5]).astype(np.int16)
    fraction = ((v & 31) * 32 + (u & 31)).astype(np.uint16)
    return cv2.remap(layers, whole, fraction, cv2.INTER_LINEAR)


def _specks(frame, look) -> None:
    """Harmless specks of one to four pixels; good devices have them too."""
    random = stream(look.key, SPECKS)
    for _ in range(look.specks):
        x, y = random.uniform(15, 260), random.uniform(20, 250)
        level = int(random.integers(80, 190))
        size = random.uniform(0.4, 2.0)
        angles = np.radians(np.arange(0, 360, 72))
        reach = size * random.uniform(0.5, 1.3, len(angles))
        blot = np.stack([reach * np.cos(angles), reach * np.sin(angles)], axis=1)
        area(frame, blot + (x, y), level)
