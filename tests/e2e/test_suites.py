"""Ready-made suites: no test file, every value reported, rules without a threshold judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from suites import FAKES, Judge

from pytest_modelbench.gates.suites import RULES, entries
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.options import SUITES

GROUPS = """
@pytest.fixture(scope="session")
def eval_data():
    tens = np.arange(4 * ROWS) // 10  # each holds every class
    sensitive = {"sex": np.array(["a", "b"])[tens % 2], "age": np.array(["a", "b"])[tens // 2 % 2]}
    return EvalData(np.tile(INPUTS, (4, 1)), np.tile(TARGETS, 4), sensitive=sensitive)
"""


def test_suites_name_kpis() -> None:
    """All of them are in the catalogue, with options that they take; no suite is empty."""
    for suite in SUITES:
        found = list(entries([suite]))
        assert found
        assert all(set(entry.options) <= set(CATALOGUE[entry.kpi].options) for entry in found)
    assert {entry.kpi for entry in entries(SUITES)} >= set(RULES)
    assert len(list(entries(SUITES))) == len({entry.kpi for entry in entries(SUITES)})


def test_without_any_test_file(judge: Judge) -> None:
    """Items hang from the conftest.py that defines the models; what does not fit is left out, with its reason."""
    finished = judge("", "--modelbench-suite=stability", "--modelbench-suite=quality")
    Path("test_sla.py").unlink()
    assert finished.result.ret == 0, finished.text
    verdicts = finished.verdicts
    assert verdicts["conftest.py::top1_accuracy:top1_accuracy"] == "reported"
    assert verdicts["conftest.py::nonfinite_outputs:nonfinite_outputs"] == "pass"
    assert verdicts["conftest.py::rmse:rmse"] == "not_applicable"
    assert verdicts["conftest.py::slice_drop:slice_drop"] == "not_applicable"
    assert verdicts["conftest.py::headroom:headroom"] == "not_applicable"
    accuracy = finished.gate("top1_accuracy")
    assert accuracy["readings"]["teacher"]["value"] == 99
    assert accuracy["readings"]["student"]["value"] == 98
    assert "error" not in verdicts.values()


def test_rules_without_a_threshold_are_judged(judge: Judge) -> None:
    """NaN fails the run, though nobody wrote a limit."""
    finished = judge("", "--modelbench-suite=stability", more="STUDENT = student(outputs=answers(4, nan_class=3))\n")
    assert finished.result.ret == 1
    assert finished.gate("nonfinite_outputs")["verdict"] == "fail"
    assert finished.gate("determinism")["verdict"] == "pass"


def test_fairness_of_every_feature(judge: Judge) -> None:
    """The worst of all sensitive features, each with its groups."""
    finished = judge("", "--modelbench-suite=fairness", more=GROUPS)
    gate = finished.gate("equalized_odds_drift")
    assert gate["verdict"] == "reported"
    assert gate["notes"][0].startswith("worst of sex, age: ")
    assert {row["name"] for row in gate["breakdown"]} == {"sex=a", "sex=b", "age=a", "age=b"}
    assert finished.gate("group_loss_gap")["verdict"] == "not_applicable"


def test_a_feature_that_cannot_be_read(judge: Judge) -> None:
    """An error, though another feature could be judged: else the other would pass in its place."""
    half = GROUPS.replace("// 2 % 2]}", "// 2 % 2], 'team': np.where(np.tile(TARGETS, 4) == 3, 'x', 'y')}")
    suite = """
    import pytest

    @pytest.mark.kpi("equal_opportunity_difference", "<= 60 pp", feature="each", positive=3)
    def test_opportunity(): ...
    """
    gate = judge(suite, more=half).gate("equal_opportunity_difference")
    assert gate["verdict"] == "error"
    assert gate["reason"].startswith("team: ")


def test_ratio_of_every_feature(judge: Judge) -> None:
    """Limits that are relative to the teacher are judged for the worst feature too."""
    suite = """
    import pytest

    @pytest.mark.kpi("group_accuracy_difference", "ratio <= 3", feature="each")
    def test_gap(): ...
    """
    gate = judge(suite, more=GROUPS).gate("group_accuracy_difference")
    assert gate["verdict"] == "pass", gate["reason"]
    assert gate["limits"][0]["value"] == pytest.approx(2.0)


def test_fairness_without_a_sensitive_feature(judge: Judge) -> None:
    """Skipped with what to write."""
    finished = judge("", "--modelbench-suite=fairness", "-rs")
    assert set(finished.verdicts.values()) == {"not_applicable"}
    finished.result.stdout.fnmatch_lines(["*Write EvalData(..., sensitive=*"])


def test_without_a_teacher(judge: Judge) -> None:
    """What compares does not apply, the student's values are reported."""
    alone = '\n@pytest.fixture(scope="session")\ndef student_model():\n    return STUDENT\n'
    finished = judge("", "--modelbench-suite=quality", "-k", "agreement or top1", fakes=NO_TEACHER + alone)
    assert finished.gate("agreement")["reason"] == "there is no teacher to compare with"
    assert finished.gate("top1_accuracy")["verdict"] == "reported"
    assert finished.gate("top1_accuracy")["readings"]["teacher"] is None


NO_TEACHER = """
import numpy as np
import pytest
from pytest_modelbench import EvalData, FakeModel

STUDENT = FakeModel(outputs=lambda batch: np.eye(10)[np.asarray(batch)[:, 0].astype(int) % 10])

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(np.arange(50.0).reshape(-1, 1), np.arange(50) % 10)
"""
TOML = """
[models]
teacher = "shop.py:teacher"
student = "shop.py:student"
[data]
eval = "shop.py:data"
"""
SHOP = """
import numpy as np
from pytest_modelbench import FakeModel

def teacher():
    return FakeModel(outputs=lambda batch: np.eye(10)[np.asarray(batch)[:, 0].astype(int) % 10])

student = teacher

def data():
    return np.arange(50.0).reshape(-1, 1), np.arange(50) % 10
"""


@pytest.mark.parametrize(
    "limits", ["", '[kpi]\ntop1_accuracy = ">= 101%"\n', '[kpi.f1]\nlimits = "<= 50%"\nallow_reversed = true\n']
)
def test_beside_a_file(pytester: pytest.Pytester, limits: str) -> None:
    """A modelbench.toml brings models, and judges what it has limits for; it may have none."""
    Path("modelbench.toml").write_text(TOML + limits)
    Path("shop.py").write_text(SHOP)
    result = pytester.runpytest_inprocess("--modelbench", "--modelbench-suite=quality", "-p", "no:randomly")
    if "101" in limits:
        assert result.ret == 4
        result.stderr.fnmatch_lines(["*'>= 101%'*"])
    elif limits:
        assert result.ret == 1
        result.stdout.fnmatch_lines(["* f1 * <= 50% *FAIL*", "* agreement * 100% * no limit *REPORTED*"])
    else:
        assert result.ret == 0
        result.stdout.fnmatch_lines(["* f1 * 100% * no limit *REPORTED*"])


def test_models_on_the_command_line(pytester: pytest.Pytester) -> None:
    """Beside an empty conftest.py; several students make several items."""
    Path("conftest.py").write_text("")
    Path("shop.py").write_text(SHOP)
    result = pytester.runpytest_inprocess(
        "--modelbench",
        "--modelbench-suite=quality",
        "--modelbench-teacher=shop.py:teacher",
        "--modelbench-student=a=shop.py:student",
        "--modelbench-student=b=shop.py:student",
        "--modelbench-data=shop.py:data",
        "-k",
        "top1_accuracy",
        "-v",
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["conftest.py::top1_accuracy[[]a] *", "conftest.py::top1_accuracy[[]b] *"])


@pytest.mark.parametrize("arguments", [(), ("tests",), ("tests/test_other.py",), (".",)])
def test_models_above_the_given_paths(judge: Judge, arguments: tuple[str, ...]) -> None:
    """With `testpaths`, a folder or a file: the closest conftest.py at or above it brings the suite, once."""
    Path("tests").mkdir()
    Path("tests/test_other.py").write_text("def test_something(): ...\n")
    Path("pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    finished = judge("", "--modelbench-suite=stability", "-k", "nonfinite or something", *arguments)
    assert finished.result.ret == 0, finished.text
    assert finished.verdicts == {"conftest.py::nonfinite_outputs:nonfinite_outputs": "pass"}
    finished.result.assert_outcomes(passed=2)


def test_one_named_item_brings_no_suite(judge: Judge) -> None:
    """A node id was asked for alone, as rerun commands do."""
    finished = judge("def test_something(): ...", "--modelbench-suite=stability", "test_sla.py::test_something")
    finished.result.assert_outcomes(passed=1)
    finished = judge("", "--modelbench-suite=stability", "conftest.py::determinism")
    finished.result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [("logits[:, 1] - logits[:, 0]", "pass"), ("np.pad(logits, ((0, 0), (0, 1)))", "fail")],
    ids=["one logit", "three classes"],
)
def test_another_shape_that_says_the_same(judge: Judge, shape: str, verdict: str) -> None:
    """One logit in place of two columns is no mismatch; labels in place of scores are one."""
    more = f"""
def two(batch):
    sign = np.where(np.asarray(batch)[:, 0] % 2 == 0, 3.0, -3.0)
    return np.stack([sign, -sign], axis=1)

def other(batch):
    logits = two(batch)
    return {shape}

TEACHER, STUDENT = teacher(outputs=two), student(outputs=other)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS, np.arange(ROWS) % 2, task="binary", outputs="logits")
"""
    finished = judge("", "--modelbench-suite=stability", "-k", "shape", more=more)
    assert finished.gate("shape_mismatches")["verdict"] == verdict


def test_nan_makes_no_error_of_what_does_not_fit(judge: Judge) -> None:
    """RMSE of a classifier is not applicable, also where some of its outputs are NaN."""
    more = "STUDENT = student(outputs=answers(4, nan_class=3))\n"
    finished = judge("", "--modelbench-suite=quality", "-k", "rmse or top1", more=more)
    assert finished.gate("rmse")["verdict"] == "not_applicable"
    assert finished.gate("top1_accuracy")["verdict"] == "error"


def test_fixture_with_a_name_of_its_own(judge: Judge) -> None:
    """As linters ask for, so that no argument shadows a function."""
    renamed = """
@pytest.fixture(name="student_model", scope="session")
def made():
    return STUDENT
"""
    fakes = FAKES.replace(
        """
@pytest.fixture(scope="session")
def student_model():
    return STUDENT
""",
        renamed,
    )
    assert "def student_model" not in fakes
    finished = judge("", "--modelbench-suite=footprint", fakes=fakes)
    assert finished.report["gates"], finished.text


def test_with_workers_and_in_fresh_processes(judge: Judge) -> None:
    """Under xdist, and where an item is run again in a process of its own."""
    finished = judge("", "--modelbench-suite=footprint", "-n", "2", "-k", "peak_memory or parameters", process=True)
    assert finished.result.ret == 0, finished.text
    assert finished.gate("peak_memory")["verdict"] == "reported"
    assert finished.gate("parameters")["readings"]["student"]["value"] == 10_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--modelbench", "--modelbench-suite=qualty"),
            "--modelbench-suite: found ['qualty'], expected one of standard, quality, stability, fairness, robustness, efficiency",
        ),
        (("--modelbench-suite=quality",), "--modelbench-suite: nothing is judged without --modelbench. Add it"),
        (
            ("--modelbench", "--modelbench-suite=quality"),
            "no conftest.py defines student_model, and no modelbench.toml names models",
        ),
    ],
    ids=["unknown", "without --modelbench", "no models"],
)
def test_mistakes(pytester: pytest.Pytester, arguments: tuple[str, ...], words: str) -> None:
    """Exit code 4, with what to write."""
    Path("test_other.py").write_text("def test_something(): ...\n")
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == 4
    assert words in str(result.stderr)
