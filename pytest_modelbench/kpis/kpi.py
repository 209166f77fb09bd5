"""What a KPI is. Standard library only: the catalogue is read at collection, also when nothing is judged."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pytest_modelbench.errors import MeasurementError, cause_of, shown

if TYPE_CHECKING:
    from pytest_modelbench.data.evaldata import EvalData
    from pytest_modelbench.kpis.summary import Summary
    from pytest_modelbench.models.base import Artefact, ParameterCount
    from pytest_modelbench.probes.answers.layers import LayerRange
    from pytest_modelbench.probes.answers.meaning import Predictions
    from pytest_modelbench.probes.answers.predictions import Outputs
    from pytest_modelbench.probes.answers.stability import Variant
    from pytest_modelbench.probes.cost.carbon import Grid
    from pytest_modelbench.probes.cost.energy import EnergyMeasurement
    from pytest_modelbench.probes.cost.flops import FlopCount
    from pytest_modelbench.probes.cost.launch import Launch
    from pytest_modelbench.probes.cost.recorded import Profile
    from pytest_modelbench.probes.kinds import Measurement, ProbeKind
    from pytest_modelbench.probes.timing.engine import TimingMeasurement
    from pytest_modelbench.results import Evidence
    from pytest_modelbench.stats.cells import IntArray

SHARE = (0.0, 100.0)
NONNEGATIVE = (0.0, math.inf)
UNBOUNDED = (-math.inf, math.inf)
MEDIAN = 0.5
ROOM = "pytest_modelbench.kpis"
"""Where the functions are that derive our own KPIs."""


@dataclass(frozen=True, kw_only=True)
class Kpi:
    """A named quantity.

    Attributes:
        name: what a gate writes.
        pillar: the group of the table that it is in.
        unit: of its values; "" for plain numbers.
        better: "higher" or "lower".
        definition: what it is, in one phrase.
        method: how it is measured, and its interval.
        source: where the definition comes from.
        probe: the kind of measurement that it is derived from.
        derive: the function that derives it, as `module:function`, so that nothing heavy loads before a value is
            asked for. It gets a `Question` and `Measurements`, and yields one piece of `Evidence` for each look.
        statistic: which one it is, where the function derives several.
        bounds: the least and the greatest value.
        options: the measurement options of a gate, with their defaults.
        paired: whether it is only defined on both models.
        alone: whether it takes no limit that compares with the teacher.
        two_sided: whether its best value is between both ends, so that limits may point either way.
        reads_prompts: whether it is defined on prompts as well, though its kind is about numbers.
        reads_tasks: whether it is defined on boxes, masks and other answers beyond one label as well.
        report_only: whether it takes no limit.
        per_sample: whether it needs one label per sample: it fits no regression and no several labels.
        quantile: which quantile of the timed calls it is, from 0 to 1; None for other KPIs.
        from_rounds: whether the rounds that pytest-benchmark times can give it.
        depends_on_machine: whether its value depends on the machine, where that differs from its kind's.
        needs_grid: whether it needs the carbon intensity of a grid.
        percent: whether its limits may be in percent though it has no unit; 100% are 1.
        metric: what the user brought for a custom KPI.
        members: the function that reads a member's name, as `module:function`, for a KPI that counts a set; it raises
            `UsageMistake` for a name that it does not know. Such a KPI takes `includes NAME, NAME`.
        lists: the option that lists which members are looked for; the names of `includes` are added to it.
        checks: the function that checks options together with limits, as `module:function`; it gets the KPI, the
            options and the limits, and raises `UsageMistake`.
    """

    name: str
    pillar: str
    unit: str
    better: str
    definition: str
    method: str
    source: str
    probe: ProbeKind[Any]
    derive: str
    statistic: str = ""
    bounds: tuple[float, float] = NONNEGATIVE
    options: Mapping[str, Any] = field(default_factory=dict)
    paired: bool = False
    alone: bool = False
    two_sided: bool = False
    reads_prompts: bool = False
    reads_tasks: bool = False
    report_only: bool = False
    per_sample: bool = False
    quantile: float | None = None
    from_rounds: bool = False
    depends_on_machine: bool | None = None
    needs_grid: bool = False
    percent: bool = False
    metric: Any = None
    members: str = ""
    lists: str = ""
    checks: str = ""

    def check(self, options: Mapping[str, Any], limits: Sequence[Any]) -> None:
        """Check a gate's options together with its limits.

        Raises:
            UsageMistake: they cannot be measured.
        """
        module, _, name = self.checks.partition(":")
        if module:
            getattr(importlib.import_module(module), name)(self, options, limits)

    @property
    def member(self) -> Callable[[str], object] | None:
        """The function that reads a member's name; None if the KPI is not the size of a set."""
        module, _, name = self.members.partition(":")
        if not module:
            return None
        reader: Callable[[str], object] = getattr(importlib.import_module(module), name)
        return reader

    @property
    def timed(self) -> bool:
        """Whether the KPI comes from a timed measurement, whose looks its limits decide."""
        return self.probe.timed

    @property
    def of_machine(self) -> bool:
        """Whether the value depends on the machine, so that only ratios can be compared across sessions."""
        return self.probe.of_machine if self.depends_on_machine is None else self.depends_on_machine

    @property
    def of_samples(self) -> bool:
        """Whether the value depends on which samples are evaluated."""
        return self.probe.of_samples

    @property
    def of_inputs(self) -> bool:
        """Whether the value depends on the size of the inputs (cost KPIs)."""
        return self.probe.of_inputs

    @property
    def needs_data(self) -> bool:
        """Whether evaluation data are read."""
        return self.probe.needs_data

    def reads(self, task: str | None) -> bool:
        """Whether it is defined on the answers of a task that is not about labels and numbers."""
        defined = self.reads_prompts if task == "text" else self.reads_tasks
        return defined or self.metric is not None or not self.probe.numeric

    @property
    def corruptible(self) -> bool:
        """Whether it can also be judged on corrupted inputs, which `under=` names."""
        return self.probe.one_pass and self.pillar == "quality"

    @property
    def tail(self) -> bool:
        """Whether it is about rare slow calls, so that no call may be left out."""
        return self.quantile is not None and self.quantile != MEDIAN


