"""What every report says of a gate's limits: value, interval and reading as texts, and the order of failures."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modelbench.grammar.formats import format_interval, format_judged, marked
from pytest_modelbench.results import Verdict

BAD = (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NO_BASELINE, Verdict.NOT_APPLICABLE)
"""The verdicts that need a reader's attention, the worst first."""
_RANK = {verdict.value: rank for rank, verdict in enumerate(BAD)}


def needs_attention(verdict: str) -> bool:
    """Whether a verdict is neither a pass nor a value that was only reported."""
    return verdict in _RANK


def failures_first(gates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return gates with the worst verdicts first, otherwise in their order."""
    return sorted(gates, key=lambda gate: _RANK.get(gate["verdict"], len(_RANK)))


def passed(report: Mapping[str, Any]) -> bool:
    """Whether the run of a report came to its end, and pytest found no failure."""
    return report["exit_status"] in {0, 5} and bool(report["complete"])


def counts_text(report: Mapping[str, Any], words: Mapping[Verdict, tuple[str, str]]) -> str:
    """Return the number of gates, and how many there are of each verdict."""
    counts = {verdict: report["summary"].get(verdict.value, 0) for verdict in Verdict}
    total = sum(counts.values())
    listed = ", ".join(f"{count:,} {words[verdict][0]}" for verdict, count in counts.items() if count)
    return f"{total:,} gate{'s' * (total != 1)}: {listed or 'no gate was judged'}"


def rerun_command(report: Mapping[str, Any], gate: Mapping[str, Any]) -> str:
    """Return the command that runs a gate's test again, as the session was started."""
    return f"{report.get('command') or 'pytest --modelbench'} {shlex.quote(gate['nodeid'])}"


def kpi_at(gate: Mapping[str, Any]) -> str:
    """Return a KPI's name with the rate of the requests that it was measured at, if there is one."""
    options = gate.get("options")
    rate = options.get("rate") if isinstance(options, dict) else None
    return f"{gate['kpi']} at {rate}" if isinstance(rate, str) else str(gate["kpi"])


def judged_value(limit: Mapping[str, Any], gate: Mapping[str, Any]) -> str:
    """Return the value that a limit judged, in the limit's own terms; empty where there is none."""
    if limit["value"] is None:
        return ""
    student = gate["readings"]["student"]
    return marked(format_judged(limit["value"], limit["unit"]), student["provenance"] if student else "measured")


def interval_text(limit: Mapping[str, Any]) -> str:
    """Return a limit's interval with its unit; empty for an exact value."""
    low, high = limit["ci_low"], limit["ci_high"]
    if (low is None and high is None) or low == high == limit["value"]:
        return ""
    return format_interval(-math.inf if low is None else low, math.inf if high is None else high, limit["unit"])


def reading_text(reading: Mapping[str, Any] | None) -> str:
    """Return a reading's value with its unit; `-` where there is no reading."""
    if reading is None:
        return "-"
    if reading["value"] is None:
        return "no end" if " arrivals at " in str(reading.get("method")) else "nan"
    return marked(format_judged(reading["value"], reading["unit"]), reading["provenance"])
