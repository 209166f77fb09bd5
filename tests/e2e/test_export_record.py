"""Formats that this machine cannot run, accepted by a record of the same model in a real run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from suites import Judge

from pytest_modelbench.bench.deployments import Deployments
from pytest_modelbench.exports.options import Target
from pytest_modelbench.exports.steps import Exported

pytestmark = pytest.mark.slow

TORCH = """
import torch

@pytest.fixture(scope="session")
def teacher_model():
    return torch.nn.Linear(1, 10)

@pytest.fixture(scope="session")
def student_model():
    torch.manual_seed({seed})
    return torch.nn.Linear(1, 10)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(torch.from_numpy(INPUTS).float(), TARGETS)
"""
SUITE = """
import pytest

@pytest.mark.kpi("export", "includes {formats}")
def test_ready(): ...
"""


@pytest.fixture
def screened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the screening for TensorRT in one fresh process: no record changes it."""
    export, screened = Deployments._export, {}

    def once(self: Deployments, role: str, model: str, name: str, target: Target, *rest: Any) -> Exported:
        if target.format != "tensorrt":
            return export(self, role, model, name, target, *rest)
        if target not in screened:
            screened[target] = export(self, role, model, name, target, *rest)
        return screened[target]

    monkeypatch.setattr(Deployments, "_export", once)


def test_record_and_accept(judge: Judge, screened_once: None) -> None:
    """Recorded where the format runs, accepted where it does not, refused for another model."""
    finished = judge(
        SUITE.format(formats="onnx"), "--modelbench-record-export=exports.json", more=TORCH.format(seed=0)
    )
    assert finished.result.ret == 0, finished.text
    told = json.loads(Path("exports.json").read_text())
    entry = told["exports"].pop("student@onnx")
    entry["exported"]["target"] = "tensorrt"  # as a machine with a GPU would have written it
    Path("exports.json").write_text(json.dumps({**told, "exports": {"student@tensorrt": entry}}))
    suite, accept = SUITE.format(formats="tensorrt"), "--modelbench-export-record=exports.json"
    finished = judge(suite, accept, more=TORCH.format(seed=0))
    assert finished.gate("export")["verdict"] == "pass", finished.text
    finished = judge(suite, accept, more=TORCH.format(seed=1))
    assert finished.gate("export")["verdict"] == "fail", finished.text
    assert "of another model: its content has changed since" in finished.gate("export")["reason"]
    finished = judge(suite, more=TORCH.format(seed=0))
    assert finished.gate("export")["verdict"] == "error", finished.text
    assert "Screened only, which is not a pass" in finished.gate("export")["reason"]
    finished = judge(suite, "--modelbench-export-record=none.json", more=TORCH.format(seed=0))
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--modelbench-export-record: there is no file" in finished.text
