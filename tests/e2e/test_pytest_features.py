"""Gates are ordinary pytest items: everything that pytest does to items works on them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from suites import FAKES, Finished, Judge, read_report

TOO_BIG = """
import pytest

@pytest.mark.kpi("parameters", "<= 5k")
{mark}
def test_size(): ...

@pytest.mark.kpi("size_on_disk", "<= 50 kB")
def test_disk(): ...
"""
TWO_STUDENTS = """
@pytest.fixture(scope="session", params=["distilled", pytest.param(8, id="int8")])
def student_model(request):
    return student(parameters=10_000 if request.param == "distilled" else 50_000)
"""


@pytest.mark.parametrize(
    ("mark", "outcome"),
    [
        ("@pytest.mark.xfail", {"xfailed": 1, "passed": 1}),
        ("@pytest.mark.xfail(strict=True)", {"xfailed": 1, "passed": 1}),
        ("@pytest.mark.xfail(raises=AssertionError)", {"xfailed": 1, "passed": 1}),
        ("@pytest.mark.xfail(raises=KeyError)", {"failed": 1, "passed": 1}),
        ("@pytest.mark.skip", {"skipped": 1, "passed": 1}),
    ],
)
def test_xfail_and_skip(judge: Judge, mark: str, outcome: dict[str, int]) -> None:
    """A failed verdict is an AssertionError to xfail; a skipped gate is not_run."""
    finished = judge(TOO_BIG.format(mark=mark))
    finished.result.assert_outcomes(**outcome)
    verdict = finished.gate("parameters")["verdict"]
    assert verdict == ("not_run" if "skip" in mark else "fail")


def test_strict_xfail_that_passes_fails(judge: Judge) -> None:
    """A gate that was expected to fail and passes is reported by pytest as ever."""
    finished = judge(TOO_BIG.replace("5k", "50k").format(mark="@pytest.mark.xfail(strict=True)"))
    finished.result.assert_outcomes(failed=1, passed=1)
    assert finished.gate("parameters")["verdict"] == "pass"


def test_stop_at_first_failure_still_reports_every_gate(judge: Judge) -> None:
    """After -x the remaining gates are not_run and the report says that it is incomplete."""
    finished = judge(TOO_BIG.format(mark=""), "-x")
    assert finished.result.ret == 1
    assert list(finished.verdicts.values()) == ["fail", "not_run"]
    assert finished.report["complete"] is False


def test_last_failed_runs_only_what_failed(pytester: pytest.Pytester) -> None:
    """--lf knows gates as it knows tests."""
    pytester.makeconftest(FAKES)
    pytester.makepyfile(TOO_BIG.format(mark=""))
    pytester.runpytest_inprocess("--modelbench").assert_outcomes(failed=1, passed=1)
    pytester.runpytest_inprocess("--modelbench", "--lf").assert_outcomes(failed=1, passed=0)


def test_keyword_selects_students(judge: Judge) -> None:
    """-k int8 judges one student; node ids carry the labels, as does the report."""
    finished = judge(TOO_BIG.format(mark=""), "-k", "int8", more=TWO_STUDENTS)
    finished.result.assert_outcomes(failed=1, passed=1, deselected=2)
    assert set(finished.verdicts) == {
        "test_sla.py::test_size[int8]:parameters",
        "test_sla.py::test_disk[int8]:size_on_disk",
    }
    assert {gate["student"] for gate in finished.report["gates"]} == {"int8"}


def test_each_student_has_a_block(judge: Judge) -> None:
    """The summary shows one block for each student, under its label."""
    finished = judge(TOO_BIG.format(mark=""), more=TWO_STUDENTS)
    finished.result.stdout.fnmatch_lines(["distilled (*) against its teacher*", "int8 (*) against its teacher*"])
    assert set(finished.report["models"]["students"]) == {"distilled", "int8"}


def test_crashed_worker_leaves_the_others_gates(judge: Judge) -> None:
    """A worker that dies makes the report incomplete; what was finished is in it."""
    finished = judge(
        """
        import os, pytest, signal
        @pytest.mark.kpi("parameters", "<= 50k")
        def test_size(): ...
        @pytest.mark.kpi("size_on_disk", "<= 50 kB")
        def test_crash():
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        "-n",
        "1",
        "--max-worker-restart=0",
        process=True,
    )
    assert finished.result.ret == 1
    assert finished.gate("parameters")["verdict"] == "pass"
    assert finished.report["complete"] is False


