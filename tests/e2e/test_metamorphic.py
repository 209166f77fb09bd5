"""Metamorphic tests in one line each: an item for each student, the offending samples shown."""

from __future__ import annotations

import pytest
from suites import Judge

SUITE = """
import numpy as np
from pytest_modelbench import directional, invariance

def same(batch):
    return batch + 0.0

def next_row(batch):
    return np.minimum(batch + 1, 199)

test_same = invariance(same)
test_next = invariance(next_row)
test_half = invariance(lambda batch: np.where(batch < 100, batch, next_row(batch)), at_most="60%")
"""
REGRESSION = """
@pytest.fixture(scope="session", params=["up", "down"])
def student_model(request):
    sign = {"up": 1.0, "down": -1.0}[request.param]
    return FakeModel(outputs=lambda batch: sign * np.asarray(batch)[:, 0])

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS, np.arange(200.0), task="regression", ids=[f"row {i}" for i in range(200)])
"""


def test_answers_that_must_not_change(judge: Judge) -> None:
    """One item for each line; what changed is named by sample, before and after."""
    finished = judge(SUITE)
    outcomes = {test["nodeid"]: test["outcome"] for test in finished.report["tests"]}
    assert outcomes == {
        "test_sla.py::test_same": "passed",
        "test_sla.py::test_next": "failed",
        "test_sla.py::test_half": "passed",
    }
    failed = next(gate for gate in finished.report["gates"] if gate["nodeid"] == "test_sla.py::test_next")
    assert failed["kpi"] == "invariance"
    assert failed["options"]["transform"] == "next_row"
    assert failed["limits"][0]["text"] == "<= 0%"
    assert failed["readings"]["student"]["value"] > 90
    assert failed["notes"][0].startswith("sample ")
    assert " becomes " in failed["notes"][0]
    finished.result.stdout.fnmatch_lines(["*rerun: *test_sla.py::test_next"])


def test_compared_with_the_teacher(judge: Judge) -> None:
    """By points and by ratio: the teacher's own share of changed answers is what a student may have."""
    suite = """
    import numpy as np
    import pytest

    @pytest.mark.kpi("invariance", "ratio <= 1.1", "difference <= 1 pp", transform=lambda batch: np.minimum(batch + 1, 199))
    def test_next(): ...
    """
    gate = judge(suite).gate("invariance")
    assert gate["verdict"] == "pass", gate["reason"]
    shares = [gate["readings"][role]["value"] for role in ("student", "teacher")]
    assert gate["limits"][0]["value"] == pytest.approx(shares[0] / shares[1])
    assert gate["limits"][1]["value"] == pytest.approx(shares[0] - shares[1])


def test_values_that_may_only_rise(judge: Judge) -> None:
    """For each student; the one that falls is told with its samples, worst first."""
    suite = """
    from pytest_modelbench import directional, invariance

    test_more = directional(lambda batch: batch + 1, +1)
    test_less = directional(lambda batch: batch - 2, -1)
    test_little = invariance(lambda batch: batch + 0.01, tolerance=0.1)
    test_much = invariance(lambda batch: batch + 0.2, tolerance=0.1)
    """
    finished = judge(suite, more=REGRESSION)
    failed = {test["nodeid"].partition("::")[2] for test in finished.report["tests"] if test["outcome"] == "failed"}
    assert failed == {"test_more[down]", "test_less[down]", "test_much[up]", "test_much[down]"}
    gate = next(gate for gate in finished.report["gates"] if gate["nodeid"].endswith("test_more[down]"))
    assert gate["notes"][0] == "sample row 0: -0 becomes -1"
    assert gate["worst_samples"][:2] == ["row 0", "row 1"]


def test_probability_of_a_class(judge: Judge) -> None:
    """Of several classes the one that is named; without it the mistake is told."""
    suite = """
    from pytest_modelbench import directional

    test_named = directional(lambda batch: batch * 0 + 13, +1, output=3)
    test_unnamed = directional(lambda batch: batch, +1)
    """
    finished = judge(suite)
    named, unnamed = finished.report["gates"]
    assert named["verdict"] == "pass"
    assert unnamed["verdict"] == "error"
    assert unnamed["reason"] == (
        "there are several classes; say whose probability is to move: output= one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ("lambda batch: batch[:-1]", "another number of samples, so outputs cannot be compared"),
        ("lambda batch: batch['x']", "raised IndexError on inputs of shape (200, 1)"),
        ("lambda batch: np.full((len(batch), 0), 1.0)", "student raised IndexError on inputs of shape (200, 0)"),
    ],
    ids=["fewer rows", "raises", "other shape"],
)
def test_transform_that_breaks(judge: Judge, transform: str, words: str) -> None:
    """Told as what it is: the transform's fault, or the model's with what it was given."""
    finished = judge(
        f"import numpy as np\nfrom pytest_modelbench import invariance\ntest_it = invariance({transform})\n"
    )
    gate = finished.gate("invariance")
    assert gate["verdict"] == "error"
    assert words in gate["reason"]


def test_transform_that_writes_into_its_batch(judge: Judge) -> None:
    """It is given a copy: the next test sees the data as they were."""
    suite = """
    from pytest_modelbench import invariance
    import pytest

    def spoil(batch):
        batch *= 0
        return batch

    test_spoil = invariance(spoil, at_most="99.9%")

    @pytest.mark.kpi("top1_accuracy", ">= 98%")
    def test_after(): ...
    """
    assert judge(suite).result.ret == 0


def test_transform_named_in_a_file(pytester: pytest.Pytester) -> None:
    """As module:function; one that is not there is a mistake at its line."""
    pytester.makepyfile(
        shop="""
        import numpy as np
        from pytest_modelbench import FakeModel

        def model():
            return FakeModel(outputs=lambda batch: np.eye(10)[np.asarray(batch)[:, 0].astype(int) % 10])

        def data():
            return np.arange(50.0).reshape(-1, 1), np.arange(50) % 10

        def ten_more(batch):
            return batch + 10
        """
    )
    text = """
    [models]
    student = "shop:model"
    [data]
    eval = "shop:data"
    [kpi.ten_more]
    kpi = "invariance"
    limits = "== 0%"
    transform = "{}"
    """
    pytester.path.joinpath("modelbench.toml").write_text(text.format("shop:ten_more"))
    pytester.runpytest_inprocess("--modelbench").assert_outcomes(passed=1)
    pytester.path.joinpath("modelbench.toml").write_text(text.format("shop:ten_mor"))
    result = pytester.runpytest_inprocess("--modelbench")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*modelbench.toml:6*shop has no attribute 'ten_mor'; did you mean 'ten_more'?"])


def test_in_a_class_and_on_lists(judge: Judge) -> None:
    """A line of a class body is an item too; a transform that works in place changes no one's data."""
    suite = """
    from pytest_modelbench import invariance
    import numpy as np
    import pytest

    def spoil(batch):
        for row in batch:
            row *= 0
        return batch

    class TestGroup:
        test_spoil = invariance(spoil, at_most="99.9%")

    @pytest.mark.kpi("top1_accuracy", ">= 98%")
    def test_after(): ...
    """
    more = """
@pytest.fixture(scope="session")
def eval_data():
    return EvalData([row for row in INPUTS.copy()], TARGETS)
"""
    finished = judge(suite, more=more)
    assert finished.result.ret == 0, finished.text
