"""One session's work: models and data adapted once, measurements taken once, gates judged once.

Knows nothing of pytest: `Sources` says where models and data come from, a callback shows progress.
"""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from pytest_modelbench.bargains import Bargain
from pytest_modelbench.data.evaldata import EvalData, as_eval_data
from pytest_modelbench.errors import DataError, MeasurementError, ModelbenchError, NotApplicable
from pytest_modelbench.gates import Gate, condition_gate
from pytest_modelbench.judged import judged, unjudged
from pytest_modelbench.kpis.kpi import evidence_for
from pytest_modelbench.limits import BoundLimit
from pytest_modelbench.models.base import Artefact, Model, ParameterCount
from pytest_modelbench.models.outputs import duplicate
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.predictions import Outputs, Predictions, collect_outputs, interpret
from pytest_modelbench.probes.timing import TimingMeasurement, TimingSettings, measure_timing
from pytest_modelbench.results import GateResult, Verdict
from pytest_modelbench.settings import Settings
from pytest_modelbench.verdicts import Judgement, judge

Found = TypeVar("Found")
DISTINCT_BATCHES = 16
_PARALLEL = (
    "timed gates are not judged in parallel runs: the other workers would be in the measurement. "
    "Run them without -n, or with -n 0"
)


class Sources(Protocol):
    """Where one item's models, data and recorded values come from."""

    def candidate(self, role: str) -> Any:
        """Return what the user calls the student or the teacher."""

    def has_teacher(self) -> bool:
        """Whether a teacher is defined; it is not loaded for the question."""

    def data(self) -> Any:
        """Return what the user calls evaluation data."""

    def recorded(self, kpi: str) -> Mapping[str, float]:
        """Return what the test's body recorded for a KPI, by role."""


class Progress(Protocol):
    """Shows a long measurement to whoever watches."""

    def show(self, what: str, elapsed_s: float, budget_s: float) -> None:
        """Say what is being measured and how far it is."""

    def clear(self) -> None:
        """Leave no trace."""


@dataclass(frozen=True, kw_only=True)
class ItemPlan:
    """What one item asks for: its gates, for one student.

    `home` tells items apart whose students only have the same label: it is equal where teacher, student and data
    come from the same fixtures. `settings` are the session's, or those of the item's modelbench.toml.
    """

    nodeid: str
    student: str
    gates: tuple[Gate, ...]
    settings: Settings
    home: tuple[str, ...] = ()


Key = tuple[Any, ...]
Judged = tuple[GateResult, Judgement | None]


