"""Mistakes: each told once, where it is, what was found, what to write; all together; never a traceback of ours."""

from __future__ import annotations

import pytest
from suites import FAKES, Judge


def marked(marker: str) -> str:
    return f"import pytest\n\n@pytest.mark.kpi({marker})\ndef test_gate(): ...\n"


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("'latency_p99', '<= 120 mss'", "unknown unit 'mss' (time units: ns, us, µs, ms, s, min, h; nearest: 'ms')"),
        ("'latency_p98', '<= 120 ms'", "unknown KPI 'latency_p98'; nearest: latency_p99"),
        ("'latency_p99', 'reduktion >= 85%'", "Write 'reduction >= 85%'."),
        ("'latency_p99', '<= 120 ms', batchsize=8", "unknown option batchsize=; it takes batch_size=, confidence="),
        ("'latency_p99', '<= 120 ms', batch_size=0", "batch_size=0, expected a whole number of at least 1"),
        ("'latency_p99', '<= 120 ms', confidence=95", "confidence=95, expected a number between 0.5 and 1"),
        ("'latency_p99', '== 3 ms'", "'==' can never be proven for a timed KPI"),
        ("'latency_p99', '<= 1 ms', '>= 2 ms'", "'<= 1 ms' and '>= 2 ms' can never hold together"),
        ("'top1_accuracy', 'drop <= 2'", "Write 'drop <= 2 pp' or 'drop <= 2%'."),
        ("'top1_accuracy', '<= 100%'", "'<= 100%' always holds"),
        ("'f1', '>= 90%', average='mean'", "average='mean', expected one of macro, micro, weighted, binary"),
        ("'mcnemar_p', '>= 0.05'", "this KPI is for the report only and takes no limit"),
        ("'agreement', 'drop <= 2 pp'", "agreement compares student and teacher already"),
        ("'parameters', 'reduction >= 85%', confidence=0.9", "unknown option confidence=; it takes none"),
        ("'parameters', 'reduction >= 85%', better='lower'", "parameters is in the catalogue and takes no better="),
        ("'clicks', '>= 3'", "For a KPI of your own state better= and unit="),
        ("'clicks', '>= 3', better='up', unit=''", "better='up', expected 'higher' or 'lower'"),
        ("'clicks', '>= 3', better='higher', metric=3", "metric=3, expected a callable (targets, predictions)"),
        ("", "a kpi marker starts with the KPI's name, found nothing"),
        ("3, '>= 3'", "a kpi marker starts with the KPI's name, found 3"),
        ("'parameters', 3", "a limit is a text such as '<= 120 ms', found 3"),
    ],
)
def test_mistake_in_a_marker(judge: Judge, marker: str, words: str) -> None:
    """Exit code 4, one error with the place and what to write, nothing was run."""
    finished = judge(marked(marker))
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in finished.text
    assert "test_sla.py::test_gate: " in finished.text
    assert "Traceback" not in finished.text
    assert "INTERNALERROR" not in finished.text


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
        "--modelbench-threads: found 'many', expected a number",
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


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            "--modelbench-teacher=shop.models",
            "expected module:factory, file.py:factory or a saved model, and there is no",
        ),
        ("--modelbench-teacher=nowhere:load", "'nowhere:load': there is no module 'nowhere'"),
        ("--modelbench-teacher=nowhere.py:load", "there is no file"),
        ("--modelbench-teacher=shop.py:lod", "has no attribute 'lod'; did you mean 'load'?"),
        ("--modelbench-teacher=broken.py:load", "importing broken.py raised ZeroDivisionError: division by zero"),
        ("--modelbench-seed=-1", "found '-1', expected at least 0"),
        ("--modelbench-budget=soon", "found 'soon', expected a number"),
        ("--modelbench-budget=nan", "expected at least 1"),
        ("--modelbench-device=gpu", "found 'gpu', expected cpu, cuda, cuda:N or mps"),
        ("--modelbench-allocator=jemalloc", "expected one of steady, system"),
        ("--modelbench-inconclusive=pass", "expected one of fail, warn"),
    ],
)
def test_mistake_in_an_option(judge: Judge, pytester: pytest.Pytester, option: str, words: str) -> None:
    """Exit code 4 and what was expected; factories are checked to exist, not called."""
    pytester.makepyfile(shop="def load(): raise SystemExit('called')", broken="1 / 0")
    finished = judge(marked("'parameters', '<= 5M'"), option)
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert option.partition("=")[0] in finished.text
    assert words in finished.text
    assert "Traceback" not in finished.text


