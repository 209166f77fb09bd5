"""Several reports side by side: the first one, and what became of its gates in each later one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.grammar.formats import format_interval, format_judged
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.reports.causes import WORDS, some
from pytest_modelbench.reports.compare import BETTER, GONE, SAME, UNCLEAR, UNKNOWN, WORSE, Change, Key, changes
from pytest_modelbench.reports.layout import line
from pytest_modelbench.reports.limit_texts import interval_text, judged_value, needs_attention
from pytest_modelbench.reports.terminal import render_table
from pytest_modelbench.results import Estimate
from pytest_modelbench.store.baseline import Baseline

NOTHING_COMPARED = 3
"""The exit code where a report has nothing that can be compared with the first one."""
MOST_REPORTS = 20
COLUMNS = ("KPI", "Student", "Before", "Now", "Worse by", "Result")
RESULTS = (WORSE, UNCLEAR, BETTER, SAME, UNKNOWN)
BROKE, MENDED = "passed before and does not pass now", "passes now and did not before"
_STYLES = {WORSE: "red", UNCLEAR: "yellow", UNKNOWN: "yellow", BETTER: "green"}
_WORDS = {verdict.value: words[0] for verdict, words in WORDS.items()}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One gate: its change from the first report to each later one, None where neither of them has it."""

    changes: Sequence[Change | None]

    @property
    def any(self) -> Change:
        """A change of this gate, to name it: the one that is first in a list."""
        return min((change for change in self.changes if change is not None), key=lambda change: change.rank)

    @property
    def before(self) -> str:
        """The value in the first report."""
        values = [change.before for change in self.changes if change is not None]
        return next((value for value in values if value not in {"-", GONE}), values[0])


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Reports, and the gates of all of them.

    Attributes:
        names: of the reports, as short as they differ; the first one is what the others are compared with.
        reports: the JSON reports.
        limit: how much worse a value may be, as a fraction.
        rows: what passed before and does not pass now first, then what is worse.
    """

    names: Sequence[str]
    reports: Sequence[Mapping[str, Any]]
    limit: float
    rows: Sequence[Row]

    def later(self) -> Iterator[tuple[str, list[Change]]]:
        """Yield each later report's name and its changes."""
        for place, name in enumerate(self.names[1:]):
            yield name, [change for row in self.rows if (change := row.changes[place]) is not None]

    @property
    def exit_code(self) -> int:
        """1 if something is worse, else 3 if a report has nothing to compare, else 0."""
        codes = {_exit_code(of_report) for _, of_report in self.later()}
        return next((code for code in (1, NOTHING_COMPARED) if code in codes), 0)

    @property
    def headline(self) -> str:
        """What the exit code says, in words."""
        return {1: "WORSE", NOTHING_COMPARED: "NOT COMPARABLE"}.get(self.exit_code, "NOT WORSE")


