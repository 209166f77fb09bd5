"""The kinds of measurement as values: what each needs, and what its result depends on. Standard library only.

A KPI's row names its kind. No code compares names: each consequence of a kind is a field here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_modelbench.data.evaldata import EvalData
    from pytest_modelbench.exports.steps import Exported
    from pytest_modelbench.models.base import Artefact, Model, ParameterCount
    from pytest_modelbench.models.text import CacheSize
    from pytest_modelbench.probes.answers.corrupted import CorruptedPasses
    from pytest_modelbench.probes.answers.deployed import ParityMeasurement
    from pytest_modelbench.probes.answers.distributions import Produced
    from pytest_modelbench.probes.answers.meaning import Predictions
    from pytest_modelbench.probes.answers.predictions import Outputs
    from pytest_modelbench.probes.answers.stability import Variant
    from pytest_modelbench.probes.attacks.outcome import Assault
    from pytest_modelbench.probes.cost.energy import EnergyMeasurement
    from pytest_modelbench.probes.cost.flops import FlopCount
    from pytest_modelbench.probes.cost.launch import Launch
    from pytest_modelbench.probes.cost.recorded import Profile
    from pytest_modelbench.probes.load.measure import LoadMeasurement
    from pytest_modelbench.probes.tasks.measured import TaskAnswers
    from pytest_modelbench.probes.text.measured import Generations
    from pytest_modelbench.probes.text.measured_likelihood import ChoiceScores, Forced, Likelihoods, TopTokens
    from pytest_modelbench.probes.text.measured_next_tokens import NextTokens
    from pytest_modelbench.probes.text.measured_times import TokenTimes
    from pytest_modelbench.probes.timing.engine import TimingMeasurement

Measurement = TypeVar("Measurement")
Part = TypeVar("Part")


class Share(Protocol):
    """Measures a part that several measurements have in common."""

    def __call__(self, name: tuple[object, ...], options: tuple[str, ...], measure: Callable[[], Part]) -> Part:
        """Return what `measure` returns or has returned for this name and the values of these options."""


class Of(Protocol):
    """Returns measurements of other kinds."""

    def __call__(self, kind: ProbeKind[Measurement], role: str) -> Measurement:
        """Return a model's measurement of a kind that has a `take` function, taken once."""


def _none_of(kind: ProbeKind[Measurement], role: str) -> Measurement:
    raise LookupError(f"there is no measurement of the kind {kind} of the {role}")


def _by_itself(name: tuple[object, ...], options: tuple[str, ...], measure: Callable[[], Part]) -> Part:  # noqa: ARG001
    return measure()


@dataclass(frozen=True, kw_only=True)
class Taking:
    """Everything that the `take` function of a kind may use to measure one model.

    Attributes:
        model: the model to measure.
        data: the evaluation data; None if the kind has `needs_data=False`.
        options: the gate's measurement options by name.
        seed: for everything that is chosen at random.
        budget_s: the longest that a timed measurement may take, in seconds.
        device: the device that the model was asked to run on, such as "cuda"; None for its current one.
        beat: call it after each call of the model that returned: one that never returns is interrupted.
        role: whether the model is the `student` or the `teacher`.
        other: returns another model by its role, or None if there is none; only for kinds with `beside`.
        shared: returns what a function measures, which runs once for all measurements of the same model and data that
            agree in its name and in some options, given by their names.
        of: returns a model's measurement of another kind, by its role.
        recorded: whether a contract takes the teacher's place.
    """

    model: Model
    data: EvalData | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    budget_s: float = 60.0
    device: str | None = None
    beat: Callable[[], None] = lambda: None
    role: str = "student"
    other: Callable[[str], Model | None] = lambda role: None  # noqa: ARG005 - most kinds measure one model
    shared: Share = _by_itself
    of: Of = _none_of
    recorded: bool = False


