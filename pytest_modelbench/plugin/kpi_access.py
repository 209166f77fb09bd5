"""A test's view of its gates, and where one item's models and data come from."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession, Judged
from pytest_modelbench.bench.verdicts import Judgement
from pytest_modelbench.data.evaldata import with_reading
from pytest_modelbench.errors import (
    MeasurementError,
    ModelbenchError,
    ModelError,
    NotApplicable,
    Skipped,
    UsageMistake,
    cause_of,
    message_of,
    shown,
)
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.plugin.fixture_lookup import home_of, needed_by_fixtures, place_of, takes
from pytest_modelbench.plugin.parametrisation import brings_models, cases_for, defined_for, named_for, student_label
from pytest_modelbench.plugin.stash import GATES, LABEL, PLAN, SETTINGS, STATE
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.baseline import without_student

if TYPE_CHECKING:
    from pytest_modelbench.data.edge_cases import EdgeCase
    from pytest_modelbench.models.base import Model
    from pytest_modelbench.probes.requests import Request
    from pytest_modelbench.results import Comparison, GateResult, Reading


ONLY_CONTRACT = "it needs the teacher itself, and this session has only its contract"


class Undefined:
    """Stands for a model or data that nobody defined; only using it is an error."""

    def __init__(self, fixture: str, option: str) -> None:
        self.fixture = fixture
        self.option = option

    def missing(self) -> UsageMistake:
        """Return the error that says what to define."""
        return UsageMistake(
            f"{self.fixture} is not defined: there is only the plugin's placeholder. Override it in conftest.py with "
            f'@pytest.fixture(scope="session"), give {self.option} module:factory, or name it in modelbench.toml'
        )


def plan_of(item: pytest.Item) -> ItemPlan:
    """Return what an item asks for, as collection read it; found once, for every hook asks."""
    known = item.stash.get(PLAN, None)
    if known is None or known.gates is not item.stash[GATES]:
        known = item.stash[PLAN] = _plan_of(item)
    return known


def _plan_of(item: pytest.Item) -> ItemPlan:
    return ItemPlan(
        nodeid=item.nodeid,
        student=item.stash[LABEL],
        gates=item.stash[GATES],
        settings=settings_of(item),
        home=home_of(item, named_for(item, item.config.stash[STATE].settings)),
        origin=place_of(item) if brings_models(item) else "",
        test=without_student(item.nodeid, student_label(item)),
    )


def settings_of(item: pytest.Item) -> Settings:
    """Return the settings that hold for an item: those of its modelbench.toml, or the session's."""
    return item.stash.get(SETTINGS, item.config.stash[STATE].settings)


def session_of(config: pytest.Config) -> BenchSession:
    """Return the session that `--modelbench` started."""
    return config.stash[STATE].session


def resolve(config: pytest.Config, found: Any) -> Any:
    """Return what a fixture gave, building what the command line named.

    Raises:
        UsageMistake: nobody defined it.
        ModelError: the factory raised.
    """
    if isinstance(found, Undefined):
        raise found.missing()
    if not isinstance(found, NamedSpec):
        return found
    from pytest_modelbench.models.locate import build, locate

    folder = Path(config.invocation_params.dir)
    key = ("spec", found.spec, found.folder or str(folder), found.reading)

    def made() -> Any:
        built = build(locate(found, folder))
        return with_reading(built, dict(found.reading)) if found.reading else built

    return session_of(config).once(key, made)


def adapted(request: pytest.FixtureRequest, found: Any, name: str) -> Model:
    """Return the model of the fixtures `teacher` and `student`."""
    if settings_of(request.node).record_contract:
        found, name = KpiAccess(request).candidate("teacher"), "teacher"
    candidate = resolve(request.config, found)
    return session_of(request.config).model(candidate, name, settings_of(request.node))


