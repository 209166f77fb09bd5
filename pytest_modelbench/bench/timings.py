"""Timed measurements as one gate may ask for them: as the models are, and compiled.

Every measurement is taken once for a session, and shared by all gates that need it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.deciding import Deciding, GateLimits, SoFar
from pytest_modelbench.bench.loaded import Timed
from pytest_modelbench.bench.shelf import Job, Tell, Wire
from pytest_modelbench.bench.timed_run import TimedRun, compile_models, timing_note
from pytest_modelbench.bench.together import measured_together
from pytest_modelbench.kpis.speed.timing import calls_for_bound
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.probes.timing.own_rounds import timing_of
from pytest_modelbench.probes.timing.processes import TimingRequest
from pytest_modelbench.probes.wire import pack_timing, unpack_timing

COMPILED = "compiled"
"""The statistic of the KPI that times what torch.compile makes of the student."""
COMPILING_S = 600.0
TIMING_WIRE = Wire(pack_timing, unpack_timing)


class Timings:
    """The part of `kpis.kpi.Measurements` that is timed.

    Args:
        asking: the gate.
        deciding: says when enough was timed.
    """

    def __init__(self, asking: Asking, deciding: Deciding) -> None:
        self._asking = asking
        self._deciding = deciding
        self._shelf = asking.bench.shelf

    def timing(self) -> TimingMeasurement:
        """Share the measurement with the teacher, the previous student and the workload, all in the same rounds."""
        asking, gate, child = self._asking, self._asking.gate, self._asking.bench.child
        if gate.kpi.probe.own_rounds:
            return timing_of(asking.sources.own_rounds(), gate.kpi.name, int(gate.options["batch_size"]))
        if "teacher" in asking.roles:
            return Timings(asking.without("teacher"), self._deciding).timing().against(asking.roles["teacher"])
        if isinstance(child, TimingRequest):
            return self._timed({role: asking.model(role) for role in child.models})
        return measured_together(asking, self._timed, ("teacher", "previous", "workload"))

    def _timed(self, models: Mapping[str, Model]) -> TimingMeasurement:
        asking, plan, setup = self._asking, self._asking.plan, self._asking.gate.setup
        hashes = tuple(asking.hash_of(model) for model in models.values())
        data, limits = asking.data(), self._deciding.limits_of(asking.sharing)  # before anything is timed
        job = Job(
            kind="timing",
            same=(hashes, data.key, setup, plan.student, plan.home, plan.settings),  # whose limits it decides
            run=(tuple(models), setup, plan.student, plan.home, plan.origin, plan.settings),
            measure=functools.partial(self._measured, models, hashes, limits),
            wire=TIMING_WIRE,
            exclusive=True,
            shown=f"timing {' and '.join(model.name for model in models.values())}, {setup}",
        )
        measurement = self._shelf.take(job)
        if plan.settings.benchmark_json:
            asking.bench.notes.timed[job.same] = Timed(
                measurement=measurement, student=plan.student, suite=plan.suite, setup=str(setup)
            )
        return measurement

    def _measured(
        self, models: Mapping[str, Model], hashes: tuple[str, ...], limits: GateLimits, tell: Tell
    ) -> TimingMeasurement:
        asking, setup, child = self._asking, self._asking.gate.setup, self._asking.bench.child
        by_role, roles = dict(zip(models, hashes, strict=True)), set(models)

        def decided(measurement: TimingMeasurement) -> bool:
            return self._deciding.timed(limits, measurement, roles)

        run = TimedRun(models, asking.draws(), setup, asking.settings, hashes=by_role, decided=decided, progress=tell)
        if isinstance(child, TimingRequest):
            return run.in_child(child)
        gates, question = asking.sharing.gates, self._deciding.question
        calls = max(calls_for_bound(question(other, with_teacher="teacher" in models)) for other in gates)
        fresh = functools.partial(asking.bench.fresh, asking.plan.nodeid)
        measurement = run.in_processes(fresh, calls) if setup.processes > 1 else run.here()
        asking.bench.notes.timings.append(timing_note(measurement, asking.plan, setup))
        return measurement

    def compiled_timing(self) -> TimingMeasurement:
        """Return the student, compiled or with other kernels, timed against itself as it is."""
        asking, plan, setup = self._asking, self._asking.plan, self._asking.gate.setup
        change = asking.gate.kpi.statistic
        student, data, settings = asking.model("student"), asking.data(), asking.settings
        limits = self._deciding.limits_of(asking.sharing)
        job = Job(
            kind=change,
            same=(asking.hash_of(student), data.key, setup, plan.student, plan.home, settings),
            run=(student.name, setup, plan.student, plan.home, plan.origin, settings),
            measure=functools.partial(self._measured_compiled, student, limits),
            wire=TIMING_WIRE,
            exclusive=True,
            shown=f"timing {student.name} {change} and as it is, {setup}",
        )
        return self._shelf.take(job)

    def _measured_compiled(self, student: Model, limits: GateLimits, tell: Tell) -> TimingMeasurement:
        asking, setup = self._asking, self._asking.gate.setup

        def decided(measurement: TimingMeasurement) -> bool:
            return self._deciding.settled(limits, SoFar(compiled=measurement), with_teacher=False)

        with asking.watched(student.name, COMPILING_S):
            batches = asking.draws().of(setup.batch_size or 1).copies()
            if asking.gate.kpi.statistic == COMPILED:
                changed, seconds = compile_models({"student": student}, batches)
            else:
                changed, seconds = {"student": student.with_sparse_kernels()}, {}
        models = {**changed, "teacher": student}
        run = TimedRun(models, asking.draws(), setup, asking.settings, hashes={}, decided=decided, progress=tell)
        measurement = run.here()
        return replace(measurement, settings={**measurement.settings, "compile_s": seconds})
