import cv2
import numpy as np

from nexperia_tf.data.duplicates import candidates, verify
from nexperia_tf.data.measure import signature
from nexperia_tf.data.proof import alignment

SIDE = (signature.SIDE, signature.SIDE)


def test_a_weak_alignment_does_not_keep_the_next_model_from_being_tried(monkeypatch):
    random = np.random.default_rng(0)
    own = [cv2.GaussianBlur(n, (0, 0), 3) for n in random.normal(0, 60, (40, 224, 224))]
    parts = 130 + np.stack(own) + random.normal(0, 2, (40, 224, 224))
    parts = np.clip(np.rint(parts), 0, 255).astype(np.uint8)
    shift, border = np.float32([[1, 0, 5], [0, 1, -5]]), cv2.BORDER_REFLECT
    copies = [
        cv2.warpAffine(one, shift, (224, 224), borderMode=border) for one in parts[:8]
    ]
    pictures = [*parts, *copies]
    thumbnails = [cv2.resize(p, SIDE, interpolation=cv2.INTER_AREA) for p in pictures]
    stretching = np.float32([[1.04, 0, -3], [0, 0.92, 5]])  # as found on a plain cell
    align, models = alignment.align, []

    def misled(fixed, moving, start, *, model=cv2.MOTION_AFFINE, blur=5):
        models.append(model)
        # All models fail on one simulated copy: that one sets a limit of nearly 0.
        if start is alignment.REST and (model == cv2.MOTION_AFFINE or len(models) <= 3):
            return stretching
        return align(fixed, moving, start, model=model, blur=blur)

    monkeypatch.setattr(alignment, "align", misled)
    verifier = verify.Verifier(np.stack(thumbnails), pictures.__getitem__, [False] * 48)
    pairs = [candidates.Candidate(place, 40 + place, 0) for place in range(8)]
    assert all(verifier.verdict(pair).same_photograph for pair in pairs)
