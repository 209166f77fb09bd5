"""The waterfall of a diagnosis: from the teacher's time to the student's, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.reports.html.axes import Axis, even_axis, tick_texts
from pytest_modelbench.reports.html.fields import Row, number, table, tables, text
from pytest_modelbench.reports.html.figures import WIDTH, Area, Figure, Key, Label, Line, clipped, table_of
from pytest_modelbench.reports.html.row_plot import Shape, axis_labels

MOST_STEPS = 14
Step = tuple[str, float, float | None, float | None]
"""A layer's name, the change of its time (ms), and the ends of the change's interval."""
Bar = tuple[str, float, float, str, tuple[float, ...]]
"""A name, the times (ms) at which a bar starts and ends, its look, and the ends of the interval of its end."""
_ROW, _TOP, _EDGE = 34.0, 8.0, 10.0


def waterfall_figure(diagnosis: Mapping[str, Any]) -> Figure | None:
    """Plot the largest steps as bars that begin where the step before ended, each with its interval."""
    waterfall = table(diagnosis.get("waterfall"))
    teacher, student = number(waterfall.get("teacher_ms")), number(waterfall.get("student_ms"))
    changes = [change for change in tables(waterfall.get("changes")) if number(change.get("change_ms")) is not None]
    if teacher is None or student is None or not changes:
        return None
    steps = [_step(change) for change in changes[:MOST_STEPS]]
    rest = sum(float(change["change_ms"]) for change in changes[MOST_STEPS:])
    if len(changes) > MOST_STEPS:
        steps.append((f"{len(changes) - MOST_STEPS:,} other steps", rest, None, None))
    bars = _bars(teacher, student, steps)
    ends = [end for _, low, high, _, interval in bars for end in (low, high, *interval)]
    axis = even_axis([0.0, *ends], _EDGE + 4, WIDTH - _EDGE)
    bottom = _TOP + _ROW * len(bars)
    shapes: list[Shape] = [Line(axis.at(tick), _TOP, axis.at(tick), bottom, "grid") for tick in axis.ticks]
    for place, bar in enumerate(bars):
        shapes += _bar(bar, axis, _TOP + _ROW * place)
    shapes += axis_labels(axis, tick_texts(axis.ticks, "ms"), bottom + 16)
    return Figure(
        kind="waterfall",
        title="Where the time went: from the teacher to the student, layer by layer",
        summary=f"From the teacher's {format_judged(teacher, 'ms')} a call to the student's "
        f"{format_judged(student, 'ms')}; the largest step is {clipped(changes[0].get('path'), 60)}. "
        f"Clock: {text(waterfall.get('clock')) or 'unknown'}.",
        height=bottom + 34,
        shapes=shapes,
        legend=[
            Key("square", "faster", "saves time"),
            Key("square", "slower", "costs time"),
            Key("square", "total", "a call"),
        ],
        table=table_of(
            ("Layer", "Kind", "Teacher", "Student", "Change", "Interval"), [_table_row(change) for change in changes]
        ),
    )


def _bar(bar: Bar, axis: Axis, top: float) -> list[Shape]:
    name, start, end, look, interval = bar
    change = end if look == "total" else end - start
    shown = f"{'' if look == 'total' or change < 0 else '+'}{format_judged(change, 'ms')}"
    left, right = sorted((axis.at(start), axis.at(end)))
    shapes: list[Shape] = [
        Label(_EDGE, top + 13, clipped(name, 44)),
        Label(WIDTH - _EDGE, top + 13, shown, "end", "value"),
        Area(left, top + 18, max(right - left, 1.0), 11, look, f"{name}: {shown}"),
    ]
    if interval:
        shapes.append(Line(axis.at(interval[0]), top + 23.5, axis.at(interval[1]), top + 23.5, "interval ink"))
    return shapes


def _step(change: Row) -> Step:
    name = (
        f"{text(change.get('path'))} ({text(change['layer'])})" if change.get("layer") else text(change.get("path"))
    )
    return name, float(change["change_ms"]), number(change.get("change_ms_low")), number(change.get("change_ms_high"))


def _bars(teacher: float, student: float, steps: list[Step]) -> list[Bar]:
    """Return a bar for the teacher, one for each step, which begins where the one before ends, and the student's."""
    bars: list[Bar] = [("teacher, a call", 0.0, teacher, "total", ())]
    at = teacher
    for name, change, low, high in steps:
        interval = () if low is None or high is None else (at + low, at + high)
        bars.append((name, at, at + change, "faster" if change < 0 else "slower", interval))
        at += change
    bars.append(("student, a call", 0.0, student, "total", ()))
    return bars


def _table_row(change: Row) -> list[str]:
    low, high = number(change.get("change_ms_low")), number(change.get("change_ms_high"))
    times = [number(change.get(name)) for name in ("teacher_ms", "student_ms", "change_ms")]
    interval = "" if low is None or high is None else f"{format_judged(low, 'ms')} to {format_judged(high, 'ms')}"
    shown = ["-" if time is None else format_judged(time, "ms") for time in times]
    return [text(change.get("path")), text(change.get("layer")), *shown, interval]
