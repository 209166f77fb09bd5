"""One session's work: models and data adapted once, measurements taken once, gates judged once.

Knows nothing of pytest: `Sources` says where models and data come from, a callback shows progress.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from pytest_modelbench.bench.gate_results import judged, unjudged
from pytest_modelbench.bench.handover import Handover
from pytest_modelbench.bench.recording import Recorder
from pytest_modelbench.bench.timings import GateMeasurements
from pytest_modelbench.bench.verdicts import Judgement
from pytest_modelbench.data.evaldata import EvalData, as_eval_data
from pytest_modelbench.errors import (
    DataError,
    DoesNotFit,
    MeasurementError,
    ModelbenchError,
    NotApplicable,
    Skipped,
    cause_of,
)
from pytest_modelbench.gates.gate import Gate, condition_gate
from pytest_modelbench.gates.sharing import Sharing, SharingIndex
from pytest_modelbench.grammar.conditional import Bargain
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.cost.energy_source import CodeCarbonSource, EnergySource
from pytest_modelbench.probes.requests import Request
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.probes.timing.watchdog import watchdog_for
from pytest_modelbench.results import GateResult, Verdict
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.baseline import Baseline
from pytest_modelbench.store.contract import Contract

Found = TypeVar("Found")
Asked = TypeVar("Asked", bound=Request)


class Sources(Protocol):
    """Where one item's models, data and recorded values come from."""

    def candidate(self, role: str) -> Any:
        """Return the object that the user's fixture or factory provides for a role."""

    def has(self, role: str) -> bool:
        """Whether a teacher or a previous student is defined; it is not loaded for the question."""

    def data(self) -> Any:
        """Return the object that the user's fixture or factory provides as evaluation data."""

    def recorded(self, kpi: str) -> Mapping[str, float]:
        """Return what the test's body recorded for a KPI, by role."""

    def own_rounds(self) -> OwnRounds:
        """Return what pytest-benchmark timed in the test's body."""


class Progress(Protocol):
    """Shows the progress of a long measurement."""

    def show(self, what: str, elapsed_s: float, budget_s: float) -> None:
        """Say what is being measured and how far it is."""

    def clear(self) -> None:
        """Leave no trace."""


@dataclass(frozen=True, kw_only=True)
class ItemPlan:
    """What one item asks for: its gates, for one student.

    `home` identifies where an item's models and data come from. Items share measurements only if it
    is equal. `settings` are the session's, or those of the item's modelbench.toml.
    `origin` names the test where it brings models or data by parametrize(): another test's may have the same label.
    `test` is the node id without the parameter that names the student.
    """

    nodeid: str
    student: str
    gates: tuple[Gate, ...]
    settings: Settings
    home: tuple[str, ...] = ()
    origin: str = ""
    test: str = ""

    @functools.cached_property
    def suite(self) -> str:
        """A short name for `home`: students are only compared with students of the same teacher and data."""
        return hashlib.blake2b(repr(self.home).encode(), digest_size=4).hexdigest()