class Measurements(Protocol):
    """What a session hands to a KPI; every measurement is taken once and remembered.

    `role` is `student` or `teacher`.
    """

    def has(self, role: str) -> bool:
        """Whether there is such a model; the teacher is not loaded for the question."""

    def merged(self, question: Question) -> Summary | None:
        """Return what all parts of the data add to a question's evidence; None of data that are not in parts."""

    def of(self, kind: ProbeKind[Measurement], role: str) -> Measurement:
        """Return a model's measurement of a kind; one of several models in the same rounds is returned whole."""

    def data(self) -> EvalData:
        """Return the evaluation data."""

    def outputs(self, role: str) -> Outputs:
        """Return a model's raw outputs over the data, from one pass."""

    def predictions(self, role: str) -> Predictions:
        """Return the same with their meaning."""

    def transformed(self, role: str) -> Predictions:
        """Return a model's predictions for inputs that the gate's `transform=` has changed."""

    def changed_samples(self, role: str) -> IntArray:
        """Return the positions of samples whose output a second run changes."""

    def variants(self, role: str) -> Sequence[Variant]:
        """Return what the other ways change that the gate's KPI asks the model in."""

    def shape_mismatches(self) -> Sequence[str]:
        """Return how the student's outputs do not fit batches and the teacher's outputs."""

    def layer_ranges(self, role: str) -> Sequence[LayerRange]:
        """Return the range of each layer's outputs for the gate's `dtype=`."""

    def signal_to_noise(self) -> Mapping[str, float]:
        """Return the signal-to-noise ratio of each layer that both models have, in dB."""

    def first_nonfinite_layer(self, role: str, index: IntArray) -> str | None:
        """Name the layer that first turns finite inputs into non-finite outputs, for some samples."""

    def parameters(self, role: str) -> ParameterCount:
        """Return a model's parameter counts."""

    def artefact(self, role: str) -> Artefact:
        """Return the size of what is deployed."""

    def timing(self) -> TimingMeasurement:
        """Return the timed measurement that this gate shares."""

    def launch(self, role: str, number: int = 0) -> Launch:
        """Return what loading and running a model takes of memory, in one of several fresh processes."""

    def launches_at_most(self) -> int:
        """Return how many of them the gate's limits are worth."""

    def launches_teacher(self) -> bool:
        """Whether some gate launches the teacher as well."""

    def cold_starts(self, count: int) -> Mapping[str, Sequence[Launch]]:
        """Return some launches of each model in cold processes, taken in turn."""

    def flops(self, role: str) -> FlopCount:
        """Return the operations of one forward pass of a model."""

    def energy(self) -> EnergyMeasurement:
        """Return windows of energy of the models that this gate compares."""

    def grid(self) -> Grid:
        """Return the carbon intensity that the options state."""

    def compiled_timing(self) -> TimingMeasurement:
        """Return the student, compiled, timed against itself as it is, in the teacher's place."""

    def profile(self, role: str) -> Sequence[Profile]:
        """Return profiles of a model's operators, one after the other."""

    def recorded(self) -> Mapping[str, float]:
        """Return what the test's body recorded, by role."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a KPI for one gate.

    `confidence` is that of each side; `asked` says that the user stated it, which makes a quality limit a
    non-inferiority test. `with_teacher` asks for the teacher's value and the comparison. `anchored` says that a limit
    rests on the teacher, which must then be better than a constant. `lenient` leaves out what does not fit, for
    ready-made suites.
    """

    kpi: Kpi
    options: Mapping[str, Any] = field(default_factory=dict)
    confidence: float = 0.95
    asked: bool = False
    with_teacher: bool = False
    anchored: bool = False
    lenient: bool = False
    seed: int = 0

    @property
    def alpha(self) -> float:
        """The error that one side may make."""
        return 1 - self.confidence


