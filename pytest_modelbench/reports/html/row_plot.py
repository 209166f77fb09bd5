"""Plots of named rows: a mark or two in each, with intervals, over one axis and perhaps a line that matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_modelbench.reports.html.axes import Axis, tick_texts
from pytest_modelbench.reports.html.figures import LETTER, WIDTH, Area, Curve, Label, Line, Mark, clipped
from pytest_modelbench.reports.layout import width_of

MOST_ROWS = 30
"""Rows that a plot draws; its table has more."""
SHORT = 14
"""Names of up to so many letters are left of their marks, longer ones above them."""
_EDGE = 10.0
_AXIS = 34.0

Shape = Line | Area | Curve | Mark | Label


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A value in a row, with the ends of its interval (None where it has no such end, or no interval)."""

    value: float
    shape: str
    look: str
    title: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class PlotRow:
    """A row: its name, what is shown at its right end, and its values."""

    name: str
    right: str = ""
    dots: Sequence[Dot] = field(default_factory=tuple)


def values_of(rows: Sequence[PlotRow]) -> list[float]:
    """Return every number that must be on the axis."""
    return [end for row in rows for dot in row.dots for end in (dot.value, dot.low, dot.high) if end is not None]


def span_of(rows: Sequence[PlotRow]) -> tuple[float, float]:
    """Return the lengths between which the axis of rows lies."""
    return (_left(rows), WIDTH - _EDGE - _right(rows))


def draw_rows(
    rows: Sequence[PlotRow], axis: Axis, unit: str, *, line_at: float | None = None, ticks: Sequence[str] = ()
) -> tuple[list[Shape], float]:
    """Draw rows from top to bottom.

    Args:
        rows: at most `MOST_ROWS` of them are drawn.
        axis: over `span_of(rows)`.
        unit: of its values.
        line_at: a value whose line stands out.
        ticks: the texts of the axis' labelled values, where they do not follow from the unit.

    Returns:
        The shapes, and the height of the drawing.
    """
    rows = rows[:MOST_ROWS]
    stacked = _stacked(rows)
    step, top = (40.0 if stacked else 22.0), 8.0
    bottom = top + step * len(rows)
    shapes: list[Shape] = [Line(axis.at(tick), top, axis.at(tick), bottom, "grid") for tick in axis.ticks]
    if line_at is not None and axis.holds(line_at):
        shapes.append(Line(axis.at(line_at), top - 4, axis.at(line_at), bottom + 4, "limit"))
    for number, row in enumerate(rows):
        shapes += _row(row, axis, top + step * number, stacked=stacked)
    shapes += axis_labels(axis, list(ticks) or tick_texts(axis.ticks, unit), bottom + 16)
    return shapes, bottom + _AXIS


def axis_labels(axis: Axis, texts: Sequence[str], y: float) -> list[Shape]:
    """Return the labels of a horizontal axis; those that would touch the one before are left out."""
    shapes: list[Shape] = []
    free = float("-inf")
    for tick, text in zip(axis.ticks, texts, strict=True):
        half = width_of(text) * LETTER / 2
        x = min(max(axis.at(tick), half + 2), WIDTH - half - 2)
        if x - half >= free:
            shapes.append(Label(x, y, text, "middle", "tick"))
            free = x + half + 8
    return shapes


def _row(row: PlotRow, axis: Axis, top: float, *, stacked: bool) -> list[Shape]:
    y, baseline = (top + 24, top + 13) if stacked else (top + 11, top + 15)
    most = int((WIDTH - 2 * _EDGE) / LETTER) - (width_of(row.right) + 2 if row.right else 0) if stacked else SHORT
    shapes: list[Shape] = [Label(_EDGE, baseline, clipped(row.name, max(most, 8)))]
    if row.right:
        shapes.append(Label(WIDTH - _EDGE, baseline, row.right, "end", "value"))
    if len(row.dots) == 2:
        first, second = (axis.at(dot.value) for dot in row.dots)
        shapes.append(Line(first, y, second, y, "between"))
    for number, dot in enumerate(row.dots):
        under = number == 0 and len(row.dots) > 1  # larger, so that it is seen under an equal value
        shapes += _interval(dot, axis, y)
        shapes.append(Mark(axis.at(dot.value), y, dot.shape, dot.look, dot.title, 6.5 if under else 5.0))
    return shapes


def _interval(dot: Dot, axis: Axis, y: float) -> list[Shape]:
    """Return the line of an interval; an end that is unknown or off the axis has no cap."""
    if dot.low is None and dot.high is None:
        return []
    low = axis.low if dot.low is None else dot.low
    high = axis.high if dot.high is None else dot.high
    shapes: list[Shape] = [Line(axis.at(low), y, axis.at(high), y, f"interval {dot.look}")]
    caps = [end for end in (dot.low, dot.high) if end is not None and axis.holds(end)]
    shapes += [Line(axis.at(end), y - 4, axis.at(end), y + 4, f"interval {dot.look}") for end in caps]
    return shapes


def _stacked(rows: Sequence[PlotRow]) -> bool:
    return any(width_of(clipped(row.name, SHORT + 1)) > SHORT for row in rows)


def _left(rows: Sequence[PlotRow]) -> float:
    if _stacked(rows):
        return _EDGE + 4
    return 2 * _EDGE + LETTER * max(width_of(clipped(row.name, SHORT)) for row in rows)


def _right(rows: Sequence[PlotRow]) -> float:
    """Return the width of the texts at the right, where they are on the marks' line."""
    if _stacked(rows):
        return 0.0
    return max(LETTER * width_of(row.right) + 10 if row.right else 0.0 for row in rows)
