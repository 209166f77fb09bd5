"""Two reports against each other: what got worse from one session to the other."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.grammar.formats import format_interval, format_judged, marked
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.reports.causes import some
from pytest_modelbench.reports.layout import line
from pytest_modelbench.reports.terminal import render_table
from pytest_modelbench.results import Estimate, Reading
from pytest_modelbench.stats.sessions import difference_across, ratio_across, worsening, worsening_by_ratio
from pytest_modelbench.store.baseline import Baseline, Entry, Measured, reading_of, reference_of, worse_than
from pytest_modelbench.store.contract import HARDWARE

BARE_NOISE = 0.1
"""How far two processes on one machine may time the same model apart (docs/measured.md, regressions)."""
WORSE, BETTER, SAME, UNCLEAR, UNKNOWN = "worse", "better", "same", "unclear", "not comparable"
BARE = (
    "compared as it is, because no teacher and no reference workload was timed beside it both times: on one machine "
    f"that is good to about {BARE_NOISE:.0%}"
)
SETTINGS = ("device", "threads", "allocator")
COLUMNS = ("KPI", "Student", "Before", "Now", "Worse by", "Result")
_STYLES = {WORSE: "red", UNCLEAR: "yellow", UNKNOWN: "yellow", BETTER: "green"}


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one gate: `worse` is a fraction of the earlier value; `why` says why there is none.

    `how` says how a value of this machine was compared where nothing was timed beside it.
    """

    kpi: str
    student: str
    before: str
    now: str
    worse: Estimate | None
    result: str
    why: str = ""
    how: str = ""


def compare_reports(before: Path, now: Path, limit: float) -> list[Change]:
    """Compare every value of two reports.

    What depends on the machine is compared as the ratio to the teacher, or to the reference workload, where both
    sessions have one; else as it is, if both are of one machine and of equal settings. It is decided by its interval,
    anything else by its value, as gates are.

    Args:
        before: the earlier report.
        now: the later one.
        limit: how much worse a value may be, as a fraction.

    Raises:
        UsageMistake: one of them cannot be read.
    """
    earlier, later = Baseline.read(before, CATALOGUE), Baseline.read(now, CATALOGUE)
    return list(_changes(earlier, later, limit))


def _changes(earlier: Baseline, later: Baseline, limit: float) -> Iterator[Change]:
    seen = set()
    for gate in later.report["gates"]:
        kpi, student, options = gate["kpi"], gate["student"], gate["options"]
        seen.add(_known_by(gate))
        reading = gate["readings"]["student"]
        entry = earlier.find(kpi, student, options, gate["nodeid"])
        shown = "-" if isinstance(entry, str) else _shown_value(entry.reading)
        if reading is None or reading["value"] is None:
            why = f"it has no value now ({gate['verdict']}: {gate['reason']})"
            yield Change(kpi=kpi, student=student, before=shown, now="-", worse=None, result=UNKNOWN, why=why)
            continue
        value = _shown_value(reading_of(reading))
        worse, how = (entry, "") if isinstance(entry, str) else _worse(gate, entry, earlier, later)
        if isinstance(worse, str):
            yield Change(kpi=kpi, student=student, before=shown, now=value, worse=None, result=UNKNOWN, why=worse)
            continue
        result = _result(worse, limit, by_interval=gate["timed"] or gate["of_machine"])
        yield Change(kpi=kpi, student=student, before=shown, now=value, worse=worse, result=result, how=how)
    for gate in earlier.report["gates"]:
        if _known_by(gate) not in seen:
            seen.add(_known_by(gate))
            yield Change(
                kpi=gate["kpi"], student=gate["student"], before="judged", now="-", worse=None, result=UNKNOWN,
                why=f"{later.path} has no such gate",
            )  # fmt: skip


def _known_by(gate: Mapping[str, Any]) -> tuple[str, str, str]:
    return gate["kpi"], gate["student"], json.dumps(gate["options"], sort_keys=True)


def _shown_value(reading: Reading) -> str:
    return marked(format_judged(reading.value, reading.unit), reading.provenance)