class BenchSession:
    """Everything that outlives an item.

    Args:
        parallel: whether other workers run on this machine at the same time.
        progress: shows long measurements.
    """

    def __init__(self, *, parallel: bool = False, progress: Progress | None = None) -> None:
        self.parallel = parallel
        self.progress = progress
        self.plans: list[ItemPlan] = []
        self.forward_passes: dict[str, int] = {}
        self.timings: list[dict[str, Any]] = []
        self.model_notes: dict[str, dict[str, Any]] = {}
        self._adapted: dict[tuple[Loading, int], tuple[Any, Model]] = {}
        self._data: dict[int, tuple[Any, EvalData]] = {}
        self._measured: dict[Key, Any] = {}
        self._judged: dict[tuple[str, str], Judged] = {}

    def plan(self, plans: Sequence[ItemPlan]) -> None:
        """Take note of all selected items, so that a measurement knows every limit that it must decide."""
        self.plans = list(plans)

    def model(self, candidate: Any, name: str, settings: Settings) -> Model:
        """Adapt a user's model, once while it is in use.

        Raises:
            ModelError: it is nothing that can be measured.
        """
        loading = Loading(name=name, device=settings.device, allow_pickle=settings.allow_pickle)
        key = (loading, id(candidate))
        if key not in self._adapted:
            model = adapt(candidate, loading)
            self._forget_modules(name)
            self._adapted[key] = (candidate, model)
            known = self.model_notes.get(name, {})
            self.model_notes[name] = {**known, **model.describe(), "hash": self.hash_of(model)}
        _limit_threads(settings)
        return self._adapted[key][1]

    def hash_of(self, model: Model) -> str:
        """Hash a model once for each adapter; two models of one content share what was measured."""
        return self.once(("hash", model.serial), model.fingerprint)

    def _forget_modules(self, name: str) -> None:
        """Let go of torch students that are not judged any more; their content is known by its hash."""
        for key, (_, model) in list(self._adapted.items()):
            if name != "teacher" and key[0].name != "teacher" and model.kind == "torch":
                del self._adapted[key]

    def eval_data(self, found: Any) -> EvalData:
        """Adapt a user's data, once for each object.

        Raises:
            DataError: it is nothing that can be read.
        """
        if id(found) not in self._data:
            try:
                self._data[id(found)] = (found, as_eval_data(found))
            except DataError as error:
                raise DataError(f"eval_data: {error}") from error
        return self._data[id(found)][1]

    def once(self, key: Key, measure: Callable[[], Found]) -> Found:
        """Measure once for a key; a failure is remembered and raised again."""
        if key not in self._measured:
            try:
                self._measured[key] = measure()
            except Exception as error:  # noqa: BLE001 - remembered and raised again
                self._measured[key] = error
        found = self._measured[key]
        if isinstance(found, Exception):
            raise found
        return cast("Found", found)

    def judge(self, plan: ItemPlan, gate: Gate, sources: Sources) -> Judged:
        """Judge a gate of an item, once; a rerun gets the same answer."""
        key = (plan.nodeid, gate.kpi.name)
        if key not in self._judged:
            self._judged[key] = self._judge(plan, gate, sources)
        return self._judged[key]

    def _judge(self, plan: ItemPlan, gate: Gate, sources: Sources) -> Judged:
        try:
            if gate.kpi.timed and self.parallel:
                raise NotApplicable(_PARALLEL)
            with_teacher = gate.compares if gate.kpi.probe == "record" else gate.needs_teacher
            question = gate.question(with_teacher=with_teacher, seed=plan.settings.seed)
            limits = self._settled(plan, gate, sources)
            found = judge(limits, evidence_for(question, _GateMeasurements(self, plan, gate, sources)), gate.kpi.unit)
        except NotApplicable as reason:
            return unjudged(plan.student, gate, Verdict.NOT_APPLICABLE, str(reason)), None
        except ModelbenchError as error:
            return unjudged(plan.student, gate, Verdict.ERROR, str(error)), None
        except Exception as error:  # noqa: BLE001 - whatever a user's code raises is the gate's error, not ours
            return unjudged(plan.student, gate, Verdict.ERROR, _foreign(error)), None
        return judged(plan.student, gate, found), found

    def _settled(self, plan: ItemPlan, gate: Gate, sources: Sources) -> list[BoundLimit | Bargain]:
        """Return a gate's limits with the conditions of its bargains judged, each once for a student.

        Raises:
            MeasurementError: a condition cannot be judged, so nobody knows which limit holds.
        """
        limits: list[BoundLimit | Bargain] = []
        for limit in gate.limits:
            if isinstance(limit, Bargain):
                key = ("condition", limit.kpi, str(limit.when), plan.student, plan.home, plan.settings)
                judging = functools.partial(self._judge, plan, condition_gate(limit), sources)
                result, _ = self.once(key, judging)
                if result.verdict not in {Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE}:
                    raise MeasurementError(
                        f"the condition {limit.kpi} {limit.when} cannot be judged: {result.reason}"
                    )
                limits.append(limit.settled(result.verdict, f"{limit.kpi} {result.reason}"))
            else:
                limits.append(limit)
        return limits

    def _sharing(self, plan: ItemPlan, gate: Gate) -> list[Gate]:
        """Return all selected gates that the same timed measurement serves."""
        sharing = [
            other
            for item in self.plans
            if (item.student, item.home, item.settings) == (plan.student, plan.home, plan.settings)
            for gate_of_item in item.gates
            for other in (gate_of_item, *gate_of_item.conditions)
            if other.kpi.timed and other.options["batch_size"] == gate.options["batch_size"]
        ]
        return sharing or [gate]

    def count_passes(self, outputs: Outputs) -> None:
        """Add to the forward passes that the report states for each model."""
        self.forward_passes[outputs.model] = self.forward_passes.get(outputs.model, 0) + outputs.calls


