"""Kinds of measurement that bring their own functions: taken once, shared by workers, wrong ones are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables import STUDENT, TARGETS, TEACHER, FixedSources

from pytest_modelbench import EvalData
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.kinds import function_of
from pytest_modelbench.bench.measurements import GateMeasurements
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.probes import kinds
from pytest_modelbench.probes.kinds import OUTPUTS, PREDICTIONS, RECORD, ProbeKind, Taking
from pytest_modelbench.settings import Settings

GREATEST: ProbeKind[float] = ProbeKind(
    name="greatest output", take=f"{__name__}:greatest", pack=f"{__name__}:pack", unpack=f"{__name__}:unpack"
)
SERIAL: ProbeKind[int] = ProbeKind(name="serial number", needs_data=False, take=f"{__name__}:serial")
TAKEN: list[str] = []
DATA = EvalData(np.arange(len(STUDENT), dtype=float).reshape(-1, 1), TARGETS)
SOURCES = FixedSources(STUDENT, TEACHER, DATA)


def greatest(taking: Taking) -> float:
    TAKEN.append(taking.model.name)
    assert taking.data is not None
    found = []
    for batch in taking.data.batches():
        found.append(float(np.max(taking.model(batch.inputs))))
        taking.beat()
    return max(found)


def serial(taking: Taking) -> int:
    assert taking.data is None
    return taking.seed


def pack(measurement: float) -> dict[str, Any]:
    return {"greatest": np.array(measurement)}


def unpack(arrays: dict[str, Any]) -> float:
    return float(arrays["greatest"])


def fails(taking: Taking) -> float:
    TAKEN.append(taking.model.name)
    raise MeasurementError("the model has no outputs")


def measurements(session: BenchSession, kpi: str = "flops", **options: Any) -> GateMeasurements:
    gate = assigned(read_gate((kpi,), options))
    plan = ItemPlan(nodeid="one", student="int8", gates=(gate,), settings=Settings(enabled=True, seed=7))
    return GateMeasurements(session.asking(plan, gate, SOURCES))


@pytest.fixture(autouse=True)
def nothing_taken() -> None:
    TAKEN.clear()


def test_a_kind_is_taken_once_for_model_and_options() -> None:
    """Two gates of equal options share the measurement; another model or another option is measured anew."""
    session = BenchSession()
    assert measurements(session).of(GREATEST, "student") == pytest.approx(STUDENT.max())
    assert measurements(session).of(GREATEST, "student") == pytest.approx(STUDENT.max())
    assert measurements(session).of(GREATEST, "teacher") == pytest.approx(TEACHER.max())
    assert TAKEN == ["int8", "teacher"]
    measurements(session, batch_size=8).of(GREATEST, "student")
    assert TAKEN == ["int8", "teacher", "int8"]


def test_a_kind_without_data_gets_none() -> None:
    """It gets the seed and the budget of the session all the same."""
    assert measurements(BenchSession()).of(SERIAL, "student") == 7


def test_workers_share_what_can_be_packed(tmp_path: Path) -> None:
    """The second worker reads it; what has no functions to pack it is measured by each."""
    for _ in range(2):
        worker = BenchSession(handover=tmp_path)
        assert measurements(worker).of(GREATEST, "student") == pytest.approx(STUDENT.max())
    assert TAKEN == ["int8"]
    for _ in range(2):
        measurements(BenchSession(handover=tmp_path)).of(replace(GREATEST, name="other", pack=""), "student")
    assert TAKEN == ["int8", "int8", "int8"]


def test_functions_among_the_options_are_not_told_apart_by_name(tmp_path: Path) -> None:
    """Two functions of one name may do different things in two workers, so each worker measures for itself."""
    for transform in (lambda inputs: inputs, lambda inputs: inputs + 1):
        worker = BenchSession(handover=tmp_path)
        measurements(worker, "invariance", transform=transform).of(GREATEST, "student")
    assert TAKEN == ["int8", "int8"]


def test_the_kinds_of_the_bench_are_taken_its_own_way() -> None:
    """Asking by the kind gives the very object that asking by the method gives."""
    asked = measurements(BenchSession())
    assert asked.of(OUTPUTS, "student") is asked.outputs("student")
    assert asked.of(PREDICTIONS, "teacher") is asked.predictions("teacher")
    assert asked.of(PREDICTIONS, "teacher") is not asked.predictions("student")
    assert asked.of(RECORD, "student") == {}


def test_every_kind_can_be_asked_for() -> None:
    """A kind of the package that the bench forgot would be refused for its missing function."""
    known = {kind for kind in vars(kinds).values() if isinstance(kind, ProbeKind)}
    assert {kind for kind in known if not kind.take} == set(measurements(BenchSession()).built_in)


def test_a_failure_is_remembered() -> None:
    """Both gates get the same error, and the function is called once."""
    session, kind = BenchSession(), replace(GREATEST, take=f"{__name__}:fails")
    for _ in range(2):
        with pytest.raises(MeasurementError, match="no outputs"):
            measurements(session).of(kind, "student")
    assert TAKEN == ["int8"]


@pytest.mark.parametrize(
    ("take", "told"),
    [
        ("", "Write take='module:function'"),
        ("greatest", "Write take='module:function'"),
        ("no_such_module:greatest", "cannot be imported"),
        (f"{__name__}:no_such_function", "cannot be imported"),
        (f"{__name__}:TAKEN", "is not a function"),
    ],
)
def test_a_wrong_function_is_told(take: str, told: str) -> None:
    """The message names the kind and what is wrong with its function."""
    with pytest.raises(MeasurementError, match=told) as error:
        measurements(BenchSession()).of(replace(GREATEST, take=take), "student")
    assert "'greatest output'" in str(error.value)


def test_what_a_contract_can_hold_can_be_packed() -> None:
    """Every recordable kind has a function that takes it, one that packs it and the reverse; options have names."""
    known = [kind for kind in vars(kinds).values() if isinstance(kind, ProbeKind) and kind.recordable]
    assert kinds.GENERATIONS in known
    for kind in known:
        assert all(callable(function_of(kind, field)) for field in ("take", "pack", "unpack")), kind
        assert kind.depends_on is not None, kind
