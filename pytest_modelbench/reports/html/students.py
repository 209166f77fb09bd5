"""The part of each student: a few plots, the most telling first, and the tables of everything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.reports.causes import WORDS
from pytest_modelbench.reports.corrupted_cells import KPIS as UNDER_CORRUPTIONS
from pytest_modelbench.reports.html.breakdowns import breakdown_figures, breakdown_table
from pytest_modelbench.reports.html.calibration import reliability
from pytest_modelbench.reports.html.confusion_plot import confusion_figure
from pytest_modelbench.reports.html.corruption_table import corruption_figure
from pytest_modelbench.reports.html.drop_plot import drop_figure
from pytest_modelbench.reports.html.fields import Row, distinct, number, tables, text
from pytest_modelbench.reports.html.figures import Figure, Table, clipped, table_of
from pytest_modelbench.reports.html.load_plots import load_figures
from pytest_modelbench.reports.html.margins import kpi_with_options, margins
from pytest_modelbench.reports.html.rate_plots import rate_figures
from pytest_modelbench.reports.html.speed_plots import distribution, round_ratios
from pytest_modelbench.reports.html.sweep_plot import sweep_figure
from pytest_modelbench.reports.html.waterfall_plot import waterfall_figure
from pytest_modelbench.reports.limit_texts import needs_attention
from pytest_modelbench.reports.load_facts import facts_of, facts_table
from pytest_modelbench.results import Verdict

MOST_STUDENTS = 10
"""Students with plots."""
MOST_PLOTS = 12
"""Plots of a student; the numbers of the others are in tables."""
MOST_TABLES = 20
_ORDER = (
    *("margins", "distribution", "rounds", "sweep", "capacity", "rates", "responses", "backlog"),
    *("reliability", "waterfall"),
    *("confusion", "classes", "slices", "fairness", "layers", "energy"),
    "corruptions",
)
"""The kinds of plots, in the order of the page."""

_OWN: Mapping[str, Callable[[Mapping[str, Any]], Figure | None]] = {
    "ece": reliability,
    "detection_ece": reliability,
    "top1_accuracy": confusion_figure,
    "class_drop": drop_figure,
    "slice_drop": drop_figure,
    "ap_drop": drop_figure,
    **dict.fromkeys(UNDER_CORRUPTIONS, corruption_figure),
}
"""KPIs whose breakdown has a plot of its own form."""


@dataclass(frozen=True, kw_only=True)
class StudentPart:
    """A student's part of the page."""

    name: str
    counts: str
    figures: Sequence[Figure]
    tables: Sequence[tuple[str, Table]]
    note: str


def student_parts(report: Mapping[str, Any]) -> tuple[list[StudentPart], int]:
    """Return the parts of the students, those with failures first, and how many more there are."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for gate in report["gates"]:
        by_name.setdefault(gate["student"], []).append(gate)
    bad = {name: any(needs_attention(gate["verdict"]) for gate in gates) for name, gates in by_name.items()}
    names = sorted(by_name, key=lambda name: not bad[name])
    parts = [_part(report, name, by_name[name]) for name in names[:MOST_STUDENTS]]
    return parts, max(len(names) - MOST_STUDENTS, 0)


def _part(report: Mapping[str, Any], name: str, gates: Sequence[Mapping[str, Any]]) -> StudentPart:
    shown, rest = _split(_without_repeats(_figures(report, name, gates)))
    more = [(f"{kpi_with_options(gate)}: {_made_of(gate)}", table) for gate, table in _breakdowns(gates)]
    all_tables = [*((figure.title, figure.table) for figure in rest), *more]
    counts = Counter(gate["verdict"] for gate in gates)
    left = len(all_tables) - MOST_TABLES
    return StudentPart(
        name=clipped(name, 120),
        counts=", ".join(
            f"{counts[verdict.value]:,} {WORDS[verdict][0]}" for verdict in Verdict if counts[verdict.value]
        ),
        figures=shown,
        tables=all_tables[:MOST_TABLES],
        note=f"Tables in the JSON report only: {left:,}." if left > 0 else "",
    )


def _figures(report: Mapping[str, Any], name: str, gates: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    made = [margins(gates)]
    for timing in _timings(report, name):
        made += [distribution(timing, gates), round_ratios(timing), sweep_figure(timing)]
    for gate in distinct(gates):
        made += _of_breakdown(gate)
    made += load_figures(gates)
    made += [
        waterfall_figure(diagnosis)
        for diagnosis in tables(report.get("diagnosis"))
        if diagnosis.get("student") == name
    ]
    yield from (figure for figure in made if figure is not None)


def _of_breakdown(gate: Mapping[str, Any]) -> list[Figure | None]:
    """Return the plots of what a gate's value is made of."""
    own = _OWN.get(gate["kpi"])
    if gate["kpi"] == "max_qps":
        return [*rate_figures(gate)]
    figure = None if own is None else own(gate)
    return [*breakdown_figures(gate)] if figure is None else [figure]


def _timings(report: Mapping[str, Any], name: str) -> list[Row]:
    """Return a student's timed measurements, of each setup the one with the most rounds."""
    by_setup: dict[str, Row] = {}
    for timing in tables(report.get("timings")):
        if timing.get("student") == name:
            setup = text(timing.get("setup"))
            kept = by_setup.setdefault(setup, timing)
            if (number(timing.get("rounds")) or 0) > (number(kept.get("rounds")) or 0):
                by_setup[setup] = timing
    return list(by_setup.values())


def _without_repeats(figures: Iterator[Figure]) -> list[Figure]:
    """Return figures without those that show the same numbers: several KPIs may be made of the same rows."""
    by_content = {(figure.kind, str(figure.table.rows)): figure for figure in reversed(list(figures))}
    return list(reversed(by_content.values()))


def _split(figures: Sequence[Figure]) -> tuple[list[Figure], list[Figure]]:
    """Return the figures to draw, one of each kind before a second one of any, and the others."""
    seen: Counter[str] = Counter()
    turns = []
    for figure in figures:
        turns.append((seen[figure.kind], _ORDER.index(figure.kind)))
        seen[figure.kind] += 1
    order = sorted(range(len(figures)), key=turns.__getitem__)
    drawn = sorted(order[:MOST_PLOTS], key=lambda at: (turns[at][1], turns[at][0]))
    return [figures[at] for at in drawn], [figures[at] for at in order[MOST_PLOTS:]]


def _made_of(gate: Mapping[str, Any]) -> str:
    return "what happened to the requests" if facts_of(gate) else "what it is made of"


def _breakdowns(gates: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Table]]:
    """Yield the gates whose rows have no plot, with the table of those rows."""
    for gate in distinct(gates):
        compared = [row for row in tables(gate.get("breakdown")) if "by" in row]
        plotted = any(_of_breakdown(gate)) or gate["kpi"] in _OWN
        if not compared and not facts_of(gate) and plotted:
            continue
        table = (
            table_of(*facts_table(gate))
            if facts_of(gate)
            else breakdown_table({"breakdown": compared} if compared else gate)
        )
        if table is not None:
            yield gate, table
