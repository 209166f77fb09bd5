"""A plot as data: the shapes of an SVG drawing, its legend, and the table that says the same in numbers.

Lengths are in units of the drawing, which is `WIDTH` units wide and as wide as its column on the page. The templates
turn these values into markup; nothing here is HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_modelbench.errors import visible

WIDTH = 400.0
LETTER = 6.6
"""The width of a letter of the drawings' text, about."""
MOST_TABLE_ROWS = 100
"""Rows in the table under a plot."""


@dataclass(frozen=True)
class Line:
    """A straight line; `look` is its class in the style sheet."""

    x1: float
    y1: float
    x2: float
    y2: float
    look: str


@dataclass(frozen=True)
class Area:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    look: str
    title: str = ""


@dataclass(frozen=True)
class Curve:
    """A path of straight pieces through points, not filled."""

    points: Sequence[tuple[float, float]]
    look: str
    title: str = ""

    @property
    def d(self) -> str:
        """The path in SVG's language."""
        return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Mark:
    """A small filled shape around a point, with a title that pointers show; `shape` is a key of `SHAPES`."""

    x: float
    y: float
    shape: str
    look: str
    title: str
    size: float = 5.0

    @property
    def d(self) -> str:
        """The path in SVG's language."""
        points = [(self.x + self.size * dx, self.y + self.size * dy) for dx, dy in SHAPES[self.shape]]
        return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + "Z"


@dataclass(frozen=True)
class Label:
    """A text; `anchor` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    look: str = "label"


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    shape: str
    look: str
    text: str

    @property
    def mark(self) -> Mark:
        """The mark as the legend shows it, in a drawing of 14 by 14."""
        return Mark(7, 7, self.shape, self.look, "")


@dataclass(frozen=True, kw_only=True)
class Table:
    """The numbers of a plot as texts; `left_out` counts rows that are only in the JSON report."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One plot.

    `summary` says in a sentence what it shows, for everyone; `note` what was left out of the drawing.
    """

    kind: str
    title: str
    summary: str
    height: float
    shapes: Sequence[Line | Area | Curve | Mark | Label]
    table: Table
    legend: Sequence[Key] = field(default_factory=tuple)
    note: str = ""

    @property
    def width(self) -> float:
        """The width of the drawing."""
        return WIDTH


SHAPES: dict[str, Sequence[tuple[float, float]]] = {
    "circle": [
        (1, 0), (0.92, 0.38), (0.71, 0.71), (0.38, 0.92), (0, 1), (-0.38, 0.92), (-0.71, 0.71), (-0.92, 0.38),
        (-1, 0), (-0.92, -0.38), (-0.71, -0.71), (-0.38, -0.92), (0, -1), (0.38, -0.92), (0.71, -0.71), (0.92, -0.38),
    ],
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -1.1), (1, 0.8), (-1, 0.8)],
    "diamond": [(0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)],
    "down": [(0, 1.1), (1, -0.8), (-1, -0.8)],
    "cross": [
        (-1, -0.6), (-0.6, -1), (0, -0.4), (0.6, -1), (1, -0.6), (0.4, 0), (1, 0.6), (0.6, 1), (0, 0.4), (-0.6, 1),
        (-1, 0.6), (-0.4, 0),
    ],
    "plus": [
        (-0.35, -1.1), (0.35, -1.1), (0.35, -0.35), (1.1, -0.35), (1.1, 0.35), (0.35, 0.35), (0.35, 1.1),
        (-0.35, 1.1), (-0.35, 0.35), (-1.1, 0.35), (-1.1, -0.35), (-0.35, -0.35),
    ],
}  # fmt: skip
"""Outlines around the origin, of radius 1."""
SERIES = (
    ("circle", "s0"),
    ("square", "s1"),
    ("triangle", "s2"),
    ("diamond", "s3"),
    ("down", "s4"),
    ("plus", "s5"),
)
"""A shape and a colour for each student, over again where there are more."""
TEACHER = ("cross", "teacher")
STUDENT = SERIES[0]


def clipped(text: object, most: int) -> str:
    """Return a text without hidden characters, and with an ellipsis where it is longer than may be shown.

    >>> clipped("latency", 10), clipped("latency_p50", 8)
    ('latency', 'latency…')
    """
    shown = visible(" ".join(str(text).split()))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def series_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the shape and the colour of each student, the same in every plot of a page."""
    return {name: SERIES[place % len(SERIES)] for place, name in enumerate(dict.fromkeys(names))}


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of at most `MOST_TABLE_ROWS` rows."""
    return Table(columns=columns, rows=rows[:MOST_TABLE_ROWS], left_out=max(len(rows) - MOST_TABLE_ROWS, 0))
