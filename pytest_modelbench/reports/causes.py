"""What failed and why, each cause once with its gates; and what would decide the gates that were left open."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.reports.layout import line
from pytest_modelbench.reports.limit_texts import kpi_at
from pytest_modelbench.results import Verdict

WORDS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.ERROR: ("ERROR", "red"),
    Verdict.FAIL: ("FAIL", "red"),
    Verdict.INCONCLUSIVE: ("INCONCLUSIVE", "yellow"),
    Verdict.NO_BASELINE: ("NO BASELINE", "yellow"),
    Verdict.NOT_APPLICABLE: ("N/A", "yellow"),
    Verdict.PASS: ("PASS", "green"),
    Verdict.REPORTED: ("REPORTED", "dim"),
    Verdict.NOT_RUN: ("NOT RUN", "yellow"),
}
"""What each verdict is called on a terminal, and its style."""
QUIET = frozenset({Verdict.PASS, Verdict.REPORTED, Verdict.NOT_RUN})
MOST_NAMED = 12
LONG_BUDGET_S = 600.0
MARGIN = 1.2
"""An expected need is met in half of all runs only; this much more is asked for."""

Told = dict[tuple[str, str], dict[str, list[str]]]


def cause_lines(gates: Sequence[Mapping[str, Any]], *, width: int, colour: bool) -> Iterator[str]:
    """Yield every cause why gates did not pass, once, with its gates."""
    causes: Told = {}
    for gate in gates:
        if gate["verdict"] not in QUIET:
            students = causes.setdefault((gate["verdict"], gate["reason"]), {})
            students.setdefault(gate["student"], []).append(kpi_at(gate))
    for (verdict, reason), students in causes.items():
        word, style = WORDS[Verdict(verdict)]
        count = sum(map(len, students.values()))
        if count == 1:
            ((student, (kpi,)),) = students.items()
            yield f"{line(word, style, colour=colour)} {line(f'{kpi} of {student}: {reason}')}"
            continue
        yield f"{line(word, style, colour=colour)} {line(f'{count:,} gates: {reason}')}"
        yield from _names(students, width)


def _names(students: Mapping[str, Sequence[str]], width: int) -> Iterator[str]:
    """Yield the gates of one cause: students with the same ones are named together."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for student, kpis in students.items():
        alike.setdefault(tuple(dict.fromkeys(kpis)), []).append(student)
    for kpis, names in alike.items():
        text = f"{some(kpis)} of {some(names)}"
        for wrapped in textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    "):
            yield line(wrapped)


def some(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """List names, the first of them where they are many.

    >>> some(["a", "b"]), some(["a", "b", "c"], most=2)
    ('a, b', 'a, b and 1 more')
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def advice_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what to raise so that inconclusive gates are expected to be decided: the budget, the samples."""
    budgets: list[int] = []
    samples: list[int] = []
    for gate in report["gates"]:
        if gate["verdict"] != Verdict.INCONCLUSIVE:
            continue
        mine = [limit for limit in gate["limits"] if limit["verdict"] == Verdict.INCONCLUSIVE]
        seconds = [limit["needed_seconds"] for limit in mine if limit["needed_seconds"]]
        if seconds:
            budget_s = {**report["settings"], **gate.get("settings", {})}.get("budget_s") or 0.0
            budgets.append(_rounded_up(MARGIN * max(*seconds, budget_s)))
        elif counts := [limit["needed_n"] for limit in mine if limit["needed_n"]]:
            samples.append(_rounded_up(max(counts)))
    advice = [*_budget(budgets), *([_decides(f"about {max(samples):,} samples", len(samples))] if samples else [])]
    if advice:
        yield "to decide more: " + "; ".join(advice)


def _budget(needed: Sequence[int]) -> Iterator[str]:
    short = [seconds for seconds in needed if seconds <= LONG_BUDGET_S]
    if short:
        yield _decides(f"--modelbench-budget={max(short)}", len(short))
    if len(short) < len(needed):
        rest = len(needed) - len(short)
        yield _decides(f"--modelbench-budget={max(needed)}", rest)


def _decides(what: str, gates: int) -> str:
    return f"{what} would decide {gates:,} gate{'s' if gates != 1 else ''}"


def _rounded_up(value: float) -> int:
    """Return a number of two digits that is no less.

    >>> _rounded_up(83.2), _rounded_up(1203.0), _rounded_up(7.01)
    (84, 1300, 8)
    """
    step = 10 ** max(math.floor(math.log10(max(value, 1.0))) - 1, 0)
    return int(math.ceil(value / step) * step)
