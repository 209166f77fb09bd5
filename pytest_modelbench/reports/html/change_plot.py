"""By how much each value is worse than in another report: one row a gate, the interval against the limit."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.reports.compare import BETTER, SAME, UNCLEAR, WORSE, Change
from pytest_modelbench.reports.comparison import worse_by
from pytest_modelbench.reports.html.axes import margin_axis
from pytest_modelbench.reports.html.fields import number
from pytest_modelbench.reports.html.figures import Figure, Key, clipped, table_of
from pytest_modelbench.reports.html.margins import kpi_with_options
from pytest_modelbench.reports.html.row_plot import MOST_ROWS, Dot, PlotRow, draw_rows, span_of, values_of
from pytest_modelbench.results import Estimate

_LOOKS = {
    WORSE: ("cross", "bad"),
    UNCLEAR: ("diamond", "open"),
    BETTER: ("circle", "good"),
    SAME: ("square", "teacher"),
}
Measured = tuple[Change, Estimate]


def change_figure(of_report: Sequence[Change], name: str, limit: float) -> Figure | None:
    """Plot the changes of one later report; None where nothing could be compared.

    Args:
        of_report: its changes.
        name: of the report.
        limit: how much worse a value may be, as a fraction.
    """
    changes = [
        (change, change.worse) for change in of_report if change.worse and number(change.worse.value) is not None
    ]
    if not changes:
        return None
    changes.sort(key=lambda pair: (pair[0].result == SAME, pair[0].rank, -abs(pair[1].value)))
    rows = [_plot_row(*pair) for pair in changes[:MOST_ROWS]]
    axis = margin_axis([*values_of(rows), limit], *span_of(rows))
    ticks = ["0" if tick == 0 else f"{100 * tick:+,.0f}%" for tick in axis.ticks]
    shapes, height = draw_rows(rows, axis, "fraction", line_at=limit, ticks=ticks)
    results = dict.fromkeys(change.result for change, _ in changes)
    left = len(changes) - len(rows)
    return Figure(
        kind="changes",
        title=f"By how much each value is worse in {clipped(name, 60)}",
        summary=f"{_summary(changes)} The dashed line is the limit of {format_judged(limit, 'fraction')}; left of 0 "
        "a value is better than before. The scale is even up to 1% and logarithmic beyond it.",
        height=height,
        shapes=shapes,
        legend=[Key(*_LOOKS[result], result) for result in results],
        note=f"In the table only: {left:,}." if left else "",
        table=table_of(("KPI", "Student", "Result", "Worse by"), [_table_row(change) for change, _ in changes]),
    )


def _summary(changes: Sequence[Measured]) -> str:
    change, worse = max(changes, key=lambda pair: pair[1].value)
    most = f"{kpi_with_options(change.gate)} of {clipped(change.student, 40)}"
    return f"{len(changes)} values. The largest loss is {format_judged(worse.value, 'fraction')}, of {most}."


def _plot_row(change: Change, worse: Estimate) -> PlotRow:
    shape, look = _LOOKS[change.result]
    name, by = f"{kpi_with_options(change.gate)} of {change.student}", worse_by(change)
    exact = worse.low == worse.high
    dot = Dot(
        value=worse.value,
        low=None if exact else number(worse.low),
        high=None if exact else number(worse.high),
        shape=shape,
        look=look,
        title=f"{name}: {by}, {change.result}",
    )
    return PlotRow(name=name, right=f"{change.result} {format_judged(worse.value, 'fraction')}", dots=[dot])


def _table_row(change: Change) -> list[str]:
    return [kpi_with_options(change.gate), change.student, change.result, worse_by(change)]
