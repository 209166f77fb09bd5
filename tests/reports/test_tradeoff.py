"""Students side by side: which columns, which of them no other one beats."""

from __future__ import annotations

from typing import Any

from suites import Judge

from pytest_modelbench.reports.side_by_side import tradeoff_table
from pytest_modelbench.reports.tradeoff import tradeoff


def gate(
    student: str, kpi: str, value: float, teacher: float | None = None, spread: float = 0.0, unit: str = ""
) -> Any:
    ends = {"ci_low": value - spread, "ci_high": value + spread}
    reading = {"value": value, "unit": unit, "provenance": "measured", **ends}
    return {
        "student": student,
        "kpi": kpi,
        "options": {},
        "suite": "one",
        "targets": [],
        "limits": [],
        "readings": {"student": reading, "teacher": None if teacher is None else {**reading, "value": teacher}},
    }


def students(**values: tuple[float, float, float]) -> list[Any]:
    return [
        entry
        for name, (accuracy, latency, size) in values.items()
        for entry in (
            gate(name, "top1_accuracy", accuracy),
            gate(name, "latency_p50", latency, teacher=10.0, spread=0.5, unit="ms"),
            gate(name, "size_on_disk", size),
        )
    ]


def pareto(gates: list[Any]) -> set[str]:
    found = tradeoff(gates)
    assert found is not None
    return {row["student"] for row in found["students"] if row["pareto"]}


def test_beaten_student_is_not_optimal() -> None:
    """One that is no better anywhere and worse somewhere is beaten; trade-offs are not."""
    assert pareto(students(a=(98, 5, 100), b=(97, 5, 200))) == {"a"}
    assert pareto(students(a=(98, 5, 200), b=(97, 5, 100))) == {"a", "b"}
    assert pareto(students(a=(98, 5, 100), b=(98, 5, 100))) == {"a", "b"}


def test_noise_decides_nothing() -> None:
    """Latencies whose intervals overlap are equal: neither a reason to beat nor an excuse."""
    assert pareto(students(a=(98, 5.0, 100), b=(98, 5.3, 100))) == {"a", "b"}
    assert pareto(students(a=(98, 5.3, 100), b=(97, 5.0, 100))) == {"a"}
    assert pareto(students(a=(98, 5.0, 100), b=(98, 7.0, 100))) == {"a"}


def test_times_are_shares_of_the_teachers() -> None:
    """Two students are timed in different minutes; the teacher beside each tells how busy it was."""
    slow_minute = [*students(a=(98, 5, 100)), *students(b=(98, 8, 100))]
    for entry in slow_minute:
        if entry["student"] == "b" and entry["kpi"] == "latency_p50":
            entry["readings"]["teacher"]["value"] = 16.0
    assert pareto(slow_minute) == {"a", "b"}


def test_nothing_to_compare() -> None:
    """One student, none, or columns that not all of them have."""
    assert tradeoff([]) is None
    assert tradeoff(students(a=(98, 5, 100))) is None
    assert tradeoff([gate("a", "top1_accuracy", 98), gate("b", "size_on_disk", 3)]) is None


def test_students_of_two_suites_are_not_compared() -> None:
    """Their teachers or data differ, and so may the models behind one label."""
    other = [{**entry, "suite": "two"} for entry in students(b=(97, 5, 200))]
    assert tradeoff([*students(a=(98, 5, 100)), *other]) is None


def test_unsupported_end_of_an_interval_may_be_anything() -> None:
    """A percentile whose upper end is unknown beats nobody by it."""
    gates = students(a=(98, 5, 100), b=(98, 6, 100))
    assert pareto(gates) == {"a", "b"} or pareto(gates) == {"a"}
    for entry in gates:
        if entry["student"] == "a" and entry["kpi"] == "latency_p50":
            entry["readings"]["student"]["ci_high"] = None
    assert pareto(gates) == {"a", "b"}


def test_column_is_the_first_kpi_that_all_have() -> None:
    """Where only one student has the size on disk, parameters stand for it."""
    gates = [*students(a=(98, 5, 100), b=(97, 5, 200)), gate("a", "parameters", 3), gate("b", "parameters", 4)]
    gates = [entry for entry in gates if (entry["student"], entry["kpi"]) != ("b", "size_on_disk")]
    found = tradeoff(gates)
    assert found is not None
    assert [axis["kpi"] for axis in found["axes"]] == ["top1_accuracy", "latency_p50", "parameters"]


def test_table_and_report(judge: Judge) -> None:
    """After the students' blocks, against the teacher, the optimal ones marked; the same in the JSON."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", "drop <= 60 pp")
        @pytest.mark.kpi("size_on_disk", "ratio <= 2")
        def test_both(): ...
        """,
        more="""
@pytest.fixture(scope="session", params=["good", "worse"])
def student_model(request):
    return student() if request.param == "good" else student(outputs=answers(100), size_bytes=80_000)
""",
    )
    finished.result.stdout.fnmatch_lines(
        [
            "students against each other*",
            "Student *top1_accuracy (drop) *size_on_disk (ratio) *Pareto",
            "good * 98% (1 pp) *40 kB (0.1x) *[*]",
            "worse * 50% (49 pp) *80 kB (0.2x)",
        ]
    )
    found = finished.report["tradeoff"]
    assert [row["pareto"] for row in found["students"]] == [True, False]
    assert found["students"][1]["values"][1] == {
        "student": 80_000,
        "teacher": 400_000,
        "provenance": "measured",
        "judged": {"value": 0.2, "unit": "x"},
    }
    assert [axis["against"] for axis in found["axes"]] == ["drop", "ratio"]


def test_values_are_shown_as_limits_judge_them() -> None:
    """A speedup is shown as its limit judges it, also where the quotient of the two values is another one."""
    judged = {"text": "speedup >= 2", "value": 2.4, "unit": "x"}
    timed = {
        **gate("a", "latency_p50", 5.0, teacher=10.0, unit="ms"),
        "targets": ["speedup >= 2"],
        "limits": [judged],
    }
    found = tradeoff([timed, *students(b=(97, 5, 100)), *students(a=(98, 5, 100))[::2]])
    assert found is not None
    text = tradeoff_table(found, width=100, colour=False)
    assert "latency_p50 (speedup)" in text
    assert "5 ms (2.4x)" in text
    assert "5 ms (2x)" in text  # it has no such limit: the quotient


def test_an_estimate_is_marked() -> None:
    """A value that nothing measured bears its mark and word here too."""
    gates = [gate(name, kpi, 5.0) for name in ("a", "b") for kpi in ("top1_accuracy", "size_on_disk")]
    gates[1]["readings"]["student"]["provenance"] = "modelled"
    found = tradeoff(gates)
    assert found is not None
    assert "~5 (modelled)" in tradeoff_table(found, width=100, colour=False)


def test_many_students_take_no_long_time() -> None:
    """Each student is compared with all others at once: those of a front of thousands too."""
    gates = students(**{f"s{i}": (i, 5, i) for i in range(3000)})
    assert len(pareto(gates)) == 3000
