"""Teacher against students: quality over latency, the Pareto-optimal ones joined, and the corner of the limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.reports.causes import some
from pytest_modelbench.reports.html.axes import Axis, even_axis, log_axis
from pytest_modelbench.reports.html.calibration import frame
from pytest_modelbench.reports.html.fields import Row, batch_size, number, table, tables, text
from pytest_modelbench.reports.html.figures import (
    LETTER,
    TEACHER,
    WIDTH,
    Area,
    Curve,
    Figure,
    Key,
    Label,
    Mark,
    Table,
    clipped,
    series_of,
    table_of,
)
from pytest_modelbench.reports.html.limit_lines import LimitLine, in_kpi_terms
from pytest_modelbench.reports.html.row_plot import Shape
from pytest_modelbench.reports.layout import width_of
from pytest_modelbench.reports.tradeoff import AXES, pareto_optimal

TOP, BOTTOM, LEFT, RIGHT = 20.0, 260.0, 52.0, WIDTH - 14.0
MUCH = 8
"""Ratio of values from which an axis is logarithmic."""
MOST_STUDENTS, MOST_KEYS, MOST_NAMED = 30, 12, 8
"""Students that are drawn, that are in the legend, and whose names are beside their marks."""


class Point(NamedTuple):
    """A student's name, its value on either axis, and whether it is Pareto-optimal."""

    name: str
    x: float
    y: float
    pareto: bool


def tradeoff_figures(report: Mapping[str, Any]) -> list[Figure]:
    """Plot quality over latency, and the report's trade-off where it has no such axes.

    Args:
        report: the JSON report. Its `tradeoff` has the Pareto-optimal students on the axes that all students have. If
            these lack quality or latency, or there is one student only, that plot is made of the gates.
    """
    tradeoff = table(report.get("tradeoff"))
    names = {text(axis.get("name")) for axis in tables(tradeoff.get("axes"))}
    made = [] if {"quality", "latency"} <= names else [_figure(report, _from_gates(report["gates"]))]
    return [figure for figure in (*made, _figure(report, tradeoff)) if figure is not None]


def _from_gates(gates: Sequence[Mapping[str, Any]]) -> Row:
    """Return what `reports.tradeoff` would, of quality and latency and of the students that have both."""
    kept: dict[tuple[str, str], Mapping[str, Any]] = {}
    for gate in gates:
        reading = gate["readings"]["student"]
        if reading and number(reading["value"]) is not None and batch_size(gate) == 1:
            kept.setdefault((gate["student"], gate["kpi"]), gate)
    students = list(dict.fromkeys(student for student, _ in kept))
    axes = []
    for name, kpis, better in AXES[:2]:
        kpi = max(kpis, key=lambda kpi: sum((student, kpi) in kept for student in students))
        students = [student for student in students if (student, kpi) in kept]
        axes.append({"name": name, "kpi": kpi, "better": better})
    if not students or len({text(gate.get("suite")) for gate in gates}) > 1:
        return {}
    for axis in axes:
        axis["unit"] = kept[students[0], axis["kpi"]]["readings"]["student"]["unit"]
    rows = [
        {"student": student, "values": [_values(kept[student, axis["kpi"]]["readings"]) for axis in axes]}
        for student in students
    ]
    best = pareto_optimal(students, axes, kept) if len(students) > 1 else []
    return {
        "axes": axes,
        "students": [row | {"pareto": flag} for row, flag in zip(rows, best, strict=True)] if best else rows,
    }


def _values(readings: Mapping[str, Any]) -> Row:
    return {role: readings[role]["value"] if readings[role] else None for role in ("student", "teacher")}


