"""The page of a comparison: what broke and what is worse first, every gate in all reports, and the reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.reports.causes import WORDS, some
from pytest_modelbench.reports.compare import BETTER, SAME, UNCLEAR, UNKNOWN, WORSE, Change
from pytest_modelbench.reports.comparison import (
    Comparison,
    Row,
    causes,
    cell_text,
    counts,
    reasons,
    word_of,
    worse_by,
)
from pytest_modelbench.reports.html.change_plot import change_figure
from pytest_modelbench.reports.html.fields import table, text
from pytest_modelbench.reports.html.figures import Table, clipped, table_of
from pytest_modelbench.reports.html.gate_rows import MOST_FAILURES, MOST_ROWS
from pytest_modelbench.reports.html.margins import kpi_with_options
from pytest_modelbench.reports.html.render import render
from pytest_modelbench.reports.limit_texts import rerun_command
from pytest_modelbench.results import Verdict
from pytest_modelbench.store.recognising import COMPARISON_PAGE_HEAD

MOST_CAUSES, MOST_FIGURES = 20, 4
_LONGEST = 200
_LOOKS = {WORSE: "fail", UNCLEAR: "inconclusive", UNKNOWN: "not_run", BETTER: "pass", SAME: "reported"}


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """A row of the table of gates; `look` is a verdict as the style sheet names it, `word` the result."""

    look: str
    word: str
    kpi: str
    cells: Sequence[str]
    why: str


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A gate that passed in the first report and does not pass in a later one."""

    look: str
    word: str
    kpi: str
    student: str
    report: str
    values: str
    reasons: Sequence[str]
    again: str


def comparison_page(comparison: Comparison) -> str:
    """Return a comparison as one HTML page, which needs no network, no script and no other file.

    Args:
        comparison: of reports whose gates were checked by `reports.html.stored.why_gates_not_shown`.
    """
    broken = list(_broken(comparison))
    figures = [
        figure
        for name, of_report in comparison.later()
        if (figure := change_figure(of_report, name, comparison.limit)) is not None
    ]
    return render(
        "comparison.html",
        COMPARISON_PAGE_HEAD,
        headline=comparison.headline,
        look="fail" if comparison.exit_code else "pass",
        first=clipped(comparison.names[0], _LONGEST),
        limit=format_judged(comparison.limit, "fraction"),
        counted=[(clipped(name, _LONGEST), counts(of_report)) for name, of_report in comparison.later()],
        several=len(comparison.names) > 2,
        broken=broken[:MOST_FAILURES],
        more_broken=max(len(broken) - MOST_FAILURES, 0),
        columns=_columns(comparison),
        rows=[_row(comparison, row) for row in comparison.rows[:MOST_ROWS]],
        left_out=_left_out(comparison),
        figures=figures[:MOST_FIGURES],
        causes=list(_causes(comparison)),
        reports=_reports(comparison),
    )


def _broken(comparison: Comparison) -> Iterator[Broken]:
    for (name, of_report), report in zip(comparison.later(), comparison.reports[1:], strict=True):
        for change in of_report:
            if change.broke:
                yield Broken(
                    look=change.verdicts[1],
                    word=word_of(change.verdicts[1]),
                    kpi=clipped(kpi_with_options(change.gate), _LONGEST),
                    student=clipped(change.student, _LONGEST),
                    report=clipped(name, _LONGEST),
                    values=f"{change.before} before, {change.now} now",
                    reasons=[clipped(reason, 2 * _LONGEST) for reason in reasons(change)],
                    again=rerun_command(report, change.gate),
                )


def _columns(comparison: Comparison) -> list[str]:
    if len(comparison.names) == 2:
        return ["Result", "KPI", "Student", "Before", "Now", "Worse by", "Verdict"]
    return ["Result", "KPI", "Student", *(clipped(name, _LONGEST) for name in comparison.names)]


def _row(comparison: Comparison, row: Row) -> GateRow:
    change = row.any
    cells = [change.before, change.now, worse_by(change), _verdict(change)]
    if len(comparison.names) > 2:
        cells = [row.before, *(_cell(later) for later in row.changes)]
    return GateRow(
        look=change.verdicts[1] if change.broke else _LOOKS[change.result],
        word=word_of(change.verdicts[1]) if change.broke else change.result,
        kpi=clipped(kpi_with_options(change.gate), _LONGEST),
        cells=[clipped(change.student, _LONGEST), *cells],
        why=clipped(change.why, 2 * _LONGEST),
    )


def _cell(change: Change | None) -> str:
    turned = change is not None and (change.broke or change.mended)
    shown = cell_text(change)
    return f"{shown}, {word_of(change.verdicts[1])}" if change is not None and turned else shown


def _verdict(change: Change) -> str:
    before, now = map(word_of, change.verdicts)
    return now if before == now else f"{before} → {now}"


def _left_out(comparison: Comparison) -> str:
    left = Counter(row.any.result for row in comparison.rows[MOST_ROWS:])
    if not left:
        return ""
    listed = ", ".join(f"{count:,} {result}" for result, count in left.items())
    return (
        f"{MOST_ROWS:,} of {len(comparison.rows):,} gates are shown, the worst first. Left out: {listed}. "
        "The command prints all."
    )


def _causes(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Yield names of gates and why they were not compared, or how they were."""
    for _, of_report in comparison.later():
        gates = causes(of_report)
        for cause, names in list(gates.items())[:MOST_CAUSES]:
            yield clipped(some(names), 2 * _LONGEST), clipped(cause, 2 * _LONGEST)
        if len(gates) > MOST_CAUSES:
            yield f"and {len(gates) - MOST_CAUSES:,} more reasons, which the command prints", ""


def _reports(comparison: Comparison) -> Table:
    first = _facts(comparison.reports[0])
    rows = []
    for name, report in zip(comparison.names, comparison.reports, strict=True):
        facts = _facts(report)
        differs = [f"{key} {facts.get(key, '-')}" for key in {**first, **facts} if facts.get(key) != first.get(key)]
        of_verdict = Counter(gate["verdict"] for gate in report["gates"])
        listed = [
            f"{of_verdict[verdict.value]:,} {WORDS[verdict][0]}" for verdict in Verdict if of_verdict[verdict.value]
        ]
        told = "; ".join(differs) or ("" if report is comparison.reports[0] else "nothing")
        rows.append([name, ", ".join(listed), clipped(text(report.get("command")), _LONGEST), clipped(told, 600)])
    return table_of(("Report", "Gates", "Command", "Machine and packages that differ from the first"), rows)


def _facts(report: Mapping[str, Any]) -> dict[str, str]:
    environment = table(report.get("environment"))
    names = ("processor", "logical_cpus", "gpu", "platform", "python")
    facts = {name.replace("_", " "): text(environment[name]) for name in names if environment.get(name) is not None}
    return facts | {name: text(version) for name, version in table(environment.get("packages")).items()}
