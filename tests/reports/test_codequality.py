"""GitLab's code quality format: which gates, where they are, and fingerprints that only what is asked changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from full_report import full_report
from suites import Judge

from pytest_modelbench.reports.codequality import code_quality

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 0.1 pp", ">= 90%")
@pytest.mark.kpi("parameters", "ratio <= 50%")
def test_ships(): ...

@pytest.mark.kpi("flops", "<= 1 G")
def test_work(): ...
"""
SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string"},
            "check_name": {"type": "string"},
            "fingerprint": {"type": "string"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^./]"},
                    "lines": {"type": "object", "required": ["begin"], "properties": {"begin": {"type": "integer"}}},
                },
            },
        },
    },
}
"""What GitLab documents: a path without `./`, and these five fields."""


def test_failed_gates(judge: Judge) -> None:
    """An issue for the gate that failed, at the line of its test; what passed is not in it."""
    finished = judge(SUITE, "--modelbench-codequality=q.json")
    assert "code quality report: q.json" in finished.text
    issues = json.loads(Path("q.json").read_text(encoding="ascii"))
    jsonschema.validate(issues, SCHEMA)
    by_name = {issue["check_name"]: issue for issue in issues}
    assert "modelbench: parameters" not in by_name
    accuracy = by_name["modelbench: top1_accuracy"]
    assert accuracy["severity"] == "major"
    assert accuracy["location"] == {"path": "test_sla.py", "lines": {"begin": 3}}
    assert accuracy["description"].startswith("FAIL: top1_accuracy of student: drop <= 0.1 pp does not hold: 1 pp")


def test_fingerprints() -> None:
    """They are unique, and the same for another value, reason or order; another student has others."""
    issues = code_quality(full_report())
    marks = {issue["fingerprint"] for issue in issues}
    assert len(marks) == len(issues) == 4
    later = full_report()
    for gate in later["gates"]:
        gate["reason"] = "something else"
    later["gates"].reverse()
    assert {issue["fingerprint"] for issue in code_quality(later)} == marks
    assert not {issue["fingerprint"] for issue in code_quality(full_report("other"))} & marks
    twice = full_report("small")
    twice["gates"] = [twice["gates"][0]] * 2
    assert len({issue["fingerprint"] for issue in code_quality(twice)}) == 2


def test_severities() -> None:
    """An error is worse than a failure, which is worse than an open verdict; the worst is first."""
    report = full_report("small")
    report["gates"][3] |= {"verdict": "error", "reason": "two\nlines \x1b[31m"}
    issues = code_quality(report)
    assert [issue["severity"] for issue in issues] == ["critical", "major", "minor"]
    assert issues[0]["description"] == "ERROR: nonfinite_outputs of small: two lines \\x1b[31m"


@pytest.mark.parametrize("content", ['[{"check_name": "eslint", "x": 1}]', "[1]", "{}"])
def test_only_ours_is_replaced(judge: Judge, content: str) -> None:
    """A report of another tool stays; an empty one and our own are written again."""
    Path("q.json").write_text(content, encoding="utf-8")
    assert judge(SUITE, "--modelbench-codequality=q.json").result.ret == 4
    assert Path("q.json").read_text(encoding="utf-8") == content
    for earlier in ("[]\n", json.dumps(code_quality(full_report()), indent=1)):
        Path("q.json").write_text(earlier, encoding="utf-8")
        assert judge(SUITE, "--modelbench-codequality=q.json").result.ret == 1
        rows: list[dict[str, Any]] = json.loads(Path("q.json").read_text(encoding="ascii"))
        assert rows[0]["check_name"].startswith("modelbench: ")


def test_nothing_failed(judge: Judge) -> None:
    """The file is an empty list, so that GitLab sees that earlier issues are mended."""
    judge(
        'import pytest\n@pytest.mark.kpi("parameters", "ratio <= 50%")\ndef test_ok(): ...\n',
        "--modelbench-codequality=q.json",
    )
    assert json.loads(Path("q.json").read_text(encoding="ascii")) == []
