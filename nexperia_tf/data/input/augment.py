"""Harmless changes of training pictures: turn, flip, shift, zoom, light.

A picture's change follows from (seed, epoch, index of the picture) alone, so that a
resumed run sees the very batches of an unbroken one. Stronger policies, which are not
stateless, live in strong_augment.py.
"""

import dataclasses
import functools

import cv2
import numpy as np

from nexperia_tf import errors, sizes

FLIPS = ("none", "horizontal", "vertical", "both")
CROP_AREA = 0.08  # smallest part of a picture that `crop` enlarges
CROP_RATIO = 4 / 3
_DRAWS = 8  # random numbers in [0, 1) for each picture and epoch, beside the tone's


@dataclasses.dataclass(frozen=True)
class Policy:
    """How far pictures are changed.

    Attributes:
        flip: axes along which pictures may be mirrored. The default keeps up and down
            apart: a device lying the wrong way round is a defect, a mirrored marking
            is none.
        rotation: largest turn in degrees, either way.
        zoom: largest further shrinking; the room it gives is the room for shifts.
        brightness: largest change as a fraction of the full range, either way.
        contrast: largest change of the gain, either way.
        tone: largest change of the logarithm of the exponent that levels are raised to,
            either way: other exposures and cameras.
        crop: enlarge a random part, as networks for ImageNet are trained, instead of
            turning, shrinking and relighting the whole; it can cut a defect off.
    """

    flip: str = "horizontal"
    rotation: float = 10.0
    zoom: float = 0.1
    brightness: float = 0.06
    contrast: float = 0.2
    tone: float = 0.0
    crop: bool = False

    def __post_init__(self):
        if self.flip not in FLIPS:
            raise errors.BadInput(
                f"flip {self.flip!r} is unknown; choose one of {', '.join(FLIPS)}."
            )


@functools.lru_cache(maxsize=4)  # batches of two epochs may be under way at once
def draws(seed: int, epoch: int, count: int) -> np.ndarray:
    """Random numbers of one epoch, float64 of shape `(count, 9)`; row i is picture i's.

    A row does not depend on `count`.
    """
    generator = np.random.Generator(np.random.Philox(key=(seed, epoch)))
    table = generator.random((count, _DRAWS))
    # From a stream of its own: runs without it see what they saw before it was there.
    tone = np.random.Generator(np.random.Philox(key=(seed, epoch)).jumped())
    table = np.column_stack([table, tone.random(count)])
    table.flags.writeable = False  # it is shared
    return table


def augment(images: np.ndarray, draws: np.ndarray, policy: Policy) -> np.ndarray:
    """Changes every picture by its own random numbers.

    Args:
        images: uint8 array of shape `(batch, height, width, channels)`.
        draws: float array of shape `(batch, 9)`, the pictures' rows of `draws`; `tone`
            alone takes the last column.
        policy: how far.

    Returns:
        uint8 array of the same shape.
    """
    size = sizes.Size(*images.shape[1:3])
    changed = np.empty_like(images)
    matrices = (crop if policy.crop else motion)(draws, size, policy)
    tables = light(draws, policy)
    warped = np.empty_like(images[0])  # getting memory takes longer than filling it
    for i, rim in enumerate(_rims(matrices, size)):
        _warp(images[i], matrices[i], rim, warped)
        cv2.LUT(warped, tables[i], changed[i])
    return changed


def _rims(matrices: np.ndarray, size: sizes.Size) -> list[int]:
    """How many pixels beyond each picture are seen in its frame, rounded up."""
    sides = _across(size)[:, None]  # (2, 1)
    ends = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * sides - 0.5
    seen = np.linalg.solve(matrices[:, :, :2], ends - matrices[:, :, 2:])
    beyond = (np.abs(seen - (sides - 1) / 2) - sides / 2).max(axis=(1, 2))
    return (np.ceil(np.maximum(beyond, 0)).astype(int) + 1).tolist()


def _across(size: sizes.Size) -> np.ndarray:
    """Both sides in the order of x and y, `(2,)`."""
    return np.array([size.width, size.height])


