"""Trends of a history: the values of one KPI and student that can be compared, and what is wrong with them.

What depends on the machine is compared as the ratio to the teacher or the workload, across machines. A value without
such a ratio is only compared with values of the same machine and settings, and anything else with values of the same
samples.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist
from typing import Any

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.stats.change_points import LEAST_RUNS, Change, change_points, drift_of
from pytest_modelbench.store.history import Explanation, History, Run

FALSE_ALARMS = 0.01
LEAST = 0.01
LAST_RUNS = 20
_SIDE = NormalDist().inv_cdf(0.95)
_MOST_LOG = 700.0
"""A logarithm whose exponential is finite."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a check is asked for.

    Attributes:
        last: a change in this many runs of the file raises an alarm.
        least: a smaller change does not, as a fraction.
        drift: the decay over `over` runs that raises an alarm, as a fraction; None for none.
        over: runs.
        false_alarms: chance that a history of 200 runs without a change raises any alarm.
    """

    last: int = LAST_RUNS
    least: float = LEAST
    drift: float | None = None
    over: int = 20
    false_alarms: float = FALSE_ALARMS

    def __post_init__(self) -> None:
        """Refuse a decay over too few runs.

        Raises:
            UsageMistake: `over` is less than noisy values need.
        """
        if self.over < LEAST_RUNS:
            raise UsageMistake(f"--over: found {self.over}, expected at least {LEAST_RUNS} runs, such as --over 20")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A run's value: as it was measured, and as it is compared (a ratio, or the value itself) with its interval."""

    run: Run
    gate: Mapping[str, Any]
    compared: float
    low: float | None
    high: float | None


@dataclass(kw_only=True)
class Trend:
    """Comparable values of one KPI and student, from the earliest run to the latest.

    `basis` says what is compared: `ratio to the teacher`, `on this machine` or `value`.
    """

    kpi: str
    student: str
    basis: str
    better: str
    unit: str
    points: list[Point] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.kpi} of {self.student} ({self.basis})"

    @property
    def relative(self) -> bool:
        """Whether changes are fractions: all values are positive."""
        return all(point.compared > 0 for point in self.points)

    @cached_property
    def values(self) -> list[float]:
        """What is tested: logarithms of positive values, else the values."""
        return [math.log(point.compared) if self.relative else point.compared for point in self.points]

    @property
    def errors(self) -> list[float] | None:
        """Standard errors of ratios, from their intervals; None for other values, whose samples are the same."""
        return [_error(point) for point in self.points] if self.relative and self.basis.startswith("ratio") else None

    def rise(self, shift: float) -> float:
        """Return how far a shift of `values` raises the value: a fraction of a positive value, else in its unit."""
        return math.expm1(min(shift, _MOST_LOG)) if self.relative else shift


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A change or a decay of a trend.

    Attributes:
        trend: whose.
        before: the last run before it; the first run of a decay.
        after: the first run after it; the last run of a decay.
        rise: by how much the value rose, as a fraction of a positive value, else in its unit.
        first: the earliest run in the place of `before` that the data support.
        last: the latest in the place of `after`.
        kind: `change` or `decay`.
        explained: why it raises no alarm.
    """

    trend: Trend
    before: Run
    after: Run
    rise: float
    first: Run
    last: Run
    kind: str = "change"
    explained: str = ""

    @property
    def is_worse(self) -> bool:
        """Whether the value became worse; not for a KPI that does not state what is better."""
        return (self.trend.better == "lower" and self.rise > 0) or (self.trend.better == "higher" and self.rise < 0)


def trends(history: History) -> list[Trend]:
    """Return the trends of a history, by student and KPI; those that ended earlier are before those that go on."""
    found: dict[tuple[str, ...], Trend] = {}
    for run in history.runs:
        taken = set()
        for gate in run.content["gates"]:
            compared = _compared(gate)
            if compared is None:
                continue
            basis, key = _basis(gate, run)
            name = (gate["suite"], gate["student"], gate["kpi"], _text(gate["options"]), *key)
            if name in taken:  # two tests that share a measurement
                continue
            taken.add(name)
            trend = found.setdefault(
                name,
                Trend(
                    kpi=gate["kpi"], student=gate["student"], basis=basis, better=gate["better"], unit=gate["unit"]
                ),
            )
            value, low, high = compared
            trend.points.append(Point(run=run, gate=gate, compared=value, low=low, high=high))
    return sorted(found.values(), key=lambda trend: (trend.student, trend.kpi, trend.points[-1].run.number))


def _compared(gate: Mapping[str, Any]) -> tuple[float, float | None, float | None] | None:
    """Return what is compared of a gate, with its interval; None where it has no value."""
    source = _reference(gate) or gate
    value = source["ratio"] if source is not gate else gate["value"]
    return None if value is None else (value, source["ci_low"], source["ci_high"])


def _reference(gate: Mapping[str, Any]) -> Mapping[str, Any] | None:
    reference: Mapping[str, Any] | None = gate["reference"]
    return reference if reference is not None and reference["ratio"] is not None else None


def _basis(gate: Mapping[str, Any], run: Run) -> tuple[str, tuple[str, ...]]:
    """Return in words what a gate's value is compared as, and the key that comparable values share."""
    test = gate["nodeid"] if gate.get("provenance") == "recorded" else ""
    reference = _reference(gate)
    key = (_text(gate["settings"]), gate["data"] or "", gate["unit"], test)
    if reference is not None:
        kind, _, content = reference["hash"].partition(":")
        known = kind if content.startswith("object-") else reference["hash"]
        return f"ratio to the {reference['kind']}", (reference["kind"], known, *key)
    if gate["of_machine"]:
        return "on one machine", (machine_of(run), *key)
    return "value", key


