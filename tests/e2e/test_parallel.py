"""Runs with several workers: the serial verdicts, one measurement for all, nobody beside a timed one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from suites import FAKES, Judge

pytestmark = pytest.mark.slow

SUITE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
def test_accuracy(): ...

@pytest.mark.kpi("agreement", ">= 95%")
def test_agreement(): ...

@pytest.mark.kpi("latency_p50", "<= 5 ms", "reduction >= 50%")
def test_p50(): ...

@pytest.mark.kpi("latency_mean", "<= 5 ms")
def test_mean(): ...

@pytest.mark.kpi("latency_p90", "<= 5 ms")
def test_p90(): ...

@pytest.mark.kpi("throughput", ">= 1 qps")
def test_throughput(): ...

@pytest.mark.kpi("parameters", "reduction >= 80%")
def test_size(): ...
"""
STUDENTS = """
@pytest.fixture(scope="session", params=["distilled", "big"])
def student_model(request):
    return student(parameters=90_000 if request.param == "big" else 10_000)
"""


def test_workers_give_the_serial_verdicts_and_measure_once(judge: Judge) -> None:
    """Same gates, same verdicts, same numbers; forward passes and timed measurements add up to the serial run's."""
    serial = judge(SUITE, more=STUDENTS)
    parallel = judge(SUITE, "-n", "2", more=STUDENTS, process=True)
    assert parallel.verdicts == serial.verdicts
    assert parallel.report["complete"] is True
    assert {gate["worker"] for gate in parallel.report["gates"]} == {"gw0", "gw1"}
    parallel.result.stdout.fnmatch_lines(
        ["distilled (*) against its teacher*", "big (*) against its teacher*", "14 gates: *"]
    )
    for report in (serial.report, parallel.report):
        assert len(report["timings"]) == 4
        passes = {name: notes["forward_passes"] for name, notes in report["models"]["students"].items()}
        assert passes == {"distilled": 1, "big": 1}
        assert report["models"]["teacher"]["forward_passes"] == 1


def test_students_of_two_parametrize_marks_are_never_taken_for_each_other(judge: Judge) -> None:
    """Both are called student_model0; what one worker measured of the first is not the second's."""
    finished = judge(
        """
        import numpy as np
        import pytest
        from conftest import answers, student

        def gate(model):
            def mark(test):
                test = pytest.mark.parametrize("student_model", [model])(test)
                return pytest.mark.kpi("top1_accuracy", ">= 90%")(test)
            return mark

        @gate(student(outputs=answers(0)))
        def test_right(): ...

        @gate(student(outputs=answers(150)))
        def test_wrong(): ...
        """,
        "-n",
        "2",
        process=True,
    )
    verdicts = {
        gate["nodeid"].partition("::")[2].partition("[")[0]: gate["verdict"] for gate in finished.report["gates"]
    }
    assert verdicts == {"test_right": "pass", "test_wrong": "fail"}


def test_values_that_json_cannot_hold(judge: Judge) -> None:
    """Ids, metrics and options of any type: a worker's results still arrive, as text where they must."""
    finished = judge(
        """
        import datetime, decimal
        import pytest

        class Metric:
            def compute(self, predictions, references):
                return decimal.Decimal("0.5")

        @pytest.mark.kpi("top1_accuracy", "drop <= 0 pp")
        def test_accuracy(): ...

        @pytest.mark.kpi("mine", ">= 0.4", metric=Metric(), better="higher")
        def test_mine(): ...

        @pytest.mark.parametrize("when", [datetime.date(2026, 1, 1)])
        @pytest.mark.kpi("parameters", "<= 1M")
        def test_size(when): ...
        """,
        "-n",
        "1",
        process=True,
        more="""
import datetime, fractions
@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS, TARGETS, ids=[fractions.Fraction(i, 7) for i in range(ROWS)])
""",
    )
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts == {"top1_accuracy": "fail", "mine": "pass", "parameters": "pass"}
    assert finished.report["complete"] is True
    assert "3/7" in finished.gate("top1_accuracy")["worst_samples"]


def test_real_modules_share_too(judge: Judge) -> None:
    """Their measurements travel between processes; what a worker reads is what another one measured."""
    finished = judge(
        """
        import pytest

        @pytest.mark.kpi("latency_p50", "<= 1 s", "ratio <= 1000")
        def test_p50(): ...

        @pytest.mark.kpi("latency_p90", "<= 1 s")
        def test_p90(): ...

        @pytest.mark.kpi("latency_mean", "<= 1 s", "ratio <= 1000")
        def test_mean(): ...

        @pytest.mark.kpi("top1_accuracy", ">= 1%")
        def test_one(): ...

        @pytest.mark.kpi("f1", ">= 1%")
        def test_two(): ...
        """,
        "-n",
        "2",
        process=True,
        fakes="""
import pytest, torch
from torch import nn
def net(): torch.manual_seed(0); return nn.Linear(4, 3)
@pytest.fixture(scope="session")
def teacher_model(): return net()
@pytest.fixture(scope="session")
def student_model(): return net()
@pytest.fixture(scope="session")
def eval_data(): torch.manual_seed(1); return torch.randn(60, 4), torch.randint(0, 3, (60,))
""",
    )
    finished.result.assert_outcomes(passed=5)
    assert len(finished.report["timings"]) == 1
    assert finished.report["models"]["students"]["student"]["forward_passes"] == 1
    calls = {gate["readings"]["student"]["n"] for gate in finished.report["gates"] if "latency" in gate["kpi"]}
    assert len(calls) <= 3


