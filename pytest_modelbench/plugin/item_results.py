"""What an item's gates came to where its body was not, or not wholly, run; and how pytest's reports carry it."""

from __future__ import annotations

import pytest

from pytest_modelbench.bench.gate_results import unjudged
from pytest_modelbench.errors import ModelbenchError, cause_of, message_of
from pytest_modelbench.plugin.items import plan_of
from pytest_modelbench.results import GateResult, Verdict

RESULTS: pytest.StashKey[list[GateResult]] = pytest.StashKey()
RIDER = "modelbench"
"""The attribute of a report that carries the results of its item's gates."""
CASE_RIDER = "modelbench_edge_case"
"""The attribute of a report that says which edge case its item ran, and for which student."""


def all_gates(item: pytest.Item, verdict: Verdict, reason: str) -> list[GateResult]:
    """Return one verdict for every gate of an item."""
    plan = plan_of(item)
    return [unjudged(plan.student, gate, verdict, reason) for gate in plan.gates]


def set_up_failure(error: BaseException) -> str:
    """Say why an item could not be set up."""
    if isinstance(error, ModelbenchError):
        return str(error)
    missing = getattr(error, "argname", None)
    if type(error) is pytest.FixtureLookupError and missing is not None:
        return f"set-up failed: there is no fixture {missing!r}"
    return f"set-up failed: {cause_of(error)}"


def left_out(error: BaseException) -> str:
    """Say why a test did not come to its gates."""
    if isinstance(error, pytest.skip.Exception):
        return f"skipped: {message_of(error)}"
    return f"the test's body raised {type(error).__name__}"


def outcome_of(report: pytest.TestReport) -> str:
    """Name an item's outcome as pytest's own summary does."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return str(report.outcome)