def test_junit_shows_the_verdict_as_a_failure(judge: Judge, pytester: pytest.Pytester) -> None:
    """A failed gate is a failure with its message in JUnit XML, not an error."""
    judge(TOO_BIG.format(mark=""), "--junitxml=junit.xml")
    suite = ET.parse(pytester.path / "junit.xml").getroot().find("testsuite")  # noqa: S314 - our own file
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("1", "0")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "parameters of student: FAIL: <= 5k does not hold: 10,000" in (failure.get("message") or "")


def test_user_parametrised_test(judge: Judge) -> None:
    """A test's own parameters multiply with the students."""
    finished = judge(
        """
        import pytest
        @pytest.mark.parametrize("size", [1, 2])
        @pytest.mark.kpi("clicks", ">= 2 clicks", better="higher", unit="clicks")
        def test_clicks(kpi, size):
            kpi.record(student=size)
        """,
        more=TWO_STUDENTS,
    )
    finished.result.assert_outcomes(passed=2, failed=2)
    assert {gate["student"] for gate in finished.report["gates"]} == {"distilled", "int8"}
    assert finished.verdicts["test_sla.py::test_clicks[distilled-1]:clicks"] == "fail"
    assert finished.verdicts["test_sla.py::test_clicks[int8-2]:clicks"] == "pass"


def test_markers_on_class_and_module(judge: Judge) -> None:
    """A marker on a class or module holds for each of its tests; the closest one for a KPI wins."""
    finished = judge(
        """
        import pytest
        pytestmark = pytest.mark.kpi("parameters", "<= 5k")

        def test_module_marker(): ...

        @pytest.mark.kpi("size_on_disk", "<= 50 kB")
        class TestSize:
            @pytest.mark.kpi("parameters", "<= 50k")
            def test_method(self): ...
        """
    )
    assert finished.verdicts == {
        "test_sla.py::test_module_marker:parameters": "fail",
        "test_sla.py::TestSize::test_method:parameters": "pass",
        "test_sla.py::TestSize::test_method:size_on_disk": "pass",
    }


def test_collect_only_judges_nothing(judge: Judge) -> None:
    """--collect-only lists the items and loads no model."""
    finished = judge(
        TOO_BIG.format(mark=""),
        "--collect-only",
        "-q",
        more='\n@pytest.fixture(scope="session")\ndef student_model(): raise SystemExit("loaded")\n',
    )
    assert finished.result.ret == 0
    finished.result.stdout.fnmatch_lines(["test_sla.py::test_size", "test_sla.py::test_disk"])


def test_not_enabled_skips_and_says_so(pytester: pytest.Pytester) -> None:
    """Without the flag, gates and tests on our fixtures are skipped, no user fixture runs, the summary counts."""
    pytester.makeconftest(
        FAKES + '\n@pytest.fixture(scope="session")\ndef student_model(): raise SystemExit("loaded")\n'
    )
    pytester.makepyfile(TOO_BIG.format(mark="") + "\ndef test_fixture_only(student): ...\ndef test_plain(): ...\n")
    result = pytester.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=3, passed=1)
    result.stdout.fnmatch_lines(["modelbench: 2 gates not judged; *", "SKIPPED*run pytest with --modelbench*"])


