"""Corruptions in rows and severities in columns: what the student loses in each cell, shaded and in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.reports.corrupted_cells import CorruptedCell, cells_of
from pytest_modelbench.reports.html.fields import text
from pytest_modelbench.reports.html.figures import LETTER, WIDTH, Area, Figure, Key, Label, clipped, table_of
from pytest_modelbench.reports.html.row_plot import MOST_ROWS, Shape

SHADES = (1.0, 3.0, 10.0, 30.0)
"""Points from which on a cell has the next shade."""
NAME = 20
_EDGE, _TOP, _HEIGHT, _GAP = 6.0, 22.0, 34.0, 2.0
_LEFT = _EDGE + NAME * LETTER
_MOST_COLUMNS = 5


def corruption_figure(gate: Mapping[str, Any]) -> Figure | None:
    """Draw the cells of a KPI under corruptions, the worst corruption first; None where there are none.

    Args:
        gate: its breakdown has a row for each corruption and severity, with `value` and perhaps `teacher` in percent.
    """
    cells = cells_of(gate)
    if not cells:
        return None
    rows = _by_corruption(cells)
    columns = sorted({cell.severity for cell in cells})[:_MOST_COLUMNS]
    drawn, paired = list(rows.items())[:MOST_ROWS], any(cell.teacher is not None for cell in cells)
    left = len(rows) - len(drawn)
    kept = text(gate["kpi"]) == "corruption_invariance"
    return Figure(
        kind="corruptions",
        title=f"{'Unchanged labels' if kept else 'Accuracy'} under corruptions ({text(gate['kpi'])})",
        summary=_summary(cells, rows, paired=paired),
        height=_TOP + _HEIGHT * len(drawn) + _EDGE,
        shapes=_shapes(drawn, columns),
        legend=_legend(paired=paired),
        note=f"Rows in the table only: {left:,}." if left else "",
        table=table_of(
            ("Corruption", "Severity", "n", "Teacher", "Student", "Drop"),
            [_table_row(cell) for row in rows.values() for cell in row],
        ),
    )


def _by_corruption(cells: Sequence[CorruptedCell]) -> dict[str, list[CorruptedCell]]:
    """Return the cells of each corruption, the one with the worst cell first."""
    rows: dict[str, list[CorruptedCell]] = {}
    for cell in cells:
        rows.setdefault(cell.corruption, []).append(cell)
    return dict(sorted(rows.items(), key=lambda row: -max(cell.badness for cell in row[1])))


def _shapes(rows: Sequence[tuple[str, Sequence[CorruptedCell]]], columns: Sequence[str]) -> list[Shape]:
    width = (WIDTH - _LEFT - _EDGE) / len(columns)
    places = {severity: _LEFT + width * at for at, severity in enumerate(columns)}
    shapes: list[Shape] = [
        Label(left + width / 2, _TOP - 7, f"severity {severity}" if width > 60 else severity, "middle", "tick")
        for severity, left in places.items()
    ]
    for number, (name, cells) in enumerate(rows):
        top = _TOP + _HEIGHT * number
        shapes.append(Label(_EDGE, top + _HEIGHT / 2 + 4, clipped(name, NAME - 1)))
        for cell in cells:
            if cell.severity in places:
                shapes += _drawn(cell, places[cell.severity], top, width)
    return shapes


def _drawn(cell: CorruptedCell, left: float, top: float, width: float) -> list[Shape]:
    """Return a shaded cell with two lines: the drop, and the accuracy of both models; or the student's alone."""
    first, second = f"{cell.student:.1f}%", ""
    if cell.drop is not None and cell.teacher is not None:
        first, second = f"{cell.drop:+.1f} pp", f"{cell.teacher:.0f} → {cell.student:.0f}%"
    title = f"{cell.corruption}, severity {cell.severity}: {' '.join(_table_row(cell)[3:])}"
    middle, right = left + width / 2, width - _GAP
    shapes: list[Shape] = [
        Area(left, top, right, _HEIGHT - _GAP, _shade(cell), title),
        Label(middle, top + (14 if second else 20), first, "middle", "value"),
    ]
    return [*shapes, Label(middle, top + 27, second, "middle", "tick")] if second else shapes


def _shade(cell: CorruptedCell) -> str:
    """Return the classes of a cell: lost or gained, and how much."""
    points = cell.badness
    return f"cell {'lost' if points >= 0 else 'gained'} shade{sum(abs(points) >= least for least in SHADES)}"


def _legend(*, paired: bool) -> list[Key]:
    if not paired:
        return [Key("square", "lost", "the darker, the more is wrong")]
    return [
        Key("square", "lost", "student below the teacher"),
        Key("square", "gained", "student above the teacher"),
    ]


def _summary(cells: Sequence[CorruptedCell], rows: Mapping[str, object], *, paired: bool) -> str:
    worst = max(cells, key=lambda cell: cell.badness)
    where = f"under {clipped(worst.corruption, 60)} at severity {worst.severity}"
    many = f"{len(rows)} corruptions" if len(rows) > 1 else "1 corruption"
    if not paired or worst.teacher is None:
        return f"{many}. The student is worst {where}: {format_judged(worst.student, '%')}."
    return (
        f"{many}. The largest drop is {format_judged(worst.badness, 'pp')} {where}, from "
        f"{format_judged(worst.teacher, '%')} to {format_judged(worst.student, '%')}. A cell has the drop, and below "
        "it the shares of teacher and student."
    )


def _table_row(cell: CorruptedCell) -> list[str]:
    teacher = "-" if cell.teacher is None else format_judged(cell.teacher, "%")
    drop = "-" if cell.drop is None else format_judged(cell.drop, "pp")
    return [cell.corruption, cell.severity, f"{cell.n:,}", teacher, format_judged(cell.student, "%"), drop]
