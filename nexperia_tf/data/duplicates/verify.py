"""Looks at candidate pairs and says what they are to each other.

Three looks, each only at what the one before left: the thumbnails, aligned;
a larger view, which tells twins; and every pixel, which proves copies (`same_photo`).
What the images of the product share is subtracted before two are compared, and how
alike two must be for the next look is learned from simulated copies.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from nexperia_tf.data import images
from nexperia_tf.data.duplicates import (
    candidates,
    fingerprints,
    product,
)
from nexperia_tf.data.measure import pair_cache, signature, views
from nexperia_tf.data.proof import (
    alignment,
    evidence,
    jpeg_traces,
    laying,
    memory,
    same_photo,
    sampled,
)

TWIN = 0.90  # correlation of what is left; parts as alike must not be split
OWN = 0.17  # deviation of a band; who shows less of its own counts as if it showed this
OWN_ALONE = 0.2  # the same where the finest texture is not shared
VIEW = 128  # pixels a side of the larger view

_SAMPLE = 400  # images that say what the product looks like, and copies of it
_WEAKEST = 0.005  # of the simulated copies may be lost at each look
_KEPT_GREY = 40_000_000  # bytes of decoded images in memory, one a pixel
_KEPT_VIEWS = 256  # candidates are sorted: one of the two was looked at just before
_KEPT_GRAIN = 100_000_000  # bytes, four a pixel
_KEPT_BLOCKS = 10_000_000  # bytes, a sixteenth of one a pixel
_KEPT_ANSWERS = 100_000  # small ones
_MOTION_BYTES = 24  # float32 of shape (2, 3), as it is kept
_EXAMINED = 16_000_000  # pixels that are compared at a time, by some 40 bytes each
# Shares of the grain of two that cannot be copies: on the best way known, and on that
# one, unmoved and rimless. On no other way they then share what makes twins.
_FAR_LESS, _LESS = 0.15, 0.3
_ALTERED = 2 * same_photo.LARGEST_RESIDUAL  # resampling leaves half as much, and more
# A camera's pattern is in all its pictures: who shares no more must be similar, too.
_SIMILAR, _ALL_GRAIN = 0.15, 0.9


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What two images are to each other.

    Attributes:
        same_photograph: proven at pixel level.
        altered: from one photograph, but with something added or taken away.
        alike: they share their finest texture; one may have been altered since.
        moved: whether a copy, altered or not, is turned, shifted, rotated or cropped.
        similarity: correlation of what the product does not explain, -1 to 1.
        max_local_residual: see `same_photo.Comparison`; infinite without one.
        way: takes places of the first to those of the second, `(3, 3)`, if they look
            alike; it is exact to a pixel or so.
    """

    same_photograph: bool = False
    altered: bool = False
    alike: bool = False
    moved: bool = False
    similarity: float = 0.0
    max_local_residual: float = float("inf")
    way: np.ndarray | None = dataclasses.field(default=None, compare=False)

    @property
    def twin(self) -> bool:
        alike = self.alike or self.similarity >= TWIN
        return alike and not self.same_photograph


LOOK_ALIKE = Verdict()
# Of motion, with the blur. On plain parts the next is found where the first is not, or
# is a stretching that no copy has. The less they are blurred, the less a rim misleads.
_MODELS = (
    (cv2.MOTION_AFFINE, 5),
    (cv2.MOTION_EUCLIDEAN, 3),
    (cv2.MOTION_EUCLIDEAN, 9),
    (cv2.MOTION_AFFINE, 9),
)
_VIEW_MODELS = ((cv2.MOTION_AFFINE, 5), (cv2.MOTION_EUCLIDEAN, 3))
_SURE = 0.5  # correlation of thumbnails; if less, the next model may do better


