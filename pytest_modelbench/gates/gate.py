"""What a kpi marker says: one KPI with its limits and measurement options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_modelbench.data.corruptions.names import Cell, Corruption
from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.grammar.conditional import ConditionalLimit
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.grammar.units import parse_quantity
from pytest_modelbench.kpis.catalogue import find_kpi, name_of
from pytest_modelbench.kpis.kpi import Kpi, Question
from pytest_modelbench.models.named import NamedSpec

DEFAULT_CONFIDENCE = 0.95


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
    """One KPI with its limits, as a marker asks for it (see `Assignment` for what a session makes of it).

    `confidence` is None where the user stated none; timed limits then use 0.95, quality limits judge the point.
    `ready_made` gates come from a suite: they do not apply where they do not fit.
    """

    kpi: Kpi
    limits: tuple[BoundLimit | ConditionalLimit, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    confidence: float | None = None
    ready_made: bool = False

    @property
    def regresses(self) -> bool:
        """Whether a limit compares with the previous student, or with a baseline."""
        return any(limit.regresses for limit in self.limits)

    @property
    def compares(self) -> bool:
        """Whether a limit compares with the teacher's value."""
        return any(limit.needs_teacher for limit in self.limits)

    @property
    def from_predictions(self) -> bool:
        """Whether the recorded outputs of a teacher are all that is needed of it."""
        return self.kpi.probe.one_pass and not {"transform", "under"} & set(self.options)

    @property
    def from_recording(self) -> bool:
        """Whether a recorded measurement of the teacher is all that is needed of it."""
        probe = self.kpi.probe
        return (probe.recordable or probe.records is not None) and not self.kpi.of_machine

    @property
    def setup(self) -> TimingSetup:
        """How a timed gate is measured; gates with equal set-ups share a measurement."""
        return TimingSetup(**{name: self.options[name] for name in TimingSetup._fields if name in self.options})

    @property
    def conditional_limits(self) -> tuple[ConditionalLimit, ...]:
        """The limits that depend on a condition."""
        return tuple(limit for limit in self.limits if isinstance(limit, ConditionalLimit))

    @property
    def targets(self) -> tuple[str, ...]:
        """The limits as texts."""
        return tuple(str(limit) for limit in self.limits)

    @property
    def told_options(self) -> dict[str, Any]:
        """The measurement options for reports: functions by their names; what only allows something is left out."""
        return {name: _told(value) for name, value in self.options.items() if name != "allow_weak_teacher"}

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


def _told(value: Any) -> Any:
    if isinstance(value, NamedSpec):
        return value.spec
    if isinstance(value, Corruption | Cell):
        return str(value)
    if isinstance(value, tuple):
        return [_told(one) for one in value]
    return name_of(value) if callable(value) else value


def conditions_of(gate: Gate) -> tuple[Gate, ...]:
    """Return the conditions of a gate's limits, each as a gate of its own KPI with that KPI's default options."""
    return tuple(_condition(conditional) for conditional in gate.conditional_limits)


def _condition(conditional: ConditionalLimit) -> Gate:
    kpi, _ = find_kpi(conditional.kpi, {})
    options = {name: value for name, value in kpi.options.items() if name != "confidence"}
    return Gate(kpi=kpi, limits=(conditional.when,), options=with_members(kpi, [conditional.when], options))


def with_members(kpi: Kpi, limits: Sequence[BoundLimit], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a gate's options with the names of its limits `includes` among the members that are looked for.

    Args:
        kpi: of the gate; the options of one that does not count a set are returned as they are.
        limits: of the gate, with the branches of those that depend on a condition.
        options: its measurement options.

    Raises:
        UsageMistake: a name is unknown, there is none, or fewer than a limit asks for.
    """
    if kpi.member is None:
        return dict(options)
    stated = options.get(kpi.lists) or ()
    stated = (stated,) if isinstance(stated, str) else stated
    names = dict.fromkeys([*(str(kpi.member(name)) for name in stated), *named_members(limits)])
    if not names:
        raise UsageMistake(f"nothing says what is looked for. Write 'includes NAME' or {kpi.lists}=['NAME']")
    for bound in limits:
        least = bound.threshold if bound.limit.op in {">=", "=="} else bound.threshold + 1
        if bound.measure == "value" and not bound.is_upper and least > len(names):
            raise UsageMistake(
                f"'{bound.limit}' can never hold: {kpi.lists}= and 'includes' name {len(names)}: {', '.join(names)}"
            )
    return {**options, kpi.lists: tuple(names)}


def named_members(limits: Sequence[BoundLimit]) -> tuple[str, ...]:
    """Return the names of the limits `includes`, each once."""
    return tuple(dict.fromkeys(name for bound in limits for name in bound.limit.names))


def closest(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Keep one gate for each KPI, the first, and restore the order in which they are written.

    Args:
        gates: the closest marker's first, as `iter_markers` gives them.
    """
    kept: dict[str, Gate] = {}
    for gate in gates:
        kept.setdefault(gate.kpi.name, gate)
    return tuple(reversed(kept.values()))
