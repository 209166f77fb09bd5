"""What changed in the confusion: the labels that a student gives to samples which its teacher gets right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_modelbench.reports.html.axes import even_axis
from pytest_modelbench.reports.html.fields import number, tables, text
from pytest_modelbench.reports.html.figures import STUDENT, Figure, clipped, table_of
from pytest_modelbench.reports.html.row_plot import MOST_ROWS, Dot, PlotRow, draw_rows, span_of

MOST_IDS = 3


def confusion_figure(gate: Mapping[str, Any]) -> Figure | None:
    """Plot how many samples became wrong for each pair of right and predicted label, the most frequent first.

    Args:
        gate: on `top1_accuracy`; its breakdown has `target`, `predicted`, `n` and `ids`.
    """
    rows = [
        (text(row.get("target")), text(row.get("predicted")), int(n), _ids(row.get("ids"), int(n)))
        for row in tables(gate.get("breakdown"))
        if "predicted" in row and (n := number(row.get("n"))) is not None and n >= 1
    ]
    if not rows:
        return None
    drawn = [_plot_row(*row) for row in rows[:MOST_ROWS]]
    axis = even_axis([0.0, float(max(n for _, _, n, _ in rows))], *span_of(drawn))
    axis = replace(axis, ticks=[tick for tick in axis.ticks if tick == int(tick)])
    shapes, height = draw_rows(drawn, axis, "", line_at=0.0)
    target, label, most, _ = rows[0]
    return Figure(
        kind="confusion",
        title=f"Newly wrong: the teacher is right and the student is not ({text(gate['kpi'])})",
        summary=f"Samples drawn: {sum(n for _, _, n, _ in rows):,}. Most often, class {clipped(target, 40)} is taken "
        f"for {clipped(label, 40)}: {most:,}. Beside the counts are ids of samples.",
        height=height,
        shapes=shapes,
        table=table_of(
            ("Class", "Student says", "Samples", "Sample ids"),
            [(target, label, f"{n:,}", ids) for target, label, n, ids in rows],
        ),
    )


def _ids(value: Any, n: int) -> str:
    shown = [clipped(each, 40) for each in value[:MOST_IDS]] if isinstance(value, list) else []
    more = n - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if shown and more > 0 else "")


def _plot_row(target: str, label: str, n: int, ids: str) -> PlotRow:
    name = f"{clipped(target, 40)} as {clipped(label, 40)}"
    title = f"{name}: {n:,} samples{f', {ids}' if ids else ''}"
    dot = Dot(value=float(n), low=0.0, high=float(n), shape=STUDENT[0], look=STUDENT[1], title=title)
    return PlotRow(name=name, right=f"{n:,}: {clipped(ids, 28)}" if ids else f"{n:,}", dots=[dot])
