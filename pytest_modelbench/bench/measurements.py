"""Everything that a KPI of one gate may ask for, put together from the measurements by their subjects."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

from pytest_modelbench.bench.answers import Answers
from pytest_modelbench.bench.asking import Asking
from pytest_modelbench.bench.before import Before
from pytest_modelbench.bench.costs import Costs
from pytest_modelbench.bench.deciding import Deciding, SoFar
from pytest_modelbench.bench.deployments import Deployments
from pytest_modelbench.bench.kinds import taken_by_kind
from pytest_modelbench.bench.loads import Loads
from pytest_modelbench.bench.parities import parity_measured
from pytest_modelbench.bench.sharded import Sharded
from pytest_modelbench.bench.timings import Timings
from pytest_modelbench.bench.token_times import token_times
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.exports.options import ExportOptions
from pytest_modelbench.exports.steps import Exported
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes import kinds
from pytest_modelbench.probes.answers.distributions import Produced
from pytest_modelbench.probes.cost.energy import EnergyMeasurement
from pytest_modelbench.probes.kinds import Measurement, ProbeKind
from pytest_modelbench.probes.timing.engine import TimingMeasurement

COMPLETE = SoFar()


class GateMeasurements:
    """What a KPI of one gate may ask for (see `kpis.kpi.Measurements`), and its limits judged by it.

    Args:
        asking: the gate.
        so_far: measurements that are not complete, in the place of the complete ones.
    """

    def __init__(self, asking: Asking, so_far: SoFar = COMPLETE) -> None:
        self.asking = asking
        self._so_far = so_far
        deciding = Deciding(asking, self._growing)
        self._sharded = Sharded(asking)
        answers, costs = Answers(asking), Costs(asking, deciding)
        before = Before(asking, lambda other: GateMeasurements(other, so_far))
        self._answers, self._costs = answers, costs
        self._timings, self._loads = Timings(asking, deciding), Loads(asking, deciding)
        self._token_times = functools.partial(token_times, asking, deciding)
        self.has, self.model, self.data = asking.has, asking.model, asking.data
        self.outputs, self.predictions, self.transformed = answers.outputs, answers.predictions, answers.transformed
        self.changed_samples, self.variants = answers.changed_samples, answers.variants
        self.shape_mismatches, self.layer_ranges = answers.shape_mismatches, answers.layer_ranges
        self.signal_to_noise, self.first_nonfinite_layer = answers.signal_to_noise, answers.first_nonfinite_layer
        self.recorded, self.parameters, self.artefact = costs.recorded, costs.parameters, costs.artefact
        self.launch, self.cold_starts = costs.launch, costs.cold_starts
        self.launches_at_most, self.launches_teacher = costs.launches_at_most, costs.launches_teacher
        self.flops, self.profile, self.grid = costs.flops, costs.profile, costs.grid
        self.judged, self.settled = before.judged, before.settled
        self.worth_comparing_with = before.worth_comparing_with

    def _growing(self, gate: Assignment, so_far: SoFar) -> GateMeasurements:
        """Return the measurements of a gate with one among them that is not complete yet."""
        return GateMeasurements(self.asking.about(gate), so_far)

    def merged(self, question: Question) -> Summary | None:
        """Return what all parts of the data add to a question's evidence; None of data that are not in parts."""
        return self._sharded.merged(question)

    def of(self, kind: ProbeKind[Measurement], role: str) -> Measurement:
        """Return a model's measurement of a kind, taken once.

        A kind that measures several models in the same rounds, or what the test's body provides, is returned whole.

        Raises:
            MeasurementError: the bench does not know the kind, and it has no `take` function.
        """
        if kind.take or kind not in self.built_in:
            return taken_by_kind(self.asking, kind, role)
        return cast("Measurement", self.built_in[kind](role))

    @property
    def built_in(self) -> Mapping[ProbeKind[Any], Callable[[str], Any]]:
        """The kinds that the bench takes in a way of its own."""
        return {
            kinds.OUTPUTS: self.outputs,
            kinds.PREDICTIONS: self.predictions,
            kinds.STABILITY: self.variants,
            kinds.CORRUPTED: self._answers.corrupted,
            kinds.PARITY: lambda role: parity_measured(self.asking, role),
            kinds.PARAMETERS: self.parameters,
            kinds.ARTEFACT: self.artefact,
            kinds.LAUNCH: self.launch,
            kinds.FLOPS: self.flops,
            kinds.PROFILE: self.profile,
            kinds.ENERGY: lambda _: self.energy(),
            kinds.TIMING: lambda _: self.timing(),
            kinds.BENCHMARK: lambda _: self.timing(),
            kinds.LOAD: lambda _: self._so_far.load or self._loads.load(),
            kinds.CAPACITY: self._loads.capacity,
            kinds.TOKEN_TIMES: lambda _: self._so_far.token_times or self._token_times(),
            kinds.TOKEN_ENERGY: lambda _: self._so_far.energy or self._costs.token_energy(),
            kinds.COMPILED: lambda _: self.compiled_timing(),
            kinds.RECORD: lambda _: self.recorded(),
            kinds.EXPORT: self.exported,
            kinds.PRODUCTION: _not_here,
        }

    def timing(self) -> TimingMeasurement:
        """Return the timed measurement that the gate shares."""
        if self._so_far.timing is None:
            return self._timings.timing()
        return self._so_far.timing.against(self.asking.roles.get("teacher", "teacher"))

    def exported(self, role: str) -> list[Exported]:
        """Return the exports of a role's model to the formats that the gate names."""
        asking, options = self.asking, self.asking.gate.options
        exports = Deployments(asking.bench, asking.plan, asking.sources)
        role = asking.roles.get(role, role)
        return exports.exported(role, options["formats"], ExportOptions.of_gate(options, seed=asking.settings.seed))

    def energy(self) -> EnergyMeasurement:
        """Return windows of energy, which all energy gates of a student share."""
        return self._so_far.energy or self._costs.energy()

    def compiled_timing(self) -> TimingMeasurement:
        """Return the student, compiled, timed against itself as it is."""
        return self._so_far.compiled or self._timings.compiled_timing()


def _not_here(_role: str) -> Produced:
    raise NotApplicable("it is about production: `python -m pytest_modelbench monitor` judges recorded predictions")
