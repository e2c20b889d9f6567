"""Solar cells by electroluminescence, second half: given and drawn defects together.

python train.py --config elpv_drawn --data PATH --out runs/drawn
python train.py --config elpv --data PATH --init runs/drawn
"""

import dataclasses

from nexperia_tf.configs import elpv_drawn

CONFIG = dataclasses.replace(
    elpv_drawn.CONFIG,
    drawn_only=False,
    drawn=0.7,
    epochs=10,
    patience=10,
    learning_rate=3e-4,
    warmup_epochs=1,
)
