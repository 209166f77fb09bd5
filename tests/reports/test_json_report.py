"""The JSON report: the skeleton, the schema, and how it is written."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import jsonschema
import pytest
from suites import Judge

from pytest_modelbench.reports.json_report import report_schema, write_report
from pytest_modelbench.reports.record import Record
from pytest_modelbench.results import Estimate, Reading, json_types

SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "reduction >= 85%")
def test_p50(): ...

@pytest.mark.kpi("parameters", "reduction >= 80%")
def test_size(): ...

def test_plain(): ...
"""


def test_skeleton(judge: Judge) -> None:
    """Every field of the published skeleton is there, with JSON types."""
    report = judge(SUITE, "--modelbench-seed=5").report
    assert (report["schema_version"], report["complete"], report["exit_status"]) == ("1", True, 1)
    assert report["settings"]["seed"] == 5
    assert report["environment"]["packages"]["pytest"]
    assert report["models"]["students"]["student"]["parameters"] == 10_000
    assert report["models"]["teacher"]["parameters"] == 100_000
    failed = report["gates"][0]
    assert (failed["outcome"], failed["verdict"], failed["pillar"], failed["worker"]) == (
        "failed",
        "fail",
        "efficiency",
        None,
    )
    (limit,) = failed["limits"]
    assert limit["text"] == "reduction >= 85%"
    assert limit["source"] == "marker"
    assert limit["value"] == pytest.approx(0.6)
    assert limit["margin"] == pytest.approx(-0.25)
    assert limit["ci_low"] <= limit["value"] <= limit["ci_high"]
    reading = failed["readings"]["student"]
    assert (reading["unit"], reading["provenance"], reading["confidence"]) == ("ms", "measured", 0.95)
    assert failed["readings"]["baseline"] is None
    assert [test["outcome"] for test in report["tests"]] == ["failed", "passed", "passed"]
    assert report["summary"] == {
        "error": 0, "fail": 1, "inconclusive": 0, "no_baseline": 0, "not_applicable": 0, "pass": 1,
        "reported": 0, "not_run": 0,
    }  # fmt: skip


def test_schema_is_valid_and_refuses_what_is_renamed(judge: Judge) -> None:
    """The schema is a schema, and a report without one of its fields breaks it."""
    jsonschema.Draft202012Validator.check_schema(report_schema())
    report = judge(SUITE).report
    report["gates"][0]["result"] = report["gates"][0].pop("verdict")
    with pytest.raises(jsonschema.ValidationError, match="'verdict' is a required property"):
        jsonschema.validate(report, report_schema(), cls=jsonschema.Draft202012Validator)


def test_old_report_stands_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half-way leaves the old file and nothing else."""
    path = tmp_path / "report.json"
    write_report({"schema_version": "1", "complete": True, "run": 1}, path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report({"schema_version": "1", "complete": True, "run": 2}, path)
    assert json.loads(path.read_text())["run"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_nothing_breaks_json() -> None:
    """NaN, infinities, arrays of one number and foreign objects have a JSON form."""
    import numpy as np

    reading = Reading(estimate=Estimate(value=math.nan, low=-math.inf, high=math.inf), unit="ms")
    found = json_types({"reading": reading.to_json(), "scalar": np.float32(1.5), "path": Path("x"), 3: {1, 2}})
    json.dumps(found, allow_nan=False)
    assert found["reading"]["value"] is None
    assert found["scalar"] == 1.5


def test_answers_of_all_workers_are_kept() -> None:
    """One student on two evaluation sets, which two workers judged."""
    record = Record()
    for suite in ("a", "b"):
        record.add_session(
            {"models": {"int8": {"kind": "torch", "hash": "h", "answers": {suite: {"task": "binary"}}}}}
        )
    assert set(record.models["int8"]["answers"]) == {"a", "b"}
