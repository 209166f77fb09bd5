"""The KPI memory_growth in a real run: a student that leaks fails its limit, and a steady one passes."""

from __future__ import annotations

import pytest
from suites import Judge

pytestmark = pytest.mark.slow

MODELS = """
KEPT = []

def leaking(batch):
    KEPT.append(bytearray(4096))
    return batch

@pytest.fixture(scope="session")
def student_model():
    return student(outputs=leaking) if LEAKS else student(outputs=lambda batch: batch)

@pytest.fixture(scope="session")
def teacher_model():
    return teacher(outputs=lambda batch: batch)

"""
SUITE = """
import pytest

@pytest.mark.kpi("memory_growth", "<= 1 MB", "difference <= 1 MB")
def test_growth(): ...
"""


@pytest.mark.parametrize(("leaks", "verdict"), [(True, "fail"), (False, "pass")])
def test_a_leak_fails(judge: Judge, leaks: bool, verdict: str) -> None:
    """The value, its interval and how it came about are in the report."""
    gate = judge(SUITE, more=f"LEAKS = {leaks}\n{MODELS}").gate("memory_growth")
    assert gate["verdict"] == verdict
    assert (gate["readings"]["student"]["value"] > 3e6) == leaks
    assert "growth of resident memory over" in gate["readings"]["student"]["method"]
