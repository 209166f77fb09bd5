"""The tables that put students side by side: what each costs and keeps, and the distillation summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.grammar.formats import ESTIMATED, format_judged, marked
from pytest_modelbench.reports.causes import WORDS
from pytest_modelbench.reports.layout import Cell, Column, Row, table
from pytest_modelbench.results import Verdict

MOST_SIDE_BY_SIDE = 4
"""Students in one table of the distillation summary; further ones have tables of their own."""


def tradeoff_table(tradeoff: Mapping[str, Any], *, width: int, colour: bool) -> str:
    """Render what `reports.tradeoff` found."""
    axes = tradeoff["axes"]
    by_axis = zip(*(row["values"] for row in tradeoff["students"]), strict=True)
    heads = [_heading(axis, values) for axis, values in zip(axes, by_axis, strict=True)]
    columns = [Column(title="Student", folds=True), *(Column(title=head, right=True, folds=True) for head in heads)]
    columns.append(Column(title="Pareto"))
    rows = [
        Row(
            cells=(
                Cell(row["student"]),
                *(Cell(_against_teacher(value, axis)) for value, axis in zip(row["values"], axes, strict=True)),
                Cell("*" if row["pareto"] else ""),
            )
        )
        for row in tradeoff["students"]
    ]
    return table(columns, rows, width=width, colour=colour)


def _heading(axis: Mapping[str, Any], values: Sequence[Mapping[str, Any]]) -> str:
    """Name the KPI and, where values are shown against the teacher's, in which way."""
    compared = any(value["teacher"] is not None for value in values)
    return f"{axis['kpi']} ({axis['against']})" if compared and "against" in axis else str(axis["kpi"])


def _against_teacher(value: Mapping[str, Any], axis: Mapping[str, Any]) -> str:
    """Show a value, and beside it what a limit on it would judge."""
    provenance = value.get("provenance", "measured")
    shown = marked(format_judged(value["student"], axis["unit"]), provenance)
    against = _judged(value, axis.get("against", "ratio"), axis["unit"])
    parts = [] if against is None else [marked(against, provenance)]
    parts += [provenance] if provenance in ESTIMATED else []
    return f"{shown} ({', '.join(parts)})" if parts else shown


def _judged(value: Mapping[str, Any], against: str, unit: str) -> str | None:
    """Return a student's value against its teacher's as its limit judges it; None where they have none."""
    student, teacher, limit = value["student"], value["teacher"], value.get("judged")
    if limit is not None and limit["value"] is not None:
        return format_judged(limit["value"], limit["unit"])
    if teacher is None:
        return None
    if against in {"difference", "drop"}:
        gap = student - teacher if against == "difference" else teacher - student
        return format_judged(gap, "pp" if unit == "%" else unit)
    if not teacher or (against == "speedup" and not student):
        return None
    if against == "speedup":
        return format_judged(teacher / student, "x")
    if against == "ratio":
        return format_judged(student / teacher, "x")
    change = student / teacher - 1
    return format_judged(change if against == "increase" else -change, "fraction")


def distillation_tables(rows: Sequence[Mapping[str, Any]], *, width: int, colour: bool) -> Iterator[str]:
    """Render what `reports.distillation` gathered, some students to a table."""
    students = list(rows[0]["students"])
    for start in range(0, len(students), MOST_SIDE_BY_SIDE):
        yield _distillation_table(rows, students[start : start + MOST_SIDE_BY_SIDE], width=width, colour=colour)


def _distillation_table(
    rows: Sequence[Mapping[str, Any]], students: Sequence[str], *, width: int, colour: bool
) -> str:
    columns = [Column(title="", folds=True), Column(title="Teacher", right=True)]
    for student in students:
        columns += [Column(title=student, right=True), Column(title="")]
    shown = [_distillation_row(row, students) for row in rows]
    return table(columns, shown, width=width, colour=colour, tail="Target", under=1)


def _distillation_row(row: Mapping[str, Any], students: Sequence[str]) -> Row:
    cells: list[Cell] = []
    targets: list[str] = []
    for judged in (row["students"][student] for student in students):
        if judged is None:
            cells += [Cell("not measured"), Cell("")]
        else:
            cells += [Cell(_value(judged)), Cell(*WORDS[Verdict(judged["verdict"])])]
            targets += judged["targets"]
    values = [row["teacher"], *row["students"].values()]
    worth = {value.get("provenance", "") for value in values if value is not None} & ESTIMATED
    name = f"{row['name']} ({', '.join(sorted(worth))})" if worth else row["name"]
    return Row(cells=(Cell(name), Cell(_value(row["teacher"])), *cells), tail=", ".join(dict.fromkeys(targets)))


def _value(reading: Mapping[str, Any] | None) -> str:
    if reading is None:
        return "-"
    if "text" in reading:
        return str(reading["text"])
    if reading["value"] is None:
        return "nan"
    return marked(format_judged(reading["value"], reading["unit"]), reading.get("provenance", ""))
