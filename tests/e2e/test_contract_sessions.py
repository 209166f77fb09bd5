"""What a contract's session shares with others: students, settings, values that tests record, files of earlier runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from contracts import GONE, QUALITY, SUITE, data, record
from suites import FAKES, Judge

CONDITIONAL = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 3 pp if parameters reduction >= 75%, else drop <= 0 pp")
def test_conditional(): ...

@pytest.mark.kpi("parameters", "reduction >= 50% if top1_accuracy drop <= 3 pp, else reduction >= 99%", "regression <= 5%")
def test_other(): ...
"""
PREVIOUS = """
@pytest.fixture(scope="session")
def previous_model():
    return student()
"""


def test_conditions_and_the_previous_student(judge: Judge) -> None:
    """What conditions need is recorded too; beside a previous student the contract's values stay."""
    record(judge, CONDITIONAL, more=data() + PREVIOUS)
    finished = judge(CONDITIONAL, "--modelbench-contract=teacher.mbc", more=data() + PREVIOUS + GONE)
    assert finished.result.ret == 0, finished.text
    gate = finished.gate("parameters")
    assert [limit["verdict"] for limit in gate["limits"]] == ["pass", "pass"]
    assert gate["readings"]["teacher"]["value"] == 100_000


def test_two_teachers(judge: Judge, pytester: pytest.Pytester) -> None:
    """A contract is that of one."""
    for folder, changed in (("a", ""), ("b", "TEACHER = teacher(parameters=7)\n")):
        (pytester.path / folder).mkdir()
        (pytester.path / folder / "conftest.py").write_text(FAKES + changed)
        (pytester.path / folder / "test_it.py").write_text(QUALITY)
    finished = judge("", "--modelbench-record-contract=teacher.mbc", "--import-mode=importlib", fakes="")
    assert finished.result.ret == 1
    assert "this suite has several teachers (" in finished.text


def test_a_student_that_is_made_from_the_teacher(judge: Judge) -> None:
    """An error that says what to do, and no skip that nobody reads."""
    record(judge, QUALITY)
    derived = """
@pytest.fixture(scope="session")
def student_model(teacher_model):
    return STUDENT
"""
    finished = judge(QUALITY, "--modelbench-contract=teacher.mbc", more=data() + GONE + derived)
    assert finished.result.ret == 1
    assert set(finished.verdicts.values()) == {"error"}
    assert "made from the teacher, and this session has only its contract" in finished.text


def test_no_student_is_built_while_recording(judge: Judge) -> None:
    """Its weights may not be there yet."""
    missing = """
@pytest.fixture(scope="session")
def student_model():
    raise RuntimeError("not trained yet")
"""
    assert record(judge, more=data() + missing).result.ret == 0


def test_a_contract_in_the_ini_file(judge: Judge) -> None:
    """The command line records it again all the same."""
    Path("pytest.ini").write_text("[pytest]\nmodelbench_contract = teacher.mbc\n")
    record(judge, QUALITY)
    record(judge, QUALITY)
    finished = judge(QUALITY, more=data() + GONE)
    assert set(finished.verdicts.values()) == {"pass"}, finished.text


@pytest.mark.parametrize("option", ["--modelbench-threads=1", "--modelbench-allocator=system"])
def test_other_settings(judge: Judge, option: str) -> None:
    """Times under other threads or another allocator are others, also through the workload, which uses none of them."""
    torch = data() + "import torch\ntorch.set_num_threads(2)\n"
    record(judge, more=torch)
    for more in ((), ("--modelbench-reference=workload",)):
        gate = judge(SUITE, "--modelbench-contract=teacher.mbc", option, *more, more=torch + GONE).gate("latency_p50")
        assert gate["verdict"] == "not_applicable"
        assert option.partition("=")[0].removeprefix("--modelbench-") in gate["reason"]
        assert "--modelbench-reference=workload" not in gate["reason"]


def test_settings_of_two_files(judge: Judge, pytester: pytest.Pytester) -> None:
    """Each file's gate is judged by what was recorded with its settings."""
    from_file = 'threads = {0}\n\n[kpi]\nlatency_p50 = ["reduction >= 50%"]\n'
    for threads in (1, 2):
        text = "[run]\n" + from_file.format(threads)
        (pytester.path / f"threads{threads}.modelbench.toml").write_text(text)
    more = data() + "import torch\ntorch.set_num_threads(2)\n"
    files = [f"threads{threads}.modelbench.toml" for threads in (1, 2)]
    assert judge("", "--modelbench-record-contract=teacher.mbc", *files, more=more).result.ret == 0
    finished = judge("", "--modelbench-contract=teacher.mbc", *files, more=more + GONE)
    assert [gate["verdict"] for gate in finished.report["gates"]] == ["pass", "pass"], finished.text


CLICKS = """
import pytest

@pytest.mark.parametrize("market", ["us", "eu"])
@pytest.mark.kpi("clicks", "drop <= 5%", better="higher", unit="")
def test_clicks(kpi, student, market):
    share = student.predict(np.arange(200.0).reshape(-1, 1)).mean()
    kpi.record(student={"us": 100, "eu": 10}[market] * (1 if student.name == "teacher" else 0.98))
"""


