"""The KPI `parity`: what a gate says of a student beside its source, by models that answer from tables."""

from __future__ import annotations

import math
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tables import STUDENT, FixedSources

from pytest_modelbench import EvalData, FakeClock, FakeModel
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.exports.deployed import Deployed
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.results import Evidence, GateResult, Verdict
from pytest_modelbench.settings import Settings

INPUTS = np.arange(len(STUDENT), dtype=float).reshape(-1, 1)
DATA = EvalData(INPUTS, batch_size=64, ids=[f"row {i}" for i in range(len(INPUTS))])
SOURCE: list[Any] = []
Outputs = Callable[[Any], Any]


def source_model() -> FakeModel:
    return FakeModel(SOURCE[-1])


def table(array: Any) -> Outputs:
    return lambda batch: np.asarray(array)[np.asarray(batch)[:, 0].astype(int)]


def heads(**arrays: Any) -> Outputs:
    return lambda batch: {name: table(array)(batch) for name, array in arrays.items()}


class Sources(FixedSources):
    """One student."""

    def __init__(self, student: Outputs) -> None:
        super().__init__(STUDENT, STUDENT, DATA)
        self.student = FakeModel(student, clock=FakeClock(), cost_ns=1e6)

    def candidate(self, role: str) -> Any:
        return self.student if role == "student" else super().candidate(role)


def judge(
    student: Outputs,
    source: Outputs | None,
    *limits: str,
    also: tuple[str, ...] = (),
    **options: Any,
) -> tuple[GateResult, Evidence | None]:
    """Judge parity of a student with a source; `also` names other KPIs that are selected for the student."""
    SOURCE.append(source)
    gate = assigned(read_gate(("parity", *limits), options))
    if source is not None:
        named = NamedSpec(spec=f"{Path(__file__)}:source_model", folder=str(Path(__file__).parent))
        gate = replace(gate, options={**gate.options, "source": named})
    gates = (gate, *(assigned(read_gate((name,), {})) for name in also))
    plan = ItemPlan(nodeid="notebook", student="int8", gates=gates, settings=Settings(enabled=True, budget_s=2.0))
    session = BenchSession()
    session.plan([plan])
    result, judgement = session.judge(plan, gate, Sources(student))
    return result, None if judgement is None else judgement.evidence


def evidence(*args: Any, **options: Any) -> Evidence:
    result, found = judge(*args, **options)
    assert found is not None, result.reason
    return found


def off(by: float, at: int = 7) -> Any:
    """The table with one value that is off by some share of its scale."""
    changed = STUDENT.copy()
    scale = float(np.median(np.abs(STUDENT[:256])))
    changed[at, 2] += by * (scale + abs(STUDENT[at, 2]))
    return changed


def test_the_reading_states_everything() -> None:
    """The number, tolerances that would do, agreement, elements, samples, passes, the reference, the worst sample."""
    found = evidence(table(off(1e-3)), table(STUDENT))
    assert found.student.value == pytest.approx(1e-3, rel=1e-6)
    assert (found.student.unit, found.student.n) == ("", 256)
    assert found.worst_samples == ("row 7",)
    for words in (
        "as expected of float16 (<= 0.002)", "worst in output 'output'", "max abs", "allclose from rtol=", "or atol=",
        "argmax agreement 100%", f"{256 * 7:,} elements of 256 samples", "passes: batch size 1, batch size 64",
        "reference: fake",
    ):  # fmt: skip
        assert words in found.student.method
    assert [row["name"] for row in found.breakdown] == ["output, batch size 1", "output, batch size 64"]
    assert found.breakdown[0]["value"] == found.student.value


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [("<= 1e-4", Verdict.FAIL), ("<= 1%", Verdict.PASS), ("<= 0.05%", Verdict.FAIL), ("<= 0.01", Verdict.PASS)],
)
def test_limits_with_and_without_percent(limit: str, verdict: Verdict) -> None:
    """100% are 1."""
    result, _ = judge(table(off(1e-3)), table(STUDENT), limit)
    assert result.verdict is verdict, result.reason


