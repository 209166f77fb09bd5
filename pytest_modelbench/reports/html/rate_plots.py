"""Plots of `max_qps`: the share of responses over the bound, and the percentiles measured, by rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.grammar.formats import format_interval, format_judged
from pytest_modelbench.grammar.load import Within, within_of
from pytest_modelbench.reports.html.axes import Axis, even_axis, log_axis
from pytest_modelbench.reports.html.calibration import frame
from pytest_modelbench.reports.html.fields import Row, finite, number, table, tables, text
from pytest_modelbench.reports.html.figures import WIDTH, Area, Curve, Figure, Key, Label, Line, Mark, table_of
from pytest_modelbench.reports.html.row_plot import Shape

TOP, BOTTOM, LEFT, RIGHT = 36.0, 220.0, 56.0, WIDTH - 14.0
RATE = "samples/s"
EVEN_FROM = 10.0
"""The allowed share, in percent, from which on the axis of shares is even."""
_LOOKS = {"holds": ("circle", "good"), "does not hold": ("cross", "bad")}
_OPEN = ("diamond", "open")
PERCENTILES = {
    "response, p99": ("measured_p99_ms", "circle", "s0"),
    "response, p50": ("measured_p50_ms", "triangle", "s0"),
    "call, p99": ("service_p99_ms", "plus", "teacher"),
}


def rate_figures(gate: Mapping[str, Any]) -> Iterator[Figure]:
    """Yield the plots of a gate on the largest rate, from its breakdown."""
    within = within_of(table(gate.get("options")).get("within"))
    rows = [row for row in tables(gate.get("breakdown")) if number(row.get("offered_per_s")) is not None]
    shares = [row for row in rows if number(row.get("share_over")) is not None]
    if within is not None and shares:
        yield _shares(gate, sorted(shares, key=_rate), within)
        yield from (figure for figure in (_percentiles(sorted(rows, key=_rate), within),) if figure is not None)


def _rate(row: Row) -> float:
    return number(row.get("offered_per_s")) or 0.0


def _percent(row: Row, name: str) -> float | None:
    value = number(row.get(name))
    return None if value is None else 100 * value


def _share_axis(values: Sequence[float], allowed: float) -> Axis:
    """Return an axis from 0: even where much is allowed, else even near 0 and logarithmic over the allowed share."""
    if allowed >= EVEN_FROM:
        return even_axis([0.0, allowed, *values], BOTTOM, TOP, pad=0.03)
    most = max(allowed, *values)
    steps = range(math.ceil(math.log10(100 / allowed)) + 1)
    ticks = [0.0, *(tick for step in steps if (tick := min(allowed * 10.0**step, 100.0)) <= 1.05 * most)]

    def form(value: float) -> float:
        return math.asinh(2 * value / allowed)

    return Axis(low=0.0, high=1.3 * most, start=BOTTOM, end=TOP, ticks=list(dict.fromkeys(ticks)), form=form)


def _shares(gate: Mapping[str, Any], rows: Sequence[Row], within: Within) -> Figure:
    allowed = 100 * (1 - within.quantile)
    ends = finite(*(_percent(row, name) for row in rows for name in ("share_over", "ci_low", "ci_high")))
    across = even_axis([0.0, *map(_rate, rows)], LEFT, RIGHT, pad=0.04)
    up = _share_axis(ends, allowed)
    shapes: list[Shape] = [*_regions(gate, across), *frame(across, up, RATE, "%")]
    shapes += [
        Label(LEFT, 10, f"responses over {format_judged(within.seconds, 's')}", "start", "tick"),
        Line(LEFT, up.at(allowed), RIGHT, up.at(allowed), "limit"),
        Label(RIGHT - 2, up.at(allowed) - 5, f"{allowed:.3g}% allowed", "end", "limit-label"),
    ]
    shapes += [shape for row in rows for shape in _share(row, across, up)]
    verdicts = dict.fromkeys(text(row.get("verdict")) for row in rows)
    return Figure(
        kind="capacity",
        title=f"Responses over the bound by rate ({within})",
        summary=_summary(gate, rows, allowed),
        height=BOTTOM + 26,
        shapes=shapes,
        legend=[Key(*_LOOKS.get(verdict, _OPEN), verdict) for verdict in verdicts],
        table=table_of(
            ("Rate", "Over the bound", "Interval", "Verdict"),
            [(_rate_text(row), *_share_texts(row), text(row.get("verdict"))) for row in rows],
        ),
    )


def _regions(gate: Mapping[str, Any], across: Axis) -> Iterator[Shape]:
    """Yield the rates up to the largest one proven, and those from the smallest one refuted."""
    reading = table(table(gate.get("readings")).get("student"))
    proven, refuted = number(reading.get("ci_low")) or 0.0, number(reading.get("ci_high"))
    if proven > 0:
        x = across.at(proven)
        yield Area(LEFT, TOP, x - LEFT, BOTTOM - TOP, "band", f"proven up to {format_judged(proven, RATE)}")
        yield Label(LEFT, TOP - 5, f"proven up to {format_judged(proven, RATE)}", "start", "limit-label")
    if refuted is not None:
        x = across.at(refuted)
        yield Area(x, TOP, RIGHT - x, BOTTOM - TOP, "refuted", f"refuted from {format_judged(refuted, RATE)}")
        yield Label(RIGHT, TOP - 5, f"refuted from {format_judged(refuted, RATE)}", "end", "limit-label")


def _share(row: Row, across: Axis, up: Axis) -> Iterator[Shape]:
    shape, look = _LOOKS.get(text(row.get("verdict")), _OPEN)
    x, share = across.at(_rate(row)), _percent(row, "share_over") or 0.0
    low, high = (_percent(row, name) for name in ("ci_low", "ci_high"))
    if low is not None and high is not None:
        yield Line(x, up.at(low), x, up.at(high), f"interval {look}")
        yield from (Line(x - 4, up.at(end), x + 4, up.at(end), f"interval {look}") for end in (low, high))
    said, interval = _share_texts(row)
    yield Mark(x, up.at(share), shape, look, f"{_rate_text(row)}: {said} {interval}, {text(row.get('verdict'))}")


def _rate_text(row: Row) -> str:
    return format_judged(_rate(row), RATE)


def _share_texts(row: Row) -> tuple[str, str]:
    share, low, high = (_percent(row, name) for name in ("share_over", "ci_low", "ci_high"))
    return format_judged(share or 0.0, "%"), format_interval(low, high, "%")


def _summary(gate: Mapping[str, Any], rows: Sequence[Row], allowed: float) -> str:
    said = [f"{_rate_text(row)}: {_share_texts(row)[0]}, {text(row.get('verdict'))}" for row in rows[:8]]
    reading = table(table(gate.get("readings")).get("student"))
    value = number(reading.get("value"))
    kept = "" if value is None else f" By a replay, it is kept up to about {format_judged(value, RATE)}."
    scale = "" if allowed >= EVEN_FROM else f" The axis is even near 0 and logarithmic above {allowed:.3g}%."
    return f"Of the responses, {allowed:.3g}% may be over the bound. {'; '.join(said)}.{kept}{scale}"


def _percentiles(rows: Sequence[Row], within: Within) -> Figure | None:
    """Plot the measured percentiles of responses and calls by rate, with the bound."""
    points = {
        name: [(_rate(row), at) for row in rows if (at := number(row.get(field))) is not None and at > 0]
        for name, (field, *_) in PERCENTILES.items()
    }
    every = [at for of_name in points.values() for _, at in of_name]
    if not every:
        return None
    bound = within.seconds * 1e3
    across = even_axis([0.0, *map(_rate, rows)], LEFT, RIGHT, pad=0.04)
    up = log_axis([*every, bound], BOTTOM, TOP - 16)
    shapes: list[Shape] = [*frame(across, up, RATE, "ms"), Label(LEFT, 10, "time, logarithmic", "start", "tick")]
    shapes.append(Line(LEFT, up.at(bound), RIGHT, up.at(bound), "limit"))
    shapes.append(Label(LEFT + 4, up.at(bound) - 5, str(within), "start", "limit-label"))
    for name, of_name in points.items():
        shapes += _line(name, of_name, across, up)
    ends = [f"{_rate_text(row)}: p99 {_ms(row, 'measured_p99_ms')}" for row in rows[:8]]
    return Figure(
        kind="rates",
        title=f"Responses and calls by rate ({within})",
        summary=f"As measured, from the scheduled arrival. {'; '.join(ends)}.",
        height=BOTTOM + 26,
        shapes=shapes,
        legend=[Key(*PERCENTILES[name][1:], name) for name, of_name in points.items() if of_name],
        table=table_of(
            ("Rate", *(name.capitalize() for name in PERCENTILES)),
            [(_rate_text(row), *(_ms(row, field) for field, *_ in PERCENTILES.values())) for row in rows],
        ),
    )


def _ms(row: Row, field: str) -> str:
    at = number(row.get(field))
    return "no end" if at is None else format_judged(at, "ms")


def _line(name: str, points: Sequence[tuple[float, float]], across: Axis, up: Axis) -> Iterator[Shape]:
    _, shape, look = PERCENTILES[name]
    places = [(across.at(rate), up.at(at)) for rate, at in points]
    if len(places) > 1:
        yield Curve(places, f"curve {look}" if name == "response, p99" else f"curve call {look}")
    for (x, y), (rate, at) in zip(places, points, strict=True):
        yield Mark(x, y, shape, look, f"{name} at {format_judged(rate, RATE)}: {format_judged(at, 'ms')}")