def _figure(report: Mapping[str, Any], tradeoff: Row) -> Figure | None:
    axes, students = tables(tradeoff.get("axes")), tables(tradeoff.get("students"))
    if len(axes) < 2 or not all(isinstance(student.get("values"), list) for student in students):
        return None
    first, second = _chosen([text(axis.get("name")) for axis in axes])
    kpis, units = ([text(axes[at].get(field)) for at in (first, second)] for field in ("kpi", "unit"))
    points = [point for student in students[:MOST_STUDENTS] if (point := _point(student, first, second)) is not None]
    if not points or min(point.x for point in points) <= 0:
        return None
    teacher, corner = _teacher(students, first, second), (_strictest(report, kpis[0]), _strictest(report, kpis[1]))
    xs = [point.x for point in points] + ([teacher[0]] if teacher else [])
    ys = [point.y for point in points] + ([teacher[1]] if teacher else [])
    across = log_axis([*xs, *_worth_showing(corner[0], xs)], LEFT, RIGHT)
    up, scale = _upwards([*ys, *_worth_showing(corner[1], ys)], units[1])
    area = _corner(*corner, across, up)
    series = series_of([gate["student"] for gate in report["gates"]] + [point.name for point in points])
    keys = [Key(*series[point.name], point.name) for point in points[:MOST_KEYS]]
    more = len(students) - MOST_STUDENTS
    return Figure(
        kind="tradeoff",
        title=f"Students against the teacher: {kpis[1]} and {kpis[0]}",
        summary=_summary(points, shaded=bool(area)),
        height=BOTTOM + 40,
        shapes=[
            *area,
            *frame(across, up, units[0], units[1]),
            *_front(points, text(axes[first].get("better")), across, up),
            *_marks(points, series, across, up, (units[0], units[1])),
            *_teacher_mark(teacher, across, up, (units[0], units[1])),
            Label(LEFT, 12, f"{kpis[1]}{scale}", "start", "tick"),
            Label(RIGHT, BOTTOM + 32, f"{kpis[0]}, logarithmic", "end", "tick"),
        ],
        legend=[*keys, *([Key(*TEACHER, "teacher")] if teacher else [])],
        note=f"Students in the table only: {more:,}." if more > 0 else "",
        table=_table(axes, students),
    )


def _chosen(names: Sequence[str]) -> tuple[int, int]:
    """Return which axes are drawn across and up.

    >>> _chosen(["quality", "latency", "size"]), _chosen(["quality", "size"]), _chosen(["latency", "size"])
    ((1, 0), (1, 0), (0, 1))
    """
    order = sorted(range(len(names)), key=lambda at: names[at] != "quality")
    up, rest = (order[0], order[1:]) if names[order[0]] == "quality" else (order[1], [order[0], *order[2:]])
    return next((at for at in rest if names[at] == "latency"), rest[0]), up


def _point(student: Row, first: int, second: int) -> Point | None:
    values = student["values"]
    if max(first, second) >= len(values):
        return None
    x, y = (number(table(values[at]).get("student")) for at in (first, second))
    if x is None or y is None:
        return None
    return Point(text(student.get("student")), x, y, student.get("pareto") is True)


def _teacher(students: Sequence[Row], first: int, second: int) -> tuple[float, float] | None:
    """Return the teacher's values beside the first student that has both."""
    for student in students:
        values = student["values"]
        if max(first, second) < len(values):
            x, y = (number(table(values[at]).get("teacher")) for at in (first, second))
            if x is not None and y is not None and x > 0:
                return x, y
    return None


def _strictest(report: Mapping[str, Any], kpi: str) -> LimitLine | None:
    """Return the limit on a KPI that leaves least room, in the KPI's terms; None where there is none."""
    lines = [
        line
        for gate in report["gates"]
        if gate["kpi"] == kpi and batch_size(gate) == 1
        for limit in gate["limits"]
        if (line := in_kpi_terms(limit, gate)) is not None
    ]
    uppers = [line for line in lines if line.upper]
    lowers = [line for line in lines if not line.upper]
    if uppers and not lowers:
        return min(uppers, key=lambda line: line.threshold)
    return max(lowers, key=lambda line: line.threshold) if lowers and not uppers else None


def _worth_showing(line: LimitLine | None, values: Sequence[float]) -> list[float]:
    """Return a limit that is near enough to the values to be on the axis."""
    if line is None or line.threshold <= 0:
        return []
    return [line.threshold] if min(values) / 10 <= line.threshold <= 10 * max(values) else []


def _corner(x: LimitLine | None, y: LimitLine | None, across: Axis, up: Axis) -> list[Shape]:
    """Return the area in which both limits hold; nothing where one is unknown, or the area is off the plot."""
    if x is None or y is None:
        return []
    left, right = (LEFT, across.at(x.threshold)) if x.upper else (across.at(x.threshold), RIGHT)
    top, bottom = (up.at(y.threshold), BOTTOM) if y.upper else (TOP, up.at(y.threshold))
    if right <= left or bottom <= top:
        return []
    return [Area(left, top, right - left, bottom - top, "corner", "both limits hold here")]