@pytest.mark.parametrize(
    "limit", ["drop <= 1%", "ratio <= 1.1", "reduction >= 10%", "difference <= 1e-3", "increase <= 1%"]
)
def test_limits_that_compare_with_the_teacher_are_mistakes(limit: str) -> None:
    """With the remedy; a count takes no percent as before."""
    with pytest.raises(UsageMistake, match="parity is not compared with the teacher's.*such as '<= 1e-4'"):
        read_gate(("parity", limit), {})
    assert read_gate(("parity", "regression <= 10%"), {}).regresses
    with pytest.raises(UsageMistake, match="parameters is a plain number; '%' is percent"):
        read_gate(("parameters", "<= 50%"), {})


def test_the_outputs_of_another_model_are_named() -> None:
    """A file of weights that fits and is another model's gives such outputs; the note says what to compare."""
    noise = np.random.default_rng(1).normal(size=STUDENT.shape)
    _, found = judge(table(noise), table(np.random.default_rng(2).normal(size=STUDENT.shape)), "<= 1e-4")
    assert found is not None
    (note,) = [note for note in found.notes if "another model" in note]
    assert note.startswith("the outputs 'output' are those of another model: their argmax agrees in ")
    assert "a file of weights beside it" in note


def test_a_broken_rule_fails_with_its_words() -> None:
    """A missing output is no number: the limit does not hold, and the note says why."""
    result, found = judge(heads(logits=STUDENT), heads(logits=STUDENT, aux=STUDENT[:, :2]), "<= 1e-4")
    assert result.verdict is Verdict.FAIL
    assert found is not None
    assert found.student.value == math.inf
    assert found.notes[0] == "the output 'aux' is missing: found 'logits', expected 'logits', 'aux'"
    assert found.student.to_json()["value"] is None
    assert result.reason.startswith("<= 0.0001 does not hold: infinite (the output 'aux' is missing: found")


def test_only_some_outputs() -> None:
    """The subset is named in the verdict; a name that there is not lists all."""
    student, source = heads(logits=STUDENT, aux=off(1.0)), heads(logits=STUDENT, aux=STUDENT)
    assert evidence(student, source).student.value == pytest.approx(1.0)
    found = evidence(student, source, outputs="logits")
    assert found.student.value == 0.0
    assert "compared outputs only: logits" in found.notes
    result, _ = judge(student, source, outputs=["nope"])
    assert result.verdict is Verdict.ERROR
    assert "has no output 'nope'. Its outputs are 'logits', 'aux'" in result.reason


def test_outputs_paired_by_position_are_said_to_be() -> None:
    """A tuple has no names."""
    found = evidence(heads(a=STUDENT, b=off(1e-3)), lambda batch: (table(STUDENT)(batch), table(STUDENT)(batch)))
    assert "outputs were compared by position: one side has no names" in found.notes
    assert "output 'b'" in found.student.method


def test_named_tuples_and_buffers_that_are_used_again() -> None:
    """Names of a named tuple are names; every output is copied before the next call overwrites it."""
    heads_type = namedtuple("heads_type", "a b")  # noqa: PYI024 - as torch models have it
    buffers = {size: np.empty((size, STUDENT.shape[1])) for size in range(1, 65)}

    def reusing(batch: Any) -> Any:
        buffers[len(batch)][:] = table(STUDENT)(batch)
        return {"b": buffers[len(batch)], "a": buffers[len(batch)]}

    found = evidence(reusing, lambda batch: heads_type(table(STUDENT)(batch), table(STUDENT)(batch)))
    assert found.student.value == 0.0
    assert not any("by position" in note for note in found.notes)


def test_some_outputs_of_a_tuple_are_named_as_the_file_names_them() -> None:
    """The source's tuple has no names; the file's order says which one is meant. A position does as well."""

    def pair(batch: Any) -> Any:
        return table(STUDENT)(batch), table(STUDENT)(batch)

    student = heads(a=STUDENT, b=off(1e-3))
    assert evidence(student, pair, outputs="a").student.value == 0.0
    assert evidence(student, pair, outputs=["b"]).student.value == pytest.approx(1e-3)
    assert evidence(pair, student, outputs=["b"]).student.value > 9e-4
    assert "has no output 'c'" in judge(student, pair, outputs=["c"])[0].reason


def test_nothing_compared_is_an_error() -> None:
    """Equal NaNs are no agreement."""
    empty = table(np.full_like(STUDENT, np.nan))
    result, _ = judge(empty, empty, "<= 1e-4")
    assert result.verdict is Verdict.ERROR
    assert result.reason == "parity, batch size 1: nothing was compared: the outputs have no finite elements"