class Verifier:
    """Judges candidate pairs; may be called from several threads.

    Args:
        thumbnails: uint8 `(n, side, side)` of all images.
        load: gives the pixels of an image by its place.
        lossy: whether each is a JPEG.
        qualities: gives those at which a JPEG may have been saved, by its place.
        contents: the hash of each file, by which `known` knows it.
        known: what earlier runs have found at full size.
    """

    def __init__(
        self,
        thumbnails: np.ndarray,
        load: Callable[[int], np.ndarray],
        lossy: Sequence[bool],
        qualities: Callable[[int], Iterable[int]] = lambda place: jpeg_traces.QUALITIES,
        *,
        contents: Sequence[str] | None = None,
        known: pair_cache.Pairs | None = None,
    ):
        self._thumbnails, self._load, self._lossy = thumbnails, load, lossy
        self._known = known or pair_cache.Pairs()
        self._contents = contents if known else None
        self._greys, self._grains = memory.Kept(_KEPT_GREY), memory.Kept(_KEPT_GRAIN)
        self._blocks = memory.Kept(_KEPT_BLOCKS)
        self._at_full_size_now = memory.Shared(_EXAMINED)
        self._sampled = sampled.Sampled(self._pixels)
        self._qualities = functools.lru_cache(_KEPT_ANSWERS)(qualities)
        self._was_jpeg = functools.lru_cache(_KEPT_ANSWERS)(self._look_for_jpeg)
        keep = functools.lru_cache(_KEPT_VIEWS)
        self._thumbnail_of, self._view_of = keep(self._thumbnail), keep(self._view)
        self._own_of = keep(self._own)
        sample = fingerprints.spread(len(thumbnails), _SAMPLE)
        seen = np.stack([_resized(self._rimless(place), VIEW) for place in sample])
        self._small = product.Product(views.band(thumbnails[sample]))
        self._large = product.Product(
            np.stack([_blurred(band) for band in views.band(seen)])
        )
        self._limits = _SURE, 0.0  # until the copies have said it
        self._limits = self._weakest_copies(np.rint(seen).astype(np.uint8))

    @property
    def settings(self) -> dict:
        """The limits, for summary.json."""
        thumbnail, view = self._limits
        return {
            "thumbnails_correlate_at_least": round(thumbnail, 4),
            "views_correlate_at_least": round(view, 4),
            "twin_similarity_at_least": TWIN,
            "largest_local_residual": same_photo.LARGEST_RESIDUAL,
            "largest_line_residual": same_photo.LARGEST_LINE,
        }

    def verdict(self, pair: candidates.Candidate, *, whole: bool = False) -> Verdict:
        """What the two images are to each other.

        Args:
            pair: of images.
            whole: look at every pixel also of those that cannot be copies: that says
                whether one was altered, and by how much it differs.
        """
        first, second = self._thumbnail_of(pair.a), self._thumbnail_of(pair.b)
        second = views.turned(second, pair.turn)
        correlation, motion = self._first_look(first, second, pair)
        if motion is None or correlation < self._limits[0]:
            return LOOK_ALIKE
        first, second = self._view_of(pair.a), self._view_of(pair.b)
        second = views.turned(second, pair.turn)
        look = self._second_look(first, second, motion, pair)
        correlation, strength, motion = look
        if correlation < self._limits[1]:
            return LOOK_ALIKE
        return self._at_full_size(pair, motion, correlation, strength, whole)

    def tied(self, pair: candidates.Candidate, way: np.ndarray) -> Verdict | None:
        """What two images are that must not be split, if they cannot be copies.

        Args:
            pair: of images that others tie.
            way: takes places of the first near those of the second.

        Returns:
            None where only `verdict` can say it.
        """
        better = self._sampled.aligned(pair.a, pair.b, way)
        if better is None:
            return None
        shapes = [self._shape(pair.a), self._shape(pair.b)]
        turn, motion = alignment.without_turn(better, *shapes)
        if self._may_be_copies(pair, motion, turn, better):
            return None
        if not pair.turn and self._is_jpeg(pair):
            return None
        shapes[1] = shapes[1][::-1] if turn % 2 else shapes[1]
        motion = alignment.rescaled(motion, shapes, ((VIEW,) * 2,) * 2)
        second = alignment.moved(views.turned(self._view_of(pair.b), turn), motion)
        correlation, strength = product.in_common(
            self._own_of(pair.a), self._large.own(_blurred(second))
        )
        similarity = _similarity(correlation, strength, OWN)
        return Verdict(alike=True, similarity=similarity, way=better)

    def _may_be_copies(self, pair, motion, turn: int, way: np.ndarray) -> bool:
        """Whether every pixel has to be looked at; JPEG of the other is left aside.

        Args:
            pair: of images.
            motion: of the second one, turned, onto the first.
            turn: of the second one.
            way: the same for the second one as it is, as exact as can be.
        """
        if not self._sampled.no_resampled_copy(pair.a, pair.b, way):
            return True
        shape, of_second = self._shape(pair.a), self._shape(pair.b)
        turned = of_second[::-1] if turn % 2 else of_second
        shifts = alignment.whole_shifts(motion, shape, turned)
        if not shifts:
            return False
        if not (self._was_jpeg(pair.a) or self._was_jpeg(pair.b)):
            return True  # one may have more noise, which only a full look can tell
        back = alignment.turned_back(of_second, turn)
        return not all(
            self._sampled.off_any_curve(pair.a, pair.b, back @ shift)
            for shift in shifts
        )

    def _look_for_jpeg(self, place: int) -> bool:
        return jpeg_traces.surely_there(self._grey(place))

    def position_between(self, copy: int, first: int, second: int) -> float:
        """`same_photo.position_between` of three images; NaN if their shapes differ."""
        levels = [self._grey(image) for image in (copy, first, second)]
        if len({grey.shape for grey in levels}) > 1:
            return float("nan")
        return same_photo.position_between(*levels)

    def _first_look(
        self, first, second, pair: candidates.Candidate | None = None
    ) -> tuple[float, np.ndarray | None]:
        """How alike two thumbnails are, and the motion of the second onto the first."""
        best = -1.0, None
        for model, blur in _MODELS:
            motion = self._aligned(first, second, alignment.REST, model, blur, pair)
            if motion is not None:
                correlation, _ = self._small.compare(
                    first, alignment.moved(second, motion)
                )
                best = max(best, (correlation, motion), key=lambda look: look[0])
            correlation, motion = best
            if correlation >= max(_SURE, self._limits[0]) and not alignment.stretches(
                motion
            ):
                break
        return best

    def _second_look(
        self, first, second, motion, pair: candidates.Candidate | None = None
    ) -> tuple[float, float, np.ndarray]:
        """The same of two views, how much they show of their own, a better motion."""
        before, after = (signature.SIDE,) * 2, (VIEW,) * 2
        motion = alignment.rescaled(motion, (before, before), (after, after))
        for model, blur in _VIEW_MODELS:
            refined = self._aligned(first, second, motion, model, blur, pair)
            if refined is not None:
                motion = refined
                break
        second = alignment.moved(second, motion)
        return *self._large.compare(_blurred(first), _blurred(second)), motion

    def _aligned(self, first, second, start, model, blur, pair) -> np.ndarray | None:
        """`alignment.align` of a pair's thumbnails or views, perhaps found before."""
        key = pair and self._key(pair, start, first.shape, model, blur)
        told = key and self._known.get(key)
        if told is not None and len(told) in (0, _MOTION_BYTES):
            return np.frombuffer(told, np.float32).reshape(2, 3) if told else None
        found = alignment.align(first, second, start, model=model, blur=blur)
        if key:
            self._known.add(key, b"" if found is None else found.tobytes())
        return found

    def _at_full_size(self, pair, motion, correlation, strength, whole) -> Verdict:
        seen = self._evidence(pair, motion, whole)
        own = OWN if seen.suspicious else OWN_ALONE
        similarity = _similarity(correlation, strength, own)
        best = seen.comparison
        if best is None:
            return Verdict(similarity=similarity, way=seen.way)
        if not seen.whole:
            found = alike(best, similarity)
            return Verdict(alike=found, similarity=similarity, way=seen.way)
        changed = seen.shifted or pair.turn > 0
        if best.same_photograph or seen.is_jpeg:
            proven = best.same_photograph
            return Verdict(
                same_photograph=True,
                moved=changed and proven,  # JPEG is told of what lies in place
                similarity=similarity,
                max_local_residual=best.max_local_residual if proven else 0.0,
                way=seen.way,
            )
        least = _ALTERED if seen.shifted else 0
        return Verdict(
            altered=best.altered and best.max_local_residual >= least,
            alike=alike(best, similarity),
            moved=changed,
            similarity=similarity,
            max_local_residual=best.max_local_residual,
            way=seen.way,
        )

    def _evidence(self, pair, motion, whole: bool) -> evidence.Evidence:
        """What the pixels say, or said in an earlier run."""
        key = self._key(pair, motion, whole)
        told = key and self._known.get(key)
        if told and (seen := evidence.unpacked(told)):
            return seen  # no picture is opened
        pixels = self._pixels(pair.a).size + self._pixels(pair.b).size
        with self._at_full_size_now.taken(pixels):
            seen = self._look_at_pixels(pair, motion, whole)
        if key:
            self._known.add(key, evidence.packed(seen))
        return seen

    def _key(self, pair, motion, *more) -> bytes | None:
        """Of both files, how they are first laid and all that an answer depends on."""
        if self._contents is None:
            return None
        digest = hashlib.blake2b(digest_size=16)
        for place in (pair.a, pair.b):
            digest.update(self._contents[place].encode())
        digest.update(np.asarray(motion, np.float64).tobytes())
        digest.update(repr((pair.turn, *more)).encode())
        return digest.digest()

    def _look_at_pixels(self, pair, motion, whole: bool) -> evidence.Evidence:
        first, second = self._grey(pair.a), views.turned(self._grey(pair.b), pair.turn)
        motion = alignment.rescaled(
            motion, ((VIEW,) * 2,) * 2, (first.shape, second.shape)
        )
        back = alignment.turned_back(self._shape(pair.b), pair.turn)
        way = back @ np.vstack([motion, [0, 0, 1]])
        _, likeliest, _ = next(alignment.ways(first, second, motion))
        perhaps, surely = self._at_a_glance(pair, likeliest, first.shape)
        if not perhaps:
            return evidence.Evidence(way)
        better = None if whole else self._sampled.aligned(pair.a, pair.b, way)
        if better is not None and not self._may_be_copies(
            pair, motion, pair.turn, better
        ):
            likely = same_photo.Comparison(shared_grain=1.0)
            if not surely:
                likely = self._of_no_copies(pair, first, second, motion, better)
            if not (likely.suspicious and self._is_jpeg(pair)):
                return evidence.Evidence(better, likely)
        best, shifted = laying.best_alignment(first, second, motion)
        del first, second  # perhaps large; what comes looks at others
        if not best.same_photograph and (rimless := self._without_rims(pair)):
            again = laying.best_alignment(*rimless, motion)
            if laying.lies_better(again[0], best):
                best, shifted = again
        is_jpeg = not best.same_photograph and best.suspicious and self._is_jpeg(pair)
        return evidence.Evidence(way, best, True, shifted, is_jpeg)

    def _of_no_copies(self, pair, first, second, motion, way) -> same_photo.Comparison:
        """How much texture two images share that cannot be copies.

        Args:
            pair: of images.
            first, second: their levels, the second one turned.
            motion: of that one, which `laying.best_alignment` begins with.
            way: the best one known.
        """
        back = alignment.turned_back(self._shape(pair.b), pair.turn)
        best = (np.linalg.inv(back) @ way)[:2]
        likely, curve = laying.laid_on(first, second, best, cv2.INTER_CUBIC)
        if not likely.alike:  # what is sampled anew has lost some of its grain
            _, *as_it_is = next(alignment.ways(first, second, motion))
            again, other = laying.laid_on(first, second, *as_it_is)
            if laying.lies_better(again, likely):
                likely, curve = again, other
        if likely.alike or likely.shared_grain <= _FAR_LESS:
            return likely
        pictures = [(first, second)]
        if rimless := self._without_rims(pair):
            pictures.append(rimless)
        for all_ways in (False, True):
            for one, other in pictures:
                ways = alignment.ways(one, other, motion)
                if not all_ways:
                    ways = alignment.likeliest(ways, best)
                again = laying.most_alike(one, other, ways, curve)
                likely = again if laying.lies_better(again, likely) else likely
                if likely.alike:
                    return likely
            if likely.shared_grain <= _LESS:
                break
        return likely

    def _at_a_glance(self, pair, motion, shape) -> tuple[bool, bool]:
        grain = views.turned(self._grain_of(pair.b), pair.turn)
        grain = alignment.sampled(grain, motion, shape, cv2.INTER_LINEAR)
        return same_photo.grain_at_a_glance(self._grain_of(pair.a), grain)

    def _is_jpeg(self, pair) -> bool:
        """Whether one is the other, saved as JPEG."""
        places, lossy = (pair.a, pair.b), self._lossy
        if pair.turn or not (lossy[pair.a] or lossy[pair.b]):
            return False
        if not jpeg_traces.may_be_coded(*map(self._blocks_of, places)):
            return False
        ways = [
            (place, [place, other], self._qualities(place))
            for place, other in (places, places[::-1])
            if lossy[place] and self._qualities(place)
        ]
        pixels = {place: self._load(place) for place in places if ways}
        if len({levels.shape[:2] for levels in pixels.values()}) > 1:
            return False
        return any(
            jpeg_traces.is_made_of(pixels[place], pixels[other], among)
            for place, (_, other), among in ways
        )

    def _blocks_of(self, image: int) -> np.ndarray:
        def make() -> np.ndarray:
            return jpeg_traces.coded_blocks(self._pixels(image))

        return self._blocks.get(image, make)

    def _weakest_copies(self, seen: np.ndarray) -> tuple[float, float]:
        """What nearly all simulated copies reach at the first and the second look.

        Args:
            seen: originals, uint8 `(n, VIEW, VIEW)`.
        """
        first, looks = [], []
        for pair in zip(seen, candidates.simulated_copies(seen, 1)):
            small = np.stack([_resized(picture, signature.SIDE) for picture in pair])
            correlation, motion = self._first_look(*views.band(small))
            if motion is not None:
                looks.append(self._second_look(*views.band(np.stack(pair)), motion)[0])
                first.append(correlation)
        if not first:
            return 1.0, TWIN
        limit = float(np.quantile(first, _WEAKEST))
        second = [look for look, before in zip(looks, first) if before >= limit]
        return limit, min(float(np.quantile(second, _WEAKEST)), TWIN)

    def _thumbnail(self, image: int) -> np.ndarray:
        return views.band(self._thumbnails[[image]])[0]

    def _view(self, image: int) -> np.ndarray:
        return views.band(_resized(self._rimless(image), VIEW)[None])[0]

    def _own(self, image: int) -> np.ndarray:
        return self._large.own(_blurred(self._view_of(image)))

    def _grain_of(self, image: int) -> np.ndarray:
        return self._grains.get(image, lambda: same_photo.grain(self._rimless(image)))

    def _rimless(self, image: int) -> np.ndarray:
        return views.without_rim(self._pixels(image)).astype(np.float32)

    def _without_rims(self, pair) -> tuple[np.ndarray, np.ndarray] | None:
        """Both pictures without their rims; None if neither has one."""
        whole = self._pixels(pair.a), self._pixels(pair.b)
        first, second = (views.without_rim(grey) for grey in whole)
        if all(map(np.array_equal, whole, (first, second))):
            return None
        second = views.turned(second, pair.turn)
        return first.astype(np.float32), second.astype(np.float32)

    def _grey(self, image: int) -> np.ndarray:
        """float32 levels of an image."""
        return self._pixels(image).astype(np.float32)

    def _shape(self, image: int) -> tuple[int, int]:
        return self._pixels(image).shape

    def _pixels(self, image: int) -> np.ndarray:
        """uint8 levels of an image."""
        return self._greys.get(image, lambda: images.grey(self._load(image)))


def alike(comparison: same_photo.Comparison, similarity: float) -> bool:
    """Whether shared grain makes two images twins.

    >>> plain = same_photo.Comparison(shared_grain=0.6)  # the camera's, perhaps
    >>> alike(plain, similarity=0.1), alike(plain, similarity=0.3)
    (False, True)
    >>> alike(same_photo.Comparison(shared_grain=0.95), similarity=0.1)
    True
    """
    enough = similarity >= _SIMILAR or comparison.shared_grain >= _ALL_GRAIN
    return comparison.alike and enough


def _similarity(correlation: float, strength: float, own: float) -> float:
    """The correlation, less where there is little to see.

    Plain cells that share all they show are not twins.
    """
    return correlation * min(1.0, strength / own) ** 2


def _resized(grey: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)


def _blurred(view: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(view, (0, 0), 1)