def _upwards(values: Sequence[float], unit: str) -> tuple[Axis, str]:
    """Return the upward axis, and what its name adds: sizes and times that differ much are on a logarithmic one."""
    if unit != "%" and min(values) > 0 and max(values) > MUCH * min(values):
        return log_axis(values, BOTTOM, TOP), ", logarithmic"
    return even_axis(values, BOTTOM, TOP, pad=0.12), ""


def _front(points: Sequence[Point], better: str, across: Axis, up: Axis) -> list[Shape]:
    """Join the Pareto-optimal students, from the best on one axis to the best on the other."""
    best = sorted(((x, y) for _, x, y, pareto in points if pareto), reverse=better == "higher")
    if len(best) < 2:
        return []
    return [Curve([(across.at(x), up.at(y)) for x, y in best], "curve front", "Pareto-optimal students")]


def _teacher_mark(teacher: tuple[float, float] | None, across: Axis, up: Axis, units: tuple[str, str]) -> list[Shape]:
    if teacher is None:
        return []
    title = f"teacher: {format_judged(teacher[1], units[1])}, {format_judged(teacher[0], units[0])}"
    return [Mark(across.at(teacher[0]), up.at(teacher[1]), *TEACHER, title, 6.5)]


def _marks(
    points: Sequence[Point],
    series: Mapping[str, tuple[str, str]],
    across: Axis,
    up: Axis,
    units: tuple[str, str],
) -> list[Shape]:
    shapes: list[Shape] = []
    places = [(across.at(x), up.at(y)) for _, x, y, _ in points]
    for (name, x, y, pareto), place in zip(points, places, strict=True):
        title = f"{name}: {format_judged(y, units[1])}, {format_judged(x, units[0])}"
        shapes.append(Mark(*place, *series[name], f"{title}{', Pareto-optimal' if pareto else ''}", 6.5))
    return [*shapes, *_names([clipped(name, 20) for name, *_ in points], places)]


def _names(names: Sequence[str], places: Sequence[tuple[float, float]]) -> list[Shape]:
    """Return the names beside their marks, on the first side that is free; one without room is in the legend only."""
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    shapes: list[Shape] = []
    for name, (x, y) in zip(names, places, strict=True) if len(names) <= MOST_NAMED else ():
        width = LETTER * width_of(name)
        for anchor, start, at in (
            ("start", x + 10, y + 4),
            ("end", x - 10 - width, y + 4),
            ("middle", x - width / 2, y - 11),
            ("middle", x - width / 2, y + 20),
        ):
            box = (start, at - 10, start + width, at + 3)
            inside = box[0] >= LEFT and box[2] <= RIGHT and box[1] >= TOP - 6 and box[3] <= BOTTOM + 4
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                shapes.append(Label({"start": start, "end": start + width}.get(anchor, x), at, name, anchor))
                break
    return shapes


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _summary(points: Sequence[Point], *, shaded: bool) -> str:
    best = [clipped(name, 40) for name, _, _, pareto in points if pareto]
    sentences = [f"{len(points)} student{'s' * (len(points) != 1)}"]
    if best:
        sentences.append(f"Pareto-optimal, so that no other one is better in everything: {some(best, 8)}")
    if shaded:
        sentences.append("In the shaded corner both limits hold")
    return f"{'. '.join(sentences)}."


def _table(axes: Sequence[Row], students: Sequence[Row]) -> Table:
    judged = any("pareto" in student for student in students)
    rows = []
    for student in students:
        cells = [table(value) for value in student["values"][: len(axes)]]
        shown = [
            "-" if (value := number(cell.get("student"))) is None else format_judged(value, text(axis.get("unit")))
            for axis, cell in zip(axes, cells, strict=False)
        ]
        best = ["yes" if student.get("pareto") is True else "no"] if judged else []
        rows.append([text(student.get("student")), *shown, *best])
    heads = [text(axis.get("kpi")) for axis in axes]
    return table_of(("Student", *heads, *(["Pareto-optimal"] if judged else [])), rows)
