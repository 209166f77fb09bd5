"""Deployed students as values, and what a fresh process is asked to export."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modelbench import Deployed, UsageMistake
from pytest_modelbench.exports.deployed import key_of_source
from pytest_modelbench.exports.options import ExportOptions
from pytest_modelbench.exports.request import ExportRequest
from pytest_modelbench.exports.steps import Exported, Status, Step
from pytest_modelbench.models.saved import SavedModel
from pytest_modelbench.probes.requests import read_request, write_request


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (len, "onxx", "Did you mean 'onnx'"),
        (len, 3, "expected a format such as 'onnx'"),
        (Deployed(len, "onnx"), "openvino", "deployed as onnx by its fixture, and openvino is asked for"),
    ],
)
def test_deployed_refuses(source: object, target: str, words: str) -> None:
    """A format that nobody knows, and a student that is a file already."""
    with pytest.raises(UsageMistake, match=words):
        Deployed(source, target)


def test_sources_are_told_apart() -> None:
    """Paths by their values, objects by their identity: an export is not shared between two models."""
    first, second = (lambda: 0), (lambda: 0)
    assert key_of_source(first) == key_of_source(first) != key_of_source(second)
    assert key_of_source("model.pt2") == key_of_source("model.pt2") != key_of_source("other.pt2")
    assert key_of_source(SavedModel("a.onnx")) == key_of_source(SavedModel("a.onnx"))


def test_a_saved_model_reads_its_own_text() -> None:
    """A fresh process gets the file of the student as a text, with the provider that it must run on."""
    for saved in (SavedModel("a.onnx"), SavedModel("a.onnx", (("provider", "CUDAExecutionProvider"), ("x", "1")))):
        assert SavedModel.parse(str(saved)) == saved


def test_a_request_and_its_answer_travel_as_files(tmp_path: Path) -> None:
    """What the process reads is what was asked, and the parent reads what it left; an unfinished answer is none."""
    options = ExportOptions(batch_sizes=(1, 3), dynamic={"tokens": [0, 1]}, seed=7)
    asked = ExportRequest(
        role="student",
        model="hash",
        target="onnx:fixed",
        options=options.to_json(),
        folder=str(tmp_path),
        budget_s=30.0,
        path=str(tmp_path / "answer"),
    )
    write_request(asked, tmp_path / "request.json")
    found = read_request(tmp_path / "request.json")
    assert isinstance(found, ExportRequest)
    assert found.export_options == options
    steps = (Step(name="export", status=Status.FAIL, evidence="no rule", remedy="Write another layer"),)
    exported = Exported(target="onnx:fixed", steps=steps, file=tmp_path / "model.onnx", tools={"torch": "2"})
    found.write(exported)
    assert asked.answer() == exported
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer", "request.json"]
