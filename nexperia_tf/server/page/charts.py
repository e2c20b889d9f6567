"""Yield over time as a drawing that a page holds, in SVG.

Above, the share of good devices with the limits it may have; below, how many pictures
there were, by verdict. A column with few pictures has wide limits, and is not news.
"""

import datetime
from collections.abc import Iterator, Sequence

import markupsafe

from nexperia_tf.server.page import counts
from nexperia_tf.statistics import intervals

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP = 46, 8, 12
_SHARES, _BARS, _GAP = 120, 70, 22  # heights of the two parts, and between them
_LABELS = 7  # times named below, about
_ORDER = ("good", "review", "defect", "unreadable")


def drawn(days: Sequence[counts.Day], *, by_hour: bool) -> markupsafe.Markup:
    """The chart of some days or hours; nothing in it needs a script or a style."""
    label = "Yield and pictures by " + ("hour" if by_hour else "day")
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="chart" role="img" '
        f'aria-label="{label}">',
        *_shares(days),
        *_bars(days),
        *_times(days, by_hour=by_hour),
        "</svg>",
    ]
    return markupsafe.Markup("".join(parts))  # numbers and times alone


def lowest(days: Sequence[counts.Day]) -> float:
    """Where the axis of yields begins, in steps of a tenth; the top is 1.

    >>> lowest([counts.Day(None, good=97, defect=3)]), lowest([])
    (0.9, 0.9)
    """
    shares = [day.good / day.readable for day in days if day.readable]
    return min(0.9, int(min(shares, default=1.0) * 10) / 10)


def _x(place: float, count: int) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * place / max(count, 1)


def _shares(days: Sequence[counts.Day]) -> Iterator[str]:
    low = lowest(days)

    def y(share: float) -> float:
        return _TOP + _SHARES * (1 - (max(share, low) - low) / (1 - low))

    for share in (low, (1 + low) / 2, 1.0):
        yield _line(_LEFT, y(share), WIDTH - _RIGHT, y(share), "grid")
        yield _text(_LEFT - 6, y(share) + 4, f"{100 * share:.3g} %", "end")
    before = None
    for place, day in enumerate(days):
        if not day.readable:
            before = None
            continue
        found = intervals.clopper_pearson(day.good, day.readable)
        x = _x(place + 0.5, len(days))
        yield _line(x, y(found.low), x, y(found.high), "limits")
        if before:
            yield _line(*before, x, y(found.value), "yield")
        before = x, y(found.value)
        yield f'<circle cx="{x:.1f}" cy="{before[1]:.1f}" r="3.5" class="yield">'
        yield f"<title>{_words(day, found)}</title></circle>"


def _words(day: counts.Day, found: intervals.Interval) -> str:
    return (
        f"{day.start:%Y-%m-%d %H:%M}: yield {100 * found.value:.2f} % "
        f"({100 * found.low:.2f} to {100 * found.high:.2f}) of {day.readable}"
    )


def _bars(days: Sequence[counts.Day]) -> Iterator[str]:
    most = max((day.total for day in days), default=0) or 1
    bottom = _TOP + _SHARES + _GAP + _BARS
    yield _line(_LEFT, bottom, WIDTH - _RIGHT, bottom, "grid")
    yield _text(_LEFT - 6, bottom - _BARS + 10, f"{most:,}", "end")
    yield _text(_LEFT - 6, bottom, "0", "end")
    for place, day in enumerate(days):
        y, left, right = (
            bottom,
            _x(place + 0.15, len(days)),
            _x(place + 0.85, len(days)),
        )
        for verdict in _ORDER:
            number = getattr(day, verdict)
            height = _BARS * number / most
            y -= height
            if number:
                yield (
                    f'<rect x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" '
                    f'height="{max(height, 0.5):.1f}" class="{verdict}">'
                    f"<title>{day.start:%Y-%m-%d %H:%M}: {number:,} {verdict}</title>"
                    "</rect>"
                )


def _times(days: Sequence[counts.Day], *, by_hour: bool) -> Iterator[str]:
    every = max(1, -(-len(days) // _LABELS))
    form = "%H:%M" if by_hour else "%b %d"
    for place in range(len(days) - 1, -1, -every):
        start: datetime.datetime = days[place].start
        y = _TOP + _SHARES + _GAP + _BARS + 18
        yield _text(_x(place + 0.5, len(days)), y, start.strftime(form), "middle")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'class="{kind}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
