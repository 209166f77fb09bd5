"""Plots of a load at one rate: how responses and calls are distributed, and the backlog over time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from statistics import median_low

from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.grammar.load import bound_of, within_of
from pytest_modelbench.reports.html.axes import Axis, even_axis, log_axis
from pytest_modelbench.reports.html.breakdowns import ROLES
from pytest_modelbench.reports.html.calibration import frame
from pytest_modelbench.reports.html.fields import Row, number, numbers, table, text
from pytest_modelbench.reports.html.figures import WIDTH, Curve, Figure, Key, Label, Line, Mark, table_of
from pytest_modelbench.reports.html.limit_lines import in_kpi_terms
from pytest_modelbench.reports.html.margins import distinct_limits
from pytest_modelbench.reports.html.row_plot import Shape

TOP, BOTTOM, LEFT, RIGHT = 20.0, 220.0, 48.0, WIDTH - 14.0
RATE = "samples/s"
MOST_BOUNDS = 4
SHOWN = (1, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100)
"""The levels in the table, in percent."""
EVERY = 5
"""Stretches of time of which the table of the backlog has one row."""
_PERCENTILE = re.compile(r"response_p([0-9]+)(?:_([0-9]+))?$")
_SHARED = ("arrivals", "max_batch", "max_wait", "workers")
KINDS = (
    ("responses_ms", "response", "curve", {"teacher": "cross", "student": "circle"}),
    ("services_ms", "call", "curve call", {"teacher": "plus", "student": "triangle"}),
)
"""What is drawn of each model: its field, its name, the look of its curve and the shapes of its marks."""
Bound = tuple[float, float, str]
"""The level (percent) and the time (ms) of a bound, and its words."""


def load_figures(gates: Sequence[Row]) -> Iterator[Figure]:
    """Yield the plots of each load of one student; gates with the same load are in the same plots."""
    loads: dict[str, list[Row]] = {}
    for gate in gates:
        if table(gate.get("load")):
            options = table(gate.get("options"))
            shared = [text(options.get(name)) for name in _SHARED]
            loads.setdefault(f"{gate.get('suite')} {gate['load'].get('rate')} {shared}", []).append(gate)
    for same in loads.values():
        load = max((table(gate["load"]) for gate in same), key=_amount)
        yield from (figure for figure in (_distribution(load, same), _backlog(load)) if figure is not None)


def _amount(load: Row) -> tuple[int, int]:
    """Return how many models and segments a load has: a gate may be about one, or may have been decided early."""
    segments = table(load.get("most_by_segment"))
    return len(segments), len(numbers(segments.get("student")) or [])


def _rate_text(load: Row) -> str:
    return format_judged(number(load.get("rate")) or 0.0, RATE)


Times = dict[tuple[str, str], list[tuple[float, float]]]


def _times(load: Row) -> Times:
    """Return by field and role the points (level, ms) of answered requests, only positive ones."""
    levels = numbers(load.get("levels")) or []
    times: Times = {}
    for field, *_ in KINDS:
        for role, _ in ROLES:
            of_role = table(load.get(field)).get(role)
            pairs = zip(levels, map(number, of_role), strict=False) if isinstance(of_role, list) else []
            points = [(level, at) for level, at in pairs if at is not None and at > 0]
            times |= {(field, role): points} if len(points) > 1 else {}
    return times


def _distribution(load: Row, gates: Sequence[Row]) -> Figure | None:
    """Plot the share of requests that were answered within a time, and of calls, with the bounds of the gates."""
    times = _times(load)
    if ("responses_ms", "student") not in times:
        return None
    every = [at for points in times.values() for _, at in points]
    bounds = list(dict.fromkeys(bound for gate in gates for bound in _bounds(gate)))[:MOST_BOUNDS]
    inside = [at for _, at, _ in bounds if min(every) / 4 <= at <= 4 * max(every)]
    across, up = log_axis([*every, *inside], LEFT, RIGHT), even_axis([0.0, 100.0], BOTTOM, TOP, pad=0.0)
    shapes: list[Shape] = [*frame(across, up, "ms", "%"), Label(LEFT, 10, "share of requests", "start", "tick")]
    shapes += _bound_shapes(bounds, across, up)
    shapes += [shape for key, points in times.items() for shape in _curve(key, points, across, up)]
    return Figure(
        kind="responses",
        title=f"Responses and calls at {_rate_text(load)}",
        summary=f"{'; '.join(_half_and_most(times))}. A response counts from the scheduled arrival, so that it is a "
        "wait and a call. Marks are at p50 and p99. The time axis is logarithmic.",
        height=BOTTOM + 26,
        shapes=shapes,
        legend=[Key(*_look(key)[1:], _name(key)) for key in times],
        note=_note(load, bounds, across),
        table=table_of(
            ("Percentile", *(_name(key).capitalize() for key in times)),
            [(f"p{level:g}", *(_at(points, level) for points in times.values())) for level in SHOWN],
        ),
    )


def _look(key: tuple[str, str]) -> tuple[str, str, str]:
    """Return the look of a curve, and the shape and the colour of its marks."""
    field, role = key
    curve, shapes = next((curve, shapes) for kind, _, curve, shapes in KINDS if kind == field)
    colour = dict(ROLES)[role][1]
    return f"{curve} {colour}", shapes[role], colour


def _name(key: tuple[str, str]) -> str:
    field, role = key
    return f"{role}, {next(name for kind, name, *_ in KINDS if kind == field)}"


def _curve(key: tuple[str, str], points: Sequence[tuple[float, float]], across: Axis, up: Axis) -> Iterator[Shape]:
    curve, shape, colour = _look(key)
    yield Curve([(across.at(at), up.at(level)) for level, at in points], curve)
    for level, at in points:
        if level in {50, 99}:
            title = f"{_name(key)}, p{level:g}: {format_judged(at, 'ms')}"
            yield Mark(across.at(at), up.at(level), shape, colour, title)


def _at(points: Sequence[tuple[float, float]], level: float) -> str:
    return format_judged(dict(points)[level], "ms") if level in dict(points) else "-"


def _half_and_most(times: Times) -> Iterator[str]:
    for key, points in times.items():
        if key[0] == "responses_ms":
            half, most = (_at(points, level) for level in (50, 99))
            yield f"{key[1]}: half of all requests answered within {half}, 99% within {most}"


def _note(load: Row, bounds: Sequence[Bound], across: Axis) -> str:
    outside = [
        f"The bound {words} is outside of the plot, at {format_judged(at, 'ms')}."
        for _, at, words in bounds
        if not across.holds(at)
    ]
    lost = (
        isinstance(table(load.get("responses_ms")).get("student"), list) and None in load["responses_ms"]["student"]
    )
    return " ".join([*outside, *(["The curve ends where requests failed or were not answered."] if lost else [])])


def _bounds(gate: Row) -> Iterator[Bound]:
    """Yield the bounds of one gate on the student's responses."""
    options = table(gate.get("options"))
    within, least = within_of(options.get("within")), bound_of(options.get("within"))
    if within is not None:
        yield 100 * within.quantile, within.seconds * 1e3, f"{within}"
    for _, limit in distinct_limits([gate]):
        at, match = _threshold(limit, gate), _PERCENTILE.match(text(gate["kpi"]))
        if at is not None and match and at > 0:
            level = float(f"{match[1]}.{match[2] or 0}")
            yield level, at, f"p{level:g} {limit['text']}"
        elif at is not None and least is not None:
            yield at, least * 1e3, f"{limit['text']} within {format_judged(least, 's')}"


