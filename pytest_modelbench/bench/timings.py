"""What one gate may ask for: every measurement is taken once for a session, and shared by all gates that need it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping

from pytest_modelbench.bench.before import EarlierMeasurements
from pytest_modelbench.bench.costs import CostMeasurements, Limits
from pytest_modelbench.bench.timed_run import TimedRun, timing_note
from pytest_modelbench.gates.gate import Gate
from pytest_modelbench.gates.sharing import Sharing
from pytest_modelbench.kpis.speed.timing import calls_for_bound, seconds_for_bound
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.cost.energy import EnergyMeasurement
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.probes.timing.own_rounds import timing_of
from pytest_modelbench.probes.timing.processes import TimingRequest
from pytest_modelbench.probes.wire import pack_timing, unpack_timing
from pytest_modelbench.reports.benchmark_json import benchmarks_of

PATIENCE_WITH_HOPELESS = 0.2


class GateMeasurements(EarlierMeasurements):
    """What a KPI of one gate may ask for (see `kpis.kpi.Measurements`)."""

    def growing(
        self, gate: Gate, *, energy: EnergyMeasurement | None = None, compiled: TimingMeasurement | None = None
    ) -> _Taken:
        """Return the measurements of a gate with one in it that is not complete yet."""
        return _Taken(self, gate=gate, energy=energy, compiled=compiled)

    def timing(self) -> TimingMeasurement:
        """Share the measurement with the teacher, the previous student and the workload, all in the same rounds."""
        if self.gate.kpi.probe.own_rounds:
            return timing_of(self.sources.own_rounds(), self.gate.kpi.name, int(self.gate.options["batch_size"]))
        if "teacher" in self.roles:
            whole = copy.copy(self)
            whole.roles = {role: actor for role, actor in self.roles.items() if role != "teacher"}
            return whole.timing().against(self.roles["teacher"])
        sharing = self.session.sharing(self.plan, self.gate)
        if isinstance(self.session.child, TimingRequest):
            return self._timed(sharing, {role: self.model(role) for role in self.session.child.models})
        return self._together(sharing, functools.partial(self._timed, sharing), ("teacher", "previous", "workload"))

    def _timed(self, sharing: Sharing, models: Mapping[str, Model]) -> TimingMeasurement:
        session, data, setup = self.session, self.data(), self.gate.setup
        hashes = tuple(session.hash_of(model) for model in models.values())
        plan, given = self.plan, self.plan.settings
        key = ("timing", hashes, data.key, setup, plan.student, plan.home, given)  # whose limits it decides

        limits = self._limits_of(sharing)  # before anything is timed

        def decided(measurement: TimingMeasurement) -> bool:
            return all(self._decided(other, known, measurement, set(models)) for other, known in limits)

        def measure() -> TimingMeasurement:
            told = f"timing {' and '.join(model.name for model in models.values())}, {setup}"
            by_role = dict(zip(models, hashes, strict=True))
            with self._shown(told) as progress:
                run = TimedRun(models, self.draws(), setup, given, hashes=by_role, decided=decided, progress=progress)
                if isinstance(session.child, TimingRequest):
                    return run.in_child(session.child)
                calls = max(calls_for_bound(self._question(other, "teacher" in models)) for other in sharing.gates)
                fresh = functools.partial(session.in_fresh_process, plan.nodeid)
                measurement = run.in_processes(fresh, calls) if setup.processes > 1 else run.here()
            session.timings.append(timing_note(measurement, plan, setup))
            return measurement

        def taken() -> TimingMeasurement:
            shared = ("timing", tuple(models), setup, plan.student, plan.home, plan.origin, given)
            with session.exclusive():
                measurement = session.handover.once(shared, measure, pack_timing, unpack_timing, alone=True)
            if given.benchmark_json:
                told = benchmarks_of(measurement, plan.student, plan.suite, str(setup))
                session.benchmarks.update({one["fullname"]: one for one in told})
            return measurement

        return session.once(key, taken)

    def _decided(
        self,
        gate: Gate,
        limits: Limits,
        measurement: TimingMeasurement,
        roles: set[str],
    ) -> bool:
        if limits is None or not roles.issuperset(gate.others):
            return True  # it is never decided here
        question = self._question(gate, "teacher" in roles)
        taken = _Taken(self, gate=gate, timing=measurement)
        judgement = taken.judged(question, limits)
        if not taken.worth_comparing_with(judgement.evidence):
            return False
        if not gate.limits:
            return len(measurement.looks) > 1
        budget_s = self.plan.settings.budget_s
        hopeless = (
            seconds_for_bound(question, measurement) > budget_s
            and measurement.elapsed_s[-1] > budget_s * PATIENCE_WITH_HOPELESS
            and all((limit.margin or 0) > 0 for limit in judgement.limits)  # else it may still be proven to fail
        )
        return judgement.decided or hopeless


class _Taken(GateMeasurements):
    """The measurements of a gate while one of them is still growing."""

    def __init__(
        self,
        outer: CostMeasurements,
        *,
        gate: Gate | None = None,
        timing: TimingMeasurement | None = None,
        energy: EnergyMeasurement | None = None,
        compiled: TimingMeasurement | None = None,
    ) -> None:
        super().__init__(outer.session, outer.plan, gate or outer.gate, outer.sources)
        self.roles = outer.roles
        self._timing, self._energy, self._compiled = timing, energy, compiled

    def timing(self) -> TimingMeasurement:
        if self._timing is None:
            return super().timing()
        return self._timing.against(self.roles.get("teacher", "teacher"))

    def energy(self) -> EnergyMeasurement:
        return self._energy if self._energy is not None else super().energy()

    def compiled_timing(self) -> TimingMeasurement:
        return self._compiled if self._compiled is not None else super().compiled_timing()
