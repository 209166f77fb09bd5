"""What a run would measure, and which gates share each measurement; nothing is run for it."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.gates.sharing import Planned as Shared
from pytest_modelbench.grammar.load import rate_of
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.probes.kinds import EXPORT, ProbeKind


class Planned(Shared, Protocol):
    """What the plan knows of an item (see `session.ItemPlan`)."""

    @property
    def suite(self) -> str:
        """A short name for `home`."""

    @property
    def target(self) -> str:
        """The format that the student is deployed in, "" for the model itself."""


Known = Mapping[str, Mapping[str, float]]


def duration_key(note: Mapping[str, Any]) -> str:
    """Return the name under which a timed measurement's duration is remembered, given the report's note of it."""
    return f"{note['student']}|{note['suite']}|{note['setup']}"


def duration_of(note: Mapping[str, Any]) -> dict[str, float]:
    """Return what is remembered: the seconds it took, and the calls of the slowest pace in a second."""
    return {"seconds": note["elapsed_s"], "calls_per_second": min(note["calls_per_second"].values())}


def plan_lines(items: Sequence[Planned], durations: Known) -> list[str]:
    """Return the plan as lines: timed measurements, forward passes, and what is counted or recorded.

    A timed measurement is stated with the time that it took last time, and with its budget: it ends earlier when
    every limit that shares it is decided.

    Args:
        items: what is selected.
        durations: what `duration_of` returned in earlier runs, by `duration_key`.
    """
    gates = [(item, gate) for item in items for gate in item.gates]
    if not gates:
        return ["no gate is selected, so nothing would be measured"]
    timed = list(_timed(items, durations))
    passes = list(_passes(items))
    counted = sorted({f"{item.student}: {gate.kpi.name}" for item, gate in gates if gate.kpi.probe.counted})
    most = sum(measurement.budget_s for measurement in timed)
    last = [measurement.last_s for measurement in timed if measurement.last_s is not None]
    needs = f"{len(timed)} timed measurements, {len(passes)} forward passes, at most {most:,.0f} s of timing"
    if last:
        some = "" if len(last) == len(timed) else f" for {len(last)} of them"
        needs += f", about {sum(last):,.0f} s as last time{some}"
    return [
        f"{len(gates)} gates of {len(items)} items: {needs}",
        *(line for measurement in timed for line in measurement.lines()),
        *_exports(items),
        *_apart(items),
        *(f"pass     {text}" for text in passes),
        *(f"counted  {text}" for text in counted),
    ]


def _all_gates(item: Planned) -> list[Assignment]:
    return [assignment for gate in item.gates for assignment in (gate, *gate.conditions)]


@dataclass(frozen=True, kw_only=True)
class _Timed:
    """One timed measurement of the plan; `last` is what is known of it from an earlier run."""

    told: str
    budget_s: float
    gates: Sequence[Assignment]
    last: Mapping[str, float]

    @property
    def last_s(self) -> float | None:
        """Seconds it took last time."""
        return self.last.get("seconds")

    def lines(self) -> Iterator[str]:
        """Yield what it is, and which percentiles it cannot bound within its budget."""
        took = "" if self.last_s is None else f"{self.last_s:.1f} s last time, "
        yield f"timed    {self.told} ({took}at most {self.budget_s:g} s)"
        if not self.last:
            return
        from pytest_modelbench.stats.intervals import needed_values
        from pytest_modelbench.stats.sequential import spent_alpha

        for gate in self.gates:
            quantile = gate.kpi.quantile
            if quantile is None:
                continue
            calls = needed_values(quantile, spent_alpha(gate.question(with_teacher=False, seed=0).alpha, 1))
            seconds = calls / self.last["calls_per_second"]
            if seconds > self.budget_s:
                yield (
                    f"         too slow: an upper bound on {gate.kpi.name} needs {calls:,} calls, at least "
                    f"{humanise(seconds, 's')}; give --modelbench-budget={math.ceil(2 * seconds)}, "
                    "or judge a lower percentile"
                )


def _timed(items: Sequence[Planned], durations: Known) -> Iterator[_Timed]:
    """Yield what would be timed together, as `BenchSession.sharing` has it."""
    groups: dict[tuple[object, ...], list[tuple[Planned, Assignment]]] = {}
    for item in items:
        for gate in _all_gates(item):
            if gate.kpi.timed:
                key = (item.student, item.home, item.settings, gate.kpi.probe, gate.setup)
                groups.setdefault(key, []).append((item, gate))
    for shared in groups.values():
        (item, first), gates = shared[0], [gate for _, gate in shared]
        models = _together(item.student, gates)
        names = ", ".join(dict.fromkeys(gate.kpi.name for gate in gates))
        name = duration_key({"student": item.student, "suite": item.suite, "setup": str(first.setup)})
        yield _Timed(
            told=f"{models}, {first.setup}: {names}",
            budget_s=item.settings.budget_s,
            gates=list({gate.kpi.name: gate for gate in gates}.values()),
            last=durations.get(name, {}) if first.kpi.probe.interleaved else {},
        )


def _exports(items: Sequence[Planned]) -> Iterator[str]:
    """Yield the exports that students need which are judged as they are deployed."""
    for student, target in dict.fromkeys((item.student, item.target) for item in items if item.target):
        yield f"export   {student}, judged as it is deployed ({EXPORT.apart.replace('each format', target)})"


def _apart(items: Sequence[Planned]) -> Iterator[str]:
    """Yield what has passes or processes of its own: launches, energy, operations, profiles."""
    groups: dict[tuple[ProbeKind[Any], str, tuple[str, ...], float], list[Assignment]] = {}
    for item in items:
        for gate in _all_gates(item):
            if gate.kpi.probe.apart:
                key = (gate.kpi.probe, item.student, item.home, item.settings.budget_s)
                groups.setdefault(key, []).append(gate)
    for (probe, student, _, budget_s), gates in groups.items():
        models = _together(student, gates)
        names = ", ".join(dict.fromkeys(gate.kpi.name for gate in gates))
        costs = dict.fromkeys(_cost(probe, gate) for gate in gates) if probe.cost else {}
        ends = [f"at most about {budget_s:g} s for each model"] if probe.budgeted else []
        yield f"{probe.name:8} {models}: {names} ({'; '.join([probe.apart, *costs, *ends])})"
        for gate in gates:
            yield from _too_few_requests(gate, 1 + len(gate.others), budget_s)


def _cost(probe: ProbeKind[Any], gate: Assignment) -> str:
    """Return what a gate's options come to, in the words of its kind of measurement."""
    module, _, name = probe.cost.partition(":")
    told: str = getattr(importlib.import_module(module), name)(gate.options)
    return told


