"""A history as one page: what changed in words, and a small chart with its table for each trend."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modelbench.reports.history import note_lines, sentence, value_text
from pytest_modelbench.reports.html.axes import Axis, even_axis, tick_texts
from pytest_modelbench.reports.html.figures import MOST_TABLE_ROWS, WIDTH, Curve, Figure, Label, Line, Mark, table_of
from pytest_modelbench.reports.html.render import render
from pytest_modelbench.reports.html.row_plot import Shape, axis_labels
from pytest_modelbench.reports.trends import Finding, Point, Trend
from pytest_modelbench.store.history import History
from pytest_modelbench.store.recognising import HISTORY_PAGE_HEAD

TOP, BOTTOM, LEFT, RIGHT = 12.0, 104.0, 62.0, WIDTH - 12.0
_FEW = 60
"""Runs up to which marks are large."""


def history_page(history: History, of: Sequence[Trend], found: Sequence[Finding]) -> str:
    """Return the page, which needs no network, no script and no other file.

    Args:
        history: the runs.
        of: its trends; those that changed are first on the page.
        found: the changes of these trends.
    """
    own = {id(trend): [finding for finding in found if finding.trend is trend] for trend in of}
    worse = sum(finding.is_worse for finding in found)
    times = [run.content["time"][:10] for run in history.runs]
    ranked = sorted(of, key=lambda trend: min([not finding.is_worse for finding in own[id(trend)]], default=2))
    return render(
        "history.html",
        HISTORY_PAGE_HEAD,
        path=history.path,
        span=f"{len(times)} run{'s' * (len(times) != 1)}, {times[0]} to {times[-1]}",
        counts=f"{len(of)} trend{'s' * (len(of) != 1)}, {len(found)} change{'s' * (len(found) != 1)}, "
        f"{worse} of them for the worse",
        notes=list(note_lines(history)),
        changes=[("WORSE" if finding.is_worse else "CHANGED", sentence(finding)) for finding in _worst_first(found)],
        figures=[trend_figure(trend, own[id(trend)]) for trend in ranked],
    )


def _worst_first(found: Sequence[Finding]) -> list[Finding]:
    return sorted(found, key=lambda finding: not finding.is_worse)


def trend_figure(trend: Trend, found: Sequence[Finding]) -> Figure:
    """Plot a trend: a mark for each run, the intervals, a line for each change; the table begins with the last."""
    values = [point.compared for point in trend.points]
    ends = [end for point in trend.points for end in (point.low, point.high) if end is not None]
    up = even_axis(values + ends, BOTTOM, TOP, most=3)
    across = even_axis([1.0, max(float(len(values)), 2.0)], LEFT, RIGHT, pad=0.02)
    first, last = (value_text(trend, value) for value in (values[0], values[-1]))
    runs = f"{len(values)} run{'s' * (len(values) != 1)}"
    return Figure(
        kind="trend",
        title=trend.name,
        summary=" ".join([f"{runs}, from {first} to {last}.", *(f"{sentence(finding)}." for finding in found)]),
        height=BOTTOM + 24,
        shapes=[*_frame(trend, across, up), *_band(trend.points, across, up), *_marks(trend, found, across, up)],
        table=table_of(
            ("Run", "Time", "Branch", "Value", "Verdict"),
            [_table_row(trend, point) for point in reversed(trend.points[-MOST_TABLE_ROWS:])],
        ),
        note=f"In the table are the last {MOST_TABLE_ROWS} runs." if len(values) > MOST_TABLE_ROWS else "",
    )


def _frame(trend: Trend, across: Axis, up: Axis) -> list[Shape]:
    unit = "x" if trend.basis.startswith("ratio") else trend.unit
    whole = [tick for tick in across.ticks if tick >= 1 and tick == int(tick)]
    shapes: list[Shape] = [Line(LEFT, up.at(tick), RIGHT, up.at(tick), "grid") for tick in up.ticks]
    shapes += [
        Label(LEFT - 6, up.at(tick) + 4, label, "end", "tick")
        for tick, label in zip(up.ticks, tick_texts(up.ticks, unit), strict=True)
    ]
    runs = [f"run {tick:.0f}" if place == 0 else f"{tick:.0f}" for place, tick in enumerate(whole)]
    numbered = Axis(low=across.low, high=across.high, start=LEFT, end=RIGHT, ticks=whole, form=float)
    return [*shapes, *axis_labels(numbered, runs, BOTTOM + 16)]


def _band(points: Sequence[Point], across: Axis, up: Axis) -> list[Shape]:
    """Return the area between the ends of the intervals; an end that is unknown is at the value."""
    lows, highs = (
        [
            (across.at(place), up.at(point.compared if end is None else end))
            for place, (point, end) in enumerate(zip(points, ends, strict=True), 1)
        ]
        for ends in ([point.low for point in points], [point.high for point in points])
    )
    return [Curve([*lows, *reversed(highs)], "range")] if len(points) > 1 and lows != highs else []


def _marks(trend: Trend, found: Sequence[Finding], across: Axis, up: Axis) -> list[Shape]:
    places = {point.run.number: place for place, point in enumerate(trend.points, 1)}
    shapes: list[Shape] = []
    for finding in found:
        x = across.at(places[finding.after.number] - 0.5)
        shape, look = ("cross", "bad") if finding.is_worse else ("circle", "good")
        shapes += [Line(x, TOP, x, BOTTOM, "limit"), Mark(x, TOP, shape, look, sentence(finding), 4.5)]
    line = [(across.at(place), up.at(point.compared)) for place, point in enumerate(trend.points, 1)]
    size = 2.5 if len(line) <= _FEW else 1.5
    shapes += [Curve(line, "curve thin s0")] if len(line) > 1 else []
    return shapes + [
        Mark(x, y, "circle", "s0", _title(trend, point), size)
        for (x, y), point in zip(line, trend.points, strict=True)
    ]


def _title(trend: Trend, point: Point) -> str:
    return f"{point.run.name}, {point.run.content['time'][:16]}: {value_text(trend, point.compared)}"


def _table_row(trend: Trend, point: Point) -> list[str]:
    content = point.run.content
    value = value_text(trend, point.compared)
    return [point.run.name, content["time"][:16], content["branch"] or "", value, str(point.gate["verdict"])]
