"""Learning curves of a run as one picture."""

import io
import pathlib

from matplotlib import figure

from nexperia_tf import files
from nexperia_tf.data import tables

# Columns of history.csv that share an axis. Of a model that learns a map, the loss of
# the logit is of one kind with validation's.
PANELS = {
    "loss": ("logit_loss", "val_loss"),
    "share of pairs ranked right": ("val_auc", "val_partial_auc"),
    "overkill": ("val_fpr_at_tpr_0.991", "val_fpr_at_tpr_0.995"),
}


def draw(history: pathlib.Path, path: pathlib.Path, *, kept: tuple[int, str]) -> None:
    """Draws history.csv as a PNG, one panel for each kind of figure.

    Args:
        history: the table.
        path: the picture.
        kept: the epoch whose model was kept, and what it is: "best of 9 epochs".
    """
    table = tables.table(history, ["epoch"])
    epochs = [int(epoch) for epoch in table.column("epoch")]
    sheet = figure.Figure(figsize=(12, 3.5), layout="constrained")
    for axes, (title, names) in zip(sheet.subplots(1, len(PANELS)), PANELS.items()):
        for name in names:
            if name == "logit_loss" and name not in table.header:
                name = "loss"
            if name not in table.header:  # a run that an older version began
                continue
            values = [float(value) for value in table.column(name)]
            axes.plot(epochs, values, marker=".", label=name)
        axes.axvline(kept[0], color="0.6", linestyle=":", label=kept[1])
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    picture = io.BytesIO()
    sheet.savefig(picture, format="png", dpi=100)
    files.write_bytes(path, picture.getvalue())
