"""The rows that a gate's value is made of: classes, slices, groups, layers, components of energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.grammar.formats import format_interval, format_judged
from pytest_modelbench.reports.html.axes import even_axis
from pytest_modelbench.reports.html.fields import Row, number, table, tables, text
from pytest_modelbench.reports.html.figures import STUDENT, TEACHER, Figure, Key, Table, clipped, table_of
from pytest_modelbench.reports.html.row_plot import MOST_ROWS, Dot, PlotRow, draw_rows, span_of, values_of

ROLES = (("teacher", TEACHER), ("student", STUDENT))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the rows of a KPI are plotted.

    `kind` is the plot's place among others, `what` says what a row is, `unit` is that of the values, `zero` whether
    the line at 0 matters.
    """

    kind: str
    what: str
    title: str
    unit: str
    zero: bool = False

    @property
    def paired(self) -> bool:
        """Whether rows have a value of each model."""
        return self.kind in {"fairness", "energy"}


Made = tuple[PlotRow, list[str]]
"""A row of a plot, and that of its table."""
_FAIRNESS = ("demographic_parity", "equalized_odds", "equal_opportunity", "group_accuracy", "group_loss")
_PLANS = {
    "class_drop": Plan(kind="classes", what="class", title="What each class has lost", unit="pp", zero=True),
    "slice_drop": Plan(kind="slices", what="slice", title="What each slice has lost", unit="pp", zero=True),
    "weakest_slice": Plan(kind="slices", what="slice", title="What the weakest slice has lost", unit="pp", zero=True),
    "headroom": Plan(kind="layers", what="layer", title="Headroom of each layer", unit="bits", zero=True),
    "sqnr": Plan(kind="layers", what="layer", title="Signal-to-noise ratio of each layer", unit="dB"),
    "denormal_share": Plan(kind="layers", what="layer", title="Subnormal numbers of each layer", unit="%"),
    "energy_per_1k": Plan(kind="energy", what="component", title="Energy by component, 1,000 samples", unit="Wh"),
}
_RATES = {"demographic_parity": "selection", "equal_opportunity": "tpr", "group_accuracy": "accuracy"}
_NAMES = {
    "selection": "selection rate",
    "tpr": "true positive rate",
    "fpr": "false positive rate",
    "accuracy": "accuracy",
    "loss": "mean absolute error",
}


def breakdown_figures(gate: Mapping[str, Any]) -> list[Figure]:
    """Plot a gate's breakdown; nothing where its rows have no form that is known here."""
    rows = [row for row in tables(gate.get("breakdown")) if "name" in row]
    kpi = text(gate["kpi"])
    if not rows:
        return []
    if kpi.startswith(_FAIRNESS):
        return _fairness(kpi, rows)
    plan = _PLANS.get(kpi)
    if plan is None:
        return []
    made = [_pair(row, plan) if plan.paired else _single(row, plan) for row in rows]
    return _figure(plan, kpi, made)


def breakdown_table(gate: Mapping[str, Any]) -> Table | None:
    """Return a breakdown without a plot as a table: its names, and every number or text of its rows."""
    rows = [_flat(row) for row in tables(gate.get("breakdown"))]
    columns = list(dict.fromkeys(name for row in rows for name in row))[:12]
    if not columns:
        return None
    return table_of(columns, [[row.get(name, "") for name in columns] for row in rows])


def _flat(row: Row) -> dict[str, str]:
    """Return a row as texts, with the fields of the objects in it."""
    flat: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= {f"{name} {inner}": part for inner, part in _flat(value).items()}
        elif (amount := number(value)) is not None:
            flat[name] = f"{amount:,.4g}" if abs(amount) < 1e4 or amount != int(amount) else f"{int(amount):,}"
        else:
            flat[name] = clipped(text(value), 200)
    return flat


def _single(row: Row, plan: Plan) -> Made | None:
    """Return a row with one value, which is the student's, and its interval."""
    value = number(row.get("value"))
    if value is None:
        return None
    low, high = number(row.get("ci_low")), number(row.get("ci_high"))
    interval = "" if low is None and high is None else format_interval(_or_inf(low, -1), _or_inf(high, 1), plan.unit)
    shown, size = format_judged(value, plan.unit), number(row.get("n"))
    name = text(row["name"])
    title = f"{name}: {shown} {interval}".strip()
    dot = Dot(value=value, low=low, high=high, shape=STUDENT[0], look=STUDENT[1], title=title)
    sized = "" if size is None else f"{size:,.0f}"
    return PlotRow(name=name, right=shown, dots=[dot]), [name, sized, shown, interval]