@dataclass(frozen=True, kw_only=True)
class ProbeKind(Generic[Measurement]):
    """One kind of measurement.

    Attributes:
        name: its name in messages, keys and the plan.
        needs_data: whether evaluation data are read.
        timed: whether it is a comparison over time, whose looks the limits decide.
        exclusive: whether it needs the machine for itself.
        brackets: whether the ends of its intervals are tried values, of which one was proven and one refuted: they
            are compared as such, and errors do not add up.
        of_machine: whether its values depend on the machine, so that only ratios are compared across sessions.
        of_samples: whether its values depend on which samples are evaluated.
        of_inputs: whether its values depend on the size of the inputs.
        interleaved: whether the teacher, the previous student and the reference workload are measured in the same
            rounds as the student.
        own_rounds: whether pytest-benchmark times it in the body of the test.
        recorded: whether the body of the test records it.
        one_pass: whether it is taken from the one forward pass over the evaluation data.
        counted: whether it is counted or recorded, at no cost that the plan would state.
        least_windows: how many windows of energy are taken under any budget.
        apart: the plan's note on a measurement with separate passes or processes; "" for the others.
        cost: the function that tells from a gate's options what such a measurement comes to, for the plan, as
            "module:function"; "" where `apart` says all.
        budgeted: whether it ends by itself, with fewer samples, when the time of `--modelbench-budget` is over.
        keep: the function that writes what is worth keeping of a measurement into a folder and returns the
            measurement, as "module:function"; it is called where the user names a folder of artefacts.
        beside: whether a model is measured with the help of others: its measurement then depends on the teacher too.
        numeric: whether it reads answers as labels, scores or numbers, so that it does not fit generated text.
        depends_on: names of the gate's options that the measurement depends on; None for all. Gates that agree in
            those share it. A kind whose gates share by their set-up, such as timing, states none.
        take: the function that measures one model, as "module:function": it gets a `Taking` and returns the
            measurement. Empty for the kinds that the bench takes in a way of its own.
        pack: the function that turns a measurement into a mapping of names to numpy arrays, as "module:function", so
            that the workers of a parallel run can share it. Empty: each worker measures for itself.
        unpack: the reverse of `pack`, as "module:function".
        recordable: whether a contract holds the teacher's measurement in the form of `pack`, in the teacher's place.
        records: for a kind that needs both models, the recordable kind by which a contract takes the teacher's place:
            `Taking.recorded` says so then, and `Taking.of` returns it.
    """

    name: str
    needs_data: bool = True
    timed: bool = False
    exclusive: bool = False
    brackets: bool = False
    of_machine: bool = False
    of_samples: bool = False
    of_inputs: bool = False
    interleaved: bool = False
    own_rounds: bool = False
    recorded: bool = False
    one_pass: bool = False
    counted: bool = False
    least_windows: int = 0
    apart: str = ""
    cost: str = ""
    beside: bool = False
    numeric: bool = False
    depends_on: tuple[str, ...] | None = None
    budgeted: bool = False
    keep: str = ""
    take: str = ""
    pack: str = ""
    unpack: str = ""
    recordable: bool = False
    records: ProbeKind[Any] | None = None

    def __str__(self) -> str:
        return self.name


OUTPUTS: ProbeKind[Outputs] = ProbeKind(name="outputs", of_samples=True, one_pass=True, numeric=True)
PREDICTIONS: ProbeKind[Predictions] = ProbeKind(name="predictions", of_samples=True, one_pass=True, numeric=True)
STABILITY: ProbeKind[Sequence[Variant]] = ProbeKind(name="stability", of_samples=True, numeric=True)
CORRUPTED: ProbeKind[CorruptedPasses] = ProbeKind(
    name="corrupted",
    of_samples=True,
    numeric=True,
    apart="a pass over the samples for each corruption and severity",
    cost="pytest_modelbench.data.corruptions.names:cost_of",
)
PARITY: ProbeKind[ParityMeasurement] = ProbeKind(
    name="parity",
    of_samples=True,
    numeric=True,
    apart="a pass of the student and of its source for each batch size",
)
PARAMETERS: ProbeKind[ParameterCount] = ProbeKind(name="parameters", needs_data=False, counted=True)
ARTEFACT: ProbeKind[Artefact] = ProbeKind(name="artefact", needs_data=False, counted=True)
LAUNCH: ProbeKind[Launch] = ProbeKind(name="launch", of_inputs=True, apart="fresh processes, some seconds each")
FLOPS: ProbeKind[FlopCount] = ProbeKind(name="flops", of_inputs=True, apart="one call")
EXPORT: ProbeKind[Sequence[Exported]] = ProbeKind(
    name="export", of_samples=True, apart="one process for each format, some seconds to minutes"
)
PROFILE: ProbeKind[Sequence[Profile]] = ProbeKind(name="profile", of_inputs=True, apart="some calls")
ENERGY: ProbeKind[EnergyMeasurement] = ProbeKind(
    name="energy",
    exclusive=True,
    least_windows=8,
    of_machine=True,
    of_inputs=True,
    apart="three windows for each model, and idle ones",
)
TIMING: ProbeKind[TimingMeasurement] = ProbeKind(
    name="timing", timed=True, interleaved=True, exclusive=True, of_machine=True, of_inputs=True
)
_OF_LOADS = ("rate", "arrivals", "max_batch", "max_wait", "workers")
LOAD: ProbeKind[LoadMeasurement] = ProbeKind(
    name="load",
    exclusive=True,
    of_machine=True,
    of_inputs=True,
    depends_on=_OF_LOADS,
    apart="requests by a schedule, for up to the budget",
)
CAPACITY: ProbeKind[Mapping[float, LoadMeasurement]] = ProbeKind(
    name="capacity",
    exclusive=True,
    brackets=True,
    depends_on=(*_OF_LOADS, "within"),
    of_machine=True,
    of_inputs=True,
    apart="requests at the limit's rate and at lower ones, for up to the budget",
)
COMPILED: ProbeKind[TimingMeasurement] = ProbeKind(name="compiled", timed=True, exclusive=True, of_inputs=True)
BENCHMARK: ProbeKind[TimingMeasurement] = ProbeKind(
    name="benchmark", needs_data=False, of_machine=True, own_rounds=True
)
RECORD: ProbeKind[Mapping[str, float]] = ProbeKind(
    name="record", needs_data=False, of_samples=True, recorded=True, counted=True
)
PRODUCTION: ProbeKind[Produced] = ProbeKind(name="production", needs_data=False, counted=True)
GENERATIONS: ProbeKind[Generations] = ProbeKind(
    name="generations",
    of_samples=True,
    apart="one answer to each prompt",
    depends_on=(),
    take="pytest_modelbench.probes.text.generations:take",
    pack="pytest_modelbench.probes.text.packing:pack_generations",
    unpack="pytest_modelbench.probes.text.packing:unpack_generations",
    recordable=True,
)


