"""What GitHub Actions shows of a run: annotations of the tests that failed, and the summary of the step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import visible
from pytest_modelbench.reports.markdown import markdown
from pytest_modelbench.results import Verdict

MOST_ANNOTATIONS = 10
"""GitHub shows ten errors of a step."""
MOST_BYTES = 900 * 1024
"""GitHub drops a step's whole summary above 1,024 KiB."""
_LEVELS = {
    Verdict.ERROR: "error",
    Verdict.FAIL: "error",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.NO_BASELINE: "warning",
}
_IN_MESSAGES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTIES = {**_IN_MESSAGES, ":": "%3A", ",": "%2C"}


def workflow_commands(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield one workflow command for each gate that failed, the failures first.

    Args:
        report: the JSON report.
    """
    places = {test["nodeid"]: test for test in report["tests"]}
    levels = {verdict.value: level for verdict, level in _LEVELS.items()}
    bad = [gate for gate in report["gates"] if gate["verdict"] in levels]
    for gate in sorted(bad, key=lambda gate: levels[gate["verdict"]])[:MOST_ANNOTATIONS]:
        place = places.get(gate["nodeid"], {})
        where = {"file": place.get("file"), "line": place.get("line"), "title": f"{gate['kpi']} of {gate['student']}"}
        properties = ",".join(
            f"{name}={_escaped(str(value), _IN_PROPERTIES)}" for name, value in where.items() if value is not None
        )
        message = _escaped(f"{gate['reason']} ({gate['nodeid']})", _IN_MESSAGES)
        yield f"::{levels[gate['verdict']]} {properties}::{message}"


def append_step_summary(report: Mapping[str, Any], path: Path) -> str:
    """Append the Markdown report to the summary of a step, and return what the terminal says of it.

    Args:
        report: the JSON report.
        path: the file that GITHUB_STEP_SUMMARY names; other steps' texts stay.
    """
    try:
        left = MOST_BYTES - (path.stat().st_size if path.exists() else 0)
        text = _fitting(report, left)
        if not text:
            return f"step summary: {path} is full, so nothing was added"
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        return f"ERROR: step summary: cannot write {path}: {error.strerror or error}"
    return "step summary: added to GITHUB_STEP_SUMMARY"


def _fitting(report: Mapping[str, Any], most_bytes: int) -> str:
    """Return the Markdown report in at most so many bytes; "" where not even its head fits."""
    most = most_bytes
    while most > 1000:
        text = markdown(report, most)
        if len(text.encode()) <= most_bytes:
            return text
        most -= len(text.encode()) - most_bytes + 100
    return ""


def of_environment() -> tuple[bool, Path | None]:
    """Return whether GitHub Actions runs this, and the file of its step's summary."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY", "")
    return os.environ.get("GITHUB_ACTIONS") == "true", Path(summary) if summary else None


def _escaped(text: str, replacements: Mapping[str, str]) -> str:
    shown = "\n".join(visible(line) for line in text.splitlines())
    return "".join(replacements.get(character, character) for character in shown)
