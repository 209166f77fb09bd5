"""From what a marker says to a gate: one KPI with its limits and measurement options."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_modelbench.data.treatment import BINS_EXPECTED, MISSING, are_bins, is_missing_word
from pytest_modelbench.errors import LimitSyntaxError, UsageMistake, shown
from pytest_modelbench.grammar.conditional import ConditionalLimit, read_conditional
from pytest_modelbench.grammar.directions import is_reversed, refuse_reversed
from pytest_modelbench.grammar.limits import BoundLimit, bind_limit, parse_limit
from pytest_modelbench.grammar.option_values import CONFIDENCE, Number
from pytest_modelbench.grammar.tiers import unknown_tier
from pytest_modelbench.grammar.units import dimension_of, parse_quantity
from pytest_modelbench.kpis.catalogue import find_kpi, name_of
from pytest_modelbench.kpis.kpi import Kpi, Question

AVERAGES = ("macro", "micro", "weighted", "binary")
DEFAULT_CONFIDENCE = 0.95
DTYPES = ("float16", "bfloat16", "float32", "float64")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _are_names(value: Any) -> bool:
    several = isinstance(value, list | tuple)
    return all(map(_is_text, value)) and bool(value) if several else _is_text(value)


COUNT = Number(least=1, most=10_000_000, whole=True)
PROCESSES = Number(least=1, most=1000, whole=True)
_WHOLE = (COUNT.fits, COUNT.expected)
_TRUTH = (_is_bool, "True or False")
OPTIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "confidence": (CONFIDENCE.fits, CONFIDENCE.expected),
    "batch_size": _WHOLE,
    "processes": (PROCESSES.fits, "an integer from 2 to 1,000, or 1 for none"),
    "memory": (lambda _: True, ""),
    "allow_estimated": _TRUTH,
    "allow_weak_teacher": _TRUTH,
    "compile": _TRUTH,
    "headroom": (lambda v: _is_number(v) and 1 <= v < 100, "a factor of at least 1, such as 1.2"),
    "key": (_is_text, "a string: an entry of the metric's result"),
    "inputs": (lambda v: v in {"labels", "scores"}, "'labels' or 'scores': what the metric receives"),
    "average": (lambda v: v in AVERAGES, f"one of {', '.join(AVERAGES)}"),
    "min_n": _WHOLE,
    "depth": _WHOLE,
    "samples": _WHOLE,
    "feature": (_are_names, "the name of a sensitive feature of the data, a list of several, or 'each'"),
    "control": (_is_text, "the name of a sensitive feature of the data"),
    "missing": (is_missing_word, f"one of {', '.join(MISSING)}"),
    "bins": (lambda v: v is not None and are_bins(v), BINS_EXPECTED),
    "positive": (lambda v: isinstance(v, str | int), "a class: the one whose rate is compared"),
    "output": (lambda v: isinstance(v, str | int), "a class: the one whose probability is to move"),
    "dtype": (lambda v: v in DTYPES, f"one of {', '.join(DTYPES)}"),
    "transform": (
        lambda v: callable(v) or (_is_text(v) and ":" in v),
        "a function that takes a batch of inputs and returns another, or 'module:function'",
    ),
    "tolerance": (lambda v: _is_number(v) and 0 <= v < math.inf, "a number of at least 0"),
    "sign": (lambda v: _is_number(v) and v in {1, -1}, "1 (the value may only rise) or -1 (it may only fall)"),
}
"""Every measurement option: the check of its value, and the words of its error message."""


class TimingSetup(NamedTuple):
    """What a timed gate's measurement options say.

    `batch_size` is None where the best of a sweep is meant, within `memory` (bytes as text, or None: half of what is
    available). `processes` is the number of fresh processes, 1 for none. `compile` times what torch.compile makes of
    the models.
    """

    batch_size: int | None = 1
    memory: str | None = None
    processes: int = 1
    compile: bool = False

    @property
    def memory_bytes(self) -> float | None:
        """The memory bound in bytes."""
        return None if self.memory is None else parse_quantity(self.memory).to("B")

    def __str__(self) -> str:
        within = f" within {self.memory}" if self.memory else ""
        size = f"batch size {self.batch_size}" if self.batch_size else f"best batch size{within}"
        compiled = ", compiled" if self.compile else ""
        return size + (f", {self.processes} processes" if self.processes > 1 else "") + compiled


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One KPI with its limits, as one item asks for it.

    `confidence` is None where the user stated none; timed limits then use 0.95, quality limits judge the point.
    `ready_made` gates come from a suite: they do not apply where they do not fit. `shows_teacher` asks for the
    teacher's value though no limit needs it. `previous` says that there is a previous student, which limits on
    `regression` then compare with; `workload` that the reference workload is timed beside the student. `by_contract`
    says that the teacher is not there, only its contract. `recorded` are conditions of limits, while a contract is
    recorded and nothing is judged.
    """

    kpi: Kpi
    limits: tuple[BoundLimit | ConditionalLimit, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    confidence: float | None = None
    ready_made: bool = False
    shows_teacher: bool = False
    previous: bool = False
    workload: bool = False
    by_contract: bool = False
    recorded: tuple[Gate, ...] = ()

    @property
    def regresses(self) -> bool:
        """Whether a limit compares with the previous student, or with a baseline."""
        return any(limit.regresses for limit in self.limits)

    @property
    def others(self) -> tuple[str, ...]:
        """The roles that stand beside the student in a measurement for this gate."""
        asked = (("teacher", self.needs_teacher), ("previous", self.previous), ("workload", self.workload))
        return tuple(role for role, wanted in asked if wanted)

    @property
    def compares(self) -> bool:
        """Whether a limit compares with the teacher's value."""
        return any(limit.needs_teacher for limit in self.limits)

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher itself must be loaded; a test that records values brings the teacher's along."""
        return not self.by_contract and self._asks_teacher and not self.kpi.probe.recorded

    @property
    def _asks_teacher(self) -> bool:
        return self.kpi.paired or self.compares or self.shows_teacher

    @property
    def from_predictions(self) -> bool:
        """Whether the recorded outputs of a teacher are all that is needed of it."""
        return self.kpi.probe.one_pass and "transform" not in self.options

    @property
    def with_teacher(self) -> bool:
        """Whether the KPI's evidence itself has the teacher's value."""
        if self.kpi.probe.recorded:
            return self.compares
        return self.needs_teacher or (self.by_contract and self.from_predictions and self._asks_teacher)

    @property
    def beside_contract(self) -> bool:
        """Whether the teacher's value is added from its contract."""
        return self.by_contract and self._asks_teacher and not self.with_teacher and not self.kpi.paired

    @property
    def setup(self) -> TimingSetup:
        """How a timed gate is measured; gates with equal set-ups share a measurement."""
        return TimingSetup(**{name: self.options[name] for name in TimingSetup._fields if name in self.options})

    @property
    def conditional_limits(self) -> tuple[ConditionalLimit, ...]:
        """The limits that depend on a condition."""
        return tuple(limit for limit in self.limits if isinstance(limit, ConditionalLimit))

    @property
    def conditions(self) -> tuple[Gate, ...]:
        """The conditions of the limits, each as a gate of its own KPI with that KPI's default options."""
        return tuple(
            condition_gate(conditional, by_contract=self.by_contract) for conditional in self.conditional_limits
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """The limits as texts."""
        return tuple(str(limit) for limit in self.limits)

    @property
    def told_options(self) -> dict[str, Any]:
        """The measurement options for reports: functions by their names; what only allows something is left out."""
        return {
            name: name_of(value) if callable(value) else value
            for name, value in self.options.items()
            if name != "allow_weak_teacher"
        }

    @property
    def _rests_on_teacher(self) -> bool:
        return self.compares or (self.kpi.paired and bool(self.limits))

    def question(self, *, with_teacher: bool, seed: int) -> Question:
        """Return what is asked of the KPI."""
        return Question(
            kpi=self.kpi,
            options=self.options,
            confidence=self.confidence or DEFAULT_CONFIDENCE,
            asked=self.confidence is not None,
            with_teacher=with_teacher,
            anchored=self._rests_on_teacher and self.options.get("allow_weak_teacher") is False,
            lenient=self.ready_made,
            seed=seed,
        )


def condition_gate(conditional: ConditionalLimit, *, by_contract: bool = False) -> Gate:
    """Return the gate that judges a conditional limit's condition."""
    kpi, _ = find_kpi(conditional.kpi, {})
    options = {name: value for name, value in kpi.options.items() if name != "confidence"}
    return Gate(kpi=kpi, limits=(conditional.when,), options=options, by_contract=by_contract)


def read_gate(
    args: Sequence[Any], keywords: Mapping[str, Any], confidence: float | None = None, source: str = "marker"
) -> Gate:
    """Read `kpi(name, *limits, **options)`.

    Args:
        args: the KPI's name and the limits' texts.
        keywords: measurement options; `better`, `unit`, `metric` for a custom KPI.
        confidence: the ini file's, for gates that state none.
        source: where it is written.

    Raises:
        UsageMistake: anything that cannot be understood; the message starts with the KPI where it is known.
    """
    if not args or not isinstance(args[0], str):
        found = f"found {shown(args[0])}" if args else "found nothing"
        raise UsageMistake(f"a kpi marker starts with the KPI's name, {found}. Write kpi('latency_p99', '<= 120 ms')")
    name = args[0]
    measuring = {key: value for key, value in keywords.items() if key != "allow_reversed"}
    kpi, options = find_kpi(name, measuring)
    try:
        checked = {**kpi.options, **_checked_options(options)}
        limits = tuple(_read_limit(text, kpi, source) for text in args[1:])
        _refuse_impossible(kpi, limits)
        _check_directions(kpi, limits, allowed=keywords.get("allow_reversed", False))
    except UsageMistake as mistake:
        raise UsageMistake(f"kpi {shown(name)}: {mistake}") from mistake
    stated = checked.pop("confidence", None)
    fallback = confidence if "confidence" in kpi.options else None
    return Gate(kpi=kpi, limits=limits, options=checked, confidence=stated if stated is not None else fallback)


def _read_limit(text: str, kpi: Kpi, source: str) -> BoundLimit | ConditionalLimit:
    def bind(limit: str, of: Kpi = kpi) -> BoundLimit:
        parsed = parse_limit(limit)
        if of.paired and parsed.subject not in {"", "regression"}:
            raise UsageMistake(_compares_already(str(parsed), of))
        return bind_limit(parsed, kpi=of.name, unit=of.unit, better=of.better, bounds=of.bounds, source=source)

    def bind_other(name: str, limit: str) -> BoundLimit:
        other, _ = find_kpi(name, {})
        bound = bind(limit, other)
        _refuse_impossible(other, (bound,))
        if bound.regresses:
            raise UsageMistake(
                f"{text!r}: a condition is about the student and its teacher, not about regression. Write two gates"
            )
        if kpi.timed and other.timed:
            raise UsageMistake(
                f"{text!r}: a condition on a timed KPI is for limits on untimed ones, and {kpi.name} is timed. "
                "Write two gates"
            )
        return bound

    try:
        return read_conditional(text, bind, bind_other) or bind(text)
    except LimitSyntaxError as error:
        if kpi.unit == "tier":
            raise UsageMistake(f"{text!r}: {unknown_tier(text.strip(' <>='))}. Write '<= T4'") from error
        raise


def _checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in options.items():
        if not _fits(name, value):
            raise UsageMistake(f"{name}={shown(value)}, expected {OPTIONS[name][1]}")
        if name == "memory":
            _check_memory(value)
    if options.get("batch_size") is not None and "memory" in options:
        raise UsageMistake(
            "memory= bounds a search for the best batch size, and batch_size= names one. Write one of them"
        )
    return dict(options)


def _fits(name: str, value: Any) -> bool:
    """Whether an option takes a value; an object of the user's may raise where it is compared."""
    try:
        return bool(OPTIONS[name][0](value))
    except Exception:  # noqa: BLE001 - the user's own __eq__, __lt__ or __hash__
        return False


def _compares_already(limit: str, kpi: Kpi) -> str:
    example = "95%" if kpi.unit == "%" else f"5 {kpi.unit}".strip()
    return (
        f"'{limit}': {kpi.name} compares student and teacher already. Write a limit on its value, such as "
        f"'{'>=' if kpi.better == 'higher' else '<='} {example}'"
    )


def _check_memory(value: Any) -> None:
    expected = f"memory={shown(value)}, expected a string such as '512 MB' or '2 GiB'"
    if not isinstance(value, str):
        raise UsageMistake(expected)
    try:
        quantity = parse_quantity(value)
    except UsageMistake as mistake:
        raise UsageMistake(f"{expected}: {mistake}") from mistake
    if dimension_of(quantity.unit) != dimension_of("B") or quantity.value <= 0:
        raise UsageMistake(expected)


def _all_bounds(given: Sequence[BoundLimit | ConditionalLimit]) -> list[BoundLimit]:
    return [
        bound for limit in given for bound in (limit.branches if isinstance(limit, ConditionalLimit) else (limit,))
    ]


def _check_directions(kpi: Kpi, given: Sequence[BoundLimit | ConditionalLimit], *, allowed: object) -> None:
    """Refuse limits that a better student breaks; the condition of one demands nothing and may point anywhere."""
    limits = _all_bounds(given)
    if not isinstance(allowed, bool):
        raise UsageMistake(f"allow_reversed={shown(allowed)}, expected True or False")
    if allowed and not any(is_reversed(bound, kpi.better) for bound in limits):
        raise UsageMistake("allow_reversed=True, and no better student would break these limits. Remove it")
    for bound in () if allowed else limits:
        refuse_reversed(bound, kpi.name, kpi.better)


def _refuse_impossible(kpi: Kpi, given: Sequence[BoundLimit | ConditionalLimit]) -> None:
    limits = _all_bounds(given)
    if kpi.report_only and limits:
        raise UsageMistake(
            f"{limits[0].limit}: this KPI is for the report only and takes no limit. Write kpi({kpi.name!r})"
        )
    compares = next((limit.limit for limit in limits if limit.needs_teacher), None)
    if kpi.alone and compares is not None:
        example = "'>= 1.2x'" if kpi.unit == "x" else "'== 0'"
        raise UsageMistake(
            f"'{compares}': {kpi.name} is not compared with the teacher's. Write a limit on its value, such as "
            f"{example}"
        )
    if kpi.timed and any(limit.limit.op == "==" for limit in limits):
        raise UsageMistake("'==' can never be proven for a timed KPI. Write '<=' and '>='")
    plain = [limit for limit in given if isinstance(limit, BoundLimit)]
    for measure in {limit.measure for limit in plain}:
        same = [limit for limit in plain if limit.measure == measure]
        low = max((limit.threshold for limit in same if limit.limit.op in {">=", ">", "=="}), default=-math.inf)
        high = min((limit.threshold for limit in same if limit.limit.op in {"<=", "<", "=="}), default=math.inf)
        if low > high:
            raise UsageMistake(f"{' and '.join(repr(str(limit.limit)) for limit in same)} can never hold together")


def closest(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Keep one gate for each KPI, the first, and restore the order in which they are written.

    Args:
        gates: the closest marker's first, as `iter_markers` gives them.
    """
    kept: dict[str, Gate] = {}
    for gate in gates:
        kept.setdefault(gate.kpi.name, gate)
    return tuple(reversed(kept.values()))


def gate_needs(args: Sequence[Any], keywords: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether a marker needs evaluation data and the teacher, without refusing anything.

    Fixtures are asked for before mistakes are reported; a marker that cannot be read needs neither.
    """
    try:
        gate = read_gate(args, keywords)
    except UsageMistake:
        return False, False
    asked = (gate, *gate.conditions)
    return any(one.kpi.needs_data for one in asked), any(one.needs_teacher for one in asked)
