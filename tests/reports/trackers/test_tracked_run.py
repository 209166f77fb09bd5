"""The rows of a report that every tracker takes: one run for each student, each number with its unit and name."""

from __future__ import annotations

from typing import Any

import pytest
from full_report import full_report, gate, limit, reading

from pytest_modelbench.reports.trackers.tracked_run import Metric, TrackedRun, tracked_runs


def run_of(*gates: dict[str, Any], **more: Any) -> TrackedRun:
    """Return the run of the one student of some gates."""
    (run,) = tracked_runs({**full_report("small"), "gates": list(gates), "tests": [], **more})
    return run


def test_each_student_has_a_run() -> None:
    """With its own verdict and values."""
    small, tiny = tracked_runs(full_report("small", "tiny"))
    assert (small.student, tiny.student) == ("small", "tiny")
    assert small.verdict == "fail"
    assert small.metrics == tiny.metrics
    assert small.headline == "pytest-modelbench: fail for small, 11 gates (top1_accuracy)"


def test_headline_names_a_few_failures() -> None:
    """It is one line in a list of runs."""
    run = run_of(*(gate(f"kpi{at}", verdict="error") for at in range(8)))
    assert run.headline == "pytest-modelbench: error for small, 8 gates (kpi0, kpi1, kpi2, kpi3, kpi4 and 3 more)"


def test_value_interval_teacher_and_limits_are_metrics() -> None:
    """The value that a limit compares has its own interval and margin."""
    run = run_of(
        gate(
            "latency_p50",
            limit("speedup >= 2x", "pass", 4.0, "x", threshold=2.0, half=0.5),
            limit("<= 1 ms", "pass", 0.1, "ms", threshold=1.0),
            unit="ms",
            readings={"student": reading(0.1, "ms", half=0.01), "teacher": reading(0.4, "ms", half=0.01)},
        )
    )
    named: dict[str, Any] = {
        ".".join(key): (pytest.approx(metric.value), metric.unit) for key, metric in run.metrics.items()
    }
    assert named == {
        "latency_p50": (0.1, "ms"),
        "latency_p50.ci_low": (0.09, "ms"),
        "latency_p50.ci_high": (0.11, "ms"),
        "latency_p50.teacher": (0.4, "ms"),
        "latency_p50.speedup": (4.0, "x"),
        "latency_p50.speedup.ci_low": (3.5, "x"),
        "latency_p50.speedup.ci_high": (4.5, "x"),
        "latency_p50.speedup.margin": (2.0, "x"),
        "latency_p50.margin": (0.9, "ms"),
    }
    assert run.params["limit", "latency_p50"] == "speedup >= 2x; <= 1 ms"
    units = {key[1:]: value for key, value in run.params.items() if key[0] == "unit"}
    assert units == {("latency_p50",): "ms", ("latency_p50", "speedup"): "x"}
    assert run.tags["modelbench.verdict.latency_p50"] == "pass"


def test_fractions_are_percent_as_their_limit() -> None:
    """`reduction >= 80%` judges 0.98 of 1, and is logged as 98."""
    run = run_of(gate("parameters", limit("reduction >= 80%", "pass", 0.98, "fraction", threshold=0.8)))
    assert run.metrics["parameters", "reduction"] == Metric(value=98.0, unit="%")
    margin = run.metrics["parameters", "reduction", "margin"]
    assert margin.value == pytest.approx(18.0)
    assert margin.unit == "%"


def test_nearest_of_two_bounds_is_the_margin() -> None:
    """A value between two bounds is as near to its limits as to the nearer one."""
    bounds = (
        limit(">= 90%", "pass", 94.0, "%", threshold=90.0),
        limit("<= 95%", "pass", 94.0, "%", threshold=95.0),
    )
    assert run_of(gate("recall", *bounds, unit="%")).metrics["recall", "margin"].value == pytest.approx(1.0)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_value_that_is_not_finite_has_no_metric(value: float | None) -> None:
    """The verdict says what happened; trackers refuse such numbers, or draw them wrongly."""
    bad = {**reading(1.0, "ms"), "value": value, "ci_low": 0.5, "ci_high": value}
    run = run_of(gate("latency_p50", verdict="error", unit="ms", readings={"student": bad}))
    assert run.metrics == {("latency_p50", "ci_low"): Metric(value=0.5, unit="ms")}
    assert run.tags["modelbench.verdict.latency_p50"] == run.tags["modelbench.verdict"] == "error"


def test_exact_value_has_no_interval() -> None:
    """A count lies in no interval."""
    exact = {**reading(10.0, ""), "ci_low": 10.0, "ci_high": 10.0}
    assert list(run_of(gate("parameters", readings={"student": exact})).metrics) == [("parameters",)]


