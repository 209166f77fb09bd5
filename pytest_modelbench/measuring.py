"""What one gate may ask for: every measurement is taken once for a session, and shared by all gates that need it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_modelbench.bargains import Bargain
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import ModelbenchError
from pytest_modelbench.gates import Gate
from pytest_modelbench.kpis.derive_timing import calls_for_bound, seconds_for_bound
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.launches import launch_in_turn, launch_request
from pytest_modelbench.limits import BoundLimit
from pytest_modelbench.models.base import Artefact, Model, ParameterCount
from pytest_modelbench.probes.carbon import Grid, grid
from pytest_modelbench.probes.energy import EnergyMeasurement, EnergySettings, measure_energy
from pytest_modelbench.probes.launch import Launch, LaunchRequest, pack_launches, unpack_launches
from pytest_modelbench.probes.predictions import Outputs, Predictions, collect_outputs, interpret
from pytest_modelbench.probes.processes import TimingRequest
from pytest_modelbench.probes.profile import Profile, profile_model
from pytest_modelbench.probes.timing import TimingMeasurement
from pytest_modelbench.probes.travel import pack_outputs, pack_timing, unpack_outputs, unpack_timing
from pytest_modelbench.timed import TimedRun, compile_models, real_batches, timing_note
from pytest_modelbench.verdicts import judge

if TYPE_CHECKING:
    from pytest_modelbench.probes.flops import FlopCount
    from pytest_modelbench.session import BenchSession, ItemPlan, Sources

PATIENCE_WITH_HOPELESS = 0.2
_PACKING = (pack_launches, unpack_launches)


class GateMeasurements:
    """What a KPI of one gate may ask for (see `kpis.kpi.Measurements`)."""

    def __init__(self, session: BenchSession, plan: ItemPlan, gate: Gate, sources: Sources) -> None:
        self.session = session
        self.plan = plan
        self.gate = gate
        self.sources = sources

    def has(self, role: str) -> bool:
        """Whether there is such a model; the teacher is not loaded for the question."""
        return role == "student" or self.sources.has_teacher()

    def recorded(self) -> Mapping[str, float]:
        """Return what the test's body recorded."""
        return self.sources.recorded(self.gate.kpi.name)

    def model(self, role: str) -> Model:
        """Return the adapted model of a role."""
        name = self.plan.student if role == "student" else role
        return self.session.model(self.sources.candidate(role), name, self.plan.settings)

    def data(self) -> EvalData:
        """Return the adapted evaluation data."""
        return self.session.eval_data(self.sources.data())

    def parameters(self, role: str) -> ParameterCount:
        """Return the parameter counts of a role, counted once for its content."""
        model = self.model(role)
        count = self.session.once(("parameters", model.name, self.session.hash_of(model)), model.count_parameters)
        self.session.model_notes[model.name]["parameters"] = count.total
        return count

    def artefact(self, role: str) -> Artefact:
        """Return the size of what is deployed, measured once for its content."""
        model = self.model(role)
        artefact = self.session.once(
            ("artefact", model.name, self.session.hash_of(model), str(model.file)), model.artefact
        )
        self.session.model_notes[model.name]["size_on_disk_bytes"] = artefact.size_bytes
        return artefact

    def _request(self, role: str, *, cold: bool) -> LaunchRequest:
        model, size = self.model(role), int(self.gate.options["batch_size"])
        budget_s = self.plan.settings.budget_s
        return launch_request(role, model, self.session.hash_of(model), batch_size=size, cold=cold, budget_s=budget_s)

    def _launch(self, request: LaunchRequest) -> Launch:
        launch: Launch = self.session.in_fresh_process(self.plan.nodeid, request)
        return launch

    def launch(self, role: str) -> Launch:
        """Return what loading and running a model takes in a fresh process, where its library is warm already."""
        request, plan = self._request(role, cold=False), self.plan
        shared = ("launch", self.model(role).name, plan.home, plan.origin, request)

        def taken() -> list[Launch]:
            return self.session.handover.once(shared, lambda: [self._launch(request)], *_PACKING)

        return self.session.once(("launch", self.model(role).name, plan.home, self.data().key, request), taken)[0]

    def cold_starts(self) -> Mapping[str, Sequence[Launch]]:
        """Return several launches of each model in cold processes, taken in turn."""
        roles = ("student", "teacher") if self.gate.needs_teacher else ("student",)
        requests = {role: self._request(role, cold=True) for role in roles}
        count, plan = int(self.gate.options["processes"]), self.plan
        names = tuple(self.model(role).name for role in roles)
        key = ("cold", names, plan.home, plan.origin, tuple(requests.items()), count)

        def taken() -> dict[str, list[Launch]]:
            with self.session.exclusive():
                return {
                    role: self.session.handover.once((*key, role), functools.partial(launched, role), *_PACKING)
                    for role in roles
                }

        def launched(role: str) -> list[Launch]:
            return self.session.once(("all", *key), in_turn)[role]

        def in_turn() -> dict[str, list[Launch]]:
            return launch_in_turn(self._launch, requests, count, self._show_launches(names))

        return self.session.once(key, taken)

    def _show_launches(self, names: Sequence[str]) -> Callable[[int, int], None]:
        start, shown = time.monotonic(), self.session.progress

        def progress(done: int, wanted: int) -> None:
            if shown is None:
                return
            elapsed_s = time.monotonic() - start
            shown.show(f"starting {' and '.join(names)} in fresh processes", elapsed_s, elapsed_s * wanted / done)
            if done == wanted:
                shown.clear()

        return progress

    def flops(self, role: str) -> FlopCount:
        """Return the operations of one forward pass, counted once for a model's content and a batch size."""
        model, data, size = self.model(role), self.data(), int(self.gate.options["batch_size"])

        def measure() -> FlopCount:
            from pytest_modelbench.probes.flops import count_flops

            return count_flops(model, real_batches(data, size)[0], size)

        return self.session.once(("flops", self.session.hash_of(model), data.key, size), measure)

    def compiled_timing(self) -> TimingMeasurement:
        """Return the student, compiled, timed against itself as it is."""
        session, plan, student, data = self.session, self.plan, self.model("student"), self.data()
        setup, limits = self.gate.setup, self._known_limits(self.gate)
        key = ("compiled", session.hash_of(student), data.key, setup, plan.student, plan.home, plan.settings)

        def decided(measurement: TimingMeasurement) -> bool:
            return self._settles(self.gate, limits, _Taken(self, compiled=measurement), with_teacher=False)

        def measure() -> TimingMeasurement:
            compiled, seconds = compile_models({"student": student}, real_batches(data, setup.batch_size or 1))
            models = {**compiled, "teacher": student}
            run = TimedRun(
                models, data, setup, plan.settings, hashes={}, decided=decided, progress=self._show_progress(models)
            )
            measurement = run.here()
            return replace(measurement, settings={**measurement.settings, "compile_s": seconds})

        def alone() -> TimingMeasurement:
            with session.exclusive():
                return measure()

        return session.once(key, alone)

    def profile(self, role: str) -> Profile:
        """Return a profile of a model's operators, taken once for its content and a batch size."""
        model, data, size = self.model(role), self.data(), int(self.gate.options["batch_size"])
        key = ("profile", self.session.hash_of(model), data.key, size, self.plan.settings)
        return self.session.once(key, lambda: profile_model(model, real_batches(data, size)))

    def grid(self) -> Grid:
        """Return the carbon intensity that the options state."""
        return grid(self.plan.settings.country, self.plan.settings.grid_intensity)

    def energy(self) -> EnergyMeasurement:
        """Return windows of energy, which all energy gates of a student share."""
        session, plan, given = self.session, self.plan, self.plan.settings
        sharing = session.sharing(plan, self.gate)
        with_teacher = any(other.needs_teacher for other in sharing)
        models = {role: self.model(role) for role in (("student", "teacher") if with_teacher else ("student",))}
        limits = [(other, self._known_limits(other)) for other in sharing]
        hashes = tuple(session.hash_of(model) for model in models.values())
        key = ("energy", hashes, self.data().key, self.gate.setup, plan.student, plan.home, given)

        def decided(measurement: EnergyMeasurement) -> bool:
            taken = _Taken(self, energy=measurement)
            return all(self._settles(other, known, taken, with_teacher) for other, known in limits)

        def measure() -> EnergyMeasurement:
            size = int(self.gate.options["batch_size"])
            settings = EnergySettings(
                batch_size=size, window_s=given.energy_window_s, budget_s=given.budget_s, seed=given.seed
            )
            batches, source = real_batches(self.data(), size), session.energy_source()
            with session.exclusive():
                return measure_energy(models, batches, source, settings, decided, self._show_progress(models))

        return session.once(key, measure)

    def _settles(
        self,
        gate: Gate,
        limits: list[BoundLimit | Bargain] | None,
        taken: GateMeasurements,
        with_teacher: bool,
    ) -> bool:
        if limits is None or not gate.limits:
            return True
        try:
            return judge(limits, evidence_for(self._question(gate, with_teacher), taken), gate.kpi.unit).decided
        except ModelbenchError:
            return True  # it is never decided here

    def outputs(self, role: str) -> Outputs:
        """Return the raw outputs of one forward pass, which the workers of a run share."""
        model, data = self.model(role), self.data()

        def measure() -> Outputs:
            outputs = collect_outputs(model, data)
            self.session.count_passes(outputs)
            return outputs

        def taken() -> Outputs:
            plan = self.plan
            key = ("outputs", role if role == "teacher" else plan.student, plan.home, plan.origin, plan.settings)
            return self.session.handover.once(key, measure, pack_outputs, unpack_outputs)

        key = ("outputs", self.session.hash_of(model), data.key, self.plan.settings.device)
        return self.session.once(key, taken)

    def predictions(self, role: str) -> Predictions:
        """Return the outputs with their meaning."""
        model, data = self.model(role), self.data()
        key = ("predictions", self.session.hash_of(model), data.key, self.plan.settings.device)
        outputs = self.outputs(role)
        return self.session.once(key, lambda: interpret(outputs, data))

    def timing(self) -> TimingMeasurement:
        """Share the measurement with the teacher; a gate that does not need it does not suffer from its faults."""
        sharing = self.session.sharing(self.plan, self.gate)
        if isinstance(self.session.child, TimingRequest):
            return self._timed({role: self.model(role) for role in self.session.child.models}, sharing)
        if not any(other.needs_teacher for other in sharing):
            return self._timed({"student": self.model("student")}, sharing)
        student = self.model("student")
        try:
            teacher = self.model("teacher")
            if self.gate.needs_teacher or teacher.clock_ns == student.clock_ns:
                return self._timed({"student": student, "teacher": teacher}, sharing)
        except ModelbenchError as error:
            if self.gate.needs_teacher or error.blames == student.name:
                raise
        return self._timed({"student": student}, sharing)

    def _timed(self, models: Mapping[str, Model], sharing: Sequence[Gate]) -> TimingMeasurement:
        session, data, setup = self.session, self.data(), self.gate.setup
        hashes = tuple(session.hash_of(model) for model in models.values())
        plan, given = self.plan, self.plan.settings
        key = ("timing", hashes, data.key, setup, plan.student, plan.home, given)  # whose limits it decides

        limits = [(other, self._known_limits(other)) for other in sharing]  # before anything is timed

        def decided(measurement: TimingMeasurement) -> bool:
            return all(self._decided(other, known, measurement, len(models) > 1) for other, known in limits)

        def measure() -> TimingMeasurement:
            run = TimedRun(
                models,
                data,
                setup,
                given,
                hashes=dict(zip(models, hashes, strict=True)),
                decided=decided,
                progress=self._show_progress(models),
            )
            try:
                if isinstance(session.child, TimingRequest):
                    return run.in_child(session.child)
                calls = max(calls_for_bound(self._question(other, len(models) > 1)) for other in sharing)
                fresh = functools.partial(session.in_fresh_process, plan.nodeid)
                measurement = run.in_processes(fresh, calls) if setup.processes > 1 else run.here()
            finally:
                if session.progress is not None:
                    session.progress.clear()
            session.timings.append(timing_note(measurement, plan, setup))
            return measurement

        def taken() -> TimingMeasurement:
            shared = ("timing", tuple(models), setup, plan.student, plan.home, plan.origin, given)
            with session.exclusive():
                return session.handover.once(shared, measure, pack_timing, unpack_timing, alone=True)

        return session.once(key, taken)

    def _show_progress(self, models: Mapping[str, Model]) -> Callable[[float, float], None]:
        what = f"timing {' and '.join(model.name for model in models.values())}, {self.gate.setup}"
        shown = self.session.progress

        def progress(elapsed_s: float, budget_s: float) -> None:
            if shown is not None:
                shown.show(what, elapsed_s, budget_s)

        return progress

    def _known_limits(self, gate: Gate) -> list[BoundLimit | Bargain] | None:
        """Return a gate's limits with their conditions judged; None where one cannot be: that is the gate's error."""
        try:
            return self.session.settled(self.plan, gate, self.sources)
        except ModelbenchError:
            return None

    def _decided(
        self,
        gate: Gate,
        limits: list[BoundLimit | Bargain] | None,
        measurement: TimingMeasurement,
        with_teacher: bool,
    ) -> bool:
        if limits is None or (gate.needs_teacher and not with_teacher):
            return True  # it is never decided here
        question = self._question(gate, with_teacher)
        if not gate.limits:
            return len(measurement.looks) > 1
        judgement = judge(limits, evidence_for(question, _Taken(self, timing=measurement)), gate.kpi.unit)
        budget_s = self.plan.settings.budget_s
        hopeless = (
            seconds_for_bound(question, measurement) > budget_s
            and measurement.elapsed_s[-1] > budget_s * PATIENCE_WITH_HOPELESS
            and all((limit.margin or 0) > 0 for limit in judgement.limits)  # else it may still be proven to fail
        )
        return judgement.decided or hopeless

    def _question(self, gate: Gate, with_teacher: bool) -> Question:
        return gate.question(with_teacher=with_teacher, seed=self.plan.settings.seed)


class _Taken(GateMeasurements):
    """The measurements of a gate while one of them is still growing."""

    def __init__(
        self,
        outer: GateMeasurements,
        *,
        timing: TimingMeasurement | None = None,
        energy: EnergyMeasurement | None = None,
        compiled: TimingMeasurement | None = None,
    ) -> None:
        super().__init__(outer.session, outer.plan, outer.gate, outer.sources)
        self._timing, self._energy, self._compiled = timing, energy, compiled

    def timing(self) -> TimingMeasurement:
        return self._timing if self._timing is not None else super().timing()

    def energy(self) -> EnergyMeasurement:
        return self._energy if self._energy is not None else super().energy()

    def compiled_timing(self) -> TimingMeasurement:
        return self._compiled if self._compiled is not None else super().compiled_timing()
