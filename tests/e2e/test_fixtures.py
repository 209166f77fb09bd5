"""The fixtures `kpi`, `teacher` and `student` from inside of a test, and models from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from suites import FAKES, Judge, read_report

from pytest_modelbench.models import base


def test_body_reads_the_gate(judge: Judge) -> None:
    """Readings and the comparison are there in the body, and cost nothing again."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("latency_p50", "reduction >= 50%")
        def test_p50(kpi):
            assert kpi.student.value == pytest.approx(0.4)
            assert kpi.student.unit == "ms"
            assert kpi.teacher.value == pytest.approx(1.0)
            assert kpi.comparison.ratio.value == pytest.approx(0.4)
            assert kpi["latency_p50"].student is kpi.student
        """
    )
    finished.result.assert_outcomes(passed=1)
    assert len(finished.report["timings"]) == 1


def test_models_run_batches_in_the_body(judge: Judge) -> None:
    """`student(inputs)` is one call; a model that raises there shows the user's line, none of ours."""
    finished = judge(
        """
        def test_call(student, teacher, eval_data):
            assert student([[1.0]]).shape == (1, 10)
            assert teacher.name == "teacher"

        def test_crash(student):
            student("nonsense")
        """
    )
    finished.result.assert_outcomes(passed=1, failed=1)
    assert "student raised IndexError on inputs of shape 'nonsense'" in finished.text
    assert str(Path(*Path(base.__file__).parts[-3:])) not in finished.text


@pytest.mark.parametrize(
    ("limits", "recorded", "verdict", "words"),
    [
        ("'drop <= 1%'", "student=3.99, teacher=4.0", "pass", "0.25%"),
        ("'drop <= 0.1%'", "student=3.99, teacher=4.0", "fail", "drop <= 0.1% does not hold: 0.25%"),
        ("'>= 3'", "student=3.99", "pass", "3.99"),
        ("'drop <= 1%'", "student=3.99", "error", "the test recorded only student="),
        ("'drop <= 1%'", "student=float('nan'), teacher=4", "error", "kpi.record(student=nan) of clicks"),
        ("'drop <= 1%'", "student='many', teacher=4", "error", "expected a finite number"),
    ],
)
def test_own_kpi_is_recorded_and_judged(judge: Judge, limits: str, recorded: str, verdict: str, words: str) -> None:
    """The body records, the marker judges; what cannot be judged is an error."""
    finished = judge(
        f"""
        import pytest
        @pytest.mark.kpi("clicks", {limits}, better="higher", unit="%")
        def test_clicks(kpi):
            kpi.record({recorded})
        """
    )
    assert finished.gate("clicks")["verdict"] == verdict
    assert words in finished.text


def test_own_kpi_that_is_never_recorded_is_an_error(judge: Judge) -> None:
    """Forgetting kpi.record() is no silent pass."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("clicks", ">= 3", better="higher", unit="")
        def test_clicks(): ...
        """
    )
    assert finished.gate("clicks")["verdict"] == "error"
    assert "Write kpi.record(student=..., teacher=...)" in finished.text


@pytest.mark.parametrize(
    ("metric", "verdict", "words"),
    [
        ("lambda targets, predictions: float((targets == predictions).mean())", "pass", "0.98"),
        ("lambda targets, predictions: 1 / 0", "error", "the metric of quality raised ZeroDivisionError"),
        ("lambda targets, predictions: float('nan')", "error", "quality of student is nan"),
        ("lambda targets, predictions: 'high'", "error", "the metric of quality gave 'high', expected one number"),
    ],
)
def test_own_metric(judge: Judge, metric: str, verdict: str, words: str) -> None:
    """A callable (targets, predictions) is judged like a catalogued KPI, with an interval."""
    finished = judge(
        f"""
        import pytest
        @pytest.mark.kpi("quality", ">= 0.9", "drop <= 5%", metric={metric}, better="higher")
        def test_quality(): ...
        """
    )
    gate = finished.gate("quality")
    assert gate["verdict"] == verdict
    assert words in finished.text
    if verdict == "pass":
        assert gate["readings"]["student"]["ci_low"] < 0.98 < gate["readings"]["student"]["ci_high"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("kpi.student", "this test has several KPIs. Pick one: kpi['parameters']"),
        ("kpi['f1'].student", "this test has no kpi 'f1'; it has 'parameters', 'size_on_disk'"),
        ("kpi['parameters'].record(student=3)", "parameters is measured, not recorded"),
        ("kpi['parameters'].teacher", "the teacher was not measured for parameters"),
        ("kpi['parameters'].comparison", "parameters was not compared"),
    ],
)
def test_wrong_use_of_the_fixture(judge: Judge, body: str, words: str) -> None:
    """Each is an error of the gates, with what to write instead."""
    finished = judge(
        f"""
        import pytest
        @pytest.mark.kpi("parameters", "<= 50k")
        @pytest.mark.kpi("size_on_disk", "<= 50 kB")
        def test_size(kpi):
            {body}
        """
    )
    assert finished.result.ret == 1
    assert words in finished.text
    assert {gate["verdict"] for gate in finished.report["gates"]} == {"error"}