def compare_reports(paths: Sequence[Path], limit: float) -> Comparison:
    """Compare reports with the first of them.

    Args:
        paths: two or more.
        limit: how much worse a value may be, as a fraction.

    Raises:
        UsageMistake: one of them cannot be read.
    """
    first, *rest = (Baseline.read(path, CATALOGUE) for path in paths)
    columns = [changes(first, later, limit) for later in rest]
    keys: dict[Key, None] = dict.fromkeys(key for column in columns for key in column)
    rows = [Row(changes=[column.get(key) for column in columns]) for key in keys]
    return Comparison(
        names=_names(paths),
        reports=[baseline.report for baseline in (first, *rest)],
        limit=limit,
        rows=sorted(rows, key=lambda row: row.any.rank),
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the names of files, or their paths where two have the same name."""
    short = [path.name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def compared(of_report: Sequence[Change]) -> bool:
    """Whether anything could be compared."""
    return any(change.result != UNKNOWN for change in of_report)


def _exit_code(of_report: Sequence[Change]) -> int:
    if not compared(of_report):
        return NOTHING_COMPARED
    return 1 if any(change.result == WORSE for change in of_report) else 0


def render_comparison(comparison: Comparison, *, width: int, colour: bool) -> str:
    """Render a comparison as a table, the reasons of what could not be compared, and how many gates have each result.

    A report's last line is red where something is worse, or where nothing could be compared at all.
    """
    lines = [_table(comparison, width=width, colour=colour)]
    several = len(comparison.names) > 2
    for name, of_report in comparison.later():
        start = f"{name}: " if several else ""
        lines += [line(f"{start}{some(gates)}: {cause}") for cause, gates in causes(of_report).items()]
    for name, of_report in comparison.later():
        start = f"{name}: " if several else ""
        lines += [
            line(f"{start}{text}", style, colour=colour)
            for text, style in ((turned(of_report, broke=True), "red"), (turned(of_report, broke=False), "green"))
            if text
        ]
        lines.append(line(start + counts(of_report), "red" if _exit_code(of_report) else "", colour=colour))
    return "\n".join(lines)


def _table(comparison: Comparison, *, width: int, colour: bool) -> str:
    if len(comparison.names) == 2:
        rows = [
            (change.kpi, change.student, change.before, change.now, worse_by(change), _styled(change.result))
            for change in (row.any for row in comparison.rows)
        ]
        return render_table(COLUMNS, rows, width=width, colour=colour)
    wide: list[tuple[str | tuple[str, str], ...]] = [
        (row.any.kpi, row.any.student, row.before, *(_cell(change) for change in row.changes))
        for row in comparison.rows
    ]
    return render_table((*COLUMNS[:2], *comparison.names), wide, width=width, colour=colour)


def _cell(change: Change | None) -> tuple[str, str]:
    return (cell_text(change), "" if change is None else _STYLES.get(change.result, ""))


def _styled(result: str) -> tuple[str, str]:
    return (result, _STYLES.get(result, ""))


def cell_text(change: Change | None) -> str:
    """Return a later value, by how much it is worse, and the result in words; `-` where there is no such gate."""
    if change is None or change.verdicts[1] == "":
        return "-"
    by = "" if change.worse is None else f" {format_judged(change.worse.value, 'fraction')}"
    return f"{change.now}{by} {change.result}"


def worse_by(change: Change) -> str:
    """Return by how much a value is worse, with its interval; negative where it is better."""
    return "" if change.worse is None else _shown(change.worse)


def _shown(worse: Estimate) -> str:
    text = format_judged(worse.value, "fraction")
    return text if worse.low == worse.high else f"{text} {format_interval(worse.low, worse.high, 'fraction')}"


def causes(of_report: Sequence[Change]) -> dict[str, list[str]]:
    """Return why gates were not compared, or how they were, each with the gates."""
    gates: dict[str, list[str]] = {}
    for change in of_report:
        for cause in filter(None, (change.why, change.how)):
            gates.setdefault(cause, []).append(f"{change.kpi} of {change.student}")
    return gates


def turned(of_report: Sequence[Change], *, broke: bool) -> str:
    """Return which gates passed before and do not pass now, or the other way round; "" for none."""
    gates = [
        f"{change.kpi} of {change.student}" for change in of_report if (change.broke if broke else change.mended)
    ]
    return f"{BROKE if broke else MENDED}: {some(gates)}" if gates else ""


def counts(of_report: Sequence[Change]) -> str:
    """Return how many gates have each result."""
    counted = Counter(change.result for change in of_report)
    text = ", ".join(f"{counted[result]:,} {result}" for result in RESULTS if counted[result])
    return text if compared(of_report) else f"nothing could be compared: {text or 'there is no gate'}"


def word_of(verdict: str) -> str:
    """Return a verdict's word; what an earlier version called otherwise stays, and `-` is none."""
    return _WORDS.get(verdict, verdict) or "-"


def reasons(change: Change) -> list[str]:
    """Return a sentence for each limit of a gate that does not hold now: limit, value and interval, or why not."""
    gate = change.gate
    bad = [limit for limit in gate.get("limits", []) if needs_attention(limit["verdict"])]
    texts = [
        f"limit {limit['text']}, found {judged_value(limit, gate)} {interval_text(limit)}".strip()
        for limit in bad
        if limit["value"] is not None
    ]
    return texts or [gate["reason"]]
