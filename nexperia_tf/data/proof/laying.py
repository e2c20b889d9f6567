"""Two pictures laid on one another in the best way, and what they then share."""

from collections.abc import Callable

import cv2
import numpy as np

from nexperia_tf.data.proof import alignment, same_photo


def best_alignment(first, second, motion) -> tuple[same_photo.Comparison, bool]:
    """The comparison in the best alignment, and whether it moves one picture."""
    best, shifted = same_photo.Comparison(), False
    for shift, way, interpolation in alignment.ways(first, second, motion):
        warped, inside = alignment.warped(second, way, first.shape, interpolation)
        resampled = interpolation != cv2.INTER_NEAREST
        comparison = same_photo.examine(first, warped, inside, resampled=resampled)
        if lies_better(comparison, best):
            best, shifted = comparison, shift
        if best.same_photograph or not comparison.suspicious:
            break
    if best.alike and not best.same_photograph:
        # In a resampled picture lines prove nothing: one that is aligned as it is keeps
        # its faint scratch.
        unmoved = best.same_exposure and not best.resampled
        most = best.deviation / 2 if unmoved else best.deviation
        again = _resampled_again(first, second, way, most=most)
        best, shifted = (again, True) if again else (best, shifted)
    return best, shifted


def laid_on(
    first, second, motion, interpolation
) -> tuple[same_photo.Comparison, Callable[[np.ndarray], np.ndarray]]:
    """How alike two are that cannot be copies, laid so, and the curve between them."""
    laid = alignment.warped(second, motion, first.shape, interpolation)
    curve = same_photo.curve_between(first, *laid)
    return same_photo.likeness(first, *laid, curve), curve


def most_alike(first, second, ways, curve) -> same_photo.Comparison:
    """The texture that two share that cannot be copies; the first way may be enough."""
    best = same_photo.Comparison()
    for _, way, interpolation in ways:
        laid = alignment.warped(second, way, first.shape, interpolation)
        comparison = same_photo.likeness(first, *laid, curve)
        if lies_better(comparison, best):
            best = comparison
        if best.alike or not comparison.suspicious:
            break
    return best


def _resampled_again(first, second, motion, *, most) -> same_photo.Comparison | None:
    """A comparison that proves one picture, resampled by a tool, to be the other.

    Args:
        first, second: grey levels.
        motion: aligns the second with the first.
        most: deviation of the differences; resampling in vain adds some everywhere,
            beside which a faint scratch no longer stands out.
    """
    back = cv2.invertAffineTransform(motion)
    for fixed, moving, way in ((first, second, motion), (second, first, back)):
        for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
            warped, inside = alignment.warped(moving, way, fixed.shape, interpolation)
            if same_photo.differs_by_rounding(fixed, warped, inside):
                comparison = same_photo.examine(fixed, warped, inside, resampled=True)
                if comparison.same_photograph and comparison.deviation <= most:
                    return comparison
    return None


def lies_better(
    comparison: same_photo.Comparison, before: same_photo.Comparison
) -> bool:
    """Whether two pictures are better aligned than in the way tried before."""
    if before.same_photograph:
        return False
    if before.same_exposure:
        # Better aligned, they differ less everywhere; a scratch stays in any alignment.
        return comparison.same_exposure and comparison.deviation < before.deviation / 2
    better = comparison.shared_grain > np.nan_to_num(before.shared_grain, nan=-1)
    return comparison.same_photograph or bool(better)