def _warp(image: np.ndarray, matrix: np.ndarray, rim: int, out: np.ndarray) -> None:
    """Moves a picture of shape `(height, width, channels)`, its rim mirrored outwards.

    That is what a picture's surroundings look like; black corners would be seen in
    training only. OpenCV moves much faster where it need not mirror on the way.
    """
    sides = image.shape[1::-1]
    if rim > min(sides):  # far more around it than of it
        cv2.warpAffine(image, matrix, sides, out, borderMode=cv2.BORDER_REFLECT_101)
        return
    wide = cv2.copyMakeBorder(image, rim, rim, rim, rim, cv2.BORDER_REFLECT_101)
    matrix = matrix.copy()
    matrix[:, 2] -= matrix[:, :2].sum(axis=1) * rim
    cv2.warpAffine(wide, matrix, sides, out)


def motion(draws: np.ndarray, size: sizes.Size, policy: Policy) -> np.ndarray:
    """Affine maps from old to new pixel centres, float64 of shape `(batch, 2, 3)`.

    The whole picture stays within the frame, whatever is drawn: a turned one is shrunk
    until its corners fit, a shift uses only the room that is left. So no defect, boxed
    or not, is ever cut off.
    """
    turn, shrink, right, down, mirror_x, mirror_y = draws.T[:6]
    angle = np.deg2rad(policy.rotation) * (2 * turn - 1)
    # Of the side that grows most, after the turn: a strip's ends reach far beyond it.
    reach = np.abs(np.cos(angle)) + np.abs(np.sin(angle)) * (max(size) / min(size))
    slack = policy.zoom * shrink  # of the half-width, free after shrinking
    scale = (1 - slack) / reach
    flip_x, flip_y = _mirrored(mirror_x, mirror_y, policy).T
    linear = np.empty((len(draws), 2, 2))
    linear[:, 0, 0] = scale * np.cos(angle) * flip_x
    linear[:, 0, 1] = -scale * np.sin(angle) * flip_y
    linear[:, 1, 0] = scale * np.sin(angle) * flip_x
    linear[:, 1, 1] = scale * np.cos(angle) * flip_y
    sides = _across(size)
    centre = (sides - 1) / 2
    shift = (sides / 2) * slack[:, None] * (2 * np.stack([right, down], axis=1) - 1)
    offset = centre + shift - linear @ centre
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def crop(draws: np.ndarray, size: sizes.Size, policy: Policy) -> np.ndarray:
    """As `motion`, but a random part of each picture comes to fill the frame.

    The part has .08 to 1 of the area and sides as 3 : 4 to 4 : 3, in sides of the
    frame; sides that do not fit are cut to the frame.

    Reference:
        [Szegedy et al., 2015](https://arxiv.org/abs/1409.4842), section 6.
    """
    area, shape, right, down, mirror_x, mirror_y = draws.T[:6]
    area = CROP_AREA + (1 - CROP_AREA) * area
    ratio = CROP_RATIO ** (2 * shape - 1)  # even in its logarithm
    sides = np.minimum(1, np.sqrt(np.stack([area * ratio, area / ratio], axis=1)))
    corner = (1 - sides) * np.stack([right, down], axis=1)  # of the side
    mirrored = _mirrored(mirror_x, mirror_y, policy)
    scale = mirrored / sides
    # The middle of the part goes to the middle of the frame.
    frame = _across(size)
    offset = (frame - 1) / 2 - scale * (frame * (corner + sides / 2) - 0.5)
    linear = scale[:, :, None] * np.eye(2)
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def _mirrored(mirror_x, mirror_y, policy: Policy) -> np.ndarray:
    """-1 for each axis that is turned round, else 1, of shape `(batch, 2)`."""
    x = np.where((mirror_x < 0.5) & (policy.flip in ("horizontal", "both")), -1, 1)
    y = np.where((mirror_y < 0.5) & (policy.flip in ("vertical", "both")), -1, 1)
    return np.stack([x, y], axis=1)


def light(draws: np.ndarray, policy: Policy) -> np.ndarray:
    """New grey level for each old one, uint8 of shape `(batch, 256)`."""
    gain = 1 + policy.contrast * (2 * draws[:, 6] - 1)
    offset = 255 * policy.brightness * (2 * draws[:, 7] - 1)
    levels = np.arange(256.0)[None]
    if policy.tone:
        exponent = np.exp(policy.tone * (2 * draws[:, 8:9] - 1))
        levels = 255 * (levels / 255) ** exponent
    levels = levels * gain[:, None] + offset[:, None]
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
