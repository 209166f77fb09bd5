"""The reliability diagram: how often a model is right, over how sure it says it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.reports.html.axes import Axis, even_axis, tick_texts
from pytest_modelbench.reports.html.breakdowns import ROLES
from pytest_modelbench.reports.html.fields import Row, number, table, tables, text
from pytest_modelbench.reports.html.figures import WIDTH, Curve, Figure, Key, Label, Line, Mark, table_of
from pytest_modelbench.reports.html.row_plot import Shape, axis_labels

TOP, BOTTOM, LEFT, RIGHT = 14.0, 300.0, 48.0, WIDTH - 12.0
Bins = dict[str, list[tuple[float, float, int]]]


def reliability(gate: Mapping[str, Any]) -> Figure | None:
    """Plot the bins of an `ece` gate: (confidence, accuracy) of each, for teacher and student."""
    rows = tables(gate.get("breakdown"))
    bins: Bins = {role: [point for row in rows if (point := _point(row, role)) is not None] for role, _ in ROLES}
    points = [point for of_role in bins.values() for point in of_role]
    if not bins["student"]:
        return None
    low = max(0.0, min(min(confidence, accuracy) for confidence, accuracy, _ in points) - 4)
    across, up = (even_axis([low, 100.0], *span, pad=0.02) for span in ((LEFT, RIGHT), (BOTTOM, TOP)))
    most = max(n for _, _, n in points)
    shapes: list[Shape] = [*frame(across, up, "%"), Line(across.at(low), up.at(low), RIGHT, up.at(100.0), "limit")]
    for role, (shape, look) in ROLES:
        shapes.append(Curve([(across.at(x), up.at(y)) for x, y, _ in bins[role]] or [(0, 0)], f"curve thin {look}"))
        shapes += [
            Mark(across.at(x), up.at(y), shape, look, _title(role, x, y, n), 2.5 + 4.5 * math.sqrt(n / most))
            for x, y, n in bins[role]
        ]
    shapes = [shape for shape in shapes if not (isinstance(shape, Curve) and len(shape.points) < 2)]
    shapes += [
        Label((LEFT + RIGHT) / 2, BOTTOM + 34, "confidence", "middle", "tick"),
        Label(LEFT, 10, "share that is right", "start", "tick"),
    ]
    return Figure(
        kind="reliability",
        title=f"Reliability: how often each model is right, by its confidence ({text(gate['kpi'])})",
        summary="On the diagonal line a model is right as often as it says. Below the line it is too sure of itself. "
        "Larger marks have more samples.",
        height=BOTTOM + 42,
        shapes=shapes,
        legend=[Key(*look, role) for role, look in ROLES if bins[role]],
        table=table_of(
            ("Confidence bin", "Model", "n", "Confidence", "Right"),
            [
                (
                    text(row.get("name")),
                    role,
                    f"{point[2]:,}",
                    format_judged(point[0], "%"),
                    format_judged(point[1], "%"),
                )
                for row in rows
                for role, _ in ROLES
                if (point := _point(row, role)) is not None
            ],
        ),
    )


def frame(across: Axis, up: Axis, unit: str, unit_up: str | None = None) -> list[Shape]:
    """Return the grid and the labels of a plot with two axes."""
    shapes: list[Shape] = [Line(across.at(tick), up.start, across.at(tick), up.end, "grid") for tick in across.ticks]
    shapes += [Line(across.start, up.at(tick), across.end, up.at(tick), "grid") for tick in up.ticks]
    shapes += axis_labels(across, tick_texts(across.ticks, unit), up.start + 16)
    labels = tick_texts(up.ticks, unit if unit_up is None else unit_up)
    shapes += [
        Label(across.start - 6, up.at(tick) + 4, label, "end", "tick")
        for tick, label in zip(up.ticks, labels, strict=True)
    ]
    return shapes


def _point(row: Row, role: str) -> tuple[float, float, int] | None:
    cell = table(row.get(role))
    n, confidence, accuracy = (number(cell.get(name)) for name in ("n", "confidence", "accuracy"))
    if n is None or n < 1 or confidence is None or accuracy is None:
        return None
    return confidence, accuracy, int(n)


def _title(role: str, confidence: float, accuracy: float, n: int) -> str:
    return f"{role}: says {confidence:.1f}%, right {accuracy:.1f}% of {n:,}"
