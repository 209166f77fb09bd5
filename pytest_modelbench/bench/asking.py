"""What one gate's measurements are about: the item, the gate, and the parts of the session that serve them."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pytest_modelbench.bench.engine_holder import Engines
from pytest_modelbench.bench.loaded import Loaded, Notes, loading_for
from pytest_modelbench.bench.shelf import Shelf
from pytest_modelbench.data.corruptions.names import Cell
from pytest_modelbench.data.drawn import Draws
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DoesNotFit, MeasurementError, NotApplicable
from pytest_modelbench.exports.deployed import Deployed, name_of_source
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.gates.gate import TimingSetup
from pytest_modelbench.gates.sharing import Sharing
from pytest_modelbench.grammar.conditional import ConditionalLimit
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.models.base import Model, identity
from pytest_modelbench.models.locate import build, locate
from pytest_modelbench.models.named import NamedSpec, spec_key
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.workload import workload_for
from pytest_modelbench.probes.cost.energy_source import EnergySource
from pytest_modelbench.probes.requests import Request
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.probes.timing.watchdog import Watchdog, beat, watchdog_for
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.baseline import Baseline
from pytest_modelbench.store.contract import Contract
from pytest_modelbench.store.export_record import ExportRecord

Limits = list[BoundLimit | ConditionalLimit]
Asked = TypeVar("Asked", bound=Request)


class Built(Protocol):
    """Where one item's models and data come from."""

    def candidate(self, role: str) -> Any:
        """Return the object that the user's fixture or factory provides for a role."""

    def has(self, role: str) -> bool:
        """Whether a teacher or a previous student is defined; it is not loaded for the question."""

    def data(self) -> Any:
        """Return the object that the user's fixture or factory provides as evaluation data."""


class Sources(Built, Protocol):
    """Where one item's models, data and recorded values come from."""

    def recorded(self, kpi: str) -> Mapping[str, float]:
        """Return what the test's body recorded for a KPI, by role."""

    def own_rounds(self) -> OwnRounds:
        """Return what pytest-benchmark timed in the test's body."""


@dataclass(frozen=True, kw_only=True)
class ItemPlan:
    """What one item asks for: its gates, for one student.

    `home` identifies where an item's models and data come from: items share measurements only if it is equal.
    `settings` are the session's, or those of the item's modelbench.toml. `origin` names the test where it brings
    models or data by parametrize(): another test's may have the same label. `test` is the node id without the
    parameter that names the student. `target` is the format that the student is deployed in, "" for the model itself.
    """

    nodeid: str
    student: str
    gates: tuple[Assignment, ...]
    settings: Settings
    home: tuple[str, ...] = ()
    origin: str = ""
    test: str = ""
    target: str = ""

    @functools.cached_property
    def suite(self) -> str:
        """A short name for `home`: students are only compared with students of the same teacher and data."""
        return hashlib.blake2b(repr(self.home).encode(), digest_size=4).hexdigest()


