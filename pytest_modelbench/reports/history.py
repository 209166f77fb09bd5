"""A history in the terminal: a line for each trend, its changes with their commits, and what raises an alarm."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from pytest_modelbench.errors import visible
from pytest_modelbench.grammar.formats import format_judged
from pytest_modelbench.reports.terminal import render_table
from pytest_modelbench.reports.trends import Asked, Finding, Point, Trend
from pytest_modelbench.stats.change_points import LEAST_RUNS
from pytest_modelbench.store.history import History, Run

COLUMNS = ("KPI", "Student", "Compared", "Runs", "Trend", "First", "Last", "Changes")
BARS = "▁▂▃▄▅▆▇█"
SHOWN, SHOWN_NARROW, WIDE = 40, 20, 110
"""Bars of a trend in a terminal of at least 110 columns, and in a narrower one."""
_HASH = re.compile(r"[0-9A-Za-z]{4,64}")


def sparkline(values: Sequence[float], most: int = SHOWN) -> str:
    """Return a bar for each of the last values, from the smallest to the largest of them.

    >>> sparkline([1.0, 2.0, 3.0])
    '▁▅█'
    """
    values = values[-most:]
    low, high = min(values), max(values)
    steps = len(BARS) - 1
    return "".join(BARS[int((value - low) / (high - low) * steps + 0.5) if high > low else 0] for value in values)


def show_history(
    history: History, of: Sequence[Trend], found: Sequence[Finding], *, width: int, colour: bool, bars: bool
) -> str:
    """Return what `history show` prints: a table of trends, the changes of each, and notes on the file."""
    most = (SHOWN if width >= WIDE else SHOWN_NARROW) if bars else 0
    rows = [_row(trend, [finding for finding in found if finding.trend is trend], most) for trend in of]
    lines = [
        f"{visible(history.path)}: {_runs(len(history.runs))}, {_span(history.runs)}",
        render_table(COLUMNS, rows, width=width, colour=colour),
        *(f"{sentence(finding)}" for finding in found),
        *note_lines(history),
    ]
    return "\n".join(lines)


def check_lines(history: History, of: Sequence[Trend], alarming: Sequence[Finding], asked: Asked) -> Iterator[str]:
    """Yield what `history check` prints: each alarm with what to do about it, then how much was looked at."""
    for finding in alarming:
        yield f"WORSE: {sentence(finding)}"
        if finding.kind == "change":
            yield from _advice(history, finding)
    yield from note_lines(history)
    short = sum(len(trend.points) <= LEAST_RUNS for trend in of)
    few = f"; {short} of them have too few runs for noisy values (at least {LEAST_RUNS + 1})" if short else ""
    yield (
        f"{visible(history.path)}: {_runs(len(history.runs))}, {len(of)} trend{'s' * (len(of) != 1)}{few}; "
        f"{len(alarming) or 'no'} unexplained change{'s' * (len(alarming) != 1)} for the worse "
        f"in the last {_runs(min(asked.last, len(history.runs)))}"
    )


def note_lines(history: History) -> Iterator[str]:
    """Yield what is odd about the file."""
    yield from (f"note: {visible(history.path)}: {visible(note)}" for note in history.notes)


def sentence(finding: Finding) -> str:
    """Return what a finding says, in one sentence."""
    trend = finding.trend
    size = _size(finding)
    if finding.kind == "decay":
        text = f"{trend.name} decayed by {size} from {finding.before.name} to {finding.after.name}, run by run"
    else:
        text = f"{trend.name} {_verb(finding)} {size} at {finding.after.name}: {_between(finding)}{_model(finding)}"
    return visible(text + (f"; {finding.explained}" if finding.explained else ""))


def _verb(finding: Finding) -> str:
    if not finding.trend.better:
        return "rose by" if finding.rise > 0 else "fell by"
    return "got worse by" if finding.is_worse else "got better by"


def _size(finding: Finding) -> str:
    unit = "fraction" if finding.trend.relative else finding.trend.unit
    return format_judged(abs(finding.rise), unit)


def _between(finding: Finding) -> str:
    """Return the range of commits that a change came with."""
    before, after = finding.before, finding.after
    if after.commit is None or before.commit is None:
        text = f"after {before.name}"
    elif after.commit == before.commit:
        text = f"both runs are of commit {after.commit[:12]}, so the code is not the cause"
    else:
        text = f"commits {before.commit[:12]}..{after.commit[:12]}"
    wider = (finding.first.number, finding.last.number) != (before.number, after.number)
    return text + (f" (the data allow from {finding.first.name} to {finding.last.name})" if wider else "")


def _model(finding: Finding) -> str:
    """Say whether the student's content changed too."""
    points = {point.run.number: point for point in finding.trend.points}
    before, after = (_content(points[run.number]) for run in (finding.before, finding.after))
    if not before or not after:
        return ""
    return "; the student has the same content" if before == after else "; the student's content changed too"


def _content(point: Point) -> str | None:
    model: str | None = point.gate.get("model")
    return None if model is None or ":object-" in model else model


def _advice(history: History, finding: Finding) -> Iterator[str]:
    good, bad, first = (_short(run.commit) for run in (finding.first, finding.last, finding.after))
    if good and bad and good != bad:
        yield f"  find the commit:  git bisect start {bad} {good}  (see docs/history.md)"
    if first:
        path = shlex.quote(visible(history.path))
        yield f"  if it is meant:   python -m pytest_modelbench history explain {path} {first} 'REASON'"


def _short(commit: str | None) -> str:
    """Return the start of a hash, as a shell may read it; empty for anything else."""
    return commit[:12] if commit and _HASH.fullmatch(commit) else ""


def _row(trend: Trend, found: Sequence[Finding], most: int) -> tuple[str, ...]:
    values = [point.compared for point in trend.points]
    changes = ", ".join(f"{'+' if finding.rise > 0 else '-'}{_size(finding)}" for finding in found)
    shown = sparkline(values, most) if most else ""
    return (
        trend.kpi, trend.student, trend.basis, str(len(values)), shown,
        value_text(trend, values[0]), value_text(trend, values[-1]), changes,
    )  # fmt: skip


def value_text(trend: Trend, value: float) -> str:
    """Return a compared value with its unit."""
    return format_judged(value, "x" if trend.basis.startswith("ratio") else trend.unit)


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def _span(runs: Sequence[Run]) -> str:
    first, last = (run.content["time"][:10] for run in (runs[0], runs[-1]))
    return f"{first} to {last}"