def derivation_of(kpi: Kpi) -> Any:
    """Return the function that derives a KPI, or the `Reduction` that does so in parts.

    Raises:
        MeasurementError: it cannot be imported.
    """
    module, _, name = kpi.derive.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        what = f"derive={kpi.derive!r} of the KPI {kpi.name}"
        raise MeasurementError(f"{what} cannot be imported: {cause_of(error)}") from error


def evidence_for(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Derive a KPI: one piece of evidence for each look at the data, in order."""
    pieces = derivation_of(question.kpi)(question, measurements)
    if not isinstance(pieces, Iterable):
        what = f"{question.kpi.derive} of the KPI {question.kpi.name}"
        raise MeasurementError(f"{what} returned {shown(pieces)}, expected it to yield Evidence")
    return (_within_bounds(question.kpi, _checked(question.kpi, evidence)) for evidence in pieces)


def _checked(kpi: Kpi, evidence: object) -> Evidence:
    """Refuse what an extension's derivation may yield by mistake."""
    from pytest_modelbench.results import Evidence

    if not isinstance(evidence, Evidence):
        raise MeasurementError(f"{kpi.derive} of the KPI {kpi.name} yielded {shown(evidence)}, expected Evidence")
    return evidence


def _within_bounds(kpi: Kpi, evidence: Evidence) -> Evidence:
    """Return evidence with its interval ends clipped to the KPI's bounds, which resampling may exceed."""
    low, high = kpi.bounds
    student, teacher = (
        reading and replace(reading, estimate=reading.estimate.within(low, high))
        for reading in (evidence.student, evidence.teacher)
    )
    comparison = evidence.comparison
    if comparison is not None and comparison.difference is not None:
        comparison = replace(comparison, difference=comparison.difference.within(low - high, high - low))
    return replace(evidence, student=student or evidence.student, teacher=teacher, comparison=comparison)