def _or_inf(end: float | None, sign: int) -> float:
    return sign * float("inf") if end is None else end


def _pair(row: Row, plan: Plan, *path: str) -> Made | None:
    """Return a row with the teacher's and the student's value, which is at the end of a path of names."""
    name, size = text(row["name"]), number(row.get("n"))
    dots, texts = [], []
    for role, (shape, look) in ROLES:
        value = number(_inside(row, role, *path))
        value = None if value is None else (100 if plan.unit == "%" else 1) * value
        shown = "-" if value is None else format_judged(value, plan.unit)
        texts.append(shown)
        if value is not None:
            dots.append(Dot(value=value, shape=shape, look=look, title=f"{name}, {role}: {shown}"))
    if texts[-1] == "-":
        return None
    return PlotRow(name=name, right=texts[-1], dots=dots), [name, "" if size is None else f"{size:,.0f}", *texts]


def _inside(row: Row, *path: str) -> Any:
    """Return what is at the end of a path of names in a row."""
    value: Any = row
    for name in path:
        value = table(value).get(name)
    return value


def _fairness(kpi: str, rows: Sequence[Row]) -> list[Figure]:
    """Plot the rates that a fairness KPI compares, each group's for teacher and student."""
    loss = kpi.startswith("group_loss")
    rates = ["loss"] if loss else [rate for name, rate in _RATES.items() if kpi.startswith(name)] or ["tpr", "fpr"]
    figures = []
    for rate in rates:
        plan = Plan(
            kind="fairness",
            what="group",
            title=f"{_NAMES[rate][0].upper()}{_NAMES[rate][1:]} by group",
            unit="" if loss else "%",
        )
        made = [made for row in rows for made in _of_group(row, rate, plan)]
        figures += _figure(plan, kpi, made)
    return figures


def _of_group(row: Row, rate: str, plan: Plan) -> list[Made | None]:
    """Return the rows of a group: one, or one for each class where its rates are by class."""
    by_class = table(table(row.get("student")).get(rate))
    if not by_class:
        return [_pair(row, plan, rate)]
    return [_pair({**row, "name": f"{text(row['name'])}, class {label}"}, plan, rate, label) for label in by_class]


def _figure(plan: Plan, kpi: str, made: Sequence[Made | None]) -> list[Figure]:
    kept = [row for row in made if row is not None]
    if not kept:
        return []
    rows = [row for row, _ in kept[:MOST_ROWS]]
    values = values_of(rows)
    axis = even_axis([*values, 0.0] if plan.zero or plan.kind == "energy" else values, *span_of(rows))
    shapes, height = draw_rows(rows, axis, plan.unit, line_at=0.0 if plan.zero else None)
    looks = {dot.look for row in rows for dot in row.dots}
    left = len(kept) - len(rows)
    return [
        Figure(
            kind=plan.kind,
            title=f"{plan.title} ({kpi})",
            summary=_summary(plan, kept),
            height=height,
            shapes=shapes,
            legend=[Key(*look, role) for role, look in ROLES if look[1] in looks],
            note=f"Rows in the table only: {left:,}." if left else "",
            table=table_of(
                (plan.what.capitalize(), "n", *(("Teacher", "Student") if plan.paired else ("Value", "Interval"))),
                [texts for _, texts in kept],
            ),
        )
    ]


def _summary(plan: Plan, kept: Sequence[Made]) -> str:
    rows = [row for row, _ in kept]
    least = min(rows, key=lambda row: row.dots[-1].value)
    most = max(rows, key=lambda row: row.dots[-1].value)
    many = f"{len(rows)} {plan.what}{'es' if plan.what == 'class' else 's'}" if len(rows) != 1 else f"1 {plan.what}"
    who = "The student is lowest" if plan.paired else "Lowest"
    lost = " A positive number is a loss against the teacher." if plan.unit == "pp" else ""
    ends = [f"{clipped(row.name, 60)} ({row.right})" for row in (least, most)]
    return f"{many}. {who} at {ends[0]} and highest at {ends[1]}.{lost}"
