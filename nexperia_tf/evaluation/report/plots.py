"""The report's drawings, as inline SVG."""

import io
import re
from collections.abc import Sequence

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib import ticker
from scipy import special

from nexperia_tf import predictions
from nexperia_tf.evaluation.report import results
from nexperia_tf.statistics import calibration, metrics

# Safe for the colour-blind, and apart in grey print (Okabe & Ito).
GOOD, DEFECT = "#0072b2", "#d55e00"
RUNS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, FAINT = "#333333", "#bbbbbb"
STYLE = {
    "svg.fonttype": "none",  # words stay words: small files, text that can be searched
    "svg.hashsalt": "nexperia",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
SIZE = (5.6, 4.0)  # inches; the page scales it
WIDE = (1e-6, 1e-4, 0.01, 0.1, 0.5, 0.9, 0.99, 1 - 1e-4, 1 - 1e-6)
FEWEST_TICKS = 4
NARROW = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)


def roc(
    tables: Sequence[predictions.Predictions],
    names: Sequence[str],
    points: Sequence[results.OperatingPoint],
) -> str:
    """Escape rate against overkill rate: the ROC curve with both axes logarithmic.

    Args:
        tables: judged devices of each run.
        names: of the runs.
        points: the runs' operating points.
    """
    figure, axes = _axes(
        "Overkill rate (good rejected)", "Escape rate (defects passed)"
    )
    smallest = [1.0, 1.0]
    for table, name, point, colour in zip(tables, names, points, RUNS):
        fpr, tpr, _ = metrics.roc(table.label, table.score)
        n_defect = int(np.sum(table.label == 1))
        # No device stands for less than half of one on a logarithmic axis.
        floor_x, floor_y = 0.5 / (len(table) - n_defect), 0.5 / n_defect
        smallest = [min(smallest[0], floor_x), min(smallest[1], floor_y)]
        x, y = np.maximum(fpr, floor_x), np.maximum(1 - tpr, floor_y)
        x, y = _corners(x, y)
        axes.plot(x, y, color=colour, drawstyle="steps-post", label=name, lw=1.6)
        _cross(axes, point, (floor_x, floor_y), colour)
    axes.set(xscale="log", yscale="log")
    # Two decades at least: a tick at each end is no scale.
    axes.set_xlim(min(smallest[0] * 0.9, 0.009), 1)
    axes.set_ylim(min(smallest[1] * 0.9, 0.009), 1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(_rate_tick))
        axis.set_minor_formatter(ticker.NullFormatter())
    axes.grid(color=FAINT, lw=0.4)
    if len(tables) > 1:
        axes.legend(frameon=False, fontsize=9)
    return _svg(figure)


def _cross(
    axes, point: results.OperatingPoint, floor: tuple[float, float], colour: str
) -> None:
    """The operating point with the limits of both its rates."""
    overkill, escape = point.overkill_rate, point.escape_rate
    x, y = max(overkill.value, floor[0]), max(escape.value, floor[1])
    axes.plot([max(overkill.low, floor[0]), overkill.high], [y, y], color=colour, lw=1)
    axes.plot([x, x], [max(escape.low, floor[1]), escape.high], color=colour, lw=1)
    axes.plot([x], [y], "o", color=colour, mec="white", ms=8, zorder=5)


def histogram(table: predictions.Predictions, thresholds: dict[str, float]) -> str:
    """Scores of good devices and of defects; both axes show the rare ones.

    Args:
        table: judged devices.
        thresholds: vertical lines by what they are.
    """
    figure, axes = _axes("Score (probability of defect)", "Devices")
    logits = calibration.logits(table.score)
    edges = np.linspace(logits.min() - 1e-9, logits.max() + 1e-9, 61)
    for value, name, colour in ((0, "good", GOOD), (1, "defect", DEFECT)):
        shown = logits[table.label == value]
        axes.hist(
            shown, edges, color=colour, alpha=0.35, label=f"{name} ({len(shown)})"
        )
        axes.hist(shown, edges, color=colour, histtype="step", lw=1.2)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, None)
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda y, _: f"{y:.0f}"))
    # Between 0 and 1 the axis is linear, above it counts decades.
    axes.yaxis.set_major_locator(
        ticker.SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5))
    )
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    for (name, threshold), style in zip(thresholds.items(), ("-", "--", ":")):
        place = float(calibration.logits(np.array(threshold)))
        axes.axvline(place, color=INK, lw=1.2, ls=style, label=name)
    _probability_ticks(axes.xaxis)
    _legend_above(axes)
    return _svg(figure)


