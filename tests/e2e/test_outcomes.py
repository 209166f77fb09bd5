"""A suite of gates, and one student for each way to break its SLA."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from suites import FAKES, Judge

from pytest_modelbench.bench import session

SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "<= 5 ms", "reduction >= 50%")
def test_speed(): ...

@pytest.mark.kpi("parameters", "reduction >= 80%")
@pytest.mark.kpi("size_on_disk", "<= 50 kB")
def test_size(): ...

@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
def test_accuracy(): ...

@pytest.mark.kpi("nonfinite_outputs", "== 0")
def test_finite(): ...
"""
ALL = {"test_speed", "test_size", "test_accuracy", "test_finite"}


def test_good_student_passes(judge: Judge) -> None:
    """Every gate passes, the exit code is 0, the table and the totals are there."""
    finished = judge(SUITE)
    assert finished.result.ret == 0
    finished.result.assert_outcomes(passed=4)
    assert set(finished.verdicts.values()) == {"pass"}
    finished.result.stdout.fnmatch_lines(
        [
            "*= modelbench =*",
            "student (*) against its teacher*",
            "KPI*Teacher*Student*Target*Result*Evidence",
            "5 gates*5 pass",
        ]
    )
    assert finished.report["complete"] is True
    assert finished.report["exit_status"] == 0


@pytest.mark.parametrize(
    ("broken", "failing", "words"),
    [
        ("cost_ns=9e5", {"test_speed"}, ["latency_p50 of student: FAIL: reduction >= 50% does not hold: 10%"]),
        (
            "parameters=90_000, size_bytes=60_000",
            {"test_size"},
            [
                "parameters of student: FAIL: reduction >= 80% does not hold: 10%",
                "size_on_disk of student: FAIL: <= 50 kB does not hold: 60 kB",
            ],
        ),
        (
            "outputs=answers(60)",
            {"test_accuracy"},
            [
                "top1_accuracy of student: FAIL: drop <= 2 pp does not hold: 29 pp [[]*[]] pp",
                "*student: 70% [[]*[]]% (140 of 200 samples, Wilson interval*",
                "*samples: 2, 3, 4, 5, *, and 48 more",
            ],
        ),
        (
            "outputs=answers(nan_class=3)",
            {"test_accuracy", "test_finite"},
            [
                "*top1_accuracy is undefined: student gives NaN*for 20 of 200 samples, all of class 3 (ids 3, 13,*",
                "nonfinite_outputs of student: FAIL: == 0 does not hold: 200",
                "*note:*200 values in 20 of 200 samples, all of class 3",
            ],
        ),
        (
            "outputs=lambda batch: 1 / 0",
            {"test_speed", "test_accuracy", "test_finite"},
            ["*ERROR: student raised ZeroDivisionError on inputs of shape (*): division by zero"],
        ),
        (
            "outputs=lambda batch: np.zeros((3, 10))",
            {"test_accuracy", "test_finite"},
            ["*student returned an output of shape (3, 10) for a batch of 200 samples*expected 200 rows"],
        ),
        (
            "outputs=lambda batch: np.zeros((len(batch), 7))",
            {"test_accuracy"},
            ["*targets outside the classes: found [[]7, 8, 9[]] in 60 of 200 samples, and student has 7 outputs*"],
        ),
    ],
    ids=["slow", "big", "inaccurate", "nan", "crashing", "wrong-rows", "wrong-columns"],
)
def test_broken_student_fails_where_it_is_broken(
    judge: Judge, broken: str, failing: set[str], words: list[str]
) -> None:
    """Exit code 1, exactly the right items fail with the cause in their text, the others pass."""
    finished = judge(SUITE, more=f"\nSTUDENT = student({broken})\n")
    assert finished.result.ret == 1
    failed = {test["nodeid"].split("::")[1] for test in finished.report["tests"] if test["outcome"] == "failed"}
    passed = {test["nodeid"].split("::")[1] for test in finished.report["tests"] if test["outcome"] == "passed"}
    assert failed == failing
    assert passed == ALL - failing
    for line in words:
        finished.result.stdout.fnmatch_lines([line])
    assert "INTERNALERROR" not in finished.text
    assert "site-packages" not in finished.text
    assert Path(session.__file__).name not in finished.text


def test_failure_says_how_to_rerun_just_that_item(judge: Judge) -> None:
    """The command in the message is quoted for the shell and names the item."""
    finished = judge(SUITE, more="\nSTUDENT = student(size_bytes=60_000)\n")
    finished.result.stdout.fnmatch_lines(["*rerun:   pytest --modelbench test_sla.py::test_size"])


def test_rerun_command_works_from_where_it_was_printed(judge: Judge, pytester: pytest.Pytester) -> None:
    """Run from a folder above the suite's root, with a student of the command line, it judges that student again."""
    pytester.makepyfile(
        shop="from suite.conftest import student\n\ndef big():\n    return student(size_bytes=60_000)\n"
    )
    folder = pytester.mkpydir("suite")
    folder.joinpath("pytest.ini").write_text("[pytest]\n")
    folder.joinpath("conftest.py").write_text(FAKES)
    folder.joinpath("test_sla.py").write_text(SUITE)
    first = pytester.runpytest_inprocess("--modelbench", "--modelbench-student=big=shop.py:big", "-rN", "suite")
    (command,) = [line.split(maxsplit=1)[1] for line in first.outlines if line.strip().startswith("rerun:")]
    assert command.startswith("pytest --modelbench --modelbench-student=big=shop.py:big ")
    again = pytester.runpytest_inprocess(*shlex.split(command)[1:])
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["size_on_disk of big: FAIL: *"])


