"""Draws one SOT23 device in its tape pocket, upside down under dark-field light.

Every random detail comes from streams keyed by the device, so a changed look (a bent
lead, no marking) leaves every other pixel as it was.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from nexperia_tf.sample import canvas, marking, pocket
from nexperia_tf.sample.look import LEAD_NAMES, Lead, Look, Pose

BODY = (102, 43)  # half width and half height of the moulded body, pixels

# The device is drawn upright on a layer of its own and then turned into the frame.
_LAYER = (236, 264)  # rows, columns
_CENTRE = (_LAYER[1] // 2, _LAYER[0] // 2)
_LEAD_ORIGIN = {"top_left": (-86, -92), "top_right": (54, -92), "bottom": (-17, 41)}
_FRAME = (canvas.WIDTH, canvas.HEIGHT)
_LEAD_SHAPE = (50, 30)  # rows, columns
_BEFORE_KNEE = np.array([[98], [135], [190]])
_AT_BODY = np.array([[175], [145], [160], [150], [105]])

_COVER = np.full(_LEAD_SHAPE, 255, np.uint8)
_COVER[0, :2] = _COVER[0, -2:] = 0  # rounded corners
_COVER[1, :1] = _COVER[1, -1:] = 90


def render(look: Look) -> np.ndarray:
    """The frame as light reaches the sensor: in full focus and free of noise.

    Returns:
        uint8 of shape `(267, 275)`.
    """
    if look.guide:
        return pocket.guide(look)
    frame = pocket.pocket(look)
    if look.device:
        values, mask = _device(look)
        _lay(frame, values, mask, look.pose)
    else:
        pocket.empty(frame, look)
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
    random = canvas.stream((*look.key, shot), canvas.NOISE)
    frame = cv2.GaussianBlur(frame, (0, 0), look.focus)
    noise = canvas.sensor_noise(random, frame.shape, look.noise)
    if look.lines:
        noise = noise + canvas.bell(random, (canvas.HEIGHT, 1), 1.2)
    if look.pepper:
        rows = random.integers(0, canvas.HEIGHT, 250)
        noise = noise.copy()
        noise[rows, random.integers(0, canvas.WIDTH, 250)] -= 60
    exposed = cv2.add(frame, noise, dtype=cv2.CV_8U)
    # Far beyond saturation there is no noise to be seen.
    return cv2.max(exposed, cv2.threshold(frame, 246, 255, cv2.THRESH_BINARY)[1])


def _device(look) -> tuple[np.ndarray, np.ndarray]:
    """The upright device: premultiplied levels and coverage, uint8 `_LAYER` each."""
    random = canvas.stream(look.key, canvas.DEVICE)
    values, mask = np.zeros(_LAYER, np.uint8), np.zeros(_LAYER, np.uint8)
    (cx, cy), (w, h) = _CENTRE, BODY
    level = look.floor + look.body
    body = (slice(cy - h, cy + h), slice(cx - w, cx + w))
    grain = canvas.bell(random, (2 * h, 2 * w), 2.5)
    grain = grain + canvas.mottle(random, (2 * h, 2 * w), 6) // 32 - 4
    values[body] = cv2.add(np.full_like(values[body], level), grain, dtype=cv2.CV_8U)
    mask[body] = 255
    edge = int(random.integers(18, 46))
    step = int(random.integers(5, 11))
    side = 1 - 2 * int(random.integers(2))
    low = edge // 3 + int(random.integers(0, 10))
    second_line = cx + side * (w + step)  # the mould's step shows as a second line
    for rows, columns, shade in (
        (body[0], cx - w, level + edge),
        (body[0], cx + w - 1, level + edge + int(random.integers(-8, 9))),
        (cy - h, body[1], level + edge // 3),
        (cy + h - 1, body[1], level + low),
        (slice(cy - h + 3, cy + h + 3), second_line, look.floor + 13),
        (cy + h + step, slice(cx - w + 4, cx + w - 4), look.floor + 7),
    ):
        values[rows, columns], mask[rows, columns] = shade, 255
    if look.marking is not None:
        marking.draw(values, look.marking, centre=(cx - 0.5, cy - 0.5), body=level)
    for name, lead, levels in zip(LEAD_NAMES, look.leads, _lead_levels(look, random)):
        if lead is not None:
            _lead(values, mask, name, lead, levels)
    if look.tilted:
        for layer, ink in ((values, 230), (mask, 255)):
            canvas.path(layer, [(-w, -h), (w, -h + 3)], ink, 6, at=_CENTRE)
    return values, mask


def _lead(values, mask, name: str, lead: Lead, levels: np.ndarray) -> None:
    """Places one lead; rows of `levels` run from the tip of the foot to the body."""
    rows = len(levels)
    cover = _COVER
    hidden = rows - lead.length
    levels, cover = levels[hidden:], cover[hidden:]
    if name == "bottom":
        levels, cover = levels[::-1], cover[::-1]
    x, y = _LEAD_ORIGIN[name]
    x, y = x + _CENTRE[0], y + _CENTRE[1] + (0 if name == "bottom" else hidden)
    if not lead.shift:
        _place(values, mask, levels, cover, x, y)
        return
    for k in range(lead.length):
        # A bent lead leaves the body straight and drifts sideways from the knee on.
        reach = (k + 1 if name == "bottom" else lead.length - k) / rows
        drift = round(lead.shift * max(0.0, reach - 0.35) / 0.65)
        row = slice(k, k + 1)
        _place(values, mask, levels[row], cover[row], x + drift, y + k)


def _place(values, mask, levels, cover, x: int, y: int) -> None:
    there = (slice(y, y + levels.shape[0]), slice(x, x + levels.shape[1]))
    values[there] = canvas.mix(values[there], levels, cover)
    mask[there] = np.maximum(mask[there], cover)


def _lead_levels(look: Look, random) -> np.ndarray:
    """Grey levels of three whole leads, uint8 of shape `(3, *_LEAD_SHAPE)`.

    Draws the same random numbers for any lead, a missing one too.
    """
    rows, columns = _LEAD_SHAPE
    below = np.arange(rows)[:, None]
    bends = 13 + random.integers(0, 4, 3)
    knees = 29 + random.integers(-2, 5, 3)
    tips = random.uniform(1.05, 1.5, 3)
    rims = random.integers(0, 110, 3)
    grain = canvas.bell(random, (3 * rows, columns), 8).reshape(3, rows, columns)
    brush = canvas.bell(random, (3 * rows, 1), 13).reshape(3, rows, 1)
    rough = knees[:, None, None] + canvas.bell(random, (3, columns), 1.5)[:, None, :]
    levels = np.empty((3, rows, columns))
    for k, lead in enumerate(look.leads):
        foot, bend, knee = lead.foot if lead else 0, bends[k], knees[k]
        levels[k] = np.where(below < bend, foot, 98 - (below - bend))
        levels[k, 1:4] *= tips[k]
        levels[k, bend : bend + 2] = 74
        levels[k, knee - 3 : knee] = _BEFORE_KNEE
        levels[k, knee:] = 250
        levels[k, 2:bend, :1] += 30  # light rims of the foot
        levels[k, 2:bend, -2:] += rims[k]
    levels[:, -5:] = _AT_BODY
    levels += grain
    levels += brush
    levels[(below >= rough) & (below < rows - 5)] = 255
    for k, lead in enumerate(look.leads):
        if lead and lead.flat:
            levels[k] = 252
    return np.clip(levels, 0, 255).astype(np.uint8)


def _lay(frame: np.ndarray, values: np.ndarray, mask: np.ndarray, pose: Pose) -> None:
    """Turns the upright device into the frame, in fixed-point arithmetic throughout."""
    angle = math.radians(pose.angle)
    cos, sin = round(math.cos(angle) * 2**14), round(math.sin(angle) * 2**14)
    corners = pose.to_frame([(-118, -95), (118, -95), (118, 95), (-118, 95)])
    x1, y1 = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(corners.max(axis=0)), _FRAME).astype(int)
    # Source positions in 1/32 pixel, the fraction that cv2.remap works with.
    x = 32 * np.arange(x1, x2) - round(32 * pose.x)
    y = 32 * np.arange(y1, y2) - round(32 * pose.y)
    origin = 32 * _CENTRE[0] - 16, 32 * _CENTRE[1] - 16
    u = _sum_of(sin * y >> 14, (cos * x >> 14) + origin[0])
    v = _sum_of(cos * y >> 14, (-sin * x >> 14) + origin[1])
    whole = cv2.merge([u >> 5, v >> 5])
    fraction = ((v & 31) << 5 | (u & 31)).view(np.uint16)
    layers = cv2.merge([values, mask])
    seen = cv2.remap(layers, whole, fraction, cv2.INTER_LINEAR)
    light, cover = cv2.split(seen)
    there = (slice(y1, y2), slice(x1, x2))
    under = cv2.multiply(frame[there], cv2.bitwise_not(cover), scale=1 / 255)
    frame[there] = cv2.add(under, light)


def _sum_of(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.add.outer(rows.astype(np.int16), columns.astype(np.int16))


def _specks(frame, look) -> None:
    """Harmless specks of one to four pixels; good devices have them too."""
    random = canvas.stream(look.key, canvas.SPECKS)
    share = random.random((look.specks, 9))
    outlines = canvas.star((0.4 + 1.6 * share[:, :1]) * (0.5 + 0.8 * share[:, 4:]))
    outlines += (15, 20) + share[:, None, 2:4] * (245, 230)
    levels = look.floor + 20 + (150 * share[:, 0] ** 2).astype(int)
    for outline, level in zip(outlines, levels):
        canvas.area(frame, outline, level)
