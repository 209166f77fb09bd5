"""Two reports against each other: what got worse from one session to the other."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.reports.terminal import render_table
from pytest_modelbench.results import Estimate
from pytest_modelbench.store.baseline import Baseline, Entry, Measured, reading_of, reference_of, worse_than
from pytest_modelbench.verdicts import format_interval, format_judged

WORSE, BETTER, SAME, UNCLEAR, UNKNOWN = "worse", "better", "same", "unclear", "not comparable"
COLUMNS = ("KPI", "Student", "Before", "Now", "Worse by", "Result")
_STYLES = {WORSE: "red", UNCLEAR: "yellow", UNKNOWN: "yellow", BETTER: "green"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one gate: `worse` is a fraction of the earlier value; `why` says why there is none."""

    kpi: str
    student: str
    before: str
    now: str
    worse: Estimate | None
    result: str
    why: str = ""


def compare_reports(before: Path, now: Path, limit: float) -> list[Change]:
    """Compare every value of two reports.

    What depends on the machine is compared as the ratio to the teacher, or to the reference workload, and decided by
    its interval; anything else by its value, as gates are.

    Args:
        before: the earlier report.
        now: the later one.
        limit: how much worse a value may be, as a fraction.

    Raises:
        UsageMistake: one of them cannot be read.
    """
    earlier, later = Baseline.read(before), Baseline.read(now)
    return list(_changes(earlier, later, limit))


def _changes(earlier: Baseline, later: Baseline, limit: float) -> Iterator[Change]:
    seen = set()
    for gate in later.report["gates"]:
        kpi, student, options = gate["kpi"], gate["student"], gate["options"]
        seen.add(_known_by(gate))
        reading = gate["readings"]["student"]
        found = earlier.find(kpi, student, options, gate["nodeid"])
        shown = "-" if isinstance(found, str) else format_judged(found.reading.value, found.reading.unit)
        if reading is None or reading["value"] is None:
            why = f"it has no value now ({gate['verdict']}: {gate['reason']})"
            yield Change(kpi=kpi, student=student, before=shown, now="-", worse=None, result=UNKNOWN, why=why)
            continue
        value = format_judged(reading["value"], reading["unit"])
        worse = found if isinstance(found, str) else _worse(gate, found, later)
        if isinstance(worse, str):
            yield Change(kpi=kpi, student=student, before=shown, now=value, worse=None, result=UNKNOWN, why=worse)
            continue
        timed = kpi in CATALOGUE and CATALOGUE[kpi].timed
        result = _result(worse, limit, by_interval=timed or _of_machine(kpi))
        yield Change(kpi=kpi, student=student, before=shown, now=value, worse=worse, result=result)
    for gate in earlier.report["gates"]:
        if _known_by(gate) not in seen:
            seen.add(_known_by(gate))
            yield Change(
                kpi=gate["kpi"], student=gate["student"], before="judged", now="-", worse=None, result=UNKNOWN,
                why=f"{later.path} has no such gate",
            )  # fmt: skip


def _known_by(gate: Mapping[str, Any]) -> tuple[str, str, str]:
    return gate["kpi"], gate["student"], json.dumps(gate["options"], sort_keys=True)


def _of_machine(kpi: str) -> bool:
    return kpi in CATALOGUE and CATALOGUE[kpi].of_machine


def _worse(gate: Mapping[str, Any], found: Entry, later: Baseline) -> Estimate | str:
    better = CATALOGUE[gate["kpi"]].better if gate["kpi"] in CATALOGUE else gate.get("better", "")
    if better not in {"lower", "higher"}:
        return "nobody says whether lower or higher is better"
    now = Measured(
        reading=reading_of(gate["readings"]["student"]),
        reference=reference_of(gate.get("reference")),
        data=later.data_of(gate),
        form=later.form_of(gate),
    )
    of_samples = gate["kpi"] not in CATALOGUE or CATALOGUE[gate["kpi"]].of_samples
    return worse_than(now, found, better=better, of_machine=_of_machine(gate["kpi"]), of_samples=of_samples)


def _result(worse: Estimate, limit: float, *, by_interval: bool) -> str:
    low, high = worse.low, worse.high
    if not by_interval:
        low = high = worse.value
    if low is None or high is None or math.isnan(worse.value):
        return UNCLEAR
    if low > limit:
        return WORSE
    if high > limit:
        return UNCLEAR
    return BETTER if high < 0 and worse.value < -limit else SAME


def render_changes(changes: list[Change], *, width: int, colour: bool) -> str:
    """Render changes as a table, and what could not be compared with its reason."""
    rows = [
        (one.kpi, one.student, one.before, one.now, _shown(one.worse), (one.result, _STYLES.get(one.result, "")))
        for one in changes
    ]
    counts = ", ".join(
        f"{count} {result}"
        for result in (WORSE, UNCLEAR, BETTER, SAME, UNKNOWN)
        if (count := sum(one.result == result for one in changes))
    )
    told = [f"{one.kpi} of {one.student}: {one.why}" for one in changes if one.why]
    return "\n".join([render_table(COLUMNS, rows, width=width, colour=colour), *told, counts or "no gate to compare"])


def _shown(worse: Estimate | None) -> str:
    if worse is None:
        return ""
    text = format_judged(worse.value, "fraction")
    return text if worse.low == worse.high else f"{text} {format_interval(worse.low, worse.high, 'fraction')}"