def _likely(
    name: str, apart: str, *options: str, beside: bool = False, records: ProbeKind[Any] | None = None, cost: str = ""
) -> ProbeKind[Any]:
    return ProbeKind(
        name=name,
        of_samples=True,
        beside=beside,
        recordable=not beside,
        records=records,
        depends_on=options,
        apart=apart,
        cost=cost,
        take=f"pytest_modelbench.probes.text.{name}:take",
        pack="pytest_modelbench.probes.text.measured_likelihood:pack",
        unpack=f"pytest_modelbench.probes.text.measured_likelihood:unpack_{name}",
    )


LIKELIHOODS: ProbeKind[Likelihoods] = _likely(
    "likelihoods", "one call for each window of texts=", "window", "stride", "bos"
)
CHOICES: ProbeKind[ChoiceScores] = _likely("choices", "one call for each choice")
TOP_TOKENS: ProbeKind[TopTokens] = _likely(
    "top_tokens", "one call for each window of texts=", "window", "stride", "bos", "top_k"
)
FORCING: ProbeKind[Forced] = _likely(
    "forcing",
    "one call of both models for each text",
    *("window", "stride", "bos", "top_k"),
    beside=True,
    records=TOP_TOKENS,
    cost="pytest_modelbench.probes.text.forcing_cost:cost_of",
)

TOKEN_TIMES: ProbeKind[TokenTimes] = ProbeKind(
    name="token_times",
    exclusive=True,
    of_machine=True,
    of_inputs=True,
    depends_on=("tokens", "batch_size", "cache"),
    apart="prompts in turn, for up to the budget",
)
TOKEN_ENERGY: ProbeKind[EnergyMeasurement] = ProbeKind(
    name="token_energy",
    exclusive=True,
    least_windows=8,
    of_machine=True,
    of_inputs=True,
    apart="three windows for each model, and idle ones",
)
CACHE: ProbeKind[tuple[CacheSize, CacheSize]] = ProbeKind(
    name="cache",
    needs_data=False,
    counted=True,
    take="pytest_modelbench.probes.text.cache:take",
)
NEXT_TOKENS: ProbeKind[NextTokens] = ProbeKind(
    name="next tokens",
    of_samples=True,
    apart="one forward pass over each prompt",
    take="pytest_modelbench.probes.text.next_tokens:take",
)

TASK_ANSWERS: ProbeKind[TaskAnswers] = ProbeKind(
    name="task answers",
    of_samples=True,
    apart="one forward pass over the evaluation data",
    depends_on=(),
    take="pytest_modelbench.probes.tasks.answers:take",
    pack="pytest_modelbench.probes.tasks.measured:pack",
    unpack="pytest_modelbench.probes.tasks.measured:unpack",
    recordable=True,
)

OUTSIDE: ProbeKind[Mapping[str, Outputs]] = ProbeKind(
    name="outside",
    of_samples=True,
    numeric=True,
    apart="one forward pass over each set of ood=",
    take="pytest_modelbench.probes.answers.outside:take",
)


def _assault(name: str, what: str) -> ProbeKind[Assault]:
    return ProbeKind(
        name=name,
        of_samples=True,
        numeric=True,
        beside=True,
        budgeted=True,
        apart=what,
        cost=f"pytest_modelbench.probes.attacks.cost:{name}",
        take=f"pytest_modelbench.probes.attacks.assault:{name}",
        keep="pytest_modelbench.store.attacked_samples:keep",
    )


FGSM, PGD = _assault("fgsm", "one step along the gradient"), _assault("pgd", "steps= steps along the gradient")
ROBUSTNESS = _assault("robustness", "several attacks; those of fgsm and pgd run once")
TRANSFER = _assault("transfer", "steps= steps along the teacher's gradient")
