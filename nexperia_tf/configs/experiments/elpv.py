"""Solar cells by electroluminescence, second half: the given defects.

nexperia train --config elpv_drawn --data PATH --out runs/drawn
nexperia train --config elpv --data PATH --init runs/drawn

What the first half has learned of cracks stays; the last stage and the head learn
slowly which cells of this make are called defective. Validation has five modules, which
mislead: the last epoch is kept, and the recipe was chosen by cross-validation over 23
modules, see benchmarks/RESULTS.md.
"""

from nexperia_tf.configs.experiments import elpv_drawn

CONFIG = elpv_drawn.CONFIG.changed(
    drawn=0.0,
    drawn_look="dark",
    drawn_map=0.0,
    drawn_only=False,
    freeze="stage3",
    freeze_batch_norm=True,
    learning_rate=2e-4,
    epochs=10,
    warmup_epochs=2,
)
