"""Solar cells by electroluminescence, second half: the given defects.

python train.py --config elpv_drawn --data PATH --out runs/drawn
python train.py --config elpv --data PATH --init runs/drawn

What the first half has learned of cracks stays; the last stage and the head learn which
cells of this make are called defective. Validation has five modules, which mislead: the
last epoch is kept, and the recipe was chosen by cross-validation over 23 modules, see
benchmarks/RESULTS.md.
"""

import dataclasses

from nexperia_tf.configs import elpv_drawn

CONFIG = dataclasses.replace(
    elpv_drawn.CONFIG,
    drawn_only=False,
    drawn=0.0,
    freeze="stage3",
    epochs=10,
    patience=10,
    warmup_epochs=2,
    monitor="last",
)
