"""What a model costs, as one gate may ask for it: parameters, launches, energy, operations, profiles.

Every measurement is taken once for a session, and shared by all gates that need it.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.deciding import Deciding, GateLimits, SoFar
from pytest_modelbench.bench.launches import launch_in_turn, launch_request
from pytest_modelbench.bench.shelf import Job, Tell, Wire
from pytest_modelbench.bench.together import measured_together
from pytest_modelbench.data.arrays import duplicate
from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.models.base import Artefact, Model, ParameterCount
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
from pytest_modelbench.probes.cost.profile import profile_model
from pytest_modelbench.probes.cost.recorded import Profile
from pytest_modelbench.probes.text.token_energy import counting_tokens, vocabularies_of
from pytest_modelbench.probes.timing.watchdog import patience_s

if TYPE_CHECKING:
    from pytest_modelbench.probes.cost.flops import FlopCount
    from pytest_modelbench.store.contract import Contract

MOST_LAUNCHES = 3
LAUNCH_WIRE = Wire(pack_launches, unpack_launches)
ENERGY_WIRE = Wire(pack_energy, unpack_energy)


class Costs:
    """The part of `kpis.kpi.Measurements` that is about what a model costs, its timings apart.

    Args:
        asking: the gate.
        deciding: says when enough energy was measured.
    """

    def __init__(self, asking: Asking, deciding: Deciding) -> None:
        self._asking = asking
        self._deciding = deciding
        self._shelf = asking.bench.shelf
        self._notes = asking.bench.notes

    def recorded(self) -> Mapping[str, float]:
        """Return what the test's body recorded, by role."""
        asking = self._asking
        values = dict(asking.sources.recorded(asking.gate.kpi.name))
        if "teacher" not in values and asking.bench.contract is not None and asking.gate.compares:
            values["teacher"] = self._teacher_by(asking.bench.contract)
        acting = {role: asking.roles.get(role, role) for role in ("student", "teacher", "previous")}
        return {role: values[actor] for role, actor in acting.items() if actor in values}

    def _teacher_by(self, contract: Contract) -> float:
        """Return what the same test recorded of the teacher.

        Raises:
            MeasurementError: it recorded nothing, or something else.
        """
        asking, kpi = self._asking, self._asking.gate.kpi
        recorded = contract.reading(kpi.name, kpi.unit, asking.gate.told_options, None, {}, asking.plan.test)
        if isinstance(recorded, str):
            raise MeasurementError(recorded)
        return recorded.reading.value

    def parameters(self, role: str) -> ParameterCount:
        """Return the parameter counts of a role, counted once for its content."""
        asking, model = self._asking, self._asking.model(role)

        def measure(_: Tell) -> ParameterCount:
            learn_weights(model, asking.data, asking.watched(model.name))
            with asking.watched(model.name):
                return model.count_parameters()

        count = self._shelf.take(Job(kind="parameters", same=(model.name, asking.hash_of(model)), measure=measure))
        self._notes.models[model.name]["parameters"] = count.total
        return count

    def artefact(self, role: str) -> Artefact:
        """Return the size of what is deployed, measured once for its content."""
        asking, model = self._asking, self._asking.model(role)

        def measure(_: Tell) -> Artefact:
            if model.file is None:
                learn_weights(model, asking.data, asking.watched(model.name))
            with asking.watched(model.name):
                return model.artefact()

        same = (model.name, asking.hash_of(model), str(model.file))
        artefact = self._shelf.take(Job(kind="artefact", same=same, measure=measure))
        self._notes.models[model.name]["size_on_disk_bytes"] = artefact.size_bytes
        return artefact

    @property
    def _batch_size(self) -> int:
        return int(self._asking.gate.options["batch_size"])

    def _request(self, role: str, *, memory: bool) -> LaunchRequest:
        size, budget_s = self._batch_size, self._asking.settings.budget_s
        role, model = self._asking.roles.get(role, role), self._asking.model(role)
        return launch_request(role, model, batch_size=size, memory=memory, budget_s=budget_s)

    def _launched(self, requests: Mapping[str, LaunchRequest], number: int) -> list[Launch]:
        """Launch models in turn, once for a session and its workers."""
        asking, plan = self._asking, self._asking.plan
        models = [asking.model(role) for role in requests]
        _refuse_elsewhere(models, "memory and start")
        names, asked = tuple(model.name for model in models), tuple(requests.values())

        def measure(tell: Tell) -> list[Launch]:
            began = self._shelf.once(("launching", names), time.monotonic)
            tell(time.monotonic() - began, patience_s(plan.settings.budget_s))
            return launch_in_turn(functools.partial(asking.bench.fresh, plan.nodeid), requests, number)

        hashes, data = tuple(asking.hash_of(model) for model in models), asking.data()
        job = Job(
            kind="launch",
            same=(names, hashes, plan.home, plan.origin, data.key, plan.settings, number, asked),
            run=(names, plan.home, plan.origin, plan.settings, number, asked),
            measure=measure,
            wire=LAUNCH_WIRE,
            shown=f"starting {' and '.join(names)} in fresh processes",
        )
        return self._shelf.take(job)

    def launch(self, role: str, number: int = 0) -> Launch:
        """Return what loading and running a model takes of memory, in one of several fresh processes."""
        return self._launched({role: self._request(role, memory=True)}, number)[0]

    def launches_at_most(self) -> int:
        """Return how many launches may be taken until the gate's limits are decided: one where it has none."""
        return MOST_LAUNCHES if self._asking.gate.limits else 1

    def launches_teacher(self) -> bool:
        """Whether a gate that shares the student's launch compares it with the teacher's."""
        return "teacher" in self._asking.roles or "teacher" in self._asking.sharing.others

    def cold_starts(self, count: int) -> Mapping[str, Sequence[Launch]]:
        """Return launches of each model, taken in turn after one that fills the page cache."""
        return measured_together(self._asking, functools.partial(self._cold_starts, count))

    def _cold_starts(self, count: int, models: Mapping[str, Model]) -> Mapping[str, Sequence[Launch]]:
        for role in models:
            self.launch(role)  # that of memory: it reads files which later ones find in the page cache
        requests = {role: self._request(role, memory=False) for role in models}
        with self._shelf.exclusive():
            turns = [self._launched(requests, number) for number in range(count)]
        return {role: [turn[i] for turn in turns] for i, role in enumerate(requests)}

    def flops(self, role: str) -> FlopCount:
        """Return the operations of one forward pass, counted once for a model's content and a batch size."""
        asking, model, data, size = self._asking, self._asking.model(role), self._asking.data(), self._batch_size
        drawn = asking.draws().of(size)

        def measure(_: Tell) -> FlopCount:
            from pytest_modelbench.probes.cost.flops import count_flops, with_largest

            typical = count_flops(model, duplicate(drawn.batches[0]), size)
            if not drawn.differ:
                return typical
            return with_largest(typical, count_flops(model, duplicate(drawn.largest), size), drawn)

        same = (asking.hash_of(model), data.key, size, asking.settings)
        return self._shelf.take(Job(kind="flops", same=same, measure=measure, watched=asking.watched(model.name)))

    def profile(self, role: str) -> Sequence[Profile]:
        """Return profiles of a model's operators, taken once for its content and a batch size."""
        asking, model, data, size = self._asking, self._asking.model(role), self._asking.data(), self._batch_size
        draws = asking.draws()

        def measure(_: Tell) -> Sequence[Profile]:
            return profile_model(model, draws.of(size).some())

        same = (model.name, asking.hash_of(model), data.key, size, asking.settings)
        return self._shelf.take(Job(kind="profile", same=same, measure=measure, watched=asking.watched(model.name)))

    def grid(self) -> Grid:
        """Return the carbon intensity that the options state."""
        return grid(self._asking.settings.country, self._asking.settings.grid_intensity)

    def energy(self) -> EnergyMeasurement:
        """Return windows of energy, which all energy gates of a student share."""
        return measured_together(self._asking, self._energy_of)

    def token_energy(self) -> EnergyMeasurement:
        """Return windows of energy in which models generate text, counted by their output tokens."""
        return measured_together(self._asking, lambda models: self._energy_of(counting_tokens(models)))

    def _energy_of(self, models: Mapping[str, Model]) -> EnergyMeasurement:
        _refuse_elsewhere(models.values(), "energy")
        asking, plan, settings = self._asking, self._asking.plan, self._asking.settings
        setup, names = asking.gate.setup, " and ".join(model.name for model in models.values())
        hashes = tuple(asking.hash_of(model) for model in models.values())
        rounds_s = 4 * settings.energy_window_s * (1 + len(models))  # that are taken whatever the budget is
        job = Job(
            kind=asking.gate.kpi.probe.name,
            same=(hashes, asking.data().key, setup, plan.student, plan.home, settings),
            run=(names, setup, plan.student, plan.home, plan.origin, settings),
            measure=functools.partial(self._measured_energy, models, self._deciding.limits_of(asking.sharing)),
            wire=ENERGY_WIRE,
            exclusive=True,
            watched=asking.watched(names, rounds_s),
            shown=f"measuring the energy of {names}",
        )
        return self._shelf.take(job)

    def _measured_energy(self, models: Mapping[str, Model], limits: GateLimits, tell: Tell) -> EnergyMeasurement:
        asking, settings, size = self._asking, self._asking.settings, self._batch_size
        vocabularies = vocabularies_of(models)

        def decided(measurement: EnergyMeasurement) -> bool:
            return self._deciding.settled(limits, SoFar(energy=measurement), with_teacher="teacher" in models)

        energy_settings = EnergySettings(
            batch_size=size,
            window_s=settings.energy_window_s,
            budget_s=settings.budget_s,
            seed=settings.seed,
            counted=bool(vocabularies),
        )
        batches, source = asking.draws().of(size).copies(), asking.bench.energy_source()
        measurement = measure_energy(models, batches, source, energy_settings, decided, tell)
        return replace(measurement, vocabularies=vocabularies)


def _refuse_elsewhere(models: Iterable[Model], what: str) -> None:
    """Refuse to measure on this machine what a model needs on another.

    Raises:
        NotApplicable: one of the models runs elsewhere.
    """
    for model in models:
        if model.runs_at:
            raise NotApplicable(f"{model.name} runs at {model.runs_at}: its {what} cannot be measured from here")