def test_inconclusive_fails_by_default_and_says_what_it_needs(judge: Judge) -> None:
    """A limit that the data cannot decide is no pass; the samples needed are stated."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", "drop <= 2 pp", confidence=0.95)
        def test_accuracy(): ...
        """
    )
    assert finished.result.ret == 1
    assert finished.verdicts == {"test_sla.py::test_accuracy:top1_accuracy": "inconclusive"}
    finished.result.stdout.fnmatch_lines(["*INCONCLUSIVE: drop <= 2 pp is inconclusive*samples would be needed*"])


def test_inconclusive_may_warn(judge: Judge) -> None:
    """With --modelbench-inconclusive=warn the item passes with a warning, the verdict stands in the report."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", "drop <= 2 pp", confidence=0.95)
        def test_accuracy(): ...
        """,
        "--modelbench-inconclusive=warn",
        process=True,  # in this process the warning would meet our own filters
    )
    finished.result.assert_outcomes(passed=1, warnings=1)
    finished.result.stdout.fnmatch_lines(["*InconclusiveWarning: test_sla.py::test_accuracy: top1_accuracy*"])
    assert finished.gate("top1_accuracy")["verdict"] == "inconclusive"


def test_point_verdict_whose_interval_crosses_is_weak(judge: Judge) -> None:
    """Without confidence= the point decides; the verdict is marked weak with the samples that would settle it."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
        def test_accuracy(): ...
        """
    )
    assert finished.result.ret == 0
    (limit,) = finished.gate("top1_accuracy")["limits"]
    assert limit["verdict"] == "pass"
    assert limit["weak"] is True
    assert limit["needed_n"] > 200
    finished.result.stdout.fnmatch_lines(["*top1_accuracy*drop <= 2 pp*PASS*", "*weak*"])


def test_not_applicable_skips_with_the_reason(judge: Judge) -> None:
    """A callable has no parameters: the item is skipped and says so."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("parameters", "<= 5M")
        def test_size(): ...
        """,
        "-rs",
        more="\nSTUDENT = lambda batch: batch\n",
    )
    finished.result.assert_outcomes(skipped=1)
    finished.result.stdout.fnmatch_lines(["SKIPPED*parameters: student is a callable: parameters are defined for *"])
    assert finished.gate("parameters")["verdict"] == "not_applicable"


def test_regression_without_a_baseline_passes_and_is_shown(judge: Judge) -> None:
    """`no_baseline` passes; under --modelbench-strict it fails."""
    suite = """
        import pytest
        @pytest.mark.kpi("parameters", "regression <= 5%")
        def test_size(): ...
        """
    relaxed = judge(suite)
    assert relaxed.result.ret == 0
    assert relaxed.gate("parameters")["verdict"] == "no_baseline"
    relaxed.result.stdout.fnmatch_lines(["*NO BASELINE*"])
    assert judge(suite, "--modelbench-strict").result.ret == 1


def test_failing_body_is_not_judged(judge: Judge) -> None:
    """The body's own assertion is the outcome, shown as pytest shows it; the gate is not_run."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("parameters", "<= 5M")
        def test_size():
            assert 1 == 2
        """
    )
    assert finished.result.ret == 1
    assert finished.gate("parameters")["verdict"] == "not_run"
    finished.result.stdout.fnmatch_lines(["E       assert 1 == 2"])


def test_factory_that_raises_is_an_error_of_every_gate_and_called_once(judge: Judge) -> None:
    """A student that cannot be loaded is verdict error at set-up, not a traceback for each gate."""
    finished = judge(
        SUITE,
        more="""
LOADS = []

@pytest.fixture(scope="session")
def student_model():
    LOADS.append(1)
    raise OSError("weights not found")

def pytest_unconfigure():
    print("loaded", len(LOADS))
""",
    )
    assert finished.result.ret == 1
    assert set(finished.verdicts.values()) == {"error"}
    assert finished.gate("latency_p50")["reason"] == "set-up failed: OSError: weights not found"
    finished.result.stdout.fnmatch_lines(["loaded 1"])


@pytest.mark.parametrize("gate", ["'top1_accuracy', '>= 1%'", "'latency_p50', '<= 5 ms'"])
def test_student_that_writes_into_its_inputs(judge: Judge, gate: str) -> None:
    """A model that changes the data for whoever comes next is an error, not a good accuracy."""
    finished = judge(
        f"import pytest\n@pytest.mark.kpi({gate})\ndef test_gate(): ...\n",
        more="""
def scale(batch):
    batch *= 2
    return np.zeros((len(batch), 10))
STUDENT = student(outputs=scale)
""",
    )
    assert finished.result.ret == 1
    assert "student changed its inputs of shape" in finished.text


def test_relative_drop_without_a_lost_sample_is_not_certain(judge: Judge) -> None:
    """Ten samples on which both agree do not prove a drop of at most 1%."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", "drop <= 1%", confidence=0.95)
        @pytest.mark.kpi("f1", "drop <= 1%", confidence=0.95)
        def test_accuracy(): ...
        """,
        more="\nTEACHER, STUDENT, ROWS = teacher(outputs=answers()), student(outputs=answers()), 10\n"
        "INPUTS, TARGETS = INPUTS[:10], TARGETS[:10]\n",
    )
    assert set(finished.verdicts.values()) == {"inconclusive"}


def test_missing_fixture_of_the_users_own(judge: Judge) -> None:
    """A name that no fixture has is told as such."""
    finished = judge("import pytest\n@pytest.mark.kpi('parameters', '<= 5M')\ndef test_gate(no_such): ...\n")
    assert finished.gate("parameters")["reason"] == "set-up failed: there is no fixture 'no_such'"
