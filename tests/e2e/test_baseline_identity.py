"""A baseline is compared with only where it is that of the same thing: test, settings, inputs, teacher."""

from __future__ import annotations

import pytest
from suites import FAKES, Judge

TORCH = "import torch\ntorch.set_num_threads(2)\n"
TIMED = """
import pytest

@pytest.mark.kpi("latency_p50", "regression <= 5%")
def test_no_slower(): ...
"""
CLICKS = """
import pytest

@pytest.mark.parametrize("market", {markets})
@pytest.mark.kpi("clicks", "regression <= 5%", better="higher", unit="")
def test_clicks(kpi, market):
    kpi.record(student=len(market))
"""


def test_values_that_tests_record_are_theirs(judge: Judge) -> None:
    """What another market's test recorded is no baseline of this one's."""
    judge(CLICKS.format(markets=["us"]), "--modelbench-save-baseline=b.json")
    finished = judge(CLICKS.format(markets=["us", "eu"]), "--modelbench-baseline=b.json")
    assert [gate["verdict"] for gate in finished.report["gates"]] == ["pass", "no_baseline"]
    assert "recorded by other tests, and not by test_sla.py::test_clicks[eu]" in finished.text


@pytest.mark.parametrize("reference", ["teacher", "workload"])
def test_other_threads(judge: Judge, reference: str) -> None:
    """A ratio of times under one thread says nothing of that under two."""
    asked = f"--modelbench-reference={reference}" if reference == "workload" else "-q"
    judge(TIMED, "--modelbench-save-baseline=b.json", "--modelbench-threads=1", asked, more=TORCH)
    gate = judge(TIMED, "--modelbench-baseline=b.json", asked, more=TORCH).gate("latency_p50")
    assert gate["verdict"] == "no_baseline"
    assert "with other settings (threads 1, here 2)" in gate["reason"]
    assert gate["reference"]["settings"] == {"device": None, "threads": 2, "allocator": "steady"}


def test_inputs_of_another_form(judge: Judge) -> None:
    """Larger inputs cost more, and smaller ones hide what a student costs."""
    judge(TIMED, "--modelbench-save-baseline=b.json")
    wide = FAKES.replace("EvalData(INPUTS, TARGETS)", "EvalData(np.repeat(INPUTS, 2, axis=1), TARGETS)")
    finished = judge(TIMED, "--modelbench-baseline=b.json", fakes=wide)
    assert finished.gate("latency_p50")["verdict"] == "no_baseline"
    assert "inputs of another form ((1,), and here (2,))" in finished.text
    suite = TIMED.replace("latency_p50", "parameters")
    judge(suite, "--modelbench-save-baseline=b.json")
    assert judge(suite, "--modelbench-baseline=b.json", fakes=wide).gate("parameters")["verdict"] == "pass"


def test_padding_is_no_other_form(judge: Judge) -> None:
    """A loader pads as far as the longest of a batch, and which gate reads first is chance."""
    padded = """
from torch.utils.data import DataLoader
import torch

def collate(samples):
    longest = max(int(x) % 5 + 1 for x, _ in samples)
    return torch.stack([torch.full((longest,), float(x)) for x, _ in samples]), torch.tensor([y for _, y in samples])

@pytest.fixture(scope="session")
def eval_data():
    return DataLoader([(float(x), int(t)) for x, t in zip(INPUTS[:, 0], TARGETS)], collate_fn=collate, batch_size=50)
"""
    suite = TIMED + '\n@pytest.mark.kpi("top1_accuracy", "regression <= 5%")\ndef test_right(): ...\n'
    judge(suite, "--modelbench-save-baseline=b.json", more=padded)
    finished = judge(suite.replace("def test_no_slower", "def test_zz"), "--modelbench-baseline=b.json", more=padded)
    assert set(finished.verdicts.values()) == {"pass"}, finished.text


def test_teacher_without_content(judge: Judge) -> None:
    """Whether it is still the same nobody knows, and the evidence says so."""
    judge(TIMED, "--modelbench-save-baseline=b.json")
    gate = judge(TIMED, "--modelbench-baseline=b.json").gate("latency_p50")
    assert gate["verdict"] == "pass"
    (note,) = gate["notes"]
    assert note.startswith("that the teacher is that of ")
    assert note.endswith("b.json cannot be verified: its content cannot be hashed")
