"""Mistakes: each told once, where it is, what was found, what to write; all together; never a traceback of ours."""

from __future__ import annotations

import pytest
from suites import FAKES, Judge


def marked(marker: str) -> str:
    return f"import pytest\n\n@pytest.mark.kpi({marker})\ndef test_gate(): ...\n"


THREE_MISTAKES = """
import pytest, unittest

@pytest.mark.kpi("latency_p98", "<= 120 ms")
def test_unknown(): ...

@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.kpi("latency_p99", "<= 120 mss")
def test_unit(size): ...

class TestCase(unittest.TestCase):
    @pytest.mark.kpi("parameters", "<= 5M")
    def test_method(self): ...
"""


@pytest.mark.parametrize("arguments", [(), ("--collect-only",), ("-n", "2")], ids=["serial", "collect-only", "xdist"])
def test_all_mistakes_of_a_session_are_told_together(judge: Judge, arguments: tuple[str, ...]) -> None:
    """Markers, options and fixtures: one line each, however many items repeat them, exit code 4."""
    finished = judge(
        THREE_MISTAKES,
        "--modelbench-threads=many",
        *arguments,
        more="\n@pytest.fixture\ndef eval_data(): ...\n",
        process=True,
    )
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    for words in (
        "--modelbench-threads: found 'many', expected an integer from 1 to 1,024",
        "test_sla.py::test_unknown: unknown KPI 'latency_p98'",
        "test_sla.py::test_unit: kpi 'latency_p99': cannot read '<= 120 mss'",
        "test_sla.py::TestCase::test_method: a kpi marker on a method of unittest.TestCase is never judged",
    ):
        assert finished.text.count(words) == 1, words
    assert "INTERNALERROR" not in finished.text
    assert "Traceback" not in finished.text


def test_fixture_of_function_scope(judge: Judge) -> None:
    """A student built anew for every test cannot share a measurement."""
    finished = judge(marked("'parameters', '<= 5M'"), more="\n@pytest.fixture\ndef student_model(): return STUDENT\n")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "fixture student_model has scope 'function'" in finished.text
    assert 'Write @pytest.fixture(scope="session")' in finished.text


def test_students_of_one_name(judge: Judge) -> None:
    """Two parameters of one id would share a name in every table and report."""
    more = """
@pytest.fixture(scope="session", params=[1, 2, 3], ids=["a", "a", "b"])
def student_model(request): return student(parameters=request.param)
"""
    finished = judge(marked("'parameters', '<= 5M'"), more=more)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert finished.text.count("fixture student_model makes several students of the name 'a'") == 1


@pytest.mark.parametrize(("fixture", "asked"), [("student_model", "student"), ("eval_data", "kpi")])
def test_fixture_that_is_made_from_itself(judge: Judge, fixture: str, asked: str) -> None:
    """A model cannot be made from the fixture that it is there for, also not by way of another one."""
    more = (
        f"\n@pytest.fixture\ndef between({asked}): ...\n"
        f"@pytest.fixture(scope='session')\ndef {fixture}(between): return STUDENT\n"
    )
    finished = judge(marked("'top1_accuracy', '>= 5%'"), more=more)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"test_sla.py: fixture {fixture} asks for {asked!r}, which is made from the models itself" in finished.text


@pytest.mark.parametrize("when", ["tryfirst", "trylast"])
def test_marker_added_after_collection(judge: Judge, when: str) -> None:
    """A marker that comes too late to ask for fixtures is no silent pass, however late it comes."""
    finished = judge(
        "def test_gate(): ...",
        more=f"""
@pytest.hookimpl({when}=True)
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.kpi("parameters", "<= 1"))
""",
    )
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "was added after collection" in finished.text


def test_report_asked_for_without_judging(pytester: pytest.Pytester) -> None:
    """--modelbench-json alone would write nothing, so it is refused."""
    pytester.makepyfile("def test_plain(): ...")
    result = pytester.runpytest_inprocess("--modelbench-json=report.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --modelbench-json: nothing is judged*Add --modelbench"])


def test_report_that_cannot_be_written(judge: Judge, pytester: pytest.Pytester) -> None:
    """It is told before anything is measured."""
    pytester.makefile(".txt", occupied="")
    finished = judge(marked("'parameters', '<= 5M'"), "--modelbench-json=occupied.txt/report.json")
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    finished.result.stderr.fnmatch_lines(["ERROR: --modelbench-json: cannot write *: Not a directory"])


@pytest.mark.parametrize(
    ("fixture", "tests", "words"),
    [
        (
            "student_model",
            marked("'parameters', '<= 5M'"),
            "student_model is not defined: there is only the plugin's placeholder. Override it in conftest.py",
        ),
        (
            "teacher_model",
            marked("'parameters', 'reduction >= 5%'"),
            "give --modelbench-teacher module:factory, or name it in modelbench.toml",
        ),
        (
            "eval_data",
            marked("'top1_accuracy', '>= 5%'"),
            "eval_data is not defined: there is only the plugin's placeholder",
        ),
    ],
)
def test_missing_fixture(judge: Judge, fixture: str, tests: str, words: str) -> None:
    """A fixture that nobody defined is an error of the gates that need it, and says what to define."""
    fakes = FAKES.replace(f"def {fixture}():", f"def not_{fixture}():")
    finished = judge(tests, fakes=fakes)
    assert finished.result.ret == 1
    assert words in finished.text
    assert {gate["verdict"] for gate in finished.report["gates"]} == {"error"}


def test_clocks_that_differ(judge: Judge) -> None:
    """Fakes on clocks of their own cannot be compared."""
    finished = judge(marked("'latency_p50', 'speedup >= 1x'"), more="\nSTUDENT = student(clock=FakeClock())\n")
    assert "give both fakes the same FakeClock" in finished.text


def test_zero_in_a_denominator_is_an_error(judge: Judge) -> None:
    """Nothing is relative to a teacher's value of zero, and it is no pass."""
    finished = judge(marked("'parameters', 'reduction >= 5%'"), more="\nTEACHER = teacher(parameters=0)\n")
    assert finished.gate("parameters")["verdict"] == "error"
    assert "the teacher's value is 0: nothing can be relative to it" in finished.text
