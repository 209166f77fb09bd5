"""Diagnoses in real runs: whom they are for, what the summary and the report say, and what leaves them out."""

from __future__ import annotations

from typing import Any

import pytest
from suites import Finished, Judge

from pytest_modelbench.diagnosis.catalogue import HYPOTHESES

P50 = """
import pytest

@pytest.mark.kpi("latency_p50", "{limit}")
def test_p50(): ...
"""
SMALL_AND_SLOW = '''
import sys, types
from pytest_modelbench.diagnosis import run
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Hypothesis

def hooks(subject):
    """Half of the student's time."""
    variant = student(cost_ns=5e5).bind(subject.inputs)
    return Finding(cause="hooks", text="2 hooks run in every call", evidence={{"hooks": 2}},
                   counterfactual="without the hooks", gives_back=subject.watch.gives_back(variant),
                   remedy="Remove the hooks", explains=("operators",))

def harmless(subject):
    return Finding(cause="harmless", gives_back=subject.watch.gives_back(subject.call))

def failing(subject):
    raise ZeroDivisionError("by zero")

planted = types.ModuleType("pytest_modelbench.diagnosis.hypotheses.planted")
vars(planted).update(hooks=hooks, harmless=harmless, failing=failing)

@pytest.fixture(autouse=True, scope="session")
def plant():
    sys.modules[planted.__name__] = planted
    before, run.HYPOTHESES = run.HYPOTHESES, tuple(
        Hypothesis(cause=name, title=name, test=f"planted:{{name}}", needs_module=False)
        for name in ("hooks", "harmless", "failing")
    )
    {after}

@pytest.fixture(scope="session", params={students})
def student_model(request):
    return student(cost_ns={cost})
'''


def suite(*students: str, cost: float = 1e6) -> str:
    """Return a conftest with planted hypotheses: they stay until the process ends, which tests a student last."""
    return SMALL_AND_SLOW.format(students=list(students or ["small"]), cost=cost, after="")


@pytest.fixture(autouse=True)
def _hypotheses_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the real hypotheses back after the test."""
    monkeypatch.setattr("pytest_modelbench.diagnosis.run.HYPOTHESES", HYPOTHESES)


def diagnosed(finished: Finished) -> dict[str, Any]:
    """Return the one diagnosis of a report."""
    (found,) = finished.report["diagnosis"]
    return dict(found)


def test_failing_timed_gate_is_diagnosed(judge: Judge) -> None:
    """The summary names the cause, its number and the remedy; the report has everything; the verdict stays."""
    finished = judge(P50.format(limit="ratio <= 0.9"), more=suite())
    assert finished.gate("latency_p50")["verdict"] == "fail"
    found = diagnosed(finished)
    assert (found["student"], found["reason"]) == ("small", "latency_p50 failed")
    assert found["time_ratio"] == pytest.approx(1.0)
    (cause,) = found["causes"]
    assert cause["gives_back"] == pytest.approx(0.5, abs=0.01)
    assert cause["evidence"] == {"hooks": 2}
    assert [one["cause"] for one in found["refuted"]] == ["harmless"]
    assert [one["skipped"] for one in found["skipped"]] == ["ZeroDivisionError: by zero"]
    finished.result.stdout.fnmatch_lines(
        [
            "diagnosis of small (latency_p50 failed; its time is 100% of the teacher's)",
            "  1. hooks takes 50% (50% to 50%) of its time: 2 hooks run in every call",
            "     Remove the hooks",
            "  refuted: harmless 0%; not tested: failing (ZeroDivisionError: by zero)",
        ]
    )


def test_passing_gate_of_a_student_that_breaks_its_promise_is_diagnosed(judge: Judge) -> None:
    """A tenth of the parameters and the teacher's time, within its limit."""
    finished = judge(P50.format(limit="ratio <= 2"), more=suite())
    assert finished.gate("latency_p50")["verdict"] == "pass"
    assert diagnosed(finished)["reason"] == "parameters are 10% of the teacher's"
    finished.result.assert_outcomes(passed=1)


def test_healthy_student_is_not_diagnosed(judge: Judge) -> None:
    """A tenth of the parameters and two fifths of the time: no hypothesis is tested, and nothing is printed."""
    finished = judge(P50.format(limit="ratio <= 0.9"), more=suite(cost=4e5))
    assert finished.report["diagnosis"] == []
    assert "diagnosis" not in finished.text


