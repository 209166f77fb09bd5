"""What happened to the requests of a gate under load: its facts as texts, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.grammar.formats import format_interval, format_judged
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.reports.html.fields import number, tables, text
from pytest_modelbench.reports.html.figures import clipped
from pytest_modelbench.reports.layout import Cell, Column, Layout, Row, line
from pytest_modelbench.reports.limit_texts import kpi_at, needs_attention
from pytest_modelbench.results import Verdict

RATE = "samples/s"
FULL = 0.97
"""Utilisation from which on a backlog grows, or nearly does."""
MOSTLY_WAITING = 2.0
"""A response of so many times its call is mostly waiting."""
Gate = Mapping[str, Any]
Facts = Mapping[str, Any]

SHORT: Mapping[str, tuple[str, str]] = {
    "Offered": ("offered_per_s", RATE),
    "Answered": ("achieved_per_s", RATE),
    "Busy": ("utilisation", "fraction"),
    "Call": ("service_p99_ms", "ms"),
    "Response": ("measured_p99_ms", "ms"),
    "Late": ("late_p99_ms", "ms"),
    "Backlog": ("backlog_most", ""),
}
"""The facts that each failure shows: their heading, field and unit."""
LONG: Mapping[str, tuple[str, str]] = {
    "requests": ("requests", ""),
    "offered": ("offered_per_s", RATE),
    "answered": ("achieved_per_s", RATE),
    "workers, or connections": ("workers", ""),
    "utilisation": ("utilisation", "fraction"),
    "sending, of one processor": ("client_busy", "fraction"),
    "capacity, in full batches without a pause": ("capacity_per_s", RATE),
    "responses measured, p50": ("measured_p50_ms", "ms"),
    "responses measured, p99": ("measured_p99_ms", "ms"),
    "calls, p50": ("service_p50_ms", "ms"),
    "calls, p99": ("service_p99_ms", "ms"),
    "generator late, p50": ("late_p50_ms", "ms"),
    "generator late, p99": ("late_p99_ms", "ms"),
    "generator late, at most": ("late_max_ms", "ms"),
    "backlog, at most": ("backlog_most", ""),
    "backlog when the last request was due, mean of segments": ("backlog_end", ""),
    "requests in a call, mean": ("mean_batch", ""),
    "requests in a call, at most": ("largest_batch", ""),
    "failed": ("errors", ""),
    "not answered": ("unanswered", ""),
    "longest segment": ("seconds", "s"),
}
"""All facts, in the order of the table."""


def facts_of(gate: Gate) -> list[Facts]:
    """Return the facts of each model, or at each rate, of a gate under load; none for another gate."""
    return [row for row in tables(gate.get("breakdown")) if number(row.get("offered_per_s")) is not None]


def name_of(facts: Facts) -> str:
    """Return whose facts they are: a role, or a rate."""
    return text(facts.get("name"))


def fact_text(facts: Facts, field: str, unit: str) -> str:
    """Return one fact as a text: `-` where it is not known, `no end` for a response of requests without an answer."""
    value = number(facts.get(field))
    if value is None:
        return "no end" if field.startswith("measured") else "-"
    return format_judged(value, unit)


def share_text(facts: Facts) -> str:
    """Return the share of responses over the bound at one rate, with its interval and verdict; "" without one."""
    share, low, high = (number(facts.get(name)) for name in ("share_over", "ci_low", "ci_high"))
    if share is None:
        return ""
    interval = format_interval(low, high, "fraction")
    return f"{format_judged(share, 'fraction')} {interval} over the bound: {text(facts.get('verdict'))}"


def facts_table(gate: Gate) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the rows of all facts, a column for each model or rate."""
    columns = facts_of(gate)
    rows = [[name, *(fact_text(facts, *field) for facts in columns)] for name, field in LONG.items()]
    rows += [["share over the bound", *map(share_text, columns)]] if any(map(share_text, columns)) else []
    rows += [[name, *(clipped(text(facts.get(name)), 200) for facts in columns)] for name in ("first_error", "seed")]
    kept = [[row[0].replace("_", " "), *row[1:]] for row in rows if any(cell not in {"", "-"} for cell in row[1:])]
    return ["", *(clipped(name_of(facts), 60) for facts in columns)], kept


