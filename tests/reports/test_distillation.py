"""The distillation summary: from gates alone, with what nothing judges."""

from __future__ import annotations

from typing import Any

from suites import Judge

from pytest_modelbench.reports.distillation import ROWS, distillation


def gate(student: str, kpi: str, value: float | None, verdict: str = "pass", teacher: float | None = None) -> Any:
    reading = None if value is None else {"value": value, "unit": "B", "provenance": "measured"}
    of_teacher = None if teacher is None else {"value": teacher, "unit": "B", "provenance": "measured"}
    return {
        "student": student,
        "kpi": kpi,
        "suite": "one",
        "unit": "B",
        "verdict": verdict,
        "targets": [f"<= {kpi}"],
        "readings": {"student": reading, "teacher": of_teacher},
    }


GATES = [
    gate("small", "size_on_disk", 10, teacher=100),
    gate("small", "peak_memory", None, "error"),
    gate("small", "top1_accuracy", 98),
    gate("small", "top1_accuracy", 98, "fail", teacher=99),
    gate("small", "latency_p99", 3),
    gate("tiny", "size_on_disk", 5),
]


def test_rows_of_every_student() -> None:
    """Values, all limits and the worst verdict of each; what nobody judges is None."""
    found = distillation(GATES)
    assert found is not None
    assert [(row["name"], row["kpi"]) for row in found] == list(ROWS)
    rows = {row["kpi"]: row for row in found}
    assert rows["size_on_disk"]["teacher"] == {"value": 100, "unit": "B", "provenance": "measured"}
    assert rows["size_on_disk"]["students"]["tiny"]["value"] == 5
    assert rows["top1_accuracy"]["students"]["small"]["verdict"] == "fail"
    assert rows["peak_memory"]["students"]["small"]["value"] is None
    assert rows["peak_memory"]["students"]["small"]["verdict"] == "error"
    assert rows["export"]["students"] == {"small": None, "tiny": None}


def test_rows_where_they_are_judged() -> None:
    """Robustness and responses under load come after the others, and only if a gate judges them."""
    rows = distillation([*GATES, gate("tiny", "robust_accuracy", 40, "inconclusive", teacher=50)])
    assert rows is not None
    assert [row["name"] for row in rows] == [*(name for name, _ in ROWS), "accuracy under attack"]
    assert rows[-1]["students"]["tiny"]["verdict"] == "inconclusive"
    assert rows[-1]["students"]["small"] is None


def test_no_table_where_it_would_say_little() -> None:
    """Without costs, with few rows, or from several suites."""
    assert distillation([one for one in GATES if one["kpi"] != "peak_memory"]) is None
    assert distillation(GATES[:2]) is None
    assert distillation([*GATES, {**GATES[0], "suite": "two"}]) is None
    assert distillation([]) is None


def test_table_in_the_summary(judge: Judge) -> None:
    """Printed after the students, and kept in the report."""
    finished = judge(
        """
        import pytest

        @pytest.mark.kpi("size_on_disk", "reduction >= 85%")
        @pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
        @pytest.mark.kpi("latency_p99", "<= 1 s", "ratio <= 1")
        @pytest.mark.kpi("hardware_tier", "<= T4")
        def test_all(): ...
        """
    )
    finished.result.stdout.fnmatch_lines(
        [
            "distillation summary",
            "*Teacher*student*Target*",
            "model size*400 kB*40 kB*PASS*reduction >= 85%",
            "peak memory*not measured*",
            "top-1 accuracy*99%*98%*PASS*drop <= 2 pp",
            "hardware requirement*CPU 4 GB*PASS*<= T4",
            "deployment readiness*not measured*",
        ]
    )
    assert [row["name"] for row in finished.report["distillation"]] == [name for name, _ in ROWS]