def test_fixture_without_a_marker(judge: Judge) -> None:
    """`kpi` on a test that has no gate says what is missing."""
    finished = judge("def test_nothing(kpi): kpi.student")
    assert "this test has no kpi marker" in finished.text


SHOP = """
import numpy as np
from pytest_modelbench import EvalData, FakeModel
def teacher(): return FakeModel(lambda batch: np.eye(2)[batch[:, 0].astype(int)], parameters=100)
def small(): return FakeModel(lambda batch: np.eye(2)[batch[:, 0].astype(int)], parameters=10)
def wrong(): return FakeModel(lambda batch: np.eye(2)[1 - batch[:, 0].astype(int)], parameters=20)
def data(): return EvalData(np.array([[0.0], [1.0]]), np.array([0, 1]))
"""
ANY_MODEL = """
import pytest
@pytest.mark.kpi("parameters", "reduction >= 85%")
@pytest.mark.kpi("top1_accuracy", ">= 50%")
def test_any(): ...
"""


@pytest.mark.parametrize("conftest", [True, False], ids=["with-fixtures", "without-fixtures"])
def test_models_of_the_command_line(pytester: pytest.Pytester, conftest: bool) -> None:
    """SPECs beat fixtures of the same role, which are not even called; names become labels and ids."""
    if conftest:
        raising = "\n".join(
            f'@pytest.fixture(scope="session")\ndef {name}(): raise SystemExit("called")\n'
            for name in ("teacher_model", "student_model", "eval_data")
        )
        pytester.makeconftest(FAKES + raising)
    pytester.makepyfile(shop=SHOP, test_sla=ANY_MODEL)
    result = pytester.runpytest_inprocess(
        "--modelbench",
        "--modelbench-json=report.json",
        "--modelbench-teacher=shop:teacher",
        "--modelbench-student=small=shop:small",
        "--modelbench-student=wrong=shop.py:wrong",
        "--modelbench-data=shop:data",
    )
    result.assert_outcomes(passed=1, failed=1)
    report = read_report(pytester)
    assert {gate["nodeid"] for gate in report["gates"]} == {
        "test_sla.py::test_any[small]",
        "test_sla.py::test_any[wrong]",
    }
    assert {(g["student"], g["kpi"]): g["verdict"] for g in report["gates"]} == {
        ("small", "parameters"): "pass",
        ("small", "top1_accuracy"): "pass",
        ("wrong", "parameters"): "fail",
        ("wrong", "top1_accuracy"): "fail",
    }


def test_single_unnamed_student_changes_no_id(pytester: pytest.Pytester) -> None:
    """One SPEC without a name is `student`, and the node id stays bare."""
    pytester.makepyfile(shop=SHOP, test_sla=ANY_MODEL)
    result = pytester.runpytest_inprocess(
        "--modelbench",
        "--modelbench-json=report.json",
        *["--modelbench-teacher=shop:teacher", "--modelbench-student=shop:small", "--modelbench-data=shop:data"],
    )
    assert result.ret == 0
    assert {(g["nodeid"], g["student"]) for g in read_report(pytester)["gates"]} == {
        ("test_sla.py::test_any", "student")
    }


def test_options_have_ini_twins(pytester: pytest.Pytester) -> None:
    """The ini file can say all of it; the command line wins."""
    pytester.makepyfile(shop=SHOP, test_sla=ANY_MODEL)
    pytester.makeini(
        """
        [pytest]
        modelbench = true
        modelbench_teacher = shop:teacher
        modelbench_student =
            small=shop:small
            other=shop:small
        modelbench_data = shop:data
        modelbench_json = report.json
        modelbench_seed = 3
        modelbench_confidence = 0.9
        """
    )
    assert pytester.runpytest_inprocess("--modelbench-seed=4").ret == 0
    report = read_report(pytester)
    assert report["settings"]["seed"] == 4
    assert set(report["models"]["students"]) == {"small", "other"}
    accuracies = [g for g in report["gates"] if g["kpi"] == "top1_accuracy"]
    assert {gate["readings"]["student"]["confidence"] for gate in accuracies} == {0.9}


def test_factory_of_the_command_line_that_raises(pytester: pytest.Pytester) -> None:
    """The error names the SPEC, and the factory is called once."""
    pytester.makepyfile(shop="print('imported')\ndef load(): raise OSError('no weights')", test_sla=ANY_MODEL)
    result = pytester.runpytest_inprocess(
        "--modelbench", "--modelbench-student=shop:load", "--modelbench-json=report.json"
    )
    assert result.ret == 1
    gates = read_report(pytester)["gates"]
    assert {gate["verdict"] for gate in gates} == {"error"}
    assert "the factory 'shop:load' raised OSError: no weights" in gates[0]["reason"]
