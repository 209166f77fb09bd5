"""Samples per second over the batch size, for teacher and student, from a sweep of batch sizes."""

from __future__ import annotations

from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.reports.html.axes import Axis, even_axis, log_axis
from pytest_modelbench.reports.html.breakdowns import ROLES
from pytest_modelbench.reports.html.calibration import frame
from pytest_modelbench.reports.html.fields import Row, number, table, tables, text
from pytest_modelbench.reports.html.figures import WIDTH, Curve, Figure, Key, Label, Mark, clipped, table_of
from pytest_modelbench.reports.html.row_plot import Shape

TOP, BOTTOM, LEFT, RIGHT = 20.0, 220.0, 56.0, WIDTH - 14.0
RATE = "samples/s"
Curves = dict[str, list[tuple[float, float]]]


def sweep_figure(timing: Row) -> Figure | None:
    """Plot the curve of a sweep; None where a measurement had none, or one size only.

    Args:
        timing: a timed measurement, with `sweep`: by role, `curve` of `batch_size` and `samples_per_s`.
    """
    sweep = {role: table(table(timing.get("sweep")).get(role)) for role, _ in ROLES}
    curves = {role: points for role, of_role in sweep.items() if (points := _points(of_role))}
    if len(curves.get("student", [])) < 2:
        return None
    sizes = sorted({size for points in curves.values() for size, _ in points})
    across = log_axis(sizes, LEFT, RIGHT)
    across = Axis(low=across.low, high=across.high, start=LEFT, end=RIGHT, ticks=sizes, form=across.form)
    up = even_axis([0.0, *(rate for points in curves.values() for _, rate in points)], BOTTOM, TOP, pad=0.04)
    shapes: list[Shape] = [
        *frame(across, up, "", RATE),
        Label(LEFT, 10, "samples per second", "start", "tick"),
        Label(RIGHT, BOTTOM + 32, "batch size, logarithmic", "end", "tick"),
    ]
    for role, (shape, look) in ROLES:
        points = curves.get(role, [])
        places = [(across.at(size), up.at(rate)) for size, rate in points]
        shapes += [Curve(places, f"curve {look}")] if len(places) > 1 else []
        shapes += [
            Mark(x, y, shape, look, f"{role}, batch size {size:.0f}: {format_judged(rate, RATE)}")
            for (x, y), (size, rate) in zip(places, points, strict=True)
        ]
    return Figure(
        kind="sweep",
        title=f"Samples per second by batch size, {text(timing.get('setup'))}",
        summary=" ".join(_summary(role, sweep[role], points) for role, points in curves.items()),
        height=BOTTOM + 40,
        shapes=shapes,
        legend=[Key(*look, role) for role, look in ROLES if role in curves],
        table=table_of(
            ("Batch size", *(role.capitalize() for role in curves)),
            [(f"{size:.0f}", *(_rate(dict(points).get(size)) for points in curves.values())) for size in sizes],
        ),
    )


def _points(of_role: Row) -> list[tuple[float, float]]:
    points = [
        (number(row.get("batch_size")), number(row.get("samples_per_s"))) for row in tables(of_role.get("curve"))
    ]
    kept = [(size, rate) for size, rate in points if size is not None and rate is not None and size > 0 <= rate]
    return sorted(kept)


def _rate(rate: float | None) -> str:
    return "-" if rate is None else format_judged(rate, RATE)


def _summary(role: str, of_role: Row, points: list[tuple[float, float]]) -> str:
    size, rate = max(points, key=lambda point: point[1])
    ended = f" ({clipped(of_role['ended'], 200)})" if of_role.get("ended") else ""
    return f"The {role} is fastest at batch size {size:.0f} with {format_judged(rate, RATE)}{ended}."
