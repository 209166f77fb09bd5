"""The assignment of a gate in a session: its use of the teacher, and the models measured alongside the student."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from pytest_modelbench.gates.gate import Gate, conditions_of
from pytest_modelbench.grammar.conditional import ConditionalLimit
from pytest_modelbench.grammar.limits import BoundLimit, bind_limit, parse_limit
from pytest_modelbench.settings import Settings


class TeacherUse(Enum):
    """What a gate uses of the teacher."""

    NONE = "nothing, or what no contract can hold"
    MODEL = "the model itself, measured beside the student"
    RECORDED_OUTPUTS = "its outputs or another measurement of it, from a contract"
    RECORDED_VALUE = "its value of the KPI, from a contract"
    BY_TEST = "the value that the test's body records"


@dataclass(frozen=True, kw_only=True)
class Assignment(Gate):
    """A gate in one session, made by `assign`.

    `teacher` says what is used of the teacher. `beside` names the other models that are measured beside the student:
    "previous", which limits on `regression` compare with, and "workload", the reference workload. `conditions` are
    those of the limits, in their order; `recorded` those that a contract records, while nothing is judged.
    """

    teacher: TeacherUse = TeacherUse.NONE
    beside: tuple[str, ...] = ()
    conditions: tuple[Assignment, ...] = ()
    recorded: tuple[Assignment, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """The roles measured alongside the student for this gate."""
        return ("teacher", *self.beside) if self.teacher is TeacherUse.MODEL else self.beside

    @property
    def with_teacher(self) -> bool:
        """Whether the KPI's evidence itself has the teacher's value."""
        return self.teacher in {TeacherUse.MODEL, TeacherUse.RECORDED_OUTPUTS, TeacherUse.BY_TEST}

    def condition(self, conditional: ConditionalLimit) -> Assignment:
        """Return what judges the condition of one of the limits."""
        return self.conditions[self.conditional_limits.index(conditional)]


@dataclass(frozen=True, kw_only=True)
class Known:
    """The models of an item in addition to the student: whether a teacher and a previous student are defined."""

    teacher: bool = False
    previous: bool = False


Earlier = Callable[[Gate], str | None]
"""Says what an earlier report measured a gate beside: "teacher", "workload" or None."""


def assign(gate: Gate, defined: Known, settings: Settings, earlier: Earlier | None = None) -> Assignment:
    """Return what a session makes of a gate.

    Args:
        gate: as written.
        defined: what is defined for its item.
        settings: that hold for its item.
        earlier: looks a gate up in the baseline; None without one.
    """
    if gate.kpi.probe.own_rounds:
        return assigned(gate)  # it timed one function, and nothing beside it
    workload = ("workload",) if gate.kpi.probe.interleaved else ()
    if settings.record_contract:
        recorded = tuple(assigned(replace(condition, limits=())) for condition in conditions_of(gate))
        return assigned(replace(gate, limits=()), beside=workload, recorded=recorded)
    limits = (*gate.limits, *_added(gate, settings.fail_on_regression))
    gate = replace(gate, limits=limits)
    previous = gate.regresses and defined.previous
    reported = gate.regresses and earlier is not None and not previous
    reference = _reference(gate, defined, settings, earlier if reported else None)
    shown = gate.ready_made and (defined.teacher or settings.contract is not None)
    if reference == "teacher":
        shown = defined.teacher and settings.contract is None
    return assigned(
        gate,
        by_contract=settings.contract is not None,
        shown=shown,
        beside=(*(("previous",) if previous else ()), *(workload if reference == "workload" else ())),
    )


def assigned(
    gate: Gate,
    *,
    by_contract: bool = False,
    shown: bool = False,
    beside: tuple[str, ...] = (),
    recorded: tuple[Assignment, ...] = (),
) -> Assignment:
    """Return a gate with its conditions, where everything about the session is known.

    Args:
        gate: with all of its limits.
        by_contract: whether the teacher's contract replaces the teacher.
        shown: whether the teacher's value is shown though no limit needs it.
        beside: the other models that are measured alongside the student.
        recorded: the conditions of its limits, while a contract is recorded.
    """
    return Assignment(
        **{name: getattr(gate, name) for name in ("kpi", "limits", "options", "confidence", "ready_made")},
        teacher=_teacher(gate, by_contract=by_contract, shown=shown),
        beside=beside,
        conditions=tuple(assigned(condition, by_contract=by_contract) for condition in conditions_of(gate)),
        recorded=recorded,
    )


def _teacher(gate: Gate, *, by_contract: bool, shown: bool) -> TeacherUse:
    if gate.kpi.probe.recorded:
        return TeacherUse.BY_TEST if gate.compares else TeacherUse.NONE
    if not (gate.kpi.paired or gate.compares or shown):
        return TeacherUse.NONE
    if not by_contract:
        return TeacherUse.MODEL
    if gate.from_predictions or gate.from_recording:
        return TeacherUse.RECORDED_OUTPUTS
    return TeacherUse.NONE if gate.kpi.paired else TeacherUse.RECORDED_VALUE


def _added(gate: Gate, regression: str | None) -> tuple[BoundLimit, ...]:
    """Return the limit that `--modelbench-fail-on-regression` adds to a gate that has none on regression."""
    kpi = gate.kpi
    if not regression or kpi.report_only or kpi.unit == "tier" or kpi.members or gate.regresses:
        return ()
    return (
        bind_limit(
            parse_limit(regression),
            kpi=kpi.name,
            unit=kpi.unit,
            better=kpi.better,
            bounds=kpi.bounds,
            source="fail-on-regression",
        ),
    )


def _reference(gate: Gate, defined: Known, settings: Settings, earlier: Earlier | None) -> str:
    """Return what a value of this machine is measured beside for other sessions: "teacher", "workload" or "".

    Args:
        gate: with all of its limits.
        defined: what is defined for its item.
        settings: that hold for its item.
        earlier: looks the gate up in the baseline, where it is compared with that.
    """
    by_contract, kind = settings.contract is not None, settings.reference
    if by_contract and kind == "workload":
        return "workload"
    if not gate.kpi.of_machine or (earlier is None and not settings.save_baseline):
        return ""
    if kind is None and earlier is not None:
        kind = earlier(gate)
    if kind is None:
        kind = "teacher" if defined.teacher and not by_contract else "workload"
    return kind if gate.kpi.probe.interleaved else "teacher"


def needs(gate: Gate) -> tuple[bool, bool]:
    """Return whether a gate needs evaluation data, and the teacher itself, unless a contract replaces it."""
    plain = assigned(gate)
    asked = (plain, *plain.conditions)
    return (
        any(assignment.kpi.needs_data for assignment in asked),
        any(assignment.teacher is TeacherUse.MODEL for assignment in asked),
    )