class FreshProcess(Protocol):
    """Runs an item in a fresh process that measures what is asked, and returns its answer."""

    def __call__(self, nodeid: str, request: Any) -> Any:
        """Return the process's answer."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where exported files lie.

    Attributes:
        folder: returns the folder of the session, which its workers share and which goes with it.
        kept: the folder that the user wants to keep them in, if any.
        recorded: what exports came to on another machine, if the user names its file.
        recording: the file that gets what exports come to here, if any.
        lasting: returns the folder for what a later session may use again; None if there is none.
    """

    folder: Callable[[], Path]
    kept: Path | None = None
    recorded: ExportRecord | None = None
    recording: Path | None = None
    lasting: Callable[[], Path | None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The parts of a session that measurements use.

    Attributes:
        shelf: takes each measurement once.
        loaded: adapts models and data once.
        notes: get what the report says besides the gates.
        baseline: an earlier report that limits on `regression` compare with.
        contract: the teacher's, in its place.
        child: what the parent process asks for, in a fresh process.
        sharing: returns all selected gates that the same measurement serves.
        of_kinds: returns the selected gates of an item's student about kinds of measurement of some names.
        engines: run a function over the shards of data.
        timed: returns how the student of an item is timed for its selected gates.
        targets: returns the formats in which the student of an item is also judged as it is deployed.
        settled: returns a gate's limits with the conditions of its conditional limits judged.
        fresh: runs an item in a fresh process.
        energy_source: returns what reads energy on this machine.
        student: returns the adapted student of an item, exported before if it is judged as it is deployed.
        files: where exported files lie.
    """

    shelf: Shelf
    loaded: Loaded
    notes: Notes
    baseline: Baseline | None
    contract: Contract | None
    child: Request | None
    sharing: Callable[[ItemPlan, Assignment], Sharing]
    of_kinds: Callable[[ItemPlan, Collection[str]], Sequence[Assignment]]
    engines: Engines
    timed: Callable[[ItemPlan], Sequence[TimingSetup]]
    targets: Callable[[ItemPlan], Sequence[str]]
    settled: Callable[[ItemPlan, Assignment, Sources], Limits]
    fresh: FreshProcess
    energy_source: Callable[[], EnergySource]
    student: Callable[[ItemPlan, Built], Model]
    files: Files


@dataclass(frozen=True, kw_only=True)
class Asking:
    """One gate of one item, and everything that serves its measurements.

    Attributes:
        bench: the parts of the session.
        plan: the item.
        gate: the gate.
        sources: where the item's models and data come from.
        roles: other models in the place of some: `{"teacher": "previous"}`.
    """

    bench: Bench
    plan: ItemPlan
    gate: Assignment
    sources: Sources
    roles: Mapping[str, str] = field(default_factory=dict)

    def acting(self, roles: Mapping[str, str]) -> Asking:
        """Return the same with other models in the place of some."""
        return replace(self, roles={**self.roles, **roles})

    def without(self, role: str) -> Asking:
        """Return the same with no other model in the place of a role."""
        return replace(self, roles={name: actor for name, actor in self.roles.items() if name != role})

    def about(self, gate: Assignment) -> Asking:
        """Return the same for another gate."""
        return replace(self, gate=gate)

    @property
    def settings(self) -> Settings:
        """The settings of the item."""
        return self.plan.settings

    @property
    def sharing(self) -> Sharing:
        """All selected gates that the same measurement over time serves."""
        return self.bench.sharing(self.plan, self.gate)

    def has(self, role: str) -> bool:
        """Whether there are outputs of such a role, of its model or recorded; no model is loaded for the question."""
        acted = self.roles.get(role, role)
        return acted in {"student", "workload"} or self.contract_for(role) is not None or self.sources.has(acted)

    def model(self, role: str) -> Model:
        """Return the adapted model of a role.

        Raises:
            MeasurementError: the role is `source`, and the student's source is not defined.
        """
        role = self.roles.get(role, role)
        if role == "source":
            return self._source()
        if role == "surrogate":
            return self._named("surrogate", self.gate.options["surrogate"])
        if role == "workload":
            student = self.model("student")
            return self.bench.shelf.once(("workload", student.serial), lambda: workload_for(student))
        if role == "student":
            return self.bench.student(self.plan, self.sources)
        return self.bench.loaded.model(self.sources.candidate(role), role, self.settings)

    def _source(self) -> Model:
        """Return the model that the student was made from: what `source=` names, or what it was exported from.

        One that `source=` names is kept apart from the models that the report describes.
        """
        source, student = self.gate.options.get("source"), self.plan.student
        if isinstance(source, NamedSpec):
            return self._named("source", source)
        candidate = self.sources.candidate("student")
        if isinstance(candidate, Deployed):
            name = name_of_source(student, candidate.target)
            name = f"source of {student}" if name == student else name
            return self.bench.loaded.model(candidate.source, name, self.settings)
        if targets := self.bench.targets(self.plan):
            named = ", ".join(f"{student}@{target}" for target in targets)
            raise NotApplicable(f"{student} was not made from another model; compared with it: {named}")
        raise MeasurementError(
            f"nobody says which model {student} was made from. Write source='module:factory' or "
            "source='path/to/model', or let the session make the file: deploy = [\"onnx\"]"
        )

    def _named(self, what: str, spec: NamedSpec) -> Model:
        loading, shelf = loading_for(f"{what} of {self.plan.student}", self.settings), self.bench.shelf
        self.bench.loaded.limit_threads(self.settings)
        key = spec_key(spec)
        source = shelf.once(key, lambda: build(locate(spec, Path.cwd())))
        return shelf.once((what, *key, self.settings), lambda: adapt(source, loading)).named(loading.name)

    def hash_of(self, model: Model) -> str:
        """Return the hash of a model's content."""
        return self.bench.loaded.hash_of(model)

    def data(self) -> EvalData:
        """Return the adapted evaluation data, corrupted if the gate is about a KPI under a corruption.

        Raises:
            DataError: they are nothing that can be read, or the corruption breaks its form.
            DoesNotFit: the corruption does not fit them, or the KPI is for labels and numbers only.
        """
        data, kpi = self.bench.loaded.eval_data(self.sources.data()), self.gate.kpi
        if data.does_not_fit and not kpi.reads(data.task):
            raise DoesNotFit(data.does_not_fit)
        under: Cell | None = self.gate.options.get("under")
        if data.in_parts and (under is not None or not kpi.probe.one_pass):
            data = self._sample_of(data)
        return data if under is None else self._corrupted(data, under, self.gate.options.get("range"))

    def _sample_of(self, data: EvalData) -> EvalData:
        """Return the samples of the first shard, for what is measured on this machine and not over all shards."""
        sample = self.bench.shelf.once(("first shard", data.key), data.first)
        notes = self.bench.notes.data.setdefault(self.plan.suite, {}).setdefault("notes", [])
        told = f"{self.gate.kpi.name}: of the first shard"
        notes += [told] if told not in notes else []
        return sample

    def _corrupted(self, data: EvalData, under: Cell, limits: Sequence[float] | None) -> EvalData:
        from pytest_modelbench.data.corruptions.applying import corrupted
        from pytest_modelbench.data.corruptions.fitting import fit

        cell, function = replace(under, seed=self.settings.seed), under.corruption.function
        content = str(cell) if function is None else identity(function)
        key = ("under", data.key, content, cell.severity, cell.seed, None if limits is None else tuple(limits))
        return self.bench.shelf.once(
            key, lambda: corrupted(data, cell, fit(data, (cell.corruption,), limits=limits), beat=beat)
        )

    def draws(self) -> Draws:
        """Return what draws batches of the evaluation data, one for all measurements: they may have to be read."""
        data, settings = self.data(), self.settings

        def prepared() -> Draws:
            guard = functools.partial(self.watched, "reading the evaluation data")
            return Draws(data, seed=settings.seed, seconds=settings.budget_s, beat=beat, guard=guard)

        return self.bench.shelf.once(("draws", data.key, settings.seed, settings.budget_s), prepared)

    def contract_for(self, role: str) -> Contract | None:
        """Return the contract where it takes the place of a role's model."""
        return self.bench.contract if self.roles.get(role, role) == "teacher" else None

    def watched(self, names: str, more_s: float = 0.0) -> Watchdog:
        """Return the watchdog that ends a call that never returns; after each of several calls, call its `beat()`."""
        return watchdog_for(self.settings.budget_s, names, more_s)


def settings_that_count(settings: Settings) -> dict[str, Any]:
    """Return the settings without which times cannot be compared; threads are those that torch uses."""
    torch = sys.modules.get("torch")
    threads = settings.threads if torch is None else int(torch.get_num_threads())
    return {"device": settings.device, "threads": threads, "allocator": settings.allocator}
