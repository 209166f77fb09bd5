"""--modelbench-plan: what would be measured, shared by which gates; nothing is run."""

from __future__ import annotations

import pytest
from suites import Judge

SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "<= 5 ms", "reduction >= 50%")
def test_p50(): ...

@pytest.mark.kpi("latency_p99", "<= 5 ms")
def test_p99(): ...

@pytest.mark.kpi("throughput", ">= 1 qps")
def test_throughput(): ...

@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp if parameters reduction >= 75%, else drop <= 1 pp")
@pytest.mark.kpi("nonfinite_outputs", "== 0")
def test_quality(): ...

@pytest.mark.kpi("parameters", "reduction >= 80%")
def test_size(): ...

def test_other(): raise SystemExit("run")
"""
STUDENTS = """
@pytest.fixture(scope="session", params=["distilled", "int8"])
def student_model(request): raise SystemExit("built")
"""


def test_plan_is_printed_and_nothing_runs(judge: Judge) -> None:
    """Timed measurements with their gates and the longest time, forward passes, what is counted; exit code 0."""
    finished = judge(SUITE, "--modelbench-plan", "--modelbench-budget=20", more=STUDENTS)
    assert finished.result.ret == 0
    assert finished.report == {}
    finished.result.stdout.fnmatch_lines(
        [
            "*= modelbench plan =*",
            "12 gates of 10 items: 4 timed measurements, 3 forward passes, at most 80 s of timing",
            "timed    distilled and teacher, batch size 1: latency_p50, latency_p99 (at most 20 s)",
            "timed    distilled, best batch size: throughput (at most 20 s)",
            "timed    int8 and teacher, batch size 1: latency_p50, latency_p99 (at most 20 s)",
            "timed    int8, best batch size: throughput (at most 20 s)",
            "pass     distilled over the evaluation data: *top1_accuracy*",
            "pass     teacher over the evaluation data: top1_accuracy",
            "pass     int8 over the evaluation data: *",
            "counted  distilled: parameters",
            "counted  int8: parameters",
        ]
    )


def test_plan_counts_the_passes_of_a_transform(judge: Judge) -> None:
    """As the run counts them: one over the data, one over what each transform makes of them."""
    suite = """
    from pytest_modelbench import invariance

    def louder(batch):
        return batch * 2

    test_louder = invariance(louder)
    """
    planned = judge(suite, "--modelbench-plan")
    planned.result.stdout.fnmatch_lines(
        [
            "1 gates of 1 items: 0 timed measurements, 2 forward passes, *",
            "pass     student over the evaluation data: invariance",
            "pass     student over the evaluation data as louder changes them: invariance",
        ]
    )


def test_plan_is_for_what_is_selected(judge: Judge) -> None:
    """-k narrows it, and the run it tells of takes what it says."""
    planned = judge(SUITE, "--modelbench-plan", "-k", "p50 or p99 or quality")
    planned.result.stdout.fnmatch_lines(["4 gates of 3 items: 1 timed measurements, 2 forward passes, *"])
    done = judge(SUITE, "-k", "p50 or p99 or quality")
    assert len(done.report["timings"]) == 1
    assert (
        sum(
            notes["forward_passes"]
            for notes in [done.report["models"]["teacher"], *done.report["models"]["students"].values()]
        )
        == 2
    )


def test_plan_of_nothing(judge: Judge) -> None:
    """Said in words."""
    judge("def test_other(): ...", "--modelbench-plan").result.stdout.fnmatch_lines(
        ["no gate is selected, so nothing would be measured"]
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--modelbench-plan"], "--modelbench-plan: nothing is judged without --modelbench. Add it"),
        (
            ["--modelbench", "--modelbench-plan", "-n", "2"],
            "--modelbench-plan: workers have no plan. Remove -n",
        ),
    ],
)
def test_mistakes(pytester: pytest.Pytester, arguments: list[str], words: str) -> None:
    """Told at once, exit code 4."""
    pytester.makepyfile("def test_one(): ...")
    result = pytester.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in str(result.stdout) + str(result.stderr)