class _GateMeasurements:
    """What a KPI of one gate may ask for (see `kpis.kpi.Measurements`)."""

    def __init__(self, session: BenchSession, plan: ItemPlan, gate: Gate, sources: Sources) -> None:
        self.session = session
        self.plan = plan
        self.gate = gate
        self.sources = sources

    def has(self, role: str) -> bool:
        return role == "student" or self.sources.has_teacher()

    def recorded(self) -> Mapping[str, float]:
        return self.sources.recorded(self.gate.kpi.name)

    def model(self, role: str) -> Model:
        name = self.plan.student if role == "student" else role
        return self.session.model(self.sources.candidate(role), name, self.plan.settings)

    def data(self) -> EvalData:
        return self.session.eval_data(self.sources.data())

    def parameters(self, role: str) -> ParameterCount:
        model = self.model(role)
        count = self.session.once(("parameters", self.session.hash_of(model)), model.count_parameters)
        self.session.model_notes[model.name]["parameters"] = count.total
        return count

    def artefact(self, role: str) -> Artefact:
        model = self.model(role)
        artefact = self.session.once(("artefact", self.session.hash_of(model)), model.artefact)
        self.session.model_notes[model.name]["size_on_disk_bytes"] = artefact.size_bytes
        return artefact

    def outputs(self, role: str) -> Outputs:
        model, data = self.model(role), self.data()

        def measure() -> Outputs:
            outputs = collect_outputs(model, data)
            self.session.count_passes(outputs)
            return outputs

        return self.session.once(("outputs", self.session.hash_of(model), data.key), measure)

    def predictions(self, role: str) -> Predictions:
        model, data = self.model(role), self.data()
        key = ("predictions", self.session.hash_of(model), data.key)
        outputs = self.outputs(role)
        return self.session.once(key, lambda: interpret(outputs, data))

    def timing(self) -> TimingMeasurement:
        """Share the measurement with the teacher; a gate that does not need it does not suffer from its faults."""
        sharing = self.session._sharing(self.plan, self.gate)  # noqa: SLF001 - two halves of one service
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
        session = self.session
        data, batch_size = self.data(), int(self.gate.options["batch_size"])
        hashes = tuple(session.hash_of(model) for model in models.values())
        plan, given = self.plan, self.plan.settings
        key = ("timing", hashes, data.key, batch_size, plan.student, plan.home, given)  # whose limits it decides

        def decided(measurement: TimingMeasurement) -> bool:
            return all(self._decided(other, measurement, len(models) > 1) for other in sharing)

        def progress(elapsed_s: float, budget_s: float) -> None:
            if session.progress is not None:
                what = f"timing {' and '.join(m.name for m in models.values())}, batch size {batch_size}"
                session.progress.show(what, elapsed_s, budget_s)

        def measure() -> TimingMeasurement:
            settings = TimingSettings(budget_s=given.budget_s, seed=given.seed, allocator=given.allocator)
            try:
                measurement = measure_timing(models, real_batches(data, batch_size), settings, decided, progress)
            finally:
                if session.progress is not None:
                    session.progress.clear()
            session.timings.append(_timing_note(measurement, self.plan.student, batch_size))
            return measurement

        return session.once(key, measure)

    def _decided(self, gate: Gate, measurement: TimingMeasurement, with_teacher: bool) -> bool:
        if gate.needs_teacher and not with_teacher:
            return True  # it is never decided here
        question = gate.question(with_teacher=with_teacher, seed=self.plan.settings.seed)
        if not gate.limits:
            return len(measurement.looks) > 1
        limits = self.session._settled(self.plan, gate, self.sources)  # noqa: SLF001 - two halves of one service
        return judge(limits, evidence_for(question, _Taken(self, measurement)), gate.kpi.unit).decided


class _Taken(_GateMeasurements):
    """The measurements of a gate while its timed one is still growing."""

    def __init__(self, outer: _GateMeasurements, measurement: TimingMeasurement) -> None:
        super().__init__(outer.session, outer.plan, outer.gate, outer.sources)
        self._measurement = measurement

    def timing(self) -> TimingMeasurement:
        return self._measurement


def real_batches(data: EvalData, batch_size: int) -> list[Any]:
    """Return the inputs of the first few full batches; a single smaller one where there are not enough samples.

    Raises:
        DataError: there are fewer samples than one batch needs.
    """
    batches: list[Any] = []
    for batch in data.batches(batch_size):
        if len(batch.ids) == batch_size:
            batches.append(duplicate(batch.inputs))  # a model may write into what it is given
        elif not batches:
            raise DataError(
                f"a timed batch has {batch_size} samples, and the evaluation data only {len(batch.ids)}. "
                f"Write batch_size={len(batch.ids)} or less"
            )
        if len(batches) == DISTINCT_BATCHES:
            break
    return batches


def _limit_threads(settings: Settings) -> None:
    torch = sys.modules.get("torch")
    if settings.threads is not None and torch is not None and torch.get_num_threads() != settings.threads:
        torch.set_num_threads(settings.threads)


def _timing_note(measurement: TimingMeasurement, student: str, batch_size: int) -> dict[str, Any]:
    return {
        "student": student,
        "batch_size": batch_size,
        "placements": measurement.looks[-1],
        "looks": list(measurement.looks),
        "elapsed_s": measurement.elapsed_s[-1],
        "budget_exhausted": measurement.exhausted,
        **measurement.settings,
    }


def _foreign(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    told = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {told:.200}{where}"