def test_second_gate_of_a_kpi_leaves_the_name_of_the_first() -> None:
    """An option that is not the KPI's default names it; of equal options the test does."""

    def timed(batch_size: int, value: float, test: str) -> dict[str, Any]:
        options = {"batch_size": batch_size, "compile": False, "processes": 1}
        values = {"student": reading(value, "ms")}
        return {**gate("latency_p50", options=options, unit="ms", readings=values), "nodeid": f"t.py::{test}"}

    first, second, third = timed(1, 2.0, "test_one"), timed(8, 3.0, "test_batch"), timed(1, 4.0, "test_other")
    fourth = {**third, "readings": {**third["readings"], "student": reading(5.0, "ms")}}
    run = run_of(first, second, third, fourth)
    values = {key: metric.value for key, metric in run.metrics.items()}
    assert values == {
        ("latency_p50",): 2.0,
        ("latency_p50", "batch_size_8"): 3.0,
        ("latency_p50", "test_other"): 4.0,
        ("latency_p50", "test_other", "2"): 5.0,
    }
    assert run.params["option", "latency_p50", "batch_size_8", "batch_size"] == 8
    assert list(run_of(first).metrics) == [("latency_p50",)]


def test_gates_of_one_measurement_are_one_metric_with_all_limits() -> None:
    """Two tests that judge the same value differently."""
    first = gate("recall", limit(">= 90%", "pass", 94.0, "%", threshold=90.0), unit="%")
    second = {
        **gate("recall", limit(">= 95%", "fail", 94.0, "%", threshold=95.0), unit="%"),
        "nodeid": "t.py::test_more",
    }
    run = run_of(first, second)
    assert run.params["limit", "recall"] == ">= 90%; >= 95%"
    assert run.metrics["recall", "margin"].value == -1.0
    assert run.tags["modelbench.verdict.recall"] == "fail"


def test_settings_models_and_version_are_params_and_tags() -> None:
    """What is needed to compare two runs; paths of files, and settings that were not given, are left out."""
    run = run_of(
        gate("recall"),
        settings={"threads": 2, "device": None, "json_path": "r.json", "deploy": ["onnx", "tvm"], "students": [],
                  "teacher": {"spec": "shop:load", "name": None}, "log": ["mlflow"]},
        models={"teacher": {"kind": "torch", "hash": "torch:1"}, "students": {"small": {"kind": "torch", "parameters": 7}}},
        run={"started": "2026-11-28T08:00:00+00:00", "ended": "2026-11-28T08:01:00+00:00", "commit": "abc", "branch": "main", "dirty": True},
    )  # fmt: skip
    settings = {key[1]: value for key, value in run.params.items() if key[0] == "settings"}
    assert settings == {"threads": 2, "deploy": "onnx, tvm", "teacher": "shop:load"}
    assert run.params["model", "parameters"] == 7
    assert run.params["teacher", "hash"] == run.tags["modelbench.teacher"] == "torch:1"
    assert (run.tags["modelbench.commit"], run.tags["modelbench.branch"]) == ("abc", "main")
    assert run.tags["modelbench.dirty"] == "true"
    assert run.tags["modelbench.machine"] == "a chip, 2"
    assert run.started is not None
    assert run.ended is not None
    assert (run.ended - run.started).total_seconds() == 60


@pytest.mark.parametrize(("status", "interrupted"), [(None, True), (2, True), (3, False), (1, False)])
def test_run_that_did_not_come_to_its_end_is_marked(status: int | None, interrupted: bool) -> None:
    """A killed or interrupted run differs from one that broke off."""
    run = run_of(gate("recall"), complete=False, exit_status=status)
    assert (run.complete, run.interrupted) == (False, interrupted)
    assert run.tags["modelbench.complete"] == "false"
    assert run.headline.endswith("The run did not come to its end: this is what was known by then")


def test_student_without_a_run_gate_has_no_run() -> None:
    """There is nothing to log of one whose tests were deselected or never started."""
    assert tracked_runs({**full_report("small"), "gates": [gate("recall", verdict="not_run")]}) == []


def test_report_of_an_earlier_version_has_runs() -> None:
    """It says neither when nor of which code it is."""
    report = full_report("small")
    assert "run" not in report
    (run,) = tracked_runs(report)
    assert run.started is run.ended is None


def test_failed_edge_case_fails_its_student() -> None:
    """Edge cases are tests without a gate."""
    tests = [
        {
            "nodeid": f"t.py::test[{case}]",
            "outcome": outcome,
            "duration_s": 0.1,
            "edge_case": case,
            "student": "small",
        }
        for case, outcome in (("zeros", "passed"), ("nan", "failed"), ("text", "skipped"))
    ]
    run = run_of(gate("recall"), tests=tests)
    assert run.verdict == "fail"
    assert run.tags["modelbench.edge_cases"] == "2 run, 1 failed"
