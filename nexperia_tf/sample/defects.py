"""Draws the defects of look-alike devices, from plain to barely visible.

A defect either changes the look (bent lead, missing marking, empty pocket) or is
painted over the finished frame (chipping, foreign material, scratch, glue). Its box
is measured, not computed: where the frame with the defect differs from the frame
without it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import cv2
import numpy as np

from nexperia_tf.sample import canvas, drawing
from nexperia_tf.sample.look import Lead, Look
from nexperia_tf.sample.visibility import Difficulty, Level

Box = tuple[int, int, int, int]  # x1, y1, x2, y2 in pixels, both corners inside

_W, _H = drawing.BODY


class Overlay:
    """Something that lies on the device: where, how bright and how large."""

    def __init__(self, look: Look, random: np.random.Generator, level: Level, shapes):
        self.look, self.random, self.shapes = look, random, shapes
        self.strength, self.size = level.strength, level.size
        self.alpha = np.zeros((canvas.HEIGHT, canvas.WIDTH), np.uint8)

    def area(self, points, opacity: int = 255) -> None:
        """Covers a polygon given in pixels from the body's centre."""
        canvas.area(self.alpha, self.look.pose.to_frame(points), opacity)

    def path(self, points, thickness: int = 1, opacity: int = 255) -> None:
        """Covers a path given in pixels from the body's centre; `size` thickens it."""
        place = self.look.pose.to_frame(points)
        canvas.path(self.alpha, place, opacity, round(self.size * thickness))

    def keep_on_body(self) -> None:
        """Takes away what would lie beside the body."""
        body = np.zeros_like(self.alpha)
        corners = [(-_W, -_H), (_W, -_H), (_W, _H), (-_W, _H)]
        canvas.area(body, self.look.pose.to_frame(corners), 255)
        cv2.min(self.alpha, body, dst=self.alpha)

    def paint(
        self,
        frame: np.ndarray,
        *,
        low: int,
        high: int,
        grain: float,
        cover: tuple[int, int] = (255, 255),
    ) -> None:
        """Lays mottled matter over the frame, in place.

        Args:
            frame: uint8, changed where the overlay covers it.
            low, high: grey levels between which the matter is mottled.
            grain: size of its clouds in pixels.
            cover: opacity under its darkest and brightest clouds.
        """
        x, y, w, h = cv2.boundingRect(self.alpha)
        if w == 0:
            return
        there = (slice(y, y + h), slice(x, x + w))
        coarse = canvas.mottle(self.random, (h, w), 2 * grain).astype(np.int32)
        cloud = (2 * coarse + canvas.mottle(self.random, (h, w), grain / 2)) // 3
        shade = low + (high - low) * cloud // 255
        opacity = cover[0] + (cover[1] - cover[0]) * cloud // 255
        strength = round(255 * self.strength)
        alpha = self.alpha[there].astype(np.int32) * opacity // 255 * strength // 255
        frame[there] = canvas.mix(
            frame[there], shade.astype(np.uint8), alpha.astype(np.uint8)
        )


def draw(
    look: Look, defect_type: str, level: str, difficulty: Difficulty
) -> tuple[np.ndarray, Look, Box]:
    """Draws a device with a defect.

    Args:
        look: the device as it would be without the defect.
        defect_type: what is wrong with it.
        level: how visible that is.
        difficulty: one of `visibility.LOOKS`, which says what the level means.

    Returns:
        The frame before exposure, the look it was drawn from, and the box around all
        that the defect changed, with the loose margin of a hand-drawn one.
    """
    random = canvas.stream(look.key, canvas.DEFECT)
    drawn = difficulty.levels[defect_type][level]
    shapes = difficulty.shapes.get(defect_type)
    if defect_type in CHANGES:
        changed = CHANGES[defect_type](look, random, drawn, shapes)
        frame = drawing.render(changed)
    else:
        changed = look
        frame = drawing.render(look)
    clean = frame.copy() if changed is look else drawing.render(look)
    if defect_type in OVERLAYS:
        OVERLAYS[defect_type](frame, Overlay(changed, random, drawn, shapes))
    margin = (3, 11) if defect_type == "lead_defect" else (0, 6)
    margins = [int(m) for m in random.integers(*margin, 4)]
    return frame, changed, _loose_box(clean, frame, look.focus, margins)


