"""One session's work: models and data adapted once, measurements taken once, gates judged once.

Knows nothing of pytest: `Sources` says where models and data come from, a callback shows progress.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_modelbench.bench.asking import Asked, Asking, Bench, Built, Files, ItemPlan, Limits, Sources
from pytest_modelbench.bench.deployments import Deployments
from pytest_modelbench.bench.diagnoses import Diagnoses
from pytest_modelbench.bench.engine_holder import Engines
from pytest_modelbench.bench.gate_results import judged, unjudged
from pytest_modelbench.bench.loaded import Loaded, Notes
from pytest_modelbench.bench.measurements import GateMeasurements
from pytest_modelbench.bench.recording import Recorder
from pytest_modelbench.bench.shelf import Found, Key, Progress, Shelf
from pytest_modelbench.bench.verdicts import Judgement
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import (
    DoesNotFit,
    MeasurementError,
    ModelbenchError,
    NotApplicable,
    Skipped,
    cause_of,
)
from pytest_modelbench.exports.deployed import Deployed, name_of_source
from pytest_modelbench.exports.request import ExportRequest
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.gates.gate import TimingSetup
from pytest_modelbench.gates.sharing import Sharing, SharingIndex
from pytest_modelbench.grammar.conditional import ConditionalLimit
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.probes.cost.energy_source import CodeCarbonSource, EnergySource
from pytest_modelbench.probes.requests import Request
from pytest_modelbench.results import GateResult, Verdict
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.baseline import Baseline
from pytest_modelbench.store.contract import Contract

Judged = tuple[GateResult, Judgement | None]


class BenchSession:
    """Everything that outlives an item.

    Args:
        progress: shows long measurements.
        exclusive: returns a context in which no other item runs on this machine.
        handover: the folder that the workers of a parallel run share, or None.
        run_child: runs an item again in a fresh process, which leaves what a request asks for in its file.
        child: what the parent asks for, in such a process.
        baseline: an earlier report that limits on `regression` compare with.
        contract: the teacher's, in its place.
        recorder: measures the teacher alone, for a contract.
        files: where exported files lie; a temporary folder by default.
    """

    def __init__(  # noqa: PLR0913 - the parts that a session is made of
        self,
        *,
        progress: Progress | None = None,
        exclusive: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        handover: Path | None = None,
        run_child: Callable[[str, Request], None] | None = None,
        child: Request | None = None,
        baseline: Baseline | None = None,
        contract: Contract | None = None,
        recorder: Recorder | None = None,
        files: Files | None = None,
    ) -> None:
        self._run_child = run_child
        self.baseline = baseline
        self.contract = contract
        self.recorder = recorder
        self.student_file: str = getattr(child, "student", "")
        """In a fresh process, the file that the student is deployed as; empty where its fixture builds it."""
        self._files: dict[str, str] = {}
        self.passing: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
        """Exceptions that end an item or the session; every other one is the error of a gate."""
        self.plans: list[ItemPlan] = []
        notes = Notes()
        self.model_notes, self.data_notes, self.forward_passes = notes.models, notes.data, notes.forward_passes
        self.timings, self.timed = notes.timings, notes.timed
        self._sharing = SharingIndex()
        self.engines = Engines()
        self._shelf = Shelf(handover, self.engines.none_beside(exclusive), progress)
        self._loaded = Loaded(self._shelf, notes)
        self.diagnoses = Diagnoses(self._shelf)
        self._judged: dict[tuple[str, str], Judged] = {}
        self._bench = Bench(
            shelf=self._shelf,
            loaded=self._loaded,
            notes=notes,
            baseline=baseline,
            contract=contract,
            child=child,
            sharing=self.sharing,
            of_kinds=self.of_kinds,
            engines=self.engines,
            timed=self.timed_setups,
            targets=self.targets_of,
            settled=self.settled,
            fresh=self.in_fresh_process,
            energy_source=self.energy_source,
            student=self.student,
            files=files or Files(folder=lambda: Path(tempfile.mkdtemp(prefix="pytest-modelbench-"))),
        )

    def plan(self, plans: Sequence[ItemPlan]) -> None:
        """Take note of all selected items, so that a measurement knows every limit that it must decide."""
        self.plans = list(plans)
        self._sharing = SharingIndex(self.plans)

    def asking(self, plan: ItemPlan, gate: Assignment, sources: Sources) -> Asking:
        """Return what the measurements of a gate are about."""
        return Asking(bench=self._bench, plan=plan, gate=gate, sources=sources)

    def model(self, candidate: Any, name: str, settings: Settings) -> Model:
        """Adapt a user's model, once while it is in use.

        Raises:
            ModelError: it is nothing that can be measured.
        """
        return self._loaded.model(candidate, name, settings)

    def student(self, plan: ItemPlan, sources: Built) -> Model:
        """Adapt an item's student; one that is judged as it is deployed is exported, once, and its file is loaded.

        Raises:
            ModelError: it is nothing that can be measured, or its export is not ready.
        """
        candidate = sources.candidate("student")
        if isinstance(candidate, Deployed) and isinstance(self._bench.child, ExportRequest):
            candidate = candidate.source  # which is about to be exported
        if isinstance(candidate, Deployed):
            candidate = Deployments(self._bench, plan, sources).file_of(candidate)
            self._files[plan.nodeid] = str(candidate)
        return self._loaded.model(candidate, plan.student, plan.settings)

    def came_from(self, candidate: Any, spec: NamedSpec) -> None:
        """Note what names a model, so that another process can build it, too."""
        self._loaded.came_from(candidate, spec)

    def limit_threads(self, settings: Settings) -> None:
        """Set torch's threads for an item; one that states none gets torch's own number."""
        self._loaded.limit_threads(settings)

    def eval_data(self, data: Any) -> EvalData:
        """Adapt a user's data, once for each object.

        Raises:
            DataError: it is nothing that can be read.
        """
        return self._loaded.eval_data(data)

    def once(self, key: Key, measure: Callable[[], Found]) -> Found:
        """Call a function once for a key; a failure is remembered and raised again."""
        return self._shelf.once(key, measure)

    def forget(self, kind: str) -> None:
        """Let go of everything of one kind that was taken once, so that it is taken anew."""
        self._shelf.forget(kind)

    def judge(self, plan: ItemPlan, gate: Assignment, sources: Sources) -> Judged:
        """Judge a gate of an item, once; a rerun gets the same answer."""
        key = (plan.nodeid, gate.kpi.name)
        if key not in self._judged:
            self._judged[key] = self._judge(plan, gate, sources)
            if self.recorder is None and self._bench.child is None:
                self.diagnoses.consider(self.asking(plan, gate, sources), self._judged[key][0])
        return self._judged[key]

    def _judge(self, plan: ItemPlan, gate: Assignment, sources: Sources) -> Judged:
        try:
            if gate.ready_made and gate.kpi.paired and not self.asking(plan, gate, sources).has("teacher"):
                raise NotApplicable("there is no teacher to compare with")
            if self.recorder is not None:
                return self.recorder.judge(self.asking(plan, gate, sources))
            question = gate.question(with_teacher=gate.with_teacher, seed=plan.settings.seed)
            limits = self.settled(plan, gate, sources)
            judgement = GateMeasurements(self.asking(plan, gate, sources)).judged(question, limits)
        except Skipped as reason:
            return unjudged(plan.student, gate, Verdict.NOT_RUN, str(reason)), None
        except NotApplicable as reason:
            return unjudged(plan.student, gate, Verdict.NOT_APPLICABLE, str(reason)), None
        except ModelbenchError as error:
            if gate.ready_made and isinstance(error, DoesNotFit):
                return unjudged(plan.student, gate, Verdict.NOT_APPLICABLE, str(error)), None
            return unjudged(plan.student, gate, Verdict.ERROR, str(error)), None
        except self.passing:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a user's code raises is the gate's error
            return unjudged(plan.student, gate, Verdict.ERROR, _foreign(error)), None
        return judged(plan.student, gate, judgement), judgement

    def settled(self, plan: ItemPlan, gate: Assignment, sources: Sources) -> Limits:
        """Return a gate's limits with the conditions of its conditional limits judged, each once for a student.

        Raises:
            MeasurementError: a condition cannot be judged, so the limit that holds is unknown.
        """
        limits: Limits = []
        for limit in gate.limits:
            if isinstance(limit, ConditionalLimit):
                key = ("condition", limit.kpi, str(limit.when), plan.student, plan.home, plan.settings)
                condition = gate.condition(limit)
                judging = functools.partial(self._judge, plan, condition, sources)
                result, _ = self._shelf.once(key, judging)
                if result.verdict not in {Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE}:
                    raise MeasurementError(
                        f"the condition {limit.kpi} {limit.when} cannot be judged: {result.reason}"
                    )
                limits.append(limit.settled(result.verdict, f"{limit.kpi} {result.reason}"))
            else:
                limits.append(limit)
        return limits

    def sharing(self, plan: ItemPlan, gate: Assignment) -> Sharing:
        """Return all selected gates that the same measurement over time serves."""
        return self._sharing.find(plan, gate)

    def of_kinds(self, plan: ItemPlan, names: Collection[str]) -> Sequence[Assignment]:
        """Return the selected gates of an item's student about kinds of measurement of some names."""
        return self._sharing.of_kinds(plan, names)

    def targets_of(self, plan: ItemPlan) -> tuple[str, ...]:
        """Return the formats in which the student of an item is also judged as it is deployed."""
        deployed = [other for other in self.plans if other.target and other.home == plan.home]
        targets = [other.target for other in deployed if name_of_source(other.student, other.target) == plan.student]
        return tuple(dict.fromkeys(targets))

    def timed_setups(self, plan: ItemPlan) -> tuple[TimingSetup, ...]:
        """Return how the student of an item is timed for its selected gates."""
        return self._sharing.setups(plan)

    def in_fresh_process(self, nodeid: str, request: Asked) -> Any:
        """Run an item in a fresh process that measures what is asked, and return its answer.

        Raises:
            MeasurementError: it gave none; or outside of pytest, where there is no item that could be run again.
        """
        if self._run_child is None:
            raise MeasurementError("a fresh process runs the test again, which needs pytest")
        with tempfile.TemporaryDirectory(prefix="pytest-modelbench-child-") as folder:
            asked = replace(request, path=str(Path(folder, "answer")))
            if not isinstance(asked, ExportRequest):
                asked = replace(asked, student=self._files.get(nodeid, ""))
            self._run_child(nodeid, asked)
            return asked.answer()

    def energy_source(self) -> EnergySource:
        """Return what reads energy on this machine, found out once."""
        return self._shelf.once(("energy source",), CodeCarbonSource)


def _foreign(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{cause_of(error):.250}{where}"
