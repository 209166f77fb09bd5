"""Plots of timed measurements: the distribution of call times of both models, and their ratio round by round."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import starmap
from typing import Any

from pytest_modelbench.grammar.formats import format_interval, format_judged
from pytest_modelbench.reports.html.axes import Axis, even_axis, log_axis
from pytest_modelbench.reports.html.breakdowns import ROLES
from pytest_modelbench.reports.html.calibration import frame
from pytest_modelbench.reports.html.fields import Row, batch_size, finite, number, numbers, table, tables, text
from pytest_modelbench.reports.html.figures import (
    STUDENT,
    WIDTH,
    Area,
    Curve,
    Figure,
    Key,
    Label,
    Line,
    Mark,
    table_of,
)
from pytest_modelbench.reports.html.limit_lines import in_kpi_terms
from pytest_modelbench.reports.html.margins import distinct_limits
from pytest_modelbench.reports.html.row_plot import Shape

TOP, BOTTOM, LEFT, RIGHT = 20.0, 220.0, 48.0, WIDTH - 14.0
SHOWN = (1, 5, 10, 25, 50, 75, 90, 95, 99, 100)
"""The percentiles in the table."""
MOST_LIMITS = 4
_PERCENTILE = re.compile(r"latency_p(\d+)$")
Limits = list[tuple[int, float, str]]
Look = tuple[float, float, float, float]
"""The rounds until a look, the ratio that it knew, and the ends of its interval."""


def distribution(timing: Row, gates: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Plot the share of calls that took at most a time, with the limits on percentiles.

    Args:
        timing: a timed measurement, with `quantiles` (ms).
        gates: of its student.
    """
    quantiles = {
        role: times
        for role, _ in ROLES
        if (times := numbers(table(timing.get("quantiles")).get(role))) and len(times) == 101 and min(times) > 0
    }
    if "student" not in quantiles:
        return None
    least, most = min(times[0] for times in quantiles.values()), max(times[-1] for times in quantiles.values())
    limits = _limits(timing, gates)
    inside = [at for _, at, _ in limits if least / 4 <= at <= 4 * most]
    across, up = log_axis([least, most, *inside], LEFT, RIGHT), even_axis([0.0, 100.0], BOTTOM, TOP, pad=0.0)
    shapes: list[Shape] = [*frame(across, up, "ms", "%"), Label(LEFT, 10, "share of calls", "start", "tick")]
    shapes += _limit_shapes(limits, across, up)
    for role, (shape, look) in ROLES:
        times = quantiles.get(role)
        if times:
            shapes.append(Curve([(across.at(at), up.at(share)) for share, at in enumerate(times)], f"curve {look}"))
            shapes += [
                Mark(across.at(times[p]), up.at(p), shape, look, f"{role}, p{p}: {format_judged(times[p], 'ms')}")
                for p in (50, 99)
            ]
    return Figure(
        kind="distribution",
        title=f"Time of a call, {text(timing.get('setup'))}",
        summary=f"{'; '.join(starmap(_quantiles_text, quantiles.items()))}. Marks are at p50 and p99. The time "
        "axis is logarithmic.",
        height=BOTTOM + 26,
        shapes=shapes,
        legend=[Key(*look, role) for role, look in ROLES if role in quantiles],
        note=" ".join(
            f"The limit {limit} is outside of the plot, at {format_judged(at, 'ms')}."
            for _, at, limit in limits
            if not across.holds(at)
        ),
        table=table_of(
            ("Percentile", *(role.capitalize() for role in quantiles)),
            [(f"p{p}", *(format_judged(times[p], "ms") for times in quantiles.values())) for p in SHOWN],
        ),
    )


def _quantiles_text(role: str, times: Sequence[float]) -> str:
    half, most = (format_judged(times[percentile], "ms") for percentile in (50, 99))
    return f"{role}: half of all calls within {half}, 99% within {most}"


def _limits(timing: Row, gates: Sequence[Mapping[str, Any]]) -> Limits:
    """Return the limits on percentiles: each one's percentile, its time (ms) and its words."""
    limits: Limits = []
    own = [gate for gate in gates if _is_of(gate, timing)]
    for gate, limit in distinct_limits(own):
        percentile = _PERCENTILE.match(text(gate["kpi"]))
        line = in_kpi_terms(limit, gate)
        reading = gate["readings"]["student"]
        if percentile and line is not None and line.threshold > 0 and reading and reading["unit"] == "ms":
            limits.append((int(percentile[1]), line.threshold, f"p{percentile[1]} {limit['text']}"))
    return limits[:MOST_LIMITS]


def _is_of(gate: Mapping[str, Any], timing: Row) -> bool:
    """Whether a gate was judged by a timed measurement of these options."""
    options = table(gate.get("options"))
    compiled = ", compiled" in text(timing.get("setup"))
    suite = text(gate.get("suite")) in {"", text(timing.get("suite"))}
    return suite and batch_size(gate) == number(timing.get("batch_size")) and bool(options.get("compile")) == compiled


def _limit_shapes(limits: Limits, across: Axis, up: Axis) -> list[Shape]:
    shapes: list[Shape] = []
    for place, (percentile, at, words) in enumerate(limits):
        if across.holds(at):
            x, y = across.at(at), up.at(percentile)
            anchor, side = ("end", -5) if x > (LEFT + RIGHT) / 2 else ("start", 5)
            shapes += [
                Line(x, TOP, x, BOTTOM, "limit"),
                Line(x - 6, y, x + 6, y, "limit"),
                Label(x + side, BOTTOM - 8 - 15 * place, words, anchor, "limit-label"),
            ]
    return shapes


