"""Solar cells by electroluminescence, first half: cracks drawn on good cells alone.

No given defect is looked at but by validation. `elpv` goes on from this run. Within a
module it tells cells apart well, whole modules it misjudges: see benchmarks/RESULTS.md.
"""

from nexperia_tf import configs

CONFIG = configs.of(
    backbone="resnet26_quarter",
    standardise="picture",
    drawn=0.5,
    drawn_look="cracks",
    drawn_map=1.0,
    drawn_only=True,
    loss="bce",
    epochs=65,
    warmup_epochs=4,
    ema=0.99,
    flip="both",
    rotation=3.0,
    zoom=0.06,
    brightness=0.03,
    contrast=0.2,
    tone=0.5,
    monitor="last",
    deterministic=True,
)