def test_a_student_of_no_known_source_is_an_error() -> None:
    """The error says what to write."""
    result, _ = judge(table(STUDENT), None, "<= 1e-4")
    assert result.verdict is Verdict.ERROR
    assert result.reason.startswith("nobody says which model int8 was made from. Write source='module:factory'")


def test_the_source_of_a_deployed_student_is_what_it_was_exported_from() -> None:
    """Under the label of the student that it is; `source=` wins where it is stated."""
    sources, exported = Sources(table(STUDENT)), FakeModel(table(STUDENT))
    sources.student = Deployed(exported, "onnx")  # type: ignore[assignment]
    gate = assigned(read_gate(("parity",), {}))
    plan = ItemPlan(nodeid="notebook", student="int8@onnx", gates=(gate,), settings=Settings(enabled=True))
    found = BenchSession().asking(plan, gate, sources).model("source")
    assert (found.name, found.serial) == ("int8", exported.serial)
    SOURCE.append(table(STUDENT))
    named = NamedSpec(spec=f"{Path(__file__)}:source_model", folder=str(Path(__file__).parent))
    gate = replace(gate, options={**gate.options, "source": named})
    assert BenchSession().asking(plan, gate, sources).model("source").name == "source of int8@onnx"


def test_the_rule_of_allclose() -> None:
    """The value is the share of elements outside, whatever the parity is."""
    apart = float(np.abs(off(1e-3) - STUDENT).max())
    inside = evidence(table(off(1e-3)), table(STUDENT), atol=apart * 1.01)
    outside = evidence(table(off(1e-3)), table(STUDENT), atol=apart * 0.99)
    assert inside.student.value == 0.0
    assert outside.student.value == 1 / (256 * 7)
    assert "share of elements outside of atol=" in outside.student.method
    assert judge(table(off(1e-3)), table(STUDENT), "== 0", rtol=0.0)[0].verdict is Verdict.FAIL


def test_every_batch_size_is_compared() -> None:
    """A student that is wrong for single samples only is found by the pass of batch size 1."""

    def alone(batch: Any) -> Any:
        return table(STUDENT)(batch) + (0.5 if len(batch) == 1 else 0.0)

    assert evidence(alone, table(STUDENT)).student.value > 0.1
    assert evidence(alone, table(STUDENT), batch_sizes=[2, 1000], samples=10).student.value == 0.0
    names = [row["name"] for row in evidence(alone, table(STUDENT), batch_sizes=[2, 1000], samples=10).breakdown]
    assert names == ["output, batch size 2", "output, batch size 10"]


def test_calls_as_timed_are_compared() -> None:
    """A student that is right the first time only, as one that keeps what it answered, is found beside a timed gate."""
    seen: dict[bytes, int] = {}

    def forgetful(batch: Any) -> Any:
        key = np.asarray(batch).tobytes()
        seen[key] = seen.get(key, 0) + 1
        return table(STUDENT)(batch) + (0.0 if seen[key] <= 2 else 0.5)

    assert evidence(forgetful, table(STUDENT)).student.value == 0.0
    seen.clear()
    found = evidence(forgetful, table(STUDENT), also=("latency_p50",))
    assert found.student.value > 0.1
    assert "with calls as timed, batch size 1" in found.student.method
    assert found.worst_samples == ()


def test_a_model_that_raises_is_named() -> None:
    """The source by whose it is."""

    def broken(batch: Any) -> Any:
        raise ValueError("no kernel")

    result, _ = judge(table(STUDENT), broken, "<= 1e-4")
    assert "source of int8 raised ValueError" in result.reason
    result, _ = judge(broken, table(STUDENT), "<= 1e-4")
    assert result.reason.startswith("int8 raised ValueError")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"source": 3}, "source=3, expected a string"),
        ({"batch_sizes": [0]}, "batch_sizes="),
        ({"batch_sizes": 1}, "expected a list of integers"),
        ({"outputs": []}, "expected the name of an output"),
        ({"atol": -1}, "atol=-1, expected a number of at least 0"),
        ({"rtol": float("nan")}, "rtol=nan, expected a number of at least 0"),
        ({"tolerance": 1}, "unknown option tolerance="),
    ],
)
def test_wrong_options_are_mistakes(options: dict[str, Any], words: str) -> None:
    """Each with what is expected."""
    with pytest.raises(UsageMistake, match=words):
        read_gate(("parity", "<= 1e-4"), options)