def round_ratios(timing: Row) -> Figure | None:
    """Plot the student's median time over the teacher's in every round, in order, with their centre's interval."""
    ratios = numbers(timing.get("round_ratios"))
    if not ratios or min(ratios) <= 0:
        return None
    centre = table(timing.get("median_ratio"))
    value, low, high = (number(centre.get(name)) for name in ("value", "ci_low", "ci_high"))
    looks = _looks(timing)
    near = [end for look in looks for end in look[1:] if min(ratios) / 2 <= end <= 2 * max(ratios)]
    up = even_axis(finite(*ratios, value, low, high, *near), BOTTOM, TOP + 4)
    across = even_axis([1.0, max(float(len(ratios)), 2.0)], LEFT, RIGHT, pad=0.03)
    across = replace(across, ticks=[tick for tick in across.ticks if tick >= 1 and tick == int(tick)])
    shapes: list[Shape] = []
    if low is not None and high is not None:
        shapes.append(Area(LEFT, up.at(high), RIGHT - LEFT, max(up.at(low) - up.at(high), 0.5), "band", "interval"))
    shapes += [*frame(across, up, "", "x"), Label(LEFT, 12, "student's time / teacher's", "start", "tick")]
    if value is not None:
        shapes.append(Line(LEFT, up.at(value), RIGHT, up.at(value), "limit"))
    return Figure(
        kind="rounds",
        title=f"Ratio to the teacher, round by round, {text(timing.get('setup'))}",
        summary=_ratios_text(ratios, (value, low, high), number(timing.get("rounds"))) + _looks_text(looks),
        height=BOTTOM + 26,
        shapes=[*shapes, *_rounds(ratios, across, up), *_look_shapes(looks, len(ratios), across, up)],
        table=table_of(
            ("Round", "Student / teacher", "Interval"),
            _ratio_rows(ratios, looks),
        ),
    )


def _looks(timing: Row) -> list[Look]:
    """Return the looks whose interval is known at both ends, in the order of time."""
    rows = [
        [number(row.get(name)) for name in ("rounds", "value", "ci_low", "ci_high")]
        for row in tables(timing.get("look_ratios"))
    ]
    known = [(rounds, *finite(*ends)) for rounds, *ends in rows if rounds]
    return sorted((look[0], look[1], look[2], look[3]) for look in known if len(look) == 4)


def _look_shapes(looks: Sequence[Look], points: int, across: Axis, up: Axis) -> list[Shape]:
    """Return a bar for each look, where its last round is; ends off the plot have no cap."""
    shapes: list[Shape] = []
    for rounds, value, low, high in looks:
        x = across.at(points * rounds / looks[-1][0])
        shapes.append(Line(x, up.at(low), x, up.at(high), "interval ink"))
        shapes += [Line(x - 4, up.at(end), x + 4, up.at(end), "interval ink") for end in (low, high) if up.holds(end)]
        if up.holds(value):
            shapes.append(Mark(x, up.at(value), "diamond", "ink", _look_title(rounds, value, low, high), 3.5))
    return shapes


def _look_title(rounds: float, value: float, low: float, high: float) -> str:
    return f"look after {rounds:.0f} rounds: {format_judged(value, 'x')} {format_interval(low, high, 'x')}"


def _looks_text(looks: Sequence[Look]) -> str:
    if len(looks) < 2:
        return ""
    widths = [format_judged(high - low, "x") for _, _, low, high in (looks[0], looks[-1])]
    return f" Bars are the interval at each of {len(looks)} looks: from a width of {widths[0]} to one of {widths[1]}."


def _ratio_rows(ratios: Sequence[float], looks: Sequence[Look]) -> list[tuple[str, str, str]]:
    """Return a row for each point, and one for each look, first."""
    judged = [
        (f"look after {rounds:.0f}", format_judged(value, "x"), format_interval(low, high, "x"))
        for rounds, value, low, high in looks
    ]
    return judged + [(f"{place}", format_judged(ratio, "x"), "") for place, ratio in enumerate(ratios, 1)]


def _rounds(ratios: Sequence[float], across: Axis, up: Axis) -> list[Shape]:
    shape, look = STUDENT
    points = [(across.at(place), up.at(ratio)) for place, ratio in enumerate(ratios, 1)]
    size = 4.0 if len(points) <= 60 else 2.0
    marks = [
        Mark(x, y, shape, look, f"{place}: {format_judged(ratio, 'x')}", size)
        for place, ((x, y), ratio) in enumerate(zip(points, ratios, strict=True), 1)
    ]
    return [*([Curve(points, f"curve thin {look}")] if len(points) > 1 else []), *marks]


def _ratios_text(
    ratios: Sequence[float], centre: tuple[float | None, float | None, float | None], rounds: float | None
) -> str:
    value, low, high = centre
    ends = [format_judged(end, "x") for end in (min(ratios), max(ratios))]
    sentences = [f"{len(ratios)} points in the order of time, from {ends[0]} to {ends[1]}"]
    if value is not None:
        interval = "" if low is None or high is None else f", interval {format_interval(low, high, 'x')} (shaded)"
        sentences.append(f"Their centre is {format_judged(value, 'x')}{interval}")
    sentences.append("Below 1x the student is faster")
    if rounds is not None and rounds > len(ratios):
        sentences.append(f"Each point is the median of about {rounds / len(ratios):.0f} rounds")
    return f"{'. '.join(sentences)}."
