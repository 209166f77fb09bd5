"""The KPI `export`: which formats are ready, and what a limit says of those that are not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from pytest_modelbench.bench.verdicts import judge
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.exports.options import ExportOptions
from pytest_modelbench.exports.steps import REQUIRED, Exported, Status, Step
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.deployment.export import ready_formats
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.probes.kinds import EXPORT
from pytest_modelbench.reports.distillation import distillation
from pytest_modelbench.results import Evidence, LimitResult, Verdict


def ready(target: str, **numbers: Any) -> Exported:
    told = {"parity": {"value": 2e-7}, "export": {"bytes": 12_345}, **numbers}
    return Exported(
        target=target,
        steps=tuple(Step(name=name, status=Status.PASS, numbers=told.get(name, {})) for name in REQUIRED),
    )


def stopped(target: str, name: str, status: Status = Status.FAIL) -> Exported:
    before = REQUIRED[: REQUIRED.index(name)]
    steps = [Step(name=one, status=Status.PASS) for one in before]
    return Exported(
        target=target, steps=(*steps, Step(name=name, status=status, evidence="it broke", remedy="Mend it"))
    )


class Exports:
    """Stands for the measurements of one gate."""

    def __init__(self, *found: Exported) -> None:
        self.found = found

    def of(self, kind: Any, role: str) -> Any:
        assert (kind, role) == (EXPORT, "student")
        return self.found


def evidence(*found: Exported) -> Evidence:
    question = Question(kpi=CATALOGUE["export"], options={}, with_teacher=False)
    (one,) = evidence_for(question, Exports(*found))  # type: ignore[arg-type]
    return one


def judged(limit: str, *found: Exported) -> LimitResult:
    gate = read_gate(("export", limit), {"formats": [one.target for one in found]})
    return judge(gate.limits, [evidence(*found)], "formats").limits[0]


def test_value_is_the_number_of_ready_formats() -> None:
    """The breakdown has a row for each format and step, of JSON types."""
    found = evidence(ready("onnx"), stopped("openvino", "parity"))
    assert found.student.value == 1
    assert [row["step"] for row in found.breakdown if row["format"] == "openvino"] == list(REQUIRED[:6])
    last = found.breakdown[-1]
    assert (last["status"], last["evidence"], last["remedy"], last["ready"]) == ("fail", "it broke", "Mend it", False)
    assert json.loads(json.dumps(found.breakdown)) == list(found.breakdown)
    assert "onnx is ready: parity 2e-07; 12,345 bytes" in found.notes[0]


def test_all_names_must_be_ready() -> None:
    """A limit holds when each of its names is ready, whatever becomes of the others."""
    assert judged("includes onnx", ready("onnx"), stopped("tvm", "load")).verdict is Verdict.PASS
    failed = judged("includes onnx, tvm", ready("onnx"), stopped("tvm", "load"))
    assert failed.verdict is Verdict.FAIL
    assert failed.reason == ("includes onnx, tvm does not hold: 1 of 2; tvm is not ready: load: it broke. Mend it")


def test_noise_leaves_a_limit_inconclusive() -> None:
    """A format whose speed-up is around its limit is neither ready nor not."""
    close = Exported(
        target="tvm",
        steps=(
            *ready("tvm").steps,
            Step(name="speed", status=Status.INCONCLUSIVE, evidence="1.5x, around 1.5x", remedy="Repeat it"),
        ),
    )
    verdict = judged("includes onnx, tvm", ready("onnx"), close)
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert (
        verdict.reason
        == "includes onnx, tvm is inconclusive: 1 of 2; tvm is inconclusive: speed: 1.5x, around 1.5x. Repeat it"
    )
    assert judged(">= 2", ready("onnx"), close).verdict is Verdict.INCONCLUSIVE
    assert judged(">= 1", ready("onnx"), close).verdict is Verdict.PASS
    assert verdict.needed_n is None


def test_runtime_that_is_not_installed_is_an_error() -> None:
    """A format that a limit names and nobody can try is never counted as missing, nor as ready."""
    result = judged("includes onnx, tensorrt", ready("onnx"), stopped("tensorrt", "install", Status.ERROR))
    assert result.verdict is Verdict.ERROR
    assert "tensorrt could not be tried: install: it broke. Mend it" in result.reason


def test_a_model_that_no_exporter_takes_is_not_applicable() -> None:
    """A Keras model on TensorFlow, say; one format that was tried is judged."""
    step = Step(name="export", status=Status.ERROR, evidence="only torch modules", numbers={"applies": False})
    one = Exported(target="onnx", steps=(step,))
    with pytest.raises(NotApplicable, match="only torch modules"):
        evidence(one, replace(one, target="openvino"))
    assert judged("includes tvm", ready("tvm"), one).verdict is Verdict.PASS


def test_count_names_what_is_not_ready() -> None:
    """`>= 2` is judged by the number, and says which format stopped where."""
    result = judged(">= 2", ready("onnx"), stopped("tvm", "dynamic_batch"))
    assert result.verdict is Verdict.FAIL
    assert "tvm is not ready: dynamic_batch: it broke" in result.reason
    assert judged(">= 1", ready("onnx"), stopped("tvm", "run")).verdict is Verdict.PASS


def test_labels_that_change_alone_are_told() -> None:
    """The step is reported with the format that is ready."""
    alone = Step(name="alone_and_in_batch", status=Status.PASS, evidence="2 of 64 samples", numbers={"changed": 2})
    one = ready("onnx")
    found = evidence(Exported(target="onnx", steps=(*one.steps, alone)))
    assert "2 of 64 samples" in found.notes[0]


def test_row_of_the_distillation_summary() -> None:
    """It names the formats instead of their number."""
    breakdown = [{"format": "onnx", "ready": True}, {"format": "tvm", "ready": False}]
    reading = {"value": 1, "unit": "formats", "provenance": "measured"}
    common = {"student": "small", "suite": "one", "unit": "", "verdict": "pass", "targets": [], "breakdown": []}
    readings = {"student": reading, "teacher": None}
    kpis = ("size_on_disk", "peak_memory", "top1_accuracy", "export")
    gates: list[dict[str, Any]] = [{**common, "kpi": kpi, "readings": readings} for kpi in kpis]
    gates[-1]["breakdown"] = breakdown
    rows = distillation(gates)
    assert rows is not None
    row = next(row for row in rows if row["kpi"] == "export")
    assert row["students"]["small"]["text"] == "onnx"


def test_options_of_a_gate() -> None:
    """The texts of a gate become what an export is asked."""
    gate = read_gate(("export", "includes onnx"), {"parity": "<= 1e-3", "opset": 18, "batch_sizes": [1, 3]})
    options = ExportOptions.of_gate(gate.options, seed=3)
    assert (options.parity, options.opset, options.batch_sizes, options.seed) == (1e-3, 18, (1, 3), 3)
    assert ExportOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


def test_derivation_is_found() -> None:
    """The row of the catalogue names the function."""
    assert CATALOGUE["export"].derive.endswith("deployment.export:ready_formats")
    assert callable(ready_formats)


@pytest.mark.parametrize("name", ["formats", "opset", "batch_sizes", "dynamic", "parity", "samples"])
def test_options_are_taken(name: str) -> None:
    """Each option of the contract has a default."""
    assert name in CATALOGUE["export"].options
