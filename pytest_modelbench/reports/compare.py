"""Two reports against each other: what became of each gate from one session to the other."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_modelbench.grammar.formats import format_judged, marked
from pytest_modelbench.reports.limit_texts import needs_attention
from pytest_modelbench.results import Estimate, Reading, Verdict
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
GONE = "judged"
"""What stands for the earlier value of a gate that the later report does not have."""
Key = tuple[str, str, str, str, int]
"""What makes a gate the same in several reports: its KPI, student, options and test, and which of these it is."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What became of one gate.

    Attributes:
        before: the earlier value as a text, `-` where there is none.
        now: the later one.
        worse: by how much it is worse, as a fraction of the earlier value.
        result: `WORSE` or another of these words.
        why: why it was not compared.
        how: how a value of the machine was compared if nothing was timed beside it.
        gate: as the later report has it, or the earlier one if the later one lacks it.
        verdicts: the earlier and the later one; "" where a report lacks the gate.
    """

    kpi: str
    student: str
    before: str
    now: str
    worse: Estimate | None
    result: str
    why: str = ""
    how: str = ""
    gate: Mapping[str, Any] = field(default_factory=dict, repr=False)
    verdicts: tuple[str, str] = ("", "")

    @property
    def broke(self) -> bool:
        """Whether it passed before and does not pass now."""
        return self.verdicts[0] == Verdict.PASS.value and needs_attention(self.verdicts[1])

    @property
    def mended(self) -> bool:
        """Whether it passes now and did not before."""
        return self.verdicts[1] == Verdict.PASS.value and needs_attention(self.verdicts[0])

    @property
    def rank(self) -> int:
        """Where it is in a list: what passed before and does not now is first, then what is worse."""
        if self.broke:
            return 0
        if self.result == WORSE:
            return 1
        order = (UNCLEAR, BETTER, SAME, UNKNOWN)
        return 2 if needs_attention(self.verdicts[1]) else 3 + order.index(self.result)


def changes(earlier: Baseline, later: Baseline, limit: float) -> dict[Key, Change]:
    """Compare every value of two reports.

    What depends on the machine is compared as the ratio to the teacher, or to the reference workload, where both
    sessions have one; else as it is, if both are of one machine and of equal settings. It is decided by its interval,
    anything else by its value, as gates are.

    Args:
        earlier: the earlier report.
        later: the later one.
        limit: how much worse a value may be, as a fraction.
    """
    verdicts = _verdicts(earlier)
    compared = list(_changes(earlier, later, limit, verdicts))
    return dict(zip(_keys([change.gate for change in compared]), compared, strict=True))


def _keys(gates: list[Mapping[str, Any]]) -> Iterator[Key]:
    """Yield the key of each gate; a test may state a KPI twice."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    for gate in gates:
        same = (*_known_by(gate), gate["nodeid"])
        yield (*same, seen[same])
        seen[same] += 1


def _verdicts(report: Baseline) -> dict[Key | tuple[str, str, str], str]:
    """Return the verdict of each gate by its key, and without its test if all tests agree."""
    verdicts: dict[Key | tuple[str, str, str], str] = {}
    gates = report.report["gates"]
    for gate, key in zip(gates, _keys(gates), strict=True):
        verdicts[key] = gate["verdict"]
        same = _known_by(gate)
        verdicts[same] = gate["verdict"] if verdicts.get(same, gate["verdict"]) == gate["verdict"] else ""
    return verdicts


def _changes(
    earlier: Baseline, later: Baseline, limit: float, verdicts: Mapping[Key | tuple[str, str, str], str]
) -> Iterator[Change]:
    seen = set()
    gates = later.report["gates"]
    for gate, key in zip(gates, _keys(gates), strict=True):
        same = _known_by(gate)
        seen.add(same)
        before = verdicts.get(key, verdicts.get(same, ""))
        yield replace(_change(gate, earlier, later, limit), gate=gate, verdicts=(before, gate["verdict"]))
    for gate in earlier.report["gates"]:
        if _known_by(gate) not in seen:
            seen.add(_known_by(gate))
            yield Change(
                kpi=gate["kpi"], student=gate["student"], before=GONE, now="-", worse=None, result=UNKNOWN,
                why=f"{later.path} has no such gate", gate=gate, verdicts=(gate["verdict"], ""),
            )  # fmt: skip


def _change(gate: Mapping[str, Any], earlier: Baseline, later: Baseline, limit: float) -> Change:
    """Compare one gate of the later report with the earlier report."""
    kpi, student, options = gate["kpi"], gate["student"], gate["options"]
    reading = gate["readings"]["student"]
    entry = earlier.find(kpi, student, options, gate["nodeid"])
    shown = "-" if isinstance(entry, str) else _shown_value(entry.reading)
    if reading is None or reading["value"] is None:
        why = f"it has no value now ({gate['verdict']}: {gate['reason']})"
        return Change(kpi=kpi, student=student, before=shown, now="-", worse=None, result=UNKNOWN, why=why)
    value = _shown_value(reading_of(reading))
    worse, how = (entry, "") if isinstance(entry, str) else _worse(gate, entry, earlier, later)
    if isinstance(worse, str):
        return Change(kpi=kpi, student=student, before=shown, now=value, worse=None, result=UNKNOWN, why=worse)
    result = _result(worse, limit, by_interval=gate["timed"] or gate["of_machine"])
    return Change(kpi=kpi, student=student, before=shown, now=value, worse=worse, result=result, how=how)


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