def _threshold(limit: Row, gate: Row) -> float | None:
    """Return where a limit lies on the student's own value; its text says so where a growing backlog has none."""
    line, seconds = in_kpi_terms(limit, gate), bound_of(text(limit["text"]).lstrip("<= "))
    return line.threshold if line is not None else None if seconds is None else seconds * 1e3


def _bound_shapes(bounds: Sequence[Bound], across: Axis, up: Axis) -> Iterator[Shape]:
    for place, (level, at, words) in enumerate(bounds):
        if across.holds(at):
            x, y = across.at(at), up.at(level)
            anchor, side = ("end", -5) if x > (LEFT + RIGHT) / 2 else ("start", 5)
            yield Line(x, TOP, x, BOTTOM, "limit")
            yield Line(x - 6, y, x + 6, y, "limit")
            yield Label(x + side, BOTTOM - 8 - 15 * place, words, anchor, "limit-label")


def _backlog(load: Row) -> Figure | None:
    """Plot how many requests were due and not answered over the time of one segment."""
    backlog = table(load.get("backlog"))
    seconds = numbers(backlog.get("seconds")) or []
    counts = {role: numbers(table(backlog.get("requests")).get(role)) or [] for role, _ in ROLES}
    counts = {role: of_role for role, of_role in counts.items() if len(of_role) == len(seconds) > 1}
    if "student" not in counts:
        return None
    across = even_axis(seconds, LEFT, RIGHT, pad=0.0)
    up = even_axis([0.0, 1.0, *(count for of_role in counts.values() for count in of_role)], BOTTOM, TOP, pad=0.0)
    shapes: list[Shape] = [
        *frame(across, up, "s", ""),
        Label(LEFT, 10, "requests due and not answered", "start", "tick"),
    ]
    for role, (shape, look) in ROLES:
        of_role = counts.get(role, [])
        shapes += [Curve(_steps(seconds, of_role, across, up), f"curve {look}")] if of_role else []
        if of_role:
            most = of_role.index(max(of_role))
            title = f"{role}: {max(of_role):,.0f} after {format_judged(seconds[most], 's')}"
            shapes.append(Mark(across.at(seconds[most]), up.at(of_role[most]), shape, look, title))
    return Figure(
        kind="backlog",
        title=f"Backlog over time at {_rate_text(load)}, segment {text(backlog.get('segment'))}",
        summary=" ".join(_backlog_text(load, role, of_role) for role, of_role in counts.items())
        + " This is the segment with the student's largest backlog; every segment begins with an empty queue.",
        height=BOTTOM + 26,
        shapes=shapes,
        legend=[Key(*look, role) for role, look in ROLES if role in counts],
        table=table_of(
            ("Second", *(f"{role.capitalize()}, at most" for role in counts)),
            [
                (f"{seconds[at]:.3g}", *(f"{max(of_role[at : at + EVERY]):,.0f}" for of_role in counts.values()))
                for at in range(0, len(seconds), EVERY)
            ],
        ),
    )


def _steps(seconds: Sequence[float], counts: Sequence[float], across: Axis, up: Axis) -> list[tuple[float, float]]:
    """Return the points of a curve that is level from each time to the next."""
    points = [(across.at(seconds[0]), up.at(counts[0]))]
    for at, before, count in zip(seconds[1:], counts, counts[1:], strict=False):
        if count != before:
            points += [(across.at(at), up.at(before)), (across.at(at), up.at(count))]
    return [*points, (across.at(seconds[-1]), up.at(counts[-1]))]


def _backlog_text(load: Row, role: str, counts: Sequence[float]) -> str:
    segments = sorted(numbers(table(load.get("most_by_segment")).get(role)) or [])
    said = f"The {role} has at most {max(counts):,.0f} requests due and not answered"
    half = f", and in half of {len(segments)} segments at most {median_low(segments):,.0f}" if segments else ""
    return f"{said}{half}."
