"""Allocator churn: told where the pilot saw it, with its remedy."""

from __future__ import annotations

from typing import Any

import pytest
from suites import Judge

from pytest_modelbench.probes.timing import allocator, pilot
from pytest_modelbench.reports.diagnosis import diagnose


def timing(slower: float, faults: float) -> dict[str, Any]:
    gap = {"slower": slower, "minor_faults_per_call": faults}
    return {"student": "int8", "allocator_gap": {"student": gap, "teacher": {**gap, "slower": 1.0}}}


def test_slow_and_faulting_model_is_named() -> None:
    """The number, and what to do about it."""
    (found,) = diagnose([timing(2.2, 280.0)])
    assert found["finding"] == "allocator churn"
    assert (
        found["text"] == "int8 was 2.20x slower with the C library's default allocator, at 280 page faults per call"
    )
    assert "MALLOC_TRIM_THRESHOLD_" in found["remedy"]


@pytest.mark.parametrize(("slower", "faults"), [(1.05, 280.0), (2.2, 1.0)])
def test_noise_is_no_finding(slower: float, faults: float) -> None:
    """Slower without faults is something else, and so are faults that cost nothing."""
    assert diagnose([timing(slower, faults)]) == []


def test_first_measurement_of_a_process_sees_the_gap(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm-up under the defaults is slower and faults; the one after it is not; the summary and report say so."""
    monkeypatch.setattr(allocator, "_steady_since", [])
    faults = iter(range(0, 10**9, 50_000))
    monkeypatch.setattr(pilot, "minor_faults", lambda: 0 if allocator.is_steady() else next(faults))
    finished = judge(
        """
        import pytest

        @pytest.mark.kpi("latency_p50", "<= 5 ms")
        def test_p50(): ...
        """,
        more="""
from pytest_modelbench.probes.timing import allocator
@pytest.fixture(scope="session")
def student_model():
    return student(cost_ns=lambda: 4e5 if allocator.is_steady() else 1e6)
""",
    )
    (found,) = finished.report["diagnosis"]
    assert found["slower"] == pytest.approx(2.5)
    assert found["minor_faults_per_call"] > 1
    finished.result.stdout.fnmatch_lines(["allocator churn: student was 2.50x slower with the C library's default*"])
