"""Whether a report is of a whole run: what ends a process past pytest leaves one that is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.results import Verdict


def why_not_passed(report: Mapping[str, Any]) -> str | None:
    """Say why a report is not of a run that judged every gate and passed; None if it is."""
    status = report.get("exit_status")
    if status is None:
        return "the run did not come to its end: something ended its process while tests ran"
    if not report.get("complete"):
        return f"the run did not come to its end (exit status {status})"
    if status != 0:
        return f"the run failed (exit status {status})"
    unrun = sum(gate["verdict"] == Verdict.NOT_RUN.value for gate in report["gates"])
    if unrun:
        return f"{unrun} of {len(report['gates'])} gates were not run"
    return None if report["gates"] or _edge_cases(report) else "no gate was collected"


def _edge_cases(report: Mapping[str, Any]) -> bool:
    return any("edge_case" in test for test in report.get("tests", []))
