"""Whether generated texts change with the batch, or from one run to the next."""

from __future__ import annotations

import pytest
from suites import Judge

CONFTEST = """
import itertools
import pytest
from pytest_modelbench import EvalData

CALLS = itertools.count()

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(prompts=[f"{number} + 1 =" for number in range(40)])

@pytest.fixture(scope="session")
def student_model():
    return FUNCTION
"""
SUITE = """
import pytest

@pytest.mark.kpi("batch_invariance", "== 0 pp")
@pytest.mark.kpi("determinism", "== 0")
def test_same_answers(): ...
"""


@pytest.mark.parametrize(
    ("function", "verdicts", "changed"),
    [
        ("lambda prompt: prompt[::-1]", ["pass", "pass"], [0, 0]),
        ("lambda prompt: str(next(CALLS))", ["fail"] * 2, [100, 40]),
    ],
    ids=["same answers", "a counter"],
)
def test_answers_that_change(judge: Judge, function: str, verdicts: list[str], changed: list[float]) -> None:
    """A text is a label of its own: it changes, or it does not."""
    finished = judge(SUITE, fakes=CONFTEST.replace("FUNCTION", function))
    gates = {gate["kpi"]: gate for gate in finished.report["gates"]}
    both = [gates["batch_invariance"], gates["determinism"]]
    assert [gate["verdict"] for gate in both] == verdicts, finished.text
    assert [gate["readings"]["student"]["value"] for gate in both] == changed
