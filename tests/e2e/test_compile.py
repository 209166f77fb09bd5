"""compile=True and compile_gain: what torch.compile makes of a model, and never its compilation, is timed."""

from __future__ import annotations

import shutil

import pytest
from suites import Judge

pytestmark = pytest.mark.slow

MODELS = """
import time
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers, self.head = nn.Sequential(*(nn.Linear(40, 40) for _ in range(layers))), nn.Linear(40, 10)
    def forward(self, x):
        return self.head(self.layers(x.float().expand(-1, 40)))

@pytest.fixture(scope="session")
def teacher_model():
    return Net(30)

@pytest.fixture(scope="session")
def student_model():
    return Net(2)
"""
SLOW_COMPILER = """
import functools

def pytest_configure():
    def slowly(graph, inputs):
        time.sleep(0.7)
        return graph
    torch.compile = functools.partial(torch.compile, backend=slowly)
"""
FAILING_COMPILER = SLOW_COMPILER.replace("time.sleep(0.7)", 'raise ValueError("no such instruction")')
SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "<= 300 ms", "ratio <= 0.6", compile=True)
@pytest.mark.kpi("latency_mean", "<= 300 ms")
@pytest.mark.kpi("compile_gain", "<= 50", allow_reversed=True)
def test_compiled(): ...
"""


def test_compiling_is_in_no_latency(judge: Judge) -> None:
    """It takes 0.7 s and is stated apart; the two kinds of gates have measurements of their own."""
    finished = judge(SUITE, "--modelbench-budget=20", more=MODELS + SLOW_COMPILER, process=True)
    assert finished.result.ret == 0, finished.text
    compiled, plain = sorted(finished.report["timings"], key=lambda timing: "compiled" not in timing["setup"])
    assert compiled["setup"] == "batch size 1, compiled"
    assert all(0.7 <= seconds < 60 for seconds in compiled["compile_s"].values())
    assert compiled["placements_copied"] is False
    assert plain["compile_s"] == {}
    assert "compiled in" in finished.gate("compile_gain")["readings"]["student"]["method"]
    finished.result.stdout.fnmatch_lines(["* latency_p50 compiled *"])


def test_model_that_cannot_be_compiled(judge: Judge) -> None:
    """Two gates are errors that say why; the third stands."""
    finished = judge(SUITE, "--modelbench-budget=20", more=MODELS + FAILING_COMPILER, process=True)
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts == {"latency_p50": "error", "latency_mean": "pass", "compile_gain": "error"}
    assert "torch.compile cannot compile the student" in finished.gate("compile_gain")["reason"]


def test_exported_programs_are_compiled(judge: Judge) -> None:
    """They refuse to be told whether they train, which nobody needs to tell them."""
    exported = """
@pytest.fixture(scope="session")
def student_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "student.pt2"
    batch = torch.export.Dim("batch")
    program = torch.export.export(Net(2).eval(), (torch.rand(4, 1),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path
"""
    suite = 'import pytest\n\n@pytest.mark.kpi("compile_gain", "<= 1000", allow_reversed=True)\ndef test_compiled(): ...\n'
    gate = judge(suite, "--modelbench-budget=20", more=MODELS + exported + SLOW_COMPILER, process=True).gate(
        "compile_gain"
    )
    assert gate["verdict"] == "pass", gate["reason"]


def test_only_torch_modules_are_compiled(judge: Judge) -> None:
    """Anything else is not applicable."""
    finished = judge(SUITE)
    assert finished.gate("compile_gain")["verdict"] == "not_applicable"
    assert "student is a fake: torch.compile is for torch modules" in finished.gate("compile_gain")["reason"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_the_real_compiler(judge: Judge) -> None:
    """Inductor's code runs, with warnings as errors; where a gate fails, nothing of its log is in the report."""
    finished = judge(
        SUITE.replace("<= 300 ms", "<= 1e-6 ms"), "--modelbench-budget=2", "-W", "error", more=MODELS, process=True
    )
    assert finished.gate("latency_p50")["readings"]["student"]["value"] > 0, finished.text
    assert finished.gate("latency_p50")["verdict"] in {"fail", "inconclusive"}
    assert finished.gate("compile_gain")["readings"]["student"]["value"] > 0.1
    finished.result.assert_outcomes(failed=1)
    assert "torch.__trace" not in finished.text
    assert "Captured log" not in finished.text


def test_sparse_kernels_need_a_gpu(judge: Judge) -> None:
    """Without one, or without the pattern, the gate does not apply and says why; nothing passes in silence."""
    sparse = (
        MODELS
        + """
@pytest.fixture(scope="session", params=["dense", "sparse"])
def student_model(request):
    net = Net(2)
    if request.param == "sparse":
        with torch.no_grad():
            net.layers[0].weight[:, ::2] = 0.0
    return net
"""
    )
    suite = """
import pytest

@pytest.mark.kpi("sparse_gain", ">= 1.2")
def test_gain(): ...
"""
    finished = judge(suite, more=sparse)
    gates = {gate["student"]: gate for gate in finished.report["gates"]}
    assert "no linear layer has weights with two zeros in every four" in gates["dense"]["reason"]
    assert "1 matrices are 2:4 sparse, and the kernels take none" in gates["sparse"]["reason"]
    assert {gate["verdict"] for gate in gates.values()} == {"not_applicable"}