def _loose_box(clean, frame, focus, margins) -> Box:
    x, y, w, h = cv2.boundingRect(cv2.compare(clean, frame, cv2.CMP_NE))
    blur = math.ceil(3 * focus) + 1  # at least the reach of cv2's kernel for 8 bits
    x, y, w, h = x - blur, y - blur, w + 2 * blur, h + 2 * blur
    left, top, right, bottom = margins
    return (
        max(0, x - left),
        max(0, y - top),
        min(canvas.WIDTH - 1, x + w - 1 + right),
        min(canvas.HEIGHT - 1, y + h - 1 + bottom),
    )


# --- what lies on the device -------------------------------------------------------


def _chipping(frame, overlay: Overlay) -> None:
    """Mould compound broken off along the outline of the body."""
    random, size = overlay.random, overlay.size
    shares = {"corner": 0.26, "right": 0.14, "left": 0.13, "bottom": 0.11, "top": 0.07}
    shape = canvas.pick(random, {**shares, "frame": 0.13, "inside": 1.0})
    if shape == "corner":
        x, y = random.choice([-1, 1]), random.choice([-1, 1])
        a, b = size * random.uniform(20, 85), size * random.uniform(12, 46)
        corner = [(_W, _H), (_W - a, _H), (_W, _H - b), (_W, _H)]
        overlay.area(canvas.ragged(random, np.multiply(corner, (x, y)), 2.5))
    elif shape in ("left", "right"):
        side = -1 if shape == "left" else 1
        inner = side * (_W - size * random.uniform(10, 42))
        slope = random.uniform(-8, 8)
        low, high = -_H, _H
        if random.random() < 0.5:  # not over the whole height
            low = low + random.uniform(0, 45)
            high = max(low + 20, high - random.uniform(0, 45))
        strip = [(side * _W, low), (inner + slope, low), (inner - slope, high)]
        overlay.area(canvas.ragged(random, [*strip, (side * _W, high)], 2.5))
    elif shape in ("top", "bottom"):
        side = -1 if shape == "top" else 1
        length = random.uniform(60, 2 * _W)
        start = random.uniform(-_W, _W - length)
        inner = side * (_H - size * random.uniform(4, 13))
        strip = [(start, side * _H), (start + 4, inner), (start + length - 4, inner)]
        overlay.area(canvas.ragged(random, [*strip, (start + length, side * _H)], 2))
    elif shape == "frame":
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
        overlay.path(canvas.ragged(random, corners * (_W - 2, _H - 2), 1.5), 5)
    else:
        x = random.uniform(-70, 70)
        y = random.choice([-1, 1]) * random.uniform(18, 40)
        extent = size * random.uniform(35, 90), size * random.uniform(14, 40)
        overlay.area(canvas.blob(random, (x, y), *extent))
    overlay.paint(frame, low=95, high=215, grain=5, cover=(200, 255))


def _foreign_material(frame, overlay: Overlay) -> None:
    """A lump, spray, fibre, smear or tape residue on or beside the device."""
    random, size = overlay.random, overlay.size
    shape = canvas.pick(
        random, {"lump": 0.46, "spray": 0.12, "fibre": 0.20, "rope": 0.12, "tape": 1.0}
    )
    centre = np.array([random.uniform(-95, 95), random.uniform(-45, 48)])
    if shape == "lump":
        width, height = size * random.uniform(12, 60), size * random.uniform(9, 24)
        overlay.area(canvas.blob(random, centre, width, height))
        for _ in range(int(random.integers(0, 4))):
            aside = centre + random.uniform(-1.1, 1.1, 2) * (width, height)
            overlay.area(canvas.blob(random, aside, *random.uniform(2, 7, 2), points=6))
        overlay.paint(frame, low=180, high=255, grain=2.5, cover=(160, 255))
    elif shape == "spray":
        for _ in range(int(random.integers(25, 90))):
            place = random.uniform(-1, 1, 2) * (_W, _H)
            overlay.area(
                canvas.blob(
                    random, place, *(size * random.uniform(1.5, 5, 2)), points=6
                )
            )
        overlay.paint(frame, low=160, high=250, grain=6)
    elif shape == "fibre":
        thickness = int(random.integers(2, 6))
        overlay.path(
            _wander(random, centre, size * random.uniform(40, 170), 0.5), thickness
        )
        overlay.paint(frame, low=150, high=240, grain=8)
    elif shape == "rope":
        run = _wander(random, centre, size * random.uniform(25, 80), 0.35)
        for place in run[::2]:
            overlay.area(
                canvas.blob(random, place, *(size * random.uniform(4, 11, 2)), points=8)
            )
        overlay.paint(frame, low=150, high=255, grain=2, cover=(140, 255))
    else:
        side = size * random.uniform(18, 42)
        for _ in range(int(side * side / 14)):
            place = centre + random.uniform(-0.5, 0.5, 2) * side
            overlay.area(
                canvas.blob(random, place, *random.uniform(1.2, 3.5, 2), points=5)
            )
        overlay.paint(frame, low=110, high=220, grain=3)