def machine_of(run: Run) -> str:
    """Return the class of a run's machine: its processor, their number, and its GPU."""
    machine = run.content["machine"]
    parts = [machine.get("processor"), machine.get("logical_cpus") and f"{machine['logical_cpus']} CPUs"]
    return ", ".join(str(part) for part in [*parts, machine.get("gpu")] if part) or "unknown machine"


def _text(table: Mapping[str, Any]) -> str:
    return json.dumps(table, sort_keys=True)


def _error(point: Point) -> float:
    if not point.low or not point.high:
        return math.nan
    return (math.log(point.high) - math.log(point.low)) / (2 * _SIDE)


def findings(history: History, of: Sequence[Trend], asked: Asked) -> Iterator[Finding]:
    """Yield the changes and the decay of trends. Noisy trends that go on share the chance of a false alarm."""
    recent = {run.number for run in history.runs[-asked.last :]}
    noisy = [trend for trend in of if trend.points[-1].run.number in recent and len(set(trend.values)) > 1]
    share = asked.false_alarms / max(len(noisy), 1)
    for trend in of:
        changes = change_points(trend.values, trend.errors, false_alarms=share)
        ends = [0, *(change.at for change in changes), len(trend.points)]
        rows = [
            _change(trend, change, history, slice(start, end))
            for change, start, end in zip(changes, ends, ends[2:], strict=False)
        ]
        yield from (row for row in rows if abs(row.rise) >= asked.least or not trend.relative)
        if asked.drift is not None:
            known = [change.at for change, row in zip(changes, rows, strict=True) if row.explained]
            yield from _decay(trend, asked, share, max(known, default=0))


def alarms(history: History, found: Sequence[Finding], asked: Asked) -> list[Finding]:
    """Return what must be looked at: what got worse in the last runs of the file without an explanation."""
    recent = {run.number for run in history.runs[-asked.last :]}
    return [
        finding for finding in found if finding.is_worse and not finding.explained and finding.after.number in recent
    ]


def _change(trend: Trend, change: Change, history: History, near: slice) -> Finding:
    """Return a change in words of runs; `near` are the runs between the changes before and after it."""
    runs = [point.run for point in trend.points]
    first, last = runs[max(change.first - 1, 0)], runs[change.last]
    return Finding(
        trend=trend,
        before=runs[change.at - 1],
        after=runs[change.at],
        rise=trend.rise(change.shift),
        explained=_explained(runs[change.first : change.last + 1], trend, history.explanations)
        or _other_machine(runs[near.start : change.at], runs[change.at : near.stop]),
        first=first,
        last=last,
    )


def _explained(runs: Sequence[Run], trend: Trend, explanations: Sequence[Explanation]) -> str:
    """Return the reason that was written for a commit of the runs in which a change may be."""
    commits = {run.commit for run in runs if run.commit}
    for explanation in explanations:
        same = explanation.kpi in {None, trend.kpi}
        if same and any(commit.startswith(explanation.commit) for commit in commits):
            return f"explained: {explanation.reason}"
    return ""


def _other_machine(*parts: Sequence[Run]) -> str:
    """Say that no run before a change was on the machine of those after it; empty where one was."""
    before, after = ({machine_of(run) for run in part} for part in parts)
    if before & after:
        return ""
    return f"the machine changed too ({', '.join(sorted(before))}; then {', '.join(sorted(after))})"


def _decay(trend: Trend, asked: Asked, false_alarms: float, start: int) -> Iterator[Finding]:
    """Yield the decay over the last runs, if it is larger than asked and more than noise."""
    values = trend.values[start:]
    if asked.drift is None or len(values) < asked.over or not trend.relative:
        return
    drift = drift_of(values, asked.over, false_alarms=false_alarms)
    runs = [point.run for point in trend.points[-asked.over :]]
    decay = Finding(
        trend=trend, before=runs[0], after=runs[-1], rise=trend.rise(drift.total), kind="decay",
        first=runs[0], last=runs[-1],
    )  # fmt: skip
    if decay.is_worse and abs(decay.rise) >= asked.drift and drift.surely_moved:
        yield decay