def test_node_ids_do_not_depend_on_the_flag(pytester: pytest.Pytester) -> None:
    """The same ids are collected with and without --modelbench, so that --lf and deselection files work."""
    pytester.makeconftest(FAKES + TWO_STUDENTS)
    pytester.makepyfile(TOO_BIG.format(mark=""))
    collected = [
        [line for line in pytester.runpytest_inprocess("--collect-only", "-q", *flag).outlines if "::" in line]
        for flag in ([], ["--modelbench"])
    ]
    assert collected[0] == collected[1]
    assert len(collected[0]) == 4


def test_plugin_can_be_left_out(pytester: pytest.Pytester) -> None:
    """-p no:modelbench leaves no trace: the marker is unknown, plain tests run."""
    pytester.makepyfile("def test_plain(): ...")
    result = pytester.runpytest_subprocess("-p", "no:modelbench")
    result.assert_outcomes(passed=1)
    assert "modelbench" not in str(result.stdout).replace("plugins:", "").replace("modelbench-", "")


def test_rerun_returns_the_cached_verdict(judge: Judge) -> None:
    """A gate cannot be rerun until it passes: pytest-rerunfailures meets the first answer again."""
    pytest.importorskip("pytest_rerunfailures")
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("clicks", ">= 2", better="higher", unit="")
        def test_clicks(kpi, tmp_path_factory):
            kpi.record(student=next(VALUES))
        VALUES = iter([1, 5, 5])
        """,
        "--reruns=2",
    )
    assert finished.result.ret == 1
    assert finished.gate("clicks")["verdict"] == "fail"


def test_subtests_do_not_carry_the_gate(judge: Judge) -> None:
    """A failing subtest fails the body's item as pytest has it, and the gate is reported once."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("parameters", "<= 50k")
        def test_size(subtests):
            for i in range(3):
                with subtests.test(i=i):
                    assert i != 1
        """
    )
    assert finished.result.ret == 1
    assert len(finished.report["gates"]) == 1
    assert finished.gate("parameters")["verdict"] == "pass"


def test_keyboard_interrupt_leaves_a_report(judge: Judge) -> None:
    """After Ctrl-C the finished gates are in the report, which says that it is incomplete."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("parameters", "<= 50k")
        def test_size(): ...
        @pytest.mark.kpi("size_on_disk", "<= 50 kB")
        def test_interrupted():
            raise KeyboardInterrupt
        """,
        process=True,
    )
    assert finished.result.ret == 2
    assert finished.gate("parameters")["verdict"] == "pass"
    assert finished.gate("size_on_disk")["verdict"] == "not_run"
    assert finished.report["complete"] is False


def test_interrupt_in_the_middle_of_a_measurement(judge: Judge) -> None:
    """Ctrl-C while a model is being timed ends the session, and what was judged before is kept."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("parameters", "<= 50k")
        def test_size(): ...
        @pytest.mark.kpi("latency_p50", "<= 50 ms")
        def test_p50(): ...
        """,
        more="""
def interrupt(batch):
    raise KeyboardInterrupt
STUDENT = student(outputs=interrupt)
""",
        process=True,
    )
    assert finished.result.ret == 2
    assert finished.verdicts == {
        "test_sla.py::test_size:parameters": "pass",
        "test_sla.py::test_p50:latency_p50": "not_run",
    }


def test_report_after_a_collection_error_elsewhere(judge: Judge, pytester: pytest.Pytester) -> None:
    """A file that cannot be imported stops pytest; the report is written all the same."""
    pytester.makepyfile(test_broken="import no_such_module")
    finished: Finished = judge(TOO_BIG.format(mark=""))
    assert finished.result.ret == 2
    assert finished.report["complete"] is False
    assert set(finished.verdicts.values()) == {"not_run"}


def test_no_gate_at_all_warns_and_strict_fails(pytester: pytest.Pytester) -> None:
    """--modelbench over a suite without gates says so, writes the report, and fails when strict."""
    pytester.makepyfile("def test_plain(): ...")
    result = pytester.runpytest_inprocess("--modelbench", "--modelbench-json=report.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no gate was collected*"])
    assert read_report(pytester)["gates"] == []
    assert pytester.runpytest_inprocess("--modelbench", "--modelbench-strict").ret == 1