def load_lines(gate: Gate) -> Iterator[str]:
    """Yield a line for each model or rate of a gate that needs attention, and one for the next step."""
    rows = facts_of(gate) if needs_attention(gate["verdict"]) else []
    for facts in rows:
        told = {name: fact_text(facts, *field) for name, field in SHORT.items()}
        share = f"; {share_text(facts)}" if share_text(facts) else ""
        name = "" if name_of(facts).endswith("/s") else f"{name_of(facts)}: "
        yield (
            f"{name}answered {told['Answered']} of {told['Offered']}, {told['Busy']} busy, p99 of calls "
            f"{told['Call']}, of responses {told['Response']}, backlog up to {told['Backlog']}, generator late by "
            f"{told['Late']} (p99){_unusual(facts)}{share}"
        )
    yield from (f"next: {step}" for step in next_steps(gate) if rows)


def _unusual(facts: Facts) -> str:
    parts = {"errors": "failed", "unanswered": "not answered"}
    told = [f", {count:,.0f} {word}" for name, word in parts.items() if (count := number(facts.get(name)))]
    batch, workers, sending = (number(facts.get(name)) or 0.0 for name in ("mean_batch", "workers", "client_busy"))
    told += [f", {batch:.3g} requests a call"] if batch > 1 else []
    told += [f", {workers:.0f} workers"] if workers > 1 else []
    return "".join([*told, *([f", sending takes {100 * sending:.2g}% of a processor"] if sending else [])])


def next_steps(gate: Gate) -> Iterator[str]:
    """Yield what would decide a gate, or what keeps its limit from holding."""
    open_limits = [limit for limit in gate["limits"] if limit["verdict"] == Verdict.INCONCLUSIVE.value]
    seconds = max((limit["needed_seconds"] or 0.0 for limit in open_limits), default=0.0)
    if seconds:
        yield f"about {humanise(seconds, 's')} of measurement would decide it (--modelbench-budget)"
    rows = [facts for facts in facts_of(gate) if name_of(facts) != "teacher"]
    if rows and not seconds:
        yield _cause(rows[-1], gate)


def _cause(facts: Facts, gate: Gate) -> str:
    """Say what makes responses slow: too many requests, calls that are slow by themselves, or waiting."""
    call, response = number(facts.get("service_p99_ms")) or 0.0, number(facts.get("measured_p99_ms"))
    if (number(facts.get("utilisation")) or 0.0) >= FULL:
        capacity = fact_text(facts, "capacity_per_s" if "capacity_per_s" in facts else "achieved_per_s", RATE)
        return f"it can serve about {capacity}: make calls faster, or share them among more models"
    if number(facts.get("errors")):
        return "requests that fail are over every bound: mend what raises first"
    if response is not None and response >= MOSTLY_WAITING * call:
        finds = "" if gate["kpi"] == "max_qps" else "; max_qps finds the rate that keeps a bound"
        return (
            f"most of the p99 is waiting ({humanise(response - call, 'ms')} of {humanise(response, 'ms')}): bursts "
            f"meet a busy model, so that faster calls or fewer requests help{finds}"
        )
    return f"calls alone take {humanise(call, 'ms')} (p99): fewer requests would not help much, faster calls would"


def load_table(gates: Sequence[Gate], *, width: int, colour: bool) -> Iterator[str]:
    """Yield the lines of a table with the load of every gate that needs attention, for a terminal."""
    rows = [row for gates in _alike(gates) for row in _rows(gates)]
    if rows:
        yield line("under load (call, response from the scheduled arrival, and late: p99)", "bold", colour=colour)
        columns = [Column(title="Load", folds=True), *(Column(title=name, right=True) for name in SHORT)]
        yield from Layout(columns, rows, width=width, tail="", under=1).lines(rows, colour=colour)


def _alike(gates: Sequence[Gate]) -> list[list[Gate]]:
    """Return the gates that need attention, those with equal facts together."""
    by_facts: dict[str, list[Gate]] = {}
    for gate in gates:
        if needs_attention(gate["verdict"]) and facts_of(gate):
            by_facts.setdefault(f"{gate['student']} {facts_of(gate)}", []).append(gate)
    return list(by_facts.values())


def _rows(gates: Sequence[Gate]) -> Iterator[Row]:
    """Yield a heading, a row for each model or rate, and the next steps under the last one."""
    names = " and ".join(dict.fromkeys(kpi_at(gate) for gate in gates))
    yield Row(cells=(Cell(f"{names} of {gates[0]['student']}"),))
    rows, steps = facts_of(gates[0]), dict.fromkeys(step for gate in gates for step in next_steps(gate))
    for place, facts in enumerate(rows, 1):
        tails = [share_text(facts), _unusual(facts).removeprefix(", ")]
        tails += [f"next: {step}" for step in steps] if place == len(rows) else []
        cells = (Cell(f"  {name_of(facts)}"), *(Cell(fact_text(facts, *field)) for field in SHORT.values()))
        yield Row(cells=cells, tail="; ".join(filter(None, tails)))
