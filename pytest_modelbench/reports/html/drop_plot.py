"""What each class or slice lost: the teacher's accuracy, the student's, and the interval of the drop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.grammar.formats import format_interval, format_judged
from pytest_modelbench.reports.html.axes import even_axis
from pytest_modelbench.reports.html.breakdowns import ROLES
from pytest_modelbench.reports.html.fields import Row, number, tables, text
from pytest_modelbench.reports.html.figures import Figure, Key, clipped, table_of
from pytest_modelbench.reports.html.row_plot import MOST_ROWS, Dot, PlotRow, draw_rows, span_of, values_of

_NUMBERS = ("teacher", "student", "value")


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A class or slice: accuracies (%), their difference and the ends of its interval (pp)."""

    name: str
    n: float | None
    teacher: float
    student: float
    drop: float
    low: float | None
    high: float | None

    @property
    def shown(self) -> str:
        """The drop with its unit."""
        return format_judged(self.drop, "pp")

    @property
    def interval(self) -> str:
        """The interval of the drop; empty where there is none."""
        if self.low is None and self.high is None:
            return ""
        low = -math.inf if self.low is None else self.low
        return format_interval(low, math.inf if self.high is None else self.high, "pp")


def drop_figure(gate: Mapping[str, Any]) -> Figure | None:
    """Plot the accuracy of both models in each class or slice; None where a report has only the drops.

    Args:
        gate: on `class_drop`, `slice_drop` or `ap_drop`; the rows of its breakdown have `teacher` and `student`.
    """
    rows = [row for row in tables(gate.get("breakdown")) if "name" in row]
    losses = [loss for row in rows if (loss := _loss(row)) is not None]
    if not losses or len(losses) < len(rows):
        return None
    what = "slice" if gate["kpi"] == "slice_drop" else "class"
    drawn = [_plot_row(loss) for loss in losses[:MOST_ROWS]]
    axis = even_axis(values_of(drawn), *span_of(drawn))
    shapes, height = draw_rows(drawn, axis, "%")
    left = len(losses) - len(drawn)
    return Figure(
        kind="classes" if what == "class" else "slices",
        title=f"What each {what} has lost ({text(gate['kpi'])})",
        summary=_summary(losses, what),
        height=height,
        shapes=shapes,
        legend=[Key(*look, role) for role, look in ROLES],
        note=f"Rows in the table only: {left:,}." if left else "",
        table=table_of(
            (what.capitalize(), "n", "Teacher", "Student", "Drop", "Interval"), [_table_row(loss) for loss in losses]
        ),
    )


def _loss(row: Row) -> Loss | None:
    teacher, student, drop = (number(row.get(name)) for name in _NUMBERS)
    if teacher is None or student is None or drop is None:
        return None
    return Loss(
        name=text(row["name"]), n=number(row.get("n")), teacher=teacher, student=student, drop=drop,
        low=number(row.get("ci_low")), high=number(row.get("ci_high")),
    )  # fmt: skip


def _plot_row(loss: Loss) -> PlotRow:
    """Draw the interval around the student: where its accuracy is, given the teacher's."""
    (_, teacher), (_, student) = ROLES
    title = f"{loss.name}: {format_judged(loss.student, '%')}, drop {loss.shown} {loss.interval}".strip()
    ends = [None if end is None else min(max(loss.teacher - end, 0.0), 100.0) for end in (loss.high, loss.low)]
    return PlotRow(
        name=loss.name,
        right=loss.shown,
        dots=[
            Dot(
                value=loss.teacher,
                shape=teacher[0],
                look=teacher[1],
                title=f"{loss.name}, teacher: {format_judged(loss.teacher, '%')}",
            ),
            Dot(value=loss.student, low=ends[0], high=ends[1], shape=student[0], look=student[1], title=title),
        ],
    )


def _summary(losses: Sequence[Loss], what: str) -> str:
    least, most = min(losses, key=lambda loss: loss.drop), max(losses, key=lambda loss: loss.drop)
    many = f"{len(losses)} {what}{'es' if what == 'class' else 's'}" if len(losses) > 1 else f"1 {what}"
    return (
        f"{many}. The largest loss is {most.shown} ({clipped(most.name, 60)}), the smallest {least.shown} "
        f"({clipped(least.name, 60)}). The line is the interval of the drop, drawn from the teacher's accuracy."
    )


def _table_row(loss: Loss) -> list[str]:
    size = "" if loss.n is None else f"{loss.n:,.0f}"
    accuracies = [format_judged(value, "%") for value in (loss.teacher, loss.student)]
    return [loss.name, size, *accuracies, loss.shown, loss.interval]