def test_students_need_names_of_their_own(judge: Judge, pytester: pytest.Pytester) -> None:
    """Two students without names, or with one name, cannot be told apart."""
    pytester.makepyfile(shop="def load(): ...")
    nameless = judge(marked("'parameters', '<= 5M'"), *["--modelbench-student=shop.py:load"] * 2)
    assert "several students need a name each" in nameless.text
    twice = judge(marked("'parameters', '<= 5M'"), *["--modelbench-student=a=shop.py:load"] * 2)
    assert "the name 'a' is given twice" in twice.text


def test_report_asked_for_without_judging(pytester: pytest.Pytester) -> None:
    """--modelbench-json alone would write nothing, so it is refused."""
    pytester.makepyfile("def test_plain(): ...")
    result = pytester.runpytest_inprocess("--modelbench-json=report.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --modelbench-json: nothing is judged*Add --modelbench"])


def test_report_that_cannot_be_written(judge: Judge, pytester: pytest.Pytester) -> None:
    """The table is still printed, the fault is told, the exit code is not 0."""
    pytester.makefile(".txt", occupied="")
    finished = judge(marked("'parameters', '<= 5M'"), "--modelbench-json=occupied.txt/report.json")
    assert finished.result.ret != 0
    finished.result.stdout.fnmatch_lines(["*parameters*PASS*", "ERROR: --modelbench-json: cannot write *"])


@pytest.mark.parametrize(
    ("fixture", "tests", "words"),
    [
        (
            "student_model",
            marked("'parameters', '<= 5M'"),
            "there is no fixture student_model. Define it in conftest.py",
        ),
        ("teacher_model", marked("'parameters', 'reduction >= 5%'"), "or give --modelbench-teacher module:factory"),
        ("eval_data", marked("'top1_accuracy', '>= 5%'"), "there is no fixture eval_data"),
    ],
)
def test_missing_fixture(judge: Judge, fixture: str, tests: str, words: str) -> None:
    """A fixture that nobody defined is an error of the gates that need it, and says what to define."""
    fakes = FAKES.replace(f"def {fixture}():", f"def not_{fixture}():")
    finished = judge(tests, fakes=fakes)
    assert finished.result.ret == 1
    assert words in finished.text
    assert {gate["verdict"] for gate in finished.report["gates"]} == {"error"}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("'weights.pt'", "student is 'weights.pt', and there is no such file. Known are a TorchScript file"),
        ("dict", "student is the class dict, not a model. Return dict(...)"),
        ("None", "student is None of type NoneType"),
    ],
)
def test_student_that_is_no_model(judge: Judge, model: str, words: str) -> None:
    """What was found is named, with what is expected."""
    finished = judge(marked("'parameters', '<= 5M'"), more=f"\nSTUDENT = {model}\n")
    assert finished.result.ret == 1
    assert words in finished.text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("(INPUTS, TARGETS[:-1])", "there are 200 inputs and 199 targets"),
        ("(INPUTS[:0], TARGETS[:0])", "the evaluation data is empty"),
        ("(INPUTS, TARGETS, 3)", "found a tuple of 3; expected (inputs, targets)"),
        ("None", "eval_data: found None"),
        ("(INPUTS, TARGETS + 100)", "targets outside the classes: found [100, 101, 102, 103, 104] in 200 of 200"),
        ("iter([(INPUTS, TARGETS)])", "can be read only once"),
        ("EvalData(INPUTS, TARGETS, task='ranking')", "task: found 'ranking', expected one of multiclass"),
        ("EvalData(INPUTS, TARGETS, ids=[1])", "there are 200 samples and 1 ids"),
        (
            "EvalData(INPUTS, TARGETS, outputs='probabilities')",
            "outputs='probabilities' was said, and values from 0 to 5",
        ),
        ("EvalData(INPUTS, TARGETS, select='head')", "has no head 'head'"),
    ],
)
def test_data_that_cannot_be_judged_on(judge: Judge, data: str, words: str) -> None:
    """Each fault of the data is one clear error of the gate."""
    finished = judge(
        marked("'top1_accuracy', '>= 5%'"),
        more=f'\n@pytest.fixture(scope="session")\ndef eval_data(): return {data}\n',
    )
    assert finished.result.ret == 1
    assert words in finished.text.replace("\n", " ")
    assert "INTERNALERROR" not in finished.text


def test_clocks_that_differ(judge: Judge) -> None:
    """Fakes on clocks of their own cannot be compared."""
    finished = judge(marked("'latency_p50', 'speedup >= 1x'"), more="\nSTUDENT = student(clock=FakeClock())\n")
    assert "give both fakes the same FakeClock" in finished.text


def test_zero_in_a_denominator_is_an_error(judge: Judge) -> None:
    """Nothing is relative to a teacher's value of zero, and it is no pass."""
    finished = judge(marked("'parameters', 'reduction >= 5%'"), more="\nTEACHER = teacher(parameters=0)\n")
    assert finished.gate("parameters")["verdict"] == "error"
    assert "the teacher's value is 0: nothing can be relative to it" in finished.text
