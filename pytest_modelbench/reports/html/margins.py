"""How far each limit is from being missed: one row a limit, the interval against the limit's line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modelbench.reports.causes import WORDS
from pytest_modelbench.reports.html.axes import margin_axis
from pytest_modelbench.reports.html.fields import batch_size, finite, key_of, number
from pytest_modelbench.reports.html.figures import Figure, Key, table_of
from pytest_modelbench.reports.html.limit_lines import LimitLine, limit_line
from pytest_modelbench.reports.html.row_plot import MOST_ROWS, Dot, PlotRow, draw_rows, span_of, values_of
from pytest_modelbench.reports.limit_texts import interval_text, judged_value, kpi_at, needs_attention
from pytest_modelbench.results import Verdict

_LOOKS = {"pass": ("circle", "good"), "inconclusive": ("diamond", "open")}
_BAD_LOOK = ("cross", "bad")
Judged = tuple[Mapping[str, Any], Mapping[str, Any]]


def margins(gates: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Plot the limits of one student, those that failed first, then those that are nearest to their limit."""
    drawn, others = [], 0
    for gate, limit in distinct_limits(gates):
        line = limit_line(limit)
        if line is None or number(limit["value"]) is None:
            others += 1
        else:
            drawn.append((gate, limit, line))
    if not drawn:
        return None
    drawn.sort(key=lambda row: (not needs_attention(row[1]["verdict"]), _nearest(row[1], row[2])))
    rows = [_plot_row(*row) for row in drawn]
    shown = rows[:MOST_ROWS]
    axis = margin_axis(values_of(shown), *span_of(shown))
    ticks = ["0" if tick == 0 else f"{100 * tick:+,.0f}%" for tick in axis.ticks]
    shapes, height = draw_rows(shown, axis, "fraction", line_at=0.0, ticks=ticks)
    missed = sum(needs_attention(limit["verdict"]) for _, limit, _ in drawn)
    return Figure(
        kind="margins",
        title="Margins: how far each limit is from being missed",
        summary=f"Not held: {missed} of {len(drawn)} limits. The vertical line is the limit; right of it the limit "
        "holds. The scale is the distance as a share of the limit, even up to 1% and logarithmic beyond it.",
        height=height,
        shapes=shapes,
        legend=_legend([limit for _, limit, _ in drawn]),
        note=_note(len(rows) - len(shown), others),
        table=table_of(
            ("KPI", "Limit", "Verdict", "Value", "Interval", "Distance"),
            [_table_row(*row) for row in drawn],
        ),
    )


def distinct_limits(gates: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """Return every limit once, though several tests state it, the worst verdict of each."""
    rank = {verdict.value: place for place, verdict in enumerate(Verdict)}
    by_key: dict[str, Judged] = {}
    for gate in gates:
        for limit in gate["limits"]:
            key = json.dumps([key_of(gate), limit["text"]])
            kept = by_key.get(key)
            if kept is None or rank[limit["verdict"]] < rank[kept[1]["verdict"]]:
                by_key[key] = (gate, limit)
    return list(by_key.values())


def kpi_with_options(gate: Mapping[str, Any]) -> str:
    """Return a KPI's name with the rate and the batch size that it was measured at, if that is not 1."""
    size = batch_size(gate)
    return f"{kpi_at(gate)} b{size:.0f}" if size > 1 else kpi_at(gate)


def _nearest(limit: Mapping[str, Any], line: LimitLine) -> float:
    return min(line.distance(end) for end in finite(limit["value"], limit["ci_low"], limit["ci_high"]))


def _plot_row(gate: Mapping[str, Any], limit: Mapping[str, Any], line: LimitLine) -> PlotRow:
    shape, look = _LOOKS.get(limit["verdict"], _BAD_LOOK)
    name, value = f"{kpi_with_options(gate)}  {limit['text']}", judged_value(limit, gate)
    word = WORDS[Verdict(limit["verdict"])][0]
    ends = [None if (end := number(limit[name])) is None else line.distance(end) for name in ("ci_low", "ci_high")]
    low, high = reversed(ends) if line.upper else ends
    exact = interval_text(limit) == ""
    dot = Dot(
        value=line.distance(limit["value"]),
        low=None if exact else low,
        high=None if exact else high,
        shape=shape,
        look=look,
        title=f"{name}: {word}, {value} {interval_text(limit)}".strip(),
    )
    return PlotRow(name=name, right=value if word == "PASS" else f"{word} {value}", dots=[dot])


def _table_row(gate: Mapping[str, Any], limit: Mapping[str, Any], line: LimitLine) -> Sequence[str]:
    return (
        kpi_with_options(gate),
        limit["text"],
        WORDS[Verdict(limit["verdict"])][0] + (" (weak)" if limit.get("weak") else ""),
        judged_value(limit, gate),
        interval_text(limit),
        f"{100 * line.distance(limit['value']):+,.1f}%",
    )


def _legend(limits: Sequence[Mapping[str, Any]]) -> list[Key]:
    verdicts = dict.fromkeys(limit["verdict"] for limit in limits)
    return [Key(*_LOOKS.get(verdict, _BAD_LOOK), WORDS[Verdict(verdict)][0]) for verdict in verdicts]


def _note(undrawn: int, others: int) -> str:
    parts = [f"In the table only, with more room: {undrawn:,}."] if undrawn else []
    if others:
        are = "limits" if others > 1 else "limit"
        parts.append(f"In the table of limits only: {others:,} {are} at 0, on a set, on equality or without a value.")
    return " ".join(parts)
