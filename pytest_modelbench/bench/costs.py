"""What a model costs, as one gate may ask for it: launches, energy, operations, profiles, compiled timings.

Every measurement is taken once for a session, and shared by all gates that need it.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from pytest_modelbench.bench.launches import launch_in_turn, launch_request
from pytest_modelbench.bench.timed_run import TimedRun, compile_models
from pytest_modelbench.data.arrays import duplicate
from pytest_modelbench.data.drawn import Draws
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import MeasurementError, ModelbenchError
from pytest_modelbench.gates.gate import Gate
from pytest_modelbench.grammar.conditional import Bargain
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.models.base import Artefact, Model, ParameterCount
from pytest_modelbench.models.workload import workload_for
from pytest_modelbench.probes.cost.carbon import Grid, grid
from pytest_modelbench.probes.cost.energy import (
    EnergyMeasurement,
    EnergySettings,
    measure_energy,
    pack_energy,
    unpack_energy,
)
from pytest_modelbench.probes.cost.launch import Launch, LaunchRequest, pack_launches, unpack_launches
from pytest_modelbench.probes.cost.own_weights import learn_weights
from pytest_modelbench.probes.cost.profile import Profile, profile_model
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.probes.timing.watchdog import Watchdog, beat, patience_s, watchdog_for
from pytest_modelbench.probes.wire import pack_timing, unpack_timing

if TYPE_CHECKING:
    from pytest_modelbench.bench.session import BenchSession, ItemPlan, Sources
    from pytest_modelbench.gates.sharing import Sharing
    from pytest_modelbench.probes.cost.flops import FlopCount
    from pytest_modelbench.store.contract import Contract

COMPILING_S = 600.0
MOST_LAUNCHES = 3
Found = TypeVar("Found")
Limits = list[BoundLimit | Bargain] | None


class Growing(Protocol):
    """The measurements of a gate while one of them is not complete."""

    def settled(self, question: Question, limits: Sequence[BoundLimit | Bargain]) -> bool:
        """Whether more of it would decide nothing."""


class CostMeasurements(ABC):
    """The part of `kpis.kpi.Measurements` that needs no pass over the data."""

    def __init__(self, session: BenchSession, plan: ItemPlan, gate: Gate, sources: Sources) -> None:
        self.session = session
        self.plan = plan
        self.gate = gate
        self.sources = sources
        self.roles: Mapping[str, str] = {}

    def acting(self, roles: Mapping[str, str]) -> Self:
        """Return these measurements with other models in the place of some: `{"teacher": "previous"}`."""
        other = copy.copy(self)
        other.roles = {**self.roles, **roles}
        return other

    def has(self, role: str) -> bool:
        """Whether there is such a model; the teacher is not loaded for the question."""
        role = self.roles.get(role, role)
        return role in {"student", "workload"} or self.sources.has(role)

    def recorded(self) -> Mapping[str, float]:
        """Return what the test's body recorded."""
        found = dict(self.sources.recorded(self.gate.kpi.name))
        if "teacher" not in found and self.session.contract is not None and self.gate.compares:
            found["teacher"] = self._teacher_by(self.session.contract)
        acting = {role: self.roles.get(role, role) for role in ("student", "teacher", "previous")}
        return {role: found[actor] for role, actor in acting.items() if actor in found}

    def _teacher_by(self, contract: Contract) -> float:
        """Return what the same test recorded of the teacher.

        Raises:
            MeasurementError: it recorded nothing, or something else.
        """
        kpi = self.gate.kpi
        found = contract.reading(kpi.name, kpi.unit, self.gate.told_options, None, {}, self.plan.test)
        if isinstance(found, str):
            raise MeasurementError(found)
        return found.reading.value

    def model(self, role: str) -> Model:
        """Return the adapted model of a role."""
        role = self.roles.get(role, role)
        if role == "workload":
            student = self.model("student")
            return self.session.once(("workload", student.serial), lambda: workload_for(student))
        name = self.plan.student if role == "student" else role
        return self.session.model(self.sources.candidate(role), name, self.plan.settings)

    def data(self) -> EvalData:
        """Return the adapted evaluation data."""
        return self.session.eval_data(self.sources.data())

    def draws(self) -> Draws:
        """Return what draws batches of the evaluation data, one for all measurements: they may have to be read."""
        data, given = self.data(), self.plan.settings

        def prepared() -> Draws:
            guard = functools.partial(self._watched, "reading the evaluation data")
            return Draws(data, seed=given.seed, seconds=given.budget_s, beat=beat, guard=guard)

        return self.session.once(("draws", data.key, given.seed, given.budget_s), prepared)

    def parameters(self, role: str) -> ParameterCount:
        """Return the parameter counts of a role, counted once for its content."""
        model = self.model(role)

        def counted() -> ParameterCount:
            learn_weights(model, self.data, self._watched(model.name))
            with self._watched(model.name):
                return model.count_parameters()

        count = self.session.once(("parameters", model.name, self.session.hash_of(model)), counted)
        self.session.model_notes[model.name]["parameters"] = count.total
        return count

    def artefact(self, role: str) -> Artefact:
        """Return the size of what is deployed, measured once for its content."""
        model = self.model(role)

        def saved() -> Artefact:
            if model.file is None:
                learn_weights(model, self.data, self._watched(model.name))
            with self._watched(model.name):
                return model.artefact()

        artefact = self.session.once(("artefact", model.name, self.session.hash_of(model), str(model.file)), saved)
        self.session.model_notes[model.name]["size_on_disk_bytes"] = artefact.size_bytes
        return artefact

    @abstractmethod
    def timing(self) -> TimingMeasurement:
        """Return the timed measurement that the gate shares."""

    @abstractmethod
    def growing(
        self, gate: Gate, *, energy: EnergyMeasurement | None = None, compiled: TimingMeasurement | None = None
    ) -> Growing:
        """Return the measurements of a gate with one in it that is not complete yet."""

    def _request(self, role: str, *, memory: bool) -> LaunchRequest:
        size, budget_s = int(self.gate.options["batch_size"]), self.plan.settings.budget_s
        role, model = self.roles.get(role, role), self.model(role)
        return launch_request(role, model, batch_size=size, memory=memory, budget_s=budget_s)

    def _launched(self, requests: Mapping[str, LaunchRequest], number: int) -> list[Launch]:
        """Launch models in turn, once for a session and its workers."""
        session, plan, names = self.session, self.plan, tuple(self.model(role).name for role in requests)
        asked = tuple(requests.values())

        def measure() -> list[Launch]:
            began = session.once(("launching", names), time.monotonic)
            with self._shown(f"starting {' and '.join(names)} in fresh processes") as progress:
                progress(time.monotonic() - began, patience_s(plan.settings.budget_s))
                return launch_in_turn(functools.partial(session.in_fresh_process, plan.nodeid), requests, number)

        def taken() -> list[Launch]:
            shared = ("launch", names, plan.home, plan.origin, plan.settings, number, asked)
            return session.handover.once(shared, measure, pack_launches, unpack_launches)

        hashes = tuple(session.hash_of(self.model(role)) for role in requests)
        key = ("launch", names, hashes, plan.home, plan.origin, self.data().key, plan.settings, number, asked)
        return session.once(key, taken)

    def launch(self, role: str, number: int = 0) -> Launch:
        """Return what loading and running a model takes of memory, in one of several fresh processes."""
        return self._launched({role: self._request(role, memory=True)}, number)[0]

    def launches_at_most(self) -> int:
        """Return how many launches may be taken until the gate's limits are decided: one where it has none."""
        return MOST_LAUNCHES if self.gate.limits else 1

    def launches_teacher(self) -> bool:
        """Whether a gate that shares the student's launch compares it with the teacher's."""
        return "teacher" in self.roles or "teacher" in self.session.sharing(self.plan, self.gate).others

    def cold_starts(self, count: int) -> Mapping[str, Sequence[Launch]]:
        """Return launches of each model, taken in turn after one that fills the page cache."""
        sharing = self.session.sharing(self.plan, self.gate)
        return self._together(sharing, functools.partial(self._cold_starts, count))

    def _cold_starts(self, count: int, models: Mapping[str, Model]) -> Mapping[str, Sequence[Launch]]:
        for role in models:
            self.launch(role)  # that of memory: it reads files which later ones find in the page cache
        requests = {role: self._request(role, memory=False) for role in models}
        with self.session.exclusive():
            turns = [self._launched(requests, number) for number in range(count)]
        return {role: [turn[i] for turn in turns] for i, role in enumerate(requests)}

    def flops(self, role: str) -> FlopCount:
        """Return the operations of one forward pass, counted once for a model's content and a batch size."""
        model, data, size = self.model(role), self.data(), int(self.gate.options["batch_size"])

        drawn = self.draws().of(size)

        def measure() -> FlopCount:
            from pytest_modelbench.probes.cost.flops import count_flops, with_largest

            with self._watched(model.name):
                typical = count_flops(model, duplicate(drawn.batches[0]), size)
                if not drawn.differ:
                    return typical
                return with_largest(typical, count_flops(model, duplicate(drawn.largest), size), drawn)

        return self.session.once(("flops", self.session.hash_of(model), data.key, size, self.plan.settings), measure)

    def profile(self, role: str) -> Sequence[Profile]:
        """Return profiles of a model's operators, taken once for its content and a batch size."""
        model, data, size = self.model(role), self.data(), int(self.gate.options["batch_size"])
        draws = self.draws()

        def measure() -> Sequence[Profile]:
            with self._watched(model.name):
                return profile_model(model, draws.of(size).some())

        return self.session.once(
            ("profile", model.name, self.session.hash_of(model), data.key, size, self.plan.settings), measure
        )

    def compiled_timing(self) -> TimingMeasurement:
        """Return the student, compiled, timed against itself as it is."""
        session, plan, student, data = self.session, self.plan, self.model("student"), self.data()
        setup, given = self.gate.setup, plan.settings
        limits = self._limits_of(session.sharing(plan, self.gate))

        def decided(measurement: TimingMeasurement) -> bool:
            return self._settle(limits, lambda gate: self.growing(gate, compiled=measurement), with_teacher=False)

        def measure() -> TimingMeasurement:
            with self._watched(student.name, COMPILING_S):
                compiled, seconds = compile_models(
                    {"student": student}, self.draws().of(setup.batch_size or 1).copies()
                )
            models = {**compiled, "teacher": student}
            with self._shown(f"timing {student.name} compiled and as it is, {setup}") as progress:
                run = TimedRun(models, self.draws(), setup, given, hashes={}, decided=decided, progress=progress)
                measurement = run.here()
            return replace(measurement, settings={**measurement.settings, "compile_s": seconds})

        def taken() -> TimingMeasurement:
            shared = ("compiled", student.name, setup, plan.student, plan.home, plan.origin, given)
            with session.exclusive():
                return session.handover.once(shared, measure, pack_timing, unpack_timing, alone=True)

        key = ("compiled", session.hash_of(student), data.key, setup, plan.student, plan.home, given)
        return session.once(key, taken)

    def grid(self) -> Grid:
        """Return the carbon intensity that the options state."""
        return grid(self.plan.settings.country, self.plan.settings.grid_intensity)

    def energy(self) -> EnergyMeasurement:
        """Return windows of energy, which all energy gates of a student share."""
        sharing = self.session.sharing(self.plan, self.gate)
        return self._together(sharing, functools.partial(self._energy_of, sharing))

    def _energy_of(self, sharing: Sharing, models: Mapping[str, Model]) -> EnergyMeasurement:
        session, plan, given = self.session, self.plan, self.plan.settings
        limits = self._limits_of(sharing)
        names = " and ".join(model.name for model in models.values())

        def decided(measurement: EnergyMeasurement) -> bool:
            taken = functools.partial(self.growing, energy=measurement)
            return self._settle(limits, taken, with_teacher="teacher" in models)

        def measure() -> EnergyMeasurement:
            size = int(self.gate.options["batch_size"])
            settings = EnergySettings(
                batch_size=size, window_s=given.energy_window_s, budget_s=given.budget_s, seed=given.seed
            )
            batches, source = self.draws().of(size).copies(), session.energy_source()
            rounds_s = 4 * given.energy_window_s * (1 + len(models))  # that are taken whatever the budget is
            with self._watched(names, rounds_s), self._shown(f"measuring the energy of {names}") as progress:
                return measure_energy(models, batches, source, settings, decided, progress)

        def taken() -> EnergyMeasurement:
            shared = ("energy", names, self.gate.setup, plan.student, plan.home, plan.origin, given)
            with session.exclusive():
                return session.handover.once(shared, measure, pack_energy, unpack_energy, alone=True)

        hashes = tuple(session.hash_of(model) for model in models.values())
        key = ("energy", hashes, self.data().key, self.gate.setup, plan.student, plan.home, given)
        return session.once(key, taken)

    def _together(
        self,
        sharing: Sharing,
        measure: Callable[[Mapping[str, Model]], Found],
        others: Sequence[str] = ("teacher",),
    ) -> Found:
        """Measure the student together with every model that a sharing gate needs.

        If one that this gate does not need fails, measure again without it.
        """
        student = self.model("student")
        needed, wanted = {"student": student}, {"student": student}
        for role in others:
            if role in self.roles or role in self.gate.others:
                needed[role] = wanted[role] = self.model(role)
            elif role in sharing.others:
                with contextlib.suppress(ModelbenchError):  # the error of the gate that needs it
                    model = self.model(role)
                    if model.clock_ns == student.clock_ns:
                        wanted[role] = model
        if len(wanted) == len(needed):
            return measure(needed)
        try:
            return measure(wanted)
        except ModelbenchError as error:
            if error.blames in {model.name for model in needed.values()}:
                raise
        return measure(needed)

    def _watched(self, names: str, more_s: float = 0.0) -> Watchdog:
        """Return what ends a call that never returns; whoever makes several calls `beat()`s after each."""
        return watchdog_for(self.plan.settings.budget_s, names, more_s)

    @contextlib.contextmanager
    def _shown(self, what: str) -> Iterator[Callable[[float, float], None]]:
        """Show progress while something is measured, and leave no trace."""
        shown = self.session.progress

        def progress(elapsed_s: float, budget_s: float) -> None:
            if shown is not None:
                shown.show(what, elapsed_s, budget_s)

        try:
            yield progress
        finally:
            if shown is not None:
                shown.clear()

    def _limits_of(self, sharing: Sharing) -> list[tuple[Gate, Limits]]:
        """Return the limits of all gates that share a measurement, found once for all of them."""
        return self.session.once(
            ("limits", sharing), lambda: [(other, self._known_limits(other)) for other in sharing.gates]
        )

    def _known_limits(self, gate: Gate) -> Limits:
        """Return a gate's limits with their conditions judged; None where one cannot be: that is the gate's error."""
        try:
            return self.session.settled(self.plan, gate, self.sources)
        except ModelbenchError:
            return None

    def _settle(
        self, limits: Sequence[tuple[Gate, Limits]], taken: Callable[[Gate], Growing], *, with_teacher: bool
    ) -> bool:
        """Whether a measurement so far decides every limit; what cannot be judged is never decided by more of it."""
        for gate, known in limits:
            if known is None or ("teacher" in gate.others and not with_teacher):
                continue
            try:
                if not taken(gate).settled(self._question(gate, with_teacher and gate.with_teacher), known):
                    return False
            except ModelbenchError:
                continue
        return True

    def _question(self, gate: Gate, with_teacher: bool) -> Question:
        return gate.question(with_teacher=with_teacher, seed=self.plan.settings.seed)
