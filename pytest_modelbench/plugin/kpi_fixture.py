"""The fixture `kpi`: a test's view of its gates."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbench.bench.session import Judged
from pytest_modelbench.bench.verdicts import Judgement
from pytest_modelbench.errors import MeasurementError, UsageMistake, shown
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.plugin.fixture_lookup import needed_by_fixtures, takes
from pytest_modelbench.plugin.items import plan_of, session_of, settings_of
from pytest_modelbench.plugin.sources import FixtureSources
from pytest_modelbench.plugin.stash import GATES
from pytest_modelbench.probes.timing.own_rounds import OwnRounds

if TYPE_CHECKING:
    from pytest_modelbench.probes.requests import Request
    from pytest_modelbench.results import Comparison, GateResult, Reading


class KpiAccess(FixtureSources):
    """A test's gates, from inside of its body.

    With one kpi marker the readings are attributes of the fixture; with several, `kpi["latency_p99"]` picks one.
    Asking for a value measures it, once for the session.
    """

    def __init__(self, request: pytest.FixtureRequest, gate: Assignment | None = None) -> None:
        super().__init__(request)
        self._gate = gate
        self._recorded: dict[str, dict[str, float]] = {}
        self._judged: set[str] = set()

    def __getitem__(self, name: str) -> KpiAccess:
        __tracebackhide__ = True
        gates = self._gates()
        for gate in gates:
            if gate.kpi.name == name:
                picked = KpiAccess(self._request, gate)
                picked._recorded, picked._judged = self._recorded, self._judged
                return picked
        raise UsageMistake(f"this test has no kpi {name!r}; it has {_names(gates)}")

    @property
    def student(self) -> Reading:
        """The student's reading: `.value`, `.unit`, `.estimate`, `.n`, `.method`."""
        __tracebackhide__ = True
        return self._evidence("student")[1].evidence.student

    @property
    def teacher(self) -> Reading:
        """The teacher's reading.

        Raises:
            MeasurementError: no limit needs the teacher, so it was not measured.
        """
        __tracebackhide__ = True
        kpi, judgement = self._evidence("teacher")
        if judgement.evidence.teacher is None:
            raise MeasurementError(f"the teacher was not measured for {kpi}: no limit needs it. Add a relative limit")
        return judgement.evidence.teacher

    @property
    def comparison(self) -> Comparison:
        """Student against teacher: `.ratio` (S/T) and `.difference` (S-T), each with its interval."""
        __tracebackhide__ = True
        kpi, judgement = self._evidence("comparison")
        if judgement.evidence.comparison is None:
            raise MeasurementError(f"{kpi} was not compared: no limit needs the teacher. Add a relative limit")
        return judgement.evidence.comparison

    def record(self, *, student: float, teacher: float | None = None, previous: float | None = None) -> None:
        """Record the values of a custom KPI, which the marker's limits then judge.

        Args:
            student: the student's value, in the unit that the marker states.
            teacher: the teacher's value, where a limit compares.
            previous: that of the student that ships today, where a limit is on `regression`.

        Raises:
            UsageMistake: the KPI is not one that is recorded, or a value is not a finite number.
        """
        __tracebackhide__ = True
        gate = self._one_gate([gate for gate in self._gates() if gate.kpi.probe.recorded] or self._gates())
        if not gate.kpi.probe.recorded:
            raise UsageMistake(f"{gate.kpi.name} is measured, not recorded. Give the custom KPI another name")
        if gate.kpi.name in self._judged:
            raise UsageMistake(f"kpi.record() of {gate.kpi.name} came after its value was read. Record first")
        values = {"student": student, "teacher": teacher, "previous": previous}
        numbers = {}
        for role, value in values.items():  # a comprehension would be a frame that pytest shows
            if value is not None or role == "student":
                numbers[role] = _number(gate.kpi.name, role, value)
        self._recorded[gate.kpi.name] = numbers

    def _gates(self) -> tuple[Assignment, ...]:
        gates: tuple[Assignment, ...] = self._request.node.stash.get(GATES, ())
        return gates

    def _one_gate(self, gates: tuple[Assignment, ...] | list[Assignment]) -> Assignment:
        __tracebackhide__ = True
        if self._gate is not None:
            return self._gate
        if not gates:
            raise UsageMistake("this test has no kpi marker. Write @pytest.mark.kpi('latency_p99', '<= 120 ms')")
        if len(gates) > 1:
            raise UsageMistake(
                f"this test has several KPIs. Pick one: kpi[{gates[0].kpi.name!r}]; it has {_names(gates)}"
            )
        return gates[0]

    def _evidence(self, wanted: str) -> tuple[str, Judgement]:
        __tracebackhide__ = True
        gate = self._one_gate(self._gates())
        if gate.kpi.probe.recorded and gate.kpi.name not in self._recorded:
            raise UsageMistake(f"kpi.{wanted} of {gate.kpi.name} was read before kpi.record(...)")
        result, judgement = self.judge(gate)
        if judgement is None:
            raise MeasurementError(f"{result.kpi}: {result.reason}")
        return result.kpi, judgement

    def judge(self, gate: Assignment) -> Judged:
        """Judge one of the item's gates; the plugin does this after the body."""
        node = self._request.node
        self._judged.add(gate.kpi.name)
        plan = plan_of(node)
        return session_of(self._request.config).judge(plan, gate, self)

    def judge_all(self, child: Request | None = None) -> list[GateResult]:
        """Judge all of the item's gates; in a process that only measures, those whose timing is asked for."""
        asked = [
            gate
            for gate in self._gates()
            if child is None
            or (gate.kpi.probe.interleaved and child.kind == gate.kpi.probe.name and str(gate.setup) == child.setup)
        ]
        return [self.judge(gate)[0] for gate in asked]

    def recorded(self, kpi: str) -> Mapping[str, float]:
        """Return what the body recorded; of a contract's session the fixture `student` is the teacher."""
        values, node = self._recorded.get(kpi, {}), self._request.node
        of_teacher = settings_of(node).record_contract and takes(node, "student")
        if of_teacher and "student" in values and not needed_by_fixtures(node, {"student", "student_model"}):
            return {"teacher": values["student"], **values}
        return values

    def own_rounds(self) -> OwnRounds:
        """Return what pytest-benchmark's fixture holds (see `session.Sources`)."""
        fixture = self._request.node.funcargs["benchmark"]
        stats = fixture.stats
        rounds = None if stats is None else list(stats.stats.data)
        return OwnRounds(seconds=rounds, iterations=1 if stats is None else stats.iterations, enabled=fixture.enabled)


def _names(gates: tuple[Assignment, ...] | list[Assignment]) -> str:
    return ", ".join(repr(gate.kpi.name) for gate in gates) or "none"


def _number(kpi: str, role: str, value: Any) -> float:
    __tracebackhide__ = True
    number = math.nan
    with contextlib.suppress(Exception):  # the user's own attributes, or an integer that no float can hold
        plain = value.item() if getattr(value, "shape", None) == () else value  # a scalar of NumPy or torch
        if isinstance(plain, Real) and not isinstance(plain, bool):
            number = float(plain)
    if not math.isfinite(number):
        raise UsageMistake(
            f"kpi.record({role}={shown(value)}) of {kpi}: expected a finite number, not a string, boolean or array"
        )
    return number
