"""In the process of a model: the training pictures that are most like one."""

import base64
import io
import typing

import numpy as np
from PIL import Image

from nexperia_tf import errors, labels
from nexperia_tf.runs import neighbours

if typing.TYPE_CHECKING:
    from nexperia_tf.serving import export

COUNT = 6  # pictures that are shown
NAME, LABEL, LIKENESS, PNG = "name", "label", "likeness", "png"  # of each of them
PICTURES, WHY_NONE = "pictures", "why_none"
_OLDER = (
    "this model does not say by what to compare: it combines several, or an older "
    "version of nexperia_tf exported it"
)
_NOT_ALONG = (
    "no training pictures lie with this model; serve its run folder, or export it again"
)


class Explainer:
    """Finds look-alikes for one version; reads its training pictures when first asked.

    Args:
        served: the version.
    """

    def __init__(self, served: "export.Served"):
        self._served = served
        self._kept: neighbours.Neighbours | None = None
        self._why_none = "" if served.features else _OLDER

    def alike(self, canvas: np.ndarray) -> dict:
        """The look-alikes of a picture, or why there are none.

        Args:
            canvas: its letterboxed pixels.

        Returns:
            `PICTURES`, the most similar first, each with its name, label, likeness (a
            cosine) and a small PNG in base64; and `WHY_NONE`, a line or "".
        """
        if not self._why_none and not self._kept:
            self._read()
        if self._why_none:
            return {PICTURES: [], WHY_NONE: self._why_none}
        try:
            return {PICTURES: self._found(canvas), WHY_NONE: ""}
        except Exception as error:  # it costs no other picture of a batch its verdict
            why = f"they cannot be compared ({type(error).__name__}: {error})"
            return {PICTURES: [], WHY_NONE: why}

    def _found(self, canvas: np.ndarray) -> list[dict]:
        features = self._served.features(canvas[np.newaxis]).numpy()[0]
        found = zip(*neighbours.nearest(self._kept, features, COUNT))
        return [self._shown(place, likeness) for place, likeness in found]

    def _read(self) -> None:
        try:
            self._kept = neighbours.of_version(self._served.folder)
        except errors.BadInput as error:
            self._why_none = str(error)
        else:
            self._why_none = "" if self._kept else _NOT_ALONG

    def _shown(self, place: int, likeness: float) -> dict:
        kept = self._kept
        return {
            NAME: str(kept.image_id[place]),
            LABEL: labels.NAMES[kept.label[place]],
            LIKENESS: float(likeness),
            PNG: _png(kept.thumbnails[place]),
        }


def _png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    shown = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(shown).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