@pytest.mark.parametrize(
    ("option", "cost", "reasons"),
    [("always", 4e5, ["--modelbench-diagnose=always"]), ("never", 1e6, [])],
)
def test_option_decides(judge: Judge, option: str, cost: float, reasons: list[str]) -> None:
    """For every timed student, or for none."""
    finished = judge(P50.format(limit="<= 5 ms"), f"--modelbench-diagnose={option}", more=suite(cost=cost))
    assert [one["reason"] for one in finished.report["diagnosis"]] == reasons


def test_wrong_option_is_refused(judge: Judge) -> None:
    """With the values that it takes."""
    finished = judge(P50.format(limit="<= 5 ms"), "--modelbench-diagnose=yes", more=suite())
    assert "--modelbench-diagnose: found 'yes', expected" in finished.text


def test_gate_without_a_timed_measurement_is_no_reason(judge: Judge) -> None:
    """More parameters than allowed are explained by themselves."""
    marker = 'import pytest\n@pytest.mark.kpi("parameters", "<= 10")\ndef test_size(): ...'
    finished = judge(marker, more=suite())
    assert finished.gate("parameters")["verdict"] == "fail"
    assert finished.report["diagnosis"] == []


def test_diagnosis_comes_after_the_last_test(judge: Judge) -> None:
    """Calls of hypotheses disturb no test."""
    code = P50.format(limit="ratio <= 0.9") + (
        "\nimport conftest\ndef test_zz_last():\n    assert conftest.TESTED == []\n"
    )
    more = suite().replace('    """Half', '    TESTED.append(1)\n    """Half') + "\nTESTED = []\n"
    finished = judge(code, more=more)
    finished.result.assert_outcomes(passed=1, failed=1)
    assert len(diagnosed(finished)["causes"]) == 1


def test_only_some_students_are_kept(judge: Judge) -> None:
    """The report and the summary say of the others that they were not diagnosed; the block has ten lines at most."""
    finished = judge(P50.format(limit="ratio <= 0.9"), more=suite("a", "b", "c", "d", "e"))
    reasons = {one["student"]: one["reason"] for one in finished.report["diagnosis"]}
    assert list(reasons) == ["d", "e", "a", "b", "c"]
    assert reasons["a"] == "latency_p50 failed"
    assert reasons["e"].startswith("not diagnosed: a session diagnoses 3 students at most")
    lines = str(finished.result.stdout).splitlines()
    start = next(number for number, one in enumerate(lines) if one.startswith("diagnosis of a"))
    end = next(number for number, one in enumerate(lines) if one.startswith("FAIL 5 gates"))
    assert end - start == 10
    assert lines[end - 1].startswith("d, e not diagnosed: a session diagnoses 3 students at most")


def test_run_that_ends_early_has_no_diagnosis(judge: Judge) -> None:
    """It ends at once, as the user asked."""
    finished = judge(P50.format(limit="ratio <= 0.9"), "-x", more=suite())
    assert finished.report["diagnosis"] == []


@pytest.mark.slow
def test_workers_diagnose_nothing_and_say_so(judge: Judge) -> None:
    """They measure at the same time; the summary names the command that works."""
    finished = judge(P50.format(limit="ratio <= 0.9"), "-n", "2", more=suite(), process=True)
    assert diagnosed(finished)["reason"].startswith("not diagnosed: workers of pytest-xdist")
    assert "python -m pytest_modelbench diagnose" in finished.text


def test_fixture_diagnoses_in_a_test_body(judge: Judge) -> None:
    """However fast the student is; the lines are in the report of a test that fails."""
    finished = judge(
        """
        def test_why(diagnosis, teacher, student):
            found = diagnosis(student, teacher, [[1.0]], only=["hooks", "harmless"])
            assert [one.cause for one in found.causes] == ["hooks"]
            assert found.causes[0].remedy == "Remove the hooks"
            assert [one.cause for one in found.refuted] == []
        """,
        more=suite(),
    )
    finished.result.assert_outcomes(failed=1)
    finished.result.stdout.fnmatch_lines(
        ["*modelbench diagnosis: small*", "diagnosis of small (asked by the test; its time is 100% of the teacher's)"]
    )
    assert "['harmless'] == []" in finished.text