def reliability(bins: Sequence[calibration.Bin]) -> str:
    """Observed share of defects against the predicted probability, in log-odds."""
    figure, axes = _axes(
        "Predicted probability (mean score)", "Observed share of defects"
    )
    as_logit = lambda p: calibration.logits(np.array(p))  # noqa: E731
    predicted = as_logit([group.mean_score for group in bins])
    rates = [group.rate for group in bins]
    low = as_logit([rate.low for rate in rates])
    high = as_logit([rate.high for rate in rates])
    # A share of 0 or 1 has no log-odds: it stands at half a device, its bar says more.
    value = [np.clip(r.value, 0.5 / b.n, 1 - 0.5 / b.n) for r, b in zip(rates, bins)]
    value = as_logit(value)
    ends = np.array([predicted, value])
    ends = min(ends.min(), -2) - 0.5, max(ends.max(), 2) + 0.5
    axes.plot(ends, ends, color=FAINT, lw=1.2, label="predicted = observed")
    axes.vlines(predicted, np.maximum(low, -16), np.minimum(high, 16), color=DEFECT)
    axes.plot(predicted, value, "o", color=DEFECT, mec="white", ms=7)
    axes.set_xlim(ends)
    axes.set_ylim(ends)
    _probability_ticks(axes.xaxis)
    _probability_ticks(axes.yaxis)
    axes.grid(color=FAINT, lw=0.4)
    _legend_above(axes)
    return _svg(figure)


def forest(
    rows: Sequence[tuple[str, float, float | None, float | None]], zero: float | None
) -> str:
    """Values with their limits, one a line.

    Args:
        rows: `(name, value, low, high)`, drawn from top to bottom; limits of None are
            not drawn, the dot is hollow.
        zero: where a vertical line says "no difference"; None draws none.
    """
    height = 0.6 + 0.38 * len(rows)
    figure = matplotlib.figure.Figure((SIZE[0], height), layout="constrained")
    with matplotlib.rc_context(STYLE):
        axes = figure.add_subplot()
        for place, (_, value, low, high) in enumerate(rows):
            if low is None:
                axes.plot([value], [place], "o", mfc="none", mec=GOOD, ms=8)
                continue
            axes.plot([low, high], [place, place], color=GOOD, lw=2)
            axes.plot([value], [place], "o", color=GOOD, mec="white", ms=8)
        if zero is not None:
            axes.axvline(zero, color=INK, lw=0.8)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.grid(axis="x", color=FAINT, lw=0.4)
    return _svg(figure)


def _axes(x: str, y: str):
    with matplotlib.rc_context(STYLE):
        figure = matplotlib.figure.Figure(SIZE)
        # A layout that measures itself would double the time of a page.
        figure.subplots_adjust(left=0.16, right=0.95, bottom=0.13, top=0.88)
        axes = figure.add_subplot()
        axes.set(xlabel=x, ylabel=y)
    return figure, axes


def _legend_above(axes) -> None:
    """Names the lines where no line can hide them."""
    axes.legend(
        frameon=False, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2
    )


def _corners(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A staircase without the points in the middle of its steps."""
    turn = np.ones(len(x), dtype=bool)
    same_x, same_y = np.diff(x) == 0, np.diff(y) == 0
    turn[1:-1] = ~((same_x[:-1] & same_x[1:]) | (same_y[:-1] & same_y[1:]))
    return x[turn], y[turn]


def _probability_ticks(axis) -> None:
    low, high = axis.get_view_interval()
    ends = special.expit([low, high])
    for wanted in (WIDE, NARROW, ticker.MaxNLocator(6).tick_values(*ends)):
        inside = [p for p in wanted if ends[0] <= p <= ends[1] and 0 < p < 1]
        if len(inside) >= FEWEST_TICKS:
            break
    shown = [(calibration.logits(np.array(p)), p) for p in inside]
    axis.set_ticks([at for at, _ in shown], [_probability_tick(p) for _, p in shown])


def _probability_tick(p: float) -> str:
    if p > 0.99:
        return f"1−{_probability_tick(1 - p)}"
    return f"{p:g}" if p >= 0.01 else f"10$^{{{round(np.log10(p))}}}$"


def _rate_tick(rate: float, _) -> str:
    return f"{100 * rate:g} %"


def _svg(figure) -> str:
    """The figure as an `<svg>` element that scales with its column."""
    text = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # The page, not the drawing, decides on the size.
    return re.sub(
        r'(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"', r"\1\2", svg, count=1
    )