def _worse(gate: Mapping[str, Any], entry: Entry, earlier: Baseline, later: Baseline) -> tuple[Estimate | str, str]:
    """Return how much worse a value is, or why it cannot be compared; and the comparison, if not that of gates."""
    better, of_machine = gate["better"], gate["of_machine"]
    if better not in {"lower", "higher"}:
        return "it does not state whether lower or higher is better", ""
    now = Measured(
        reading=reading_of(gate["readings"]["student"]),
        reference=reference_of(gate.get("reference")),
        data=later.data_of(gate),
        form=later.form_of(gate),
    )
    worse = worse_than(now, entry, better=better, of_machine=of_machine, of_samples=gate["of_samples"])
    if not (isinstance(worse, str) and of_machine and (now.reference is None or entry.reference is None)):
        return worse, ""
    differs = "; ".join(
        part for part in (_other_machine(earlier, later), _other_settings(entry, gate, later)) if part
    )
    if differs:
        return f"{worse} ({differs})", ""
    bare = worse_than(now, entry, better=better, of_machine=False, of_samples=False)
    return (bare, "") if isinstance(bare, str) else (_as_uncertain_as_bare(now, entry, better), BARE)


def _other_machine(earlier: Baseline, later: Baseline) -> str:
    """Return how the machines of two reports differ; empty where they are known to be alike."""
    then, now = (baseline.report.get("environment", {}) for baseline in (earlier, later))
    if not any(then.get(name) for name in HARDWARE):
        return f"{earlier.path} does not say on which machine"
    facts = [(name.replace("_", " "), then.get(name), now.get(name)) for name in HARDWARE]
    return "; ".join(f"{name} {before}, and now {here}" for name, before, here in facts if before != here)


def _other_settings(entry: Entry, gate: Mapping[str, Any], later: Baseline) -> str:
    """Return the settings that differ and without which times cannot be compared."""
    now = {**later.report.get("settings", {}), **gate.get("settings", {})}
    settings = [(name, entry.settings.get(name), now.get(name)) for name in SETTINGS]
    return "; ".join(f"{name} {before}, and now {here}" for name, before, here in settings if before != here)


def _as_uncertain_as_bare(now: Measured, then: Entry, better: str) -> Estimate:
    """Return how much worse a bare value is, with what two processes differ by anyway in its interval."""
    if now.reading.value <= 0 or then.reading.value <= 0:
        return worsening(difference_across(now.reading.estimate, then.reading.estimate), then.reading.value, better)
    ratio = ratio_across(now.reading.estimate, then.reading.estimate)
    low, high = (math.nan if end is None else end for end in (ratio.low, ratio.high))
    wider = Estimate(value=ratio.value, low=low * (1 - BARE_NOISE), high=high * (1 + BARE_NOISE))
    return worsening_by_ratio(ratio if math.isnan(low) or math.isnan(high) else wider, better)


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
    """Render changes as a table, what could not be compared with its reason, and how many of each kind there are.

    The last line is red where something is worse, or where nothing could be compared at all.
    """
    rows = [
        (
            change.kpi,
            change.student,
            change.before,
            change.now,
            _shown(change.worse),
            (change.result, _STYLES.get(change.result, "")),
        )
        for change in changes
    ]
    counted = Counter(change.result for change in changes)
    order = (WORSE, UNCLEAR, BETTER, SAME, UNKNOWN)
    counts = ", ".join(f"{counted[result]:,} {result}" for result in order if counted[result])
    causes: dict[str, list[str]] = {}
    for change in changes:
        for cause in filter(None, (change.why, change.how)):
            causes.setdefault(cause, []).append(f"{change.kpi} of {change.student}")
    bad = counted[WORSE] or not compared(changes)
    last = counts if compared(changes) else f"nothing could be compared: {counts or 'there is no gate'}"
    return "\n".join(
        [
            render_table(COLUMNS, rows, width=width, colour=colour),
            *(line(f"{some(gates)}: {cause}") for cause, gates in causes.items()),
            line(last, "red" if bad else "", colour=colour),
        ]
    )


def compared(changes: list[Change]) -> bool:
    """Whether anything could be compared."""
    return any(change.result != UNKNOWN for change in changes)


def _shown(worse: Estimate | None) -> str:
    if worse is None:
        return ""
    text = format_judged(worse.value, "fraction")
    return text if worse.low == worse.high else f"{text} {format_interval(worse.low, worse.high, 'fraction')}"
