"""The tables of gates: what failed, with the command that runs it again, and every limit of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pytest_modelbench.reports.causes import QUIET, WORDS
from pytest_modelbench.reports.html.fields import text
from pytest_modelbench.reports.html.figures import clipped
from pytest_modelbench.reports.html.margins import kpi_with_options
from pytest_modelbench.reports.limit_texts import (
    failures_first,
    interval_text,
    judged_value,
    needs_attention,
    reading_text,
    rerun_command,
)
from pytest_modelbench.reports.load_facts import load_lines
from pytest_modelbench.results import Verdict

MOST_ROWS = 1000
"""Rows of the table of limits."""
MOST_FAILURES = 20
"""Gates whose reason and command are written out."""
MOST_SAMPLES = 10
_LONGEST_NAME, _LONGEST_REASON = 120, 400


@dataclass(frozen=True, kw_only=True)
class LimitRow:
    """A row of the table of limits, as texts; `look` is the verdict as the style sheet names it."""

    look: str
    word: str
    kpi: str
    student: str
    limit: str
    value: str
    interval: str
    teacher: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A gate that needs attention: its limits in words, why, its load, the lost samples, what runs it again."""

    look: str
    word: str
    kpi: str
    student: str
    limits: Sequence[str]
    reason: str
    load: Sequence[str]
    samples: str
    again: str


def failures(report: Mapping[str, Any]) -> tuple[list[Failure], int]:
    """Return the worst gates, and how many more need attention."""
    bad = failures_first([gate for gate in report["gates"] if needs_attention(gate["verdict"])])
    return [_failure(report, gate) for gate in bad[:MOST_FAILURES]], max(len(bad) - MOST_FAILURES, 0)


def _failure(report: Mapping[str, Any], gate: Mapping[str, Any]) -> Failure:
    limits = [limit for limit in gate["limits"] if needs_attention(limit["verdict"]) and limit["value"] is not None]
    samples = [clipped(sample, 60) for sample in gate.get("worst_samples", [])[:MOST_SAMPLES]]
    return Failure(
        look=gate["verdict"],
        word=WORDS[Verdict(gate["verdict"])][0],
        kpi=clipped(kpi_with_options(gate), _LONGEST_NAME),
        student=clipped(gate["student"], _LONGEST_NAME),
        limits=[
            f"limit {limit['text']}, found {judged_value(limit, gate)} {interval_text(limit)}".strip()
            for limit in limits
            if limit["text"] not in gate["reason"]
        ],
        reason=clipped(gate["reason"], _LONGEST_REASON),
        load=[clipped(line, _LONGEST_REASON) for line in load_lines(gate)],
        samples=", ".join(samples),
        again=rerun_command(report, gate),
    )


def limit_rows(gates: Sequence[Mapping[str, Any]]) -> tuple[list[LimitRow], str]:
    """Return the rows of the table of limits, failures first, and what was left out of it in words."""
    ordered = failures_first(gates)
    rows = list(islice((row for gate in ordered for row in _rows(gate)), MOST_ROWS))
    left = Counter(verdict for gate in ordered for verdict in _verdicts(gate))
    total = sum(left.values())
    left.subtract(row.look for row in rows)
    if total <= len(rows):
        return rows, ""
    listed = ", ".join(f"{left[verdict.value]:,} {WORDS[verdict][0]}" for verdict in Verdict if left[verdict.value])
    return (
        rows,
        f"{len(rows):,} of {total:,} limits are shown, failures first. Left out: {listed}. The JSON report has all.",
    )


def _verdicts(gate: Mapping[str, Any]) -> list[str]:
    return [limit["verdict"] for limit in gate["limits"]] or [gate["verdict"]]


def _rows(gate: Mapping[str, Any]) -> Iterator[LimitRow]:
    for limit in gate["limits"]:
        shown = judged_value(limit, gate) or reading_text(gate["readings"]["student"])
        yield _row(gate, limit["verdict"], limit["text"], shown, interval_text(limit), _why(limit, gate))
    if not gate["limits"]:
        limit = ", ".join(map(text, gate.get("targets", []))) or "no limit"
        reason = "" if Verdict(gate["verdict"]) in QUIET else gate["reason"]
        yield _row(gate, gate["verdict"], limit, reading_text(gate["readings"]["student"]), "", reason)


def _why(limit: Mapping[str, Any], gate: Mapping[str, Any]) -> str:
    """Say why a limit has no value, or that noise may have decided it; a value and its limit say the rest."""
    if limit["value"] is None:
        return "" if limit["verdict"] == Verdict.PASS.value else text(limit["reason"] or gate["reason"])
    if limit.get("weak"):
        needed = f", about {limit['needed_n']:,.0f} samples would settle it" if limit["needed_n"] else ""
        return f"weak: the interval crosses the limit{needed}"
    return text(limit["reason"]) if limit["verdict"] == Verdict.INCONCLUSIVE.value else ""


def _row(gate: Mapping[str, Any], verdict: str, limit: str, value: str, interval: str, reason: str) -> LimitRow:
    return LimitRow(
        look=verdict,
        word=WORDS[Verdict(verdict)][0],
        kpi=clipped(kpi_with_options(gate), _LONGEST_NAME),
        student=clipped(gate["student"], _LONGEST_NAME),
        limit=clipped(limit, _LONGEST_NAME),
        value=value,
        interval=interval,
        teacher=reading_text(gate["readings"]["teacher"]),
        reason=clipped(reason, _LONGEST_REASON),
    )
