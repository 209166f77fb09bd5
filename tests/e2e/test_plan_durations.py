"""The plan knows what the last run took."""

from __future__ import annotations

import pytest
from suites import FAKES

SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "<= 9 s")
@pytest.mark.kpi("latency_p99", "<= 9 s")
def test_latency(): ...

@pytest.mark.kpi("throughput", ">= 0.1 qps")
def test_throughput(): ...
"""
SLOW = """
@pytest.fixture(scope="session")
def student_model():
    return student(cost_ns=1e9)
"""


def test_plan_states_last_time_and_what_is_too_slow(pytester: pytest.Pytester) -> None:
    """Before a run: the budget. After it: the time it took, and the percentile that cannot be bounded in it."""
    pytester.makeconftest(FAKES + SLOW)
    pytester.makepyfile(test_sla=SUITE)
    before = pytester.runpytest_inprocess("--modelbench", "--modelbench-plan")
    before.stdout.fnmatch_lines(
        ["3 gates of 2 items: 2 timed measurements, 0 forward passes, at most 120 s of timing"]
    )
    before.stdout.no_fnmatch_line("*last time*")
    pytester.runpytest_inprocess("--modelbench", "-k", "latency")
    after = pytester.runpytest_inprocess("--modelbench", "--modelbench-plan")
    after.stdout.fnmatch_lines(
        [
            "3 gates of 2 items: *, at most 120 s of timing, about * s as last time for 1 of them",
            "timed    student, batch size 1: latency_p*, latency_p* (* s last time, at most 60 s)",
            "         too slow: an upper bound on latency_p99 needs 368 calls, at least 368 s; *budget=736, or judge a *",
            "timed    student, best batch size: throughput (at most 60 s)",
        ]
    )