def test_values_that_tests_record(judge: Judge) -> None:
    """Each test's is compared with its own, and the fixture `student` is the teacher while one is recorded."""
    suite = CLICKS.replace("    share = student.predict(np.arange(200.0).reshape(-1, 1)).mean()\n", "")
    record(judge, suite)
    finished = judge(suite, "--modelbench-contract=teacher.mbc", more=data() + GONE)
    values = [gate["limits"][0]["value"] for gate in finished.report["gates"]]
    assert values == pytest.approx([0.02, 0.02])
    finished = judge(
        suite.replace('"eu"]', '"eu", "uk"]').replace('{"us"', '{"uk": 1, "us"'),
        "--modelbench-contract=teacher.mbc",
        more=data() + GONE,
    )
    assert [gate["verdict"] for gate in finished.report["gates"]] == ["pass", "pass", "error"]
    assert "recorded by other tests, and not by test_sla.py::test_clicks[uk]" in finished.text
    finished = judge(suite.replace('unit=""', 'unit="%"'), "--modelbench-contract=teacher.mbc", more=data() + GONE)
    assert "has clicks in '', and here it is in '%'" in finished.text


OWN = """
import pytest

@pytest.fixture
def engine(student_model):
    return student_model

@pytest.mark.kpi("bytes", "reduction >= 5%", better="lower", unit="")
def test_of_no_model(kpi):
    kpi.record(student=95)

@pytest.mark.kpi("speed", "reduction >= 5%", better="lower", unit="")
def test_of_the_student(kpi, engine, student):
    kpi.record(student=95)

@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.kpi("shifted", "drop <= 0%", better="higher", unit="")
def test_of_the_teacher(kpi, student, shift):
    kpi.record(student=100 + shift)
"""


def test_values_that_are_not_the_teachers(judge: Judge) -> None:
    """What a test measures otherwise than through its argument `student` may be the student's, so it is not recorded."""
    recorded = record(judge, OWN)
    verdicts = [(gate["kpi"], gate["verdict"]) for gate in recorded.report["gates"]]
    assert verdicts == [
        ("bytes", "not_applicable"),
        ("speed", "not_applicable"),
        ("shifted", "reported"),
        ("shifted", "reported"),
    ]
    finished = judge(OWN, "--modelbench-contract=teacher.mbc", more=data() + GONE)
    assert [gate["verdict"] for gate in finished.report["gates"]] == ["error", "error", "pass", "pass"]


def test_fewer_of_the_named_samples(judge: Judge) -> None:
    """A value over all of them is not that of some."""
    suite = """
import numpy as np
import pytest

@pytest.mark.kpi("mine", "difference >= -1 pp", metric=lambda targets, labels: 100 * np.mean(targets == labels),
                 better="higher", unit="%")
def test_mine(): ...
"""
    named = data().replace(
        "EvalData(INPUTS, TARGETS", "EvalData(INPUTS[:N], TARGETS[:N], ids=[f'n{i}' for i in range(N)]"
    )
    named = named.replace(', sensitive={"sex": np.array(["a", "b"])[np.arange(ROWS) // 10 % 2]}', "")
    record(judge, suite, more="N = 200\n" + named)
    finished = judge(suite, "--modelbench-contract=teacher.mbc", more="N = 100\n" + named + GONE)
    assert finished.result.ret == 1
    assert set(finished.verdicts.values()) == {"error"}


def test_student_that_a_later_test_needs(judge: Judge) -> None:
    """What stands in the student's place for one test is no student for the next."""
    suite = """
import pytest

@pytest.fixture
def count(student_model):
    return student_model.parameters

@pytest.mark.kpi("parameters", "reduction >= 50%")
def test_first(): ...

@pytest.mark.kpi("size_on_disk", "reduction >= 50%")
def test_second(count): ...
"""
    finished = record(judge, suite)
    assert finished.result.ret == 0, finished.text


def test_run_that_did_not_end_replaces_nothing(judge: Judge, pytester: pytest.Pytester) -> None:
    """Neither a contract nor a baseline of an earlier run."""
    record(judge, QUALITY)
    judge(QUALITY, "--modelbench-save-baseline=b.json", more=data())
    before = [Path(name).read_bytes() for name in ("teacher.mbc", "b.json")]
    stop = QUALITY + "\ndef test_stop():\n    assert False\n" + QUALITY.replace("def test_", "def test_more_")
    typo = QUALITY.replace("drop", "dorp")
    for suite, more in ((stop, ("-x",)), (typo, ()), (QUALITY, ("--collect-only",))):
        finished = judge(suite, "--modelbench-save-baseline=b.json", *more, more=data())
        assert suite != stop or "so none was written" in finished.text
        if suite != stop:
            judge(suite, "--modelbench-record-contract=teacher.mbc", *more, more=data())
        assert [Path(name).read_bytes() for name in ("teacher.mbc", "b.json")] == before
