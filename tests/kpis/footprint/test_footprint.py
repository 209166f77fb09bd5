"""Gates on counted weights, where parameters are not all that a model computes with."""

from __future__ import annotations

import pytest
from suites import Judge

MODELS = """
import pytest, torch
from torch import nn
from pytest_modelbench import EvalData

class Hidden(nn.Module):
    def __init__(self, more):
        super().__init__()
        torch.manual_seed(0)
        self.weights = [torch.rand(16, 64), torch.rand(64, 4)]
        if more:
            self.scale = nn.Linear(4, 4)
    def forward(self, x):
        x = x @ self.weights[0] @ self.weights[1]
        return self.scale(x) if hasattr(self, "scale") else x

@pytest.fixture(scope="session")
def teacher_model():
    return nn.Sequential(nn.Linear(16, 64, bias=False), nn.Linear(64, 4, bias=False))

@pytest.fixture(scope="session")
def student_model():
    return Hidden(more={more})
"""
DATA = """
@pytest.fixture(scope="session")
def eval_data():
    return EvalData(torch.rand(8, 16), torch.zeros(8, dtype=torch.int64))
"""
SUITE = """
import pytest

@pytest.mark.kpi("parameters", "reduction >= 85%")
@pytest.mark.kpi("nonzero_parameters", "<= 1000")
@pytest.mark.kpi("sparsity", "<= 50%", allow_reversed=True)
@pytest.mark.kpi("size_on_disk", "reduction >= 85%")
def test_size(): ...
"""
WEIGHTS = 16 * 64 + 64 * 4


def test_weights_in_attributes_count_where_there_are_data(judge: Judge) -> None:
    """A model without parameters is no reduction by 100%."""
    finished = judge(SUITE, fakes=MODELS.format(more=False), more=DATA)
    gate = finished.gate("parameters")
    assert (gate["verdict"], gate["readings"]["student"]["value"]) == ("fail", WEIGHTS)
    assert f"{WEIGHTS:,} of them outside of parameters" in gate["readings"]["student"]["method"]
    assert finished.gate("sparsity")["verdict"] == "pass"
    size = finished.gate("size_on_disk")
    assert size["verdict"] == "fail"
    assert size["readings"]["student"]["value"] >= 4 * WEIGHTS
    assert "with weights that it lacks: weights[0], weights[1]" in size["readings"]["student"]["method"]


def test_no_weights_and_no_data_is_an_error(judge: Judge) -> None:
    """Never a count of nothing."""
    gate = judge(SUITE, fakes=MODELS.format(more=False)).gate("parameters")
    assert gate["verdict"] == "error"
    assert (
        "student has no parameters, and whether it computes with other weights is seen by running it"
        in gate["reason"]
    )
    assert "eval_data" in gate["reason"]


@pytest.mark.parametrize(
    ("kpi", "value", "verdict"),
    [("parameters", 20, "inconclusive"), ("nonzero_parameters", 20, "inconclusive"), ("sparsity", 0, "inconclusive")],
)
def test_what_may_be_weights_decides_nothing(judge: Judge, kpi: str, value: float, verdict: str) -> None:
    """Without data the count has an upper bound, and a limit between the two is inconclusive."""
    gate = judge(SUITE, fakes=MODELS.format(more=True)).gate(kpi)
    assert (gate["verdict"], gate["readings"]["student"]["value"]) == (verdict, value)
    assert f"up to {WEIGHTS:,} more in buffers or attributes" in gate["readings"]["student"]["method"]