def _too_few_requests(gate: Assignment, models: int, budget_s: float) -> Iterator[str]:
    """Yield which percentile of responses has too few requests within the budget, at any load."""
    from pytest_modelbench.stats.intervals import needed_values

    rate, quantile = rate_of(gate.options.get("rate")), gate.kpi.quantile
    if rate is None or quantile is None:
        return
    requests = needed_values(quantile, gate.question(with_teacher=False, seed=0).alpha)
    seconds = models * requests / rate
    if seconds > budget_s:
        yield (
            f"         too slow: an upper bound on {gate.kpi.name} needs {requests:,} requests of each model, at "
            f"{gate.options['rate']} at least {humanise(seconds, 's')}, and more where they wait; give "
            f"--modelbench-budget={math.ceil(2 * seconds)}, or judge a lower percentile"
        )


def _together(student: str, gates: Sequence[Assignment]) -> str:
    """Name the models that are measured together: the student, and every other one that a gate needs."""
    return " and ".join([student, *dict.fromkeys(role for gate in gates for role in gate.others)])


def _passes(items: Sequence[Planned]) -> Iterator[str]:
    """Yield the forward passes over the evaluation data: one for each student, one for a teacher.

    What a transform or a corruption changes has passes of its own.
    """
    groups: dict[tuple[str, tuple[str, ...], object, str], list[str]] = {}
    for item in items:
        for gate in _all_gates(item):
            if not gate.kpi.probe.one_pass:
                continue
            shared = (item.home[0], item.home[2])
            others = [(role, shared) for role in gate.others if role != "workload"]
            for model, home in ((item.student, item.home), *others):
                under = gate.options.get("under")
                harder = "" if under is None else f" under {under}"
                groups.setdefault((model, home, under, harder), []).append(gate.kpi.name)
                if "transform" in gate.options:
                    changed = f" as {gate.told_options['transform']} changes them"
                    groups.setdefault((model, home, gate.options["transform"], changed), []).append(gate.kpi.name)
    for (model, _, _, changed), names in groups.items():
        yield f"{model} over the evaluation data{changed}: {', '.join(dict.fromkeys(names))}"
