"""What one gate may ask for: every measurement is taken once for a session, and shared by all gates that need it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_modelbench.bargains import Bargain
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import ModelbenchError
from pytest_modelbench.gates import Gate
from pytest_modelbench.kpis.derive_timing import calls_for_bound, seconds_for_bound
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.limits import BoundLimit
from pytest_modelbench.models.base import Artefact, Model, ParameterCount
from pytest_modelbench.probes.predictions import Outputs, Predictions, collect_outputs, interpret
from pytest_modelbench.probes.timing import TimingMeasurement
from pytest_modelbench.probes.travel import pack_outputs, pack_timing, unpack_outputs, unpack_timing
from pytest_modelbench.timed import TimedRun, timing_note
from pytest_modelbench.verdicts import judge

if TYPE_CHECKING:
    from pytest_modelbench.session import BenchSession, ItemPlan, Sources


PATIENCE_WITH_HOPELESS = 0.2


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
        if self.session.child is not None:
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
                if session.child is not None:
                    return run.in_child(session.child)
                fresh = session.child_of(plan.nodeid) if setup.processes > 1 else None
                calls = max(calls_for_bound(self._question(other, len(models) > 1)) for other in sharing)
                measurement = run.in_processes(fresh, calls) if fresh else run.here()
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
        judgement = judge(limits, evidence_for(question, _Taken(self, measurement)), gate.kpi.unit)
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
    """The measurements of a gate while its timed one is still growing."""

    def __init__(self, outer: GateMeasurements, measurement: TimingMeasurement) -> None:
        super().__init__(outer.session, outer.plan, outer.gate, outer.sources)
        self._measurement = measurement

    def timing(self) -> TimingMeasurement:
        return self._measurement