LOGGED = """
import json, os, time

def note(what):
    with open(os.environ["EVENTS"], "a") as file:
        file.write(json.dumps([time.monotonic(), os.getpid(), what]) + "\\n")

def pytest_runtest_setup(item): note("item")

def share_spy(lock):
    take, give_back = lock._take_share, lock._give_share_back
    def taken(self):
        take(self)
        note("share")
    def given_back(self):
        note("no share")
        give_back(self)
    lock._take_share, lock._give_share_back = taken, given_back

def spy(measure):
    def measured(*args):
        note("alone")
        try:
            time.sleep(0.05)
            return measure(*args)
        finally:
            note("over")
    return measured

def pytest_configure(config):
    from pytest_modelbench.bench import machine_lock, timed_run as timed
    share_spy(machine_lock.MachineLock)
    timed.measure_timing = spy(timed.measure_timing)
"""


def overlaps(events: Path) -> tuple[int, int]:
    """Return how many timed measurements there were, and how often another process held its share beside one.

    Every item runs while its process holds a share.
    """
    sharing: set[int] = set()
    alone: set[int] = set()
    count = found = 0
    for _, process, what in sorted(json.loads(line) for line in events.read_text().splitlines()):
        if what == "item":
            assert process in sharing
        elif what == "share":
            sharing.add(process)
            found += bool(alone)
        elif what == "no share":
            sharing.discard(process)
        elif what == "alone":
            count += 1
            found += len(sharing) + len(alone)
            alone.add(process)
        else:
            alone.discard(process)
    return count, found


def test_nothing_runs_beside_a_timed_measurement(
    judge: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Items of the other workers wait for its end, and it waits for theirs."""
    monkeypatch.setenv("EVENTS", str(tmp_path / "events"))
    busy = "\n@pytest.mark.parametrize('i', range(20))\ndef test_other(i):\n    import time; time.sleep(0.02)\n"
    judge(SUITE + busy, "-n", "2", more=STUDENTS + LOGGED, process=True)
    count, found = overlaps(tmp_path / "events")
    assert (count, found) == (4, 0)


def test_two_sessions_on_one_machine_take_turns(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The lock is the machine's, not the run's."""
    monkeypatch.setenv("EVENTS", str(tmp_path / "events"))
    pytester.makeconftest(FAKES + STUDENTS + LOGGED)
    pytester.makepyfile(test_sla=SUITE)
    command = [sys.executable, "-m", "pytest", "--modelbench", "-q", "-p", "no:cacheprovider"]
    runs = [subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [one.wait(120) for one in runs] == [1, 1]
    count, found = overlaps(tmp_path / "events")
    assert (count, found) == (8, 0)


def test_what_was_handed_over_is_removed(judge: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folder is gone after the run, and so is nothing else."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    judge(SUITE, "-n", "2", more=STUDENTS, process=True)
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("pytest-modelbench-")]
    assert len(left) == 1, left  # the folder of the machine's lock
    assert [path.name for path in (tmp_path / left[0]).iterdir() if path.suffix == ".npz"] == []


def test_machine_without_a_lock_is_told(judge: Judge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the temporary folder cannot be written to, the run goes on and says what it could not make sure of."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("pytest_modelbench.bench.machine_lock.lock_folder", lambda: tmp_path / "file")
    finished = judge(SUITE, "-k", "p50 or size")
    assert {gate["verdict"] for gate in finished.report["gates"]} == {"pass"}
    finished.result.stdout.fnmatch_lines(
        ["modelbench: timed measurements did not have the machine for themselves: *"]
    )


def test_data_made_from_a_parametrised_fixture(judge: Judge) -> None:
    """Two sets of data are two measurements, also where what is parametrised is a fixture that they are made from."""
    suite = """
    import pytest

    @pytest.mark.kpi("top1_accuracy", ">= 90%")
    def test_accuracy(): ...
    """
    more = """
@pytest.fixture(scope="session", params=["clean", "hard"])
def split(request):
    return request.param

@pytest.fixture(scope="session")
def eval_data(split):
    return EvalData(INPUTS, TARGETS if split == "clean" else (TARGETS + 1) % 10)
"""
    for workers in ((), ("-n", "1")):
        finished = judge(suite, *workers, more=more, process=True)
        assert finished.result.ret == 1
        outcomes = {test["nodeid"].partition("[")[2]: test["outcome"] for test in finished.report["tests"]}
        assert outcomes == {"clean]": "passed", "hard]": "failed"}