def edge_case_of(request: pytest.FixtureRequest) -> EdgeCase:
    """Return the edge case that the item's parameter names, made once for the session.

    It knows the teacher, where somebody defined one, and asks for it only when a check needs to.
    """
    from pytest_modelbench.data.edge_cases import input_range, make_case

    name, item, session = str(request.param), request.node, session_of(request.config)
    sources = KpiAccess(request)
    data = session.eval_data(sources.data())
    seen = session.once(("input range", data.key), lambda: input_range(data))
    own = cases_for(item).get(name)

    def teacher() -> Model | None:
        if not sources.has("teacher"):
            return None
        return session.model(sources.candidate("teacher"), "teacher", settings_of(item))

    try:
        return make_case(name, data, seen, teacher, own)
    except NotApplicable as reason:
        pytest.skip(str(reason))


def given_for(item: pytest.Item, fixture: str) -> NamedSpec | None:
    """Return the teacher or the data that the command line or the item's modelbench.toml names, if any."""
    given = named_for(item, item.config.stash[STATE].settings).get(fixture, ())
    return given[0] if len(given) == 1 else None


class KpiAccess:
    """A test's gates, from inside of its body.

    With one kpi marker the readings are attributes of the fixture; with several, `kpi["latency_p99"]` picks one.
    Asking for a value measures it, once for the session.
    """

    def __init__(self, request: pytest.FixtureRequest, gate: Assignment | None = None) -> None:
        self._request = request
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
            UsageMistake: the KPI is not one that is recorded, or a value is no finite number.
        """
        __tracebackhide__ = True
        gate = self._one_gate([gate for gate in self._gates() if gate.kpi.probe.recorded] or self._gates())
        if not gate.kpi.probe.recorded:
            raise UsageMistake(f"{gate.kpi.name} is measured, not recorded. Give the custom KPI another name")
        if gate.kpi.name in self._judged:
            raise UsageMistake(f"kpi.record() of {gate.kpi.name} came after its value was read. Record first")
        given = {"student": student, "teacher": teacher, "previous": previous}
        numbers = {}
        for role, value in given.items():  # a comprehension would be a frame that pytest shows
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

    def candidate(self, role: str) -> Any:
        """Return the object that the user's fixture or factory provides for a role (see `session.Sources`).

        Raises:
            NotApplicable: it is the teacher, and the session only has its contract.
        """
        if role == "teacher" and session_of(self._request.config).contract is not None:
            raise NotApplicable(ONLY_CONTRACT)
        return resolve(self._request.config, self._value(f"{role}_model"))

    def has(self, role: str) -> bool:
        """Whether `candidate` has the model of a role: not the teacher's where its contract takes its place."""
        node, session = self._request.node, session_of(self._request.config)
        if role == "teacher" and session.contract is not None:
            return False
        return defined_for(node, f"{role}_model", node.config.stash[STATE].settings)

    def data(self) -> Any:
        """Return the object that the user's fixture or factory provides as evaluation data."""
        return resolve(self._request.config, self._value("eval_data"))

    def recorded(self, kpi: str) -> Mapping[str, float]:
        """Return what the body recorded; of a contract's session the fixture `student` is the teacher."""
        found, node = self._recorded.get(kpi, {}), self._request.node
        of_teacher = settings_of(node).record_contract and takes(node, "student")
        if of_teacher and "student" in found and not needed_by_fixtures(node, {"student", "student_model"}):
            return {"teacher": found["student"], **found}
        return found

    def own_rounds(self) -> OwnRounds:
        """Return what pytest-benchmark's fixture holds (see `session.Sources`)."""
        fixture = self._request.node.funcargs["benchmark"]
        stats = fixture.stats
        rounds = None if stats is None else list(stats.stats.data)
        return OwnRounds(seconds=rounds, iterations=1 if stats is None else stats.iterations, enabled=fixture.enabled)

    def _value(self, fixture: str) -> Any:
        """Set a fixture up, or take the value it has; a user's fixture that raises is the model's failure."""
        given = given_for(self._request.node, fixture)
        if given is not None and fixture not in self._request.fixturenames:
            return given
        try:
            return self._request.getfixturevalue(fixture)
        except ModelbenchError:
            raise
        except pytest.skip.Exception as skipped:
            raise Skipped(f"fixture {fixture} skipped: {message_of(skipped)}") from skipped
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ModelError(f"fixture {fixture} raised {cause_of(error)}") from error


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
