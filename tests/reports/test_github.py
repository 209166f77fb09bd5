"""On GitHub Actions: annotations at the tests that failed, and the report in the summary of the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from suites import Judge

from pytest_modelbench.reports.github import MOST_ANNOTATIONS, MOST_BYTES, append_step_summary, workflow_commands

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 0.1 pp")
@pytest.mark.kpi("parameters", "ratio <= 50%")
def test_ships(): ...
"""


@pytest.fixture
def on_github(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Set what GitHub Actions sets; the summary of the step has another step's text already."""
    summary = tmp_path / "summary.md"
    summary.write_text("# built\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    return summary


def test_failed_gates_are_annotated_at_their_test(on_github: Path, judge: Judge) -> None:
    """File, line and reason; what passed has no annotation. The summary is appended to."""
    finished = judge(SUITE)
    (line,) = [line for line in finished.text.splitlines() if line.startswith("::")]
    assert line.startswith(
        "::error file=test_sla.py,line=3,title=top1_accuracy of student::drop <= 0.1 pp does not hold"
    )
    assert line.endswith("(test_sla.py::test_ships)")
    text = on_github.read_text(encoding="utf-8")
    assert text.startswith("# built\n<!-- pytest-modelbench -->\n### pytest-modelbench: FAIL")
    assert "step summary: added to GITHUB_STEP_SUMMARY" in finished.text
    assert finished.result.ret == 1


def test_nothing_is_added_elsewhere(judge: Judge) -> None:
    """Without GitHub's variables the terminal has no commands."""
    finished = judge(SUITE)
    assert "::error" not in finished.text
    assert "step summary" not in finished.text


def gate(verdict: str, **changes: Any) -> dict[str, Any]:
    """Return a gate as in the report."""
    return {"nodeid": "t.py::t", "kpi": "f1", "student": "s", "verdict": verdict, "reason": "why"} | changes


def test_commands_are_escaped_and_few() -> None:
    """A name or reason ends no command; failures come before what is inconclusive."""
    report = {
        "tests": [{"nodeid": "t.py::t", "file": "a,b:c.py", "line": 3}],
        "gates": [
            gate("inconclusive"),
            gate("fail", reason="100%\n::error::forged", student="x,y"),
            *[gate("error")] * MOST_ANNOTATIONS,
        ],
    }
    lines = list(workflow_commands(report))
    assert len(lines) == MOST_ANNOTATIONS
    assert lines[0] == "::error file=a%2Cb%3Ac.py,line=3,title=f1 of x%2Cy::100%25%0A::error::forged (t.py::t)"
    assert not any(line.startswith("::warning") for line in lines)
    assert (
        next(workflow_commands({"tests": [], "gates": [gate("inconclusive")]}))
        == "::warning title=f1 of s::why (t.py::t)"
    )


def test_a_full_summary_is_left_alone(judge: Judge, tmp_path: Path) -> None:
    """Above its limit GitHub drops all of it."""
    report = judge(SUITE).report
    full, nearly = tmp_path / "full.md", tmp_path / "nearly.md"
    full.write_bytes(b"x" * MOST_BYTES)
    nearly.write_bytes(b"x" * (MOST_BYTES - 1500))
    assert "is full" in append_step_summary(report, full)
    assert full.stat().st_size == MOST_BYTES
    assert "added" in append_step_summary(report, nearly)
    assert MOST_BYTES - 1500 < nearly.stat().st_size <= MOST_BYTES
    assert "cannot write" in append_step_summary(report, tmp_path / "missing" / "summary.md")