def _wander(random, start, length: float, bend: float) -> np.ndarray:
    """A path of steps of four pixels that changes its direction a little each time."""
    steps = max(2, int(length / 4))
    turns = np.cumsum(canvas.bell(random, (1, steps), 16)[0] * (bend / 16))
    heading = random.uniform(0, 2 * np.pi) + turns
    offsets = 4 * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    run = np.cumsum(offsets, axis=0)
    run = run - run.mean(axis=0) + start
    return np.clip(run, (-125, -105), (135, 105))


def _scratch(frame, overlay: Overlay) -> None:
    """A brighter band across, rubbed letters, a scribble, or a short spike."""
    random, size = overlay.random, overlay.size
    shape = canvas.pick(random, overlay.shapes)
    if shape == "band":
        reach = size * random.uniform(8, 95)
        middle = random.uniform(-1, 1, 2) * (max(5, 95 - reach), 6)
        end = np.array([reach, random.choice([-1, 1]) * random.uniform(2, 40)])
        line = canvas.ragged(random, [middle - end, middle + end], 0.7)
        width = int(random.integers(3, 10))
        overlay.path(line, width, 110)
        overlay.path(line, max(1, width // 3), 200)
        cv2.GaussianBlur(overlay.alpha, (0, 0), 1.5, dst=overlay.alpha)
        overlay.keep_on_body()
        overlay.paint(frame, low=130, high=210, grain=5)
    elif shape == "rubbed":
        extent = random.uniform(22, 75), random.uniform(36, 80)
        centre = np.array([random.uniform(-75, 75), random.uniform(-12, 12)])
        slope = random.uniform(-1.2, 1.2)
        for _ in range(int(extent[1] * 0.9)):
            middle = centre + random.uniform(-0.5, 0.5, 2) * extent
            half = np.array([1, slope]) * random.uniform(4, extent[0] * 0.3)
            overlay.path([middle - half, middle + half], 1, 150)
        overlay.keep_on_body()
        overlay.paint(frame, low=115, high=205, grain=4)
    elif shape == "scribble":
        centre = np.array([-59 + random.uniform(-8, 8), random.uniform(-14, 14)])
        for _ in range(int(random.integers(5, 12))):
            loop = canvas.star(np.full(13, random.uniform(7, 18)))
            overlay.path(centre + random.uniform(-4, 4, 2) + loop, 1, 190)
        overlay.paint(frame, low=120, high=210, grain=4)
    else:
        start = random.uniform(-1, 1, 2) * (85, 34)
        end = start + random.uniform(-1, 1, 2) * (size * 40, size * 28)
        overlay.path(canvas.ragged(random, [start, end], 0.5), 2)
        overlay.paint(frame, low=110, high=190, grain=4)


def _lead_glue(frame, overlay: Overlay) -> None:
    """Mould resin that hides a part of a lead's bright knee next to the body."""
    random, size = overlay.random, overlay.size
    name = canvas.pick(random, {"top_right": 0.56, "top_left": 0.33, "bottom": 1.0})
    middle, away = {"top_right": 69, "top_left": -71, "bottom": -2}[name], -1
    if name == "bottom":
        away = 1
    near, far = _H - 2, _H + size * random.uniform(12, 24)
    left, right = middle - 17.0, middle + 17.0
    if random.random() < 0.6:  # one corner of the knee only
        cut = min(34.0, size * random.uniform(14, 24))
        if random.random() < 0.5:
            right = left + cut
        else:
            left = right - cut
    resin = [(left, near), (left, far), (right, far - 4), (right, near), (left, near)]
    overlay.area(canvas.ragged(random, np.array(resin) * (1, away), 1.2))
    overlay.paint(frame, low=45, high=105, grain=4)


def _pocket_damage(frame, overlay: Overlay) -> None:
    """Creases of the pocket's floor; the dent of the wall is part of the look."""
    random = overlay.random
    for _ in range(int(random.integers(3, 7))):
        start = np.array([random.uniform(-125, -85), random.uniform(-70, 70)])
        overlay.path(_wander(random, start, random.uniform(40, 120), 0.3), 2, 200)
    overlay.paint(frame, low=70, high=170, grain=6)


# --- what changes the device itself ------------------------------------------------


def _lead_defect(look: Look, random, level: Level, shapes) -> Look:
    """A bent, folded, short or missing lead."""
    strength, size = level.strength, level.size
    which = int(np.searchsorted([0.25, 0.60], random.random()))
    leads = list(look.leads)
    lead = leads[which]
    shape = canvas.pick(random, shapes)
    if shape == "tilted" and strength >= 0.5:
        return _on_edge(look, random)
    if shape == "bent":
        side = float(random.choice([-1, 1]))
        shift = side * size * max(2.5, strength * random.uniform(9, 15))
        foot = min(255, round(size * lead.foot))  # it turns towards the light
        leads[which] = dataclasses.replace(lead, shift=shift, foot=foot)
    elif shape == "folded" and strength >= 0.5:
        leads[which] = dataclasses.replace(lead, flat=True)
    elif shape == "short" or strength < 1:
        leads[which] = dataclasses.replace(
            lead, length=50 - max(4, round(size * strength * random.uniform(18, 32)))
        )
    else:
        leads[which] = None
    return dataclasses.replace(look, leads=tuple(leads))


def _marking_defect(look: Look, random, level: Level, shapes) -> Look:
    """A code that is missing, faded, doubled or partly unwritten."""
    marking, strength, size = look.marking, level.strength, level.size
    shape = canvas.pick(random, shapes)
    if shape == "faded" or strength < 0.3:
        contrast = round(marking.contrast * (1 - strength))
        if contrast < 4:
            return dataclasses.replace(look, marking=None)
        marking = dataclasses.replace(marking, contrast=contrast)
    elif shape == "doubled":
        offset = size * random.uniform(4, 9, 2) * random.choice([-1, 1], 2)
        marking = dataclasses.replace(
            marking,
            ghost=tuple(float(v) for v in offset),
            ghost_contrast=round(size * strength * marking.contrast),
        )
    else:
        count = min(4, max(1, round(size * strength * random.uniform(1, 4))))
        missing = tuple(int(p) for p in sorted(random.permutation(5)[:count]))
        marking = dataclasses.replace(marking, missing=missing)
    return dataclasses.replace(look, marking=marking)


def _device_flip(look: Look, random, level: Level, shapes) -> Look:
    """A device that does not lie flat: on edge, turned, or face down."""
    if level.strength < 0.5:  # looks normal to the eye but for a tilt
        pose = dataclasses.replace(look.pose, angle=look.pose.angle + 7.0)
        return dataclasses.replace(look, pose=pose)
    shape = canvas.pick(random, shapes)
    if shape == "edge":
        return _on_edge(look, random)
    if shape == "turned":
        angle = random.uniform(30, 60) * random.choice([-1, 1])
        pose = dataclasses.replace(look.pose, angle=look.pose.angle + angle)
        bent = dataclasses.replace(look.leads[0], shift=9.0)
        return dataclasses.replace(look, pose=pose, leads=(bent, *look.leads[1:]))
    return dataclasses.replace(look, marking=None, body=look.body + 6)


def _on_edge(look: Look, random) -> Look:
    """The body pushed down and dim, a bright edge, the lower lead hidden."""
    pose = dataclasses.replace(look.pose, y=look.pose.y + random.uniform(4, 14))
    flat = Lead(flat=True)
    leads = (flat, flat, None)
    return dataclasses.replace(
        look, pose=pose, tilted=True, body=5, marking=None, leads=leads
    )


def _empty_pocket(look: Look, random, level: Level, shapes) -> Look:
    focus = look.focus + (2.5 if random.random() < 0.2 else 0.4)
    return dataclasses.replace(look, device=False, focus=focus)


def _dented_pocket(look: Look, random, level: Level, shapes) -> Look:
    return dataclasses.replace(look, dent=level.strength * random.uniform(10, 30))


OVERLAYS: dict[str, Callable] = {
    "chipping": _chipping,
    "foreign_material": _foreign_material,
    "scratch": _scratch,
    "lead_glue": _lead_glue,
    "pocket_damage": _pocket_damage,
}
CHANGES: dict[str, Callable] = {
    "lead_defect": _lead_defect,
    "marking_defect": _marking_defect,
    "device_flip": _device_flip,
    "empty_pocket": _empty_pocket,
    "pocket_damage": _dented_pocket,
}
