"""What is timed and counted stands for the whole evaluation set."""

from __future__ import annotations

from suites import Judge

SORTED = """
class BySize(FakeModel):
    def bind(self, inputs):
        def call():
            self.clock.advance(1e5 * len(inputs[0]))
            return np.zeros((len(inputs), 10))
        return call

TEXTS = ["x" * 10] * 200 + ["x" * 400] * 100

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(TEXTS, TARGETS[[0] * 300])

STUDENT = BySize(clock=CLOCK)
"""
P99 = """
import pytest
@pytest.mark.kpi("latency_p99", "<= 10 ms")
@pytest.mark.kpi("latency_p50", "<= 10 ms")
def test_tail(): ...
"""


def test_rare_long_inputs_at_the_end_of_the_data_are_in_the_tail(judge: Judge) -> None:
    """200 texts of 1 ms, then 100 of 40 ms, as in data sorted by length: the p99 is 40 ms, and the median 1 ms."""
    finished = judge(P99, more=SORTED)
    tail, median = finished.gate("latency_p99"), finished.gate("latency_p50")
    assert (tail["verdict"], tail["readings"]["student"]["value"]) == ("fail", 40.0)
    assert (median["verdict"], median["readings"]["student"]["value"]) == ("pass", 1.0)
    assert "of 300 batches of 10 to 400 elements" in median["readings"]["student"]["method"]
    (timing,) = finished.report["timings"]
    assert timing["drawn"]["student"]["of"] == 300


FLOPS = """
import torch

class PerToken(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, rows):
        return self.layer(torch.ones(sum(map(len, rows)), 4))

STUDENT = PerToken()

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(["x" * 10] * 200 + ["x" * 400] * 100)
"""


def test_operations_are_those_of_a_typical_input_beside_the_largest(judge: Judge) -> None:
    """Inputs of 10 and 400 tokens: both counts are told, and which of them is judged."""
    finished = judge(
        'import pytest\n@pytest.mark.kpi("flops", "<= 400")\ndef test_flops(): ...\n',
        more=FLOPS,
    )
    gate = finished.gate("flops")
    assert (gate["verdict"], gate["readings"]["student"]["value"]) == ("pass", 320)
    assert (
        "on inputs of 10 elements, the median size; the largest have 400 and take 12"
        in (gate["readings"]["student"]["method"])
    )
    assert gate["notes"] == ["320 on inputs of median size, 12,800 on the largest"]
