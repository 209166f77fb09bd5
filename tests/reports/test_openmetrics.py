"""OpenMetrics text: what Prometheus' own parsers read, with digits that noise does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from suites import Judge

from pytest_modelbench.reports.openmetrics import openmetrics, rounded

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 0.1 pp", ">= 90%")
@pytest.mark.kpi("parameters")
def test_ships(): ...

@pytest.mark.kpi("latency_p50", "ratio <= 90%", batch_size=4)
def test_speed(): ...
"""


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return all samples by metric, read by the strict parser of OpenMetrics."""
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    return {family.name: [(sample.labels, sample.value) for sample in family.samples] for family in families}


@pytest.fixture
def written(judge: Judge) -> tuple[str, dict[str, Any]]:
    """Judge a suite and return the file and the JSON report."""
    report = judge(SUITE, "--modelbench-openmetrics=metrics.prom").report
    return Path("metrics.prom").read_text(encoding="utf-8"), report


def test_both_parsers_read_it(written: tuple[str, dict[str, Any]]) -> None:
    """Values by KPI, student and role; limits by their text."""
    text, report = written
    found = samples(text)
    assert sum(len(own) for own in found.values()) == sum(
        len(family.samples) for family in parser.text_string_to_metric_families(text)
    )
    holds = {labels["limit"]: value for labels, value in found["modelbench_limit_holds"]}
    assert holds == {"drop <= 0.1 pp": 0, ">= 90%": 1, "ratio <= 90%": 1}
    (size,) = [
        v for labels, v in found["modelbench_kpi"] if (labels["kpi"], labels["role"]) == ("parameters", "student")
    ]
    assert size == 10_000
    assert {
        labels["option_batch_size"] for labels, _ in found["modelbench_kpi"] if labels["kpi"] == "latency_p50"
    } == {"4"}
    assert found["modelbench_complete"] == [({}, 1.0)]
    assert {labels["verdict"]: value for labels, value in found["modelbench_gates"]} == report["summary"]


def test_names_break_no_line(written: tuple[str, dict[str, Any]]) -> None:
    """Quotes, backslashes and line breaks of names stay in their labels."""
    _, report = written
    name = 'a"b\\c\nd}'
    gates = [{**gate, "student": name} for gate in report["gates"]]
    found = samples(openmetrics({**report, "gates": gates}, 0.0))
    assert {labels["student"] for labels, _ in found["modelbench_kpi"]} == {name}


def test_gates_that_agree_are_one_sample(written: tuple[str, dict[str, Any]]) -> None:
    """A series that is named twice would be refused as a whole."""
    _, report = written
    twice = {**report, "gates": [*report["gates"], *report["gates"]]}
    assert samples(openmetrics(twice, 0.0)) == samples(openmetrics(report, 0.0))


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.123456, 0.12, 0.13, 0.12),
        (1234.5678, 1000.0, 1500.0, 1200.0),
        (7.0, 7.0, 7.0, 7.0),
        (7.123, None, None, 7.123),
    ],
)
def test_digits_follow_the_interval(value: float, low: float | None, high: float | None, shown: float) -> None:
    """One digit of the interval's width is kept, and exact values stay."""
    assert rounded({"value": value, "ci_low": low, "ci_high": high}) == pytest.approx(shown, abs=1e-12)