BESIDE = frozenset({"teacher", "previous"})
"""The models that stay loaded beside every student."""
Key = tuple[Any, ...]
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
    """

    def __init__(
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
    ) -> None:
        self.progress = progress
        self.exclusive = exclusive
        self.handover = Handover(handover)
        self.run_child = run_child
        self.child = child
        self.baseline = baseline
        self.contract = contract
        self.recorder = recorder
        self.passing: tuple[type[BaseException], ...] = (KeyboardInterrupt,)
        """Exceptions that end an item or the session; every other one is the error of a gate."""
        self.plans: list[ItemPlan] = []
        self._sharing = SharingIndex()
        self.forward_passes: dict[str, int] = {}
        self.timings: list[dict[str, Any]] = []
        self.benchmarks: dict[str, dict[str, Any]] = {}
        self.model_notes: dict[str, dict[str, Any]] = {}
        self._adapted: dict[tuple[Loading, int], tuple[Any, Model]] = {}
        self._modules: list[tuple[Loading, int]] = []
        self._data: dict[int, tuple[Any, EvalData]] = {}
        self.data_notes: dict[str, dict[str, Any]] = {}
        self._measured: dict[Key, Any] = {}
        self._threads: int | None = None
        self._judged: dict[tuple[str, str], Judged] = {}

    def plan(self, plans: Sequence[ItemPlan]) -> None:
        """Take note of all selected items, so that a measurement knows every limit that it must decide."""
        self.plans = list(plans)
        self._sharing = SharingIndex(self.plans)

    def model(self, candidate: Any, name: str, settings: Settings) -> Model:
        """Adapt a user's model, once while it is in use.

        Raises:
            ModelError: it is nothing that can be measured.
        """
        loading = Loading(name=name, device=settings.device, allow_pickle=settings.allow_pickle)
        key = (loading, id(candidate))
        if key not in self._adapted:
            model = adapt(candidate, loading)
            model.guard = functools.partial(watchdog_for, settings.budget_s, name)
            self._forget_modules(name)
            self._adapted[key] = (candidate, model)
            if model.kind == "torch" and name not in BESIDE:
                self._modules.append(key)
            known = self.model_notes.get(name, {})
            described = {**model.describe(), "hash": self.hash_of(model)}
            self.model_notes[name] = {**known, **described, **_others(known, described["hash"])}
        self.limit_threads(settings)
        return self._adapted[key][1]

    def limit_threads(self, settings: Settings) -> None:
        """Set torch's threads for an item; one that states none gets torch's own number."""
        torch = sys.modules.get("torch")
        if torch is None:
            return
        if self._threads is None:
            self._threads = int(torch.get_num_threads())
        wanted = settings.threads or self._threads
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)

    def hash_of(self, model: Model) -> str:
        """Hash a model once for each adapter; two models of one content share what was measured."""
        return self.once(("hash", model.serial), model.fingerprint)

    def _forget_modules(self, name: str) -> None:
        """Let go of torch students that are not judged any more; their content is known by its hash."""
        if name not in BESIDE:
            for key in self._modules:
                del self._adapted[key]
            self._modules.clear()

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

    def forget(self, kind: str) -> None:
        """Let go of everything of one kind that was taken once, so that it is taken anew."""
        for key in [key for key in self._measured if key[0] == kind]:
            del self._measured[key]

    def judge(self, plan: ItemPlan, gate: Gate, sources: Sources) -> Judged:
        """Judge a gate of an item, once; a rerun gets the same answer."""
        key = (plan.nodeid, gate.kpi.name)
        if key not in self._judged:
            self._judged[key] = self._judge(plan, gate, sources)
        return self._judged[key]

    def _judge(self, plan: ItemPlan, gate: Gate, sources: Sources) -> Judged:
        try:
            if gate.ready_made and gate.kpi.paired and not sources.has("teacher"):
                raise NotApplicable("there is no teacher to compare with")
            if self.recorder is not None:
                return self.recorder.judge(self, plan, gate, sources)
            question = gate.question(with_teacher=gate.with_teacher, seed=plan.settings.seed)
            limits = self.settled(plan, gate, sources)
            found = GateMeasurements(self, plan, gate, sources).judged(question, limits)
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
        return judged(plan.student, gate, found), found

    def settled(self, plan: ItemPlan, gate: Gate, sources: Sources) -> list[BoundLimit | Bargain]:
        """Return a gate's limits with the conditions of its bargains judged, each once for a student.

        Raises:
            MeasurementError: a condition cannot be judged, so nobody knows which limit holds.
        """
        limits: list[BoundLimit | Bargain] = []
        for limit in gate.limits:
            if isinstance(limit, Bargain):
                key = ("condition", limit.kpi, str(limit.when), plan.student, plan.home, plan.settings)
                condition = condition_gate(limit, by_contract=gate.by_contract)
                judging = functools.partial(self._judge, plan, condition, sources)
                result, _ = self.once(key, judging)
                if result.verdict not in {Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE}:
                    raise MeasurementError(
                        f"the condition {limit.kpi} {limit.when} cannot be judged: {result.reason}"
                    )
                limits.append(limit.settled(result.verdict, f"{limit.kpi} {result.reason}"))
            else:
                limits.append(limit)
        return limits

    def sharing(self, plan: ItemPlan, gate: Gate) -> Sharing:
        """Return all selected gates that the same measurement over time serves."""
        return self._sharing.find(plan, gate)

    def in_fresh_process(self, nodeid: str, request: Asked) -> Any:
        """Run an item in a fresh process that measures what is asked, and return its answer.

        Raises:
            MeasurementError: it gave none; or outside of pytest, where there is no item that could be run again.
        """
        if self.run_child is None:
            raise MeasurementError("a fresh process runs the test again, which needs pytest")
        with tempfile.TemporaryDirectory(prefix="pytest-modelbench-child-") as folder:
            asked = replace(request, path=str(Path(folder, "answer")))
            self.run_child(nodeid, asked)
            return asked.answer()

    def energy_source(self) -> EnergySource:
        """Return what reads energy on this machine, found out once."""
        return self.once(("energy source",), CodeCarbonSource)

    def count_passes(self, outputs: Outputs) -> None:
        """Add to the forward passes that the report states for each model."""
        self.forward_passes[outputs.model] = self.forward_passes.get(outputs.model, 0) + outputs.calls


def _others(known: Mapping[str, Any], found: str) -> dict[str, list[str]]:
    """Return the hashes of other models of one name; what has no hash of its content may be the same, built again."""
    hashes = {*known.get("others", []), known.get("hash", found)} - {found}
    others = sorted(one for one in hashes if "object-" not in f"{one}{found}")
    return {"others": others} if others else {}


def _foreign(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{cause_of(error):.250}{where}"
