"""Several workers under load in real pytest runs: on a scripted clock, in processes, and over connections."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from servers import InferenceServer, served
from suites import FAKES, Finished, Judge, read_report

GOODPUT = """
import pytest

@pytest.mark.kpi("goodput", ">= 90%", rate="{rate}", within="{within}", workers={workers})
def test_goodput(): ...
"""


@pytest.mark.parametrize(("workers", "verdict"), [(1, "fail"), (3, "pass")])
def test_workers_answer_what_one_cannot(judge: Judge, workers: int, verdict: str) -> None:
    """On a scripted clock: 2,000 requests a second of 1 ms each overload one worker, and keep three 67% busy."""
    tests = GOODPUT.format(rate="2000/s", within="50 ms", workers=workers)
    finished = judge(tests, more="STUDENT = student(cost_ns=1e6)")
    gate = finished.gate("goodput")
    assert gate["verdict"] == verdict, finished.text
    fact = gate["breakdown"][0]
    assert fact["workers"] == workers
    assert fact["utilisation"] == pytest.approx(min(1.0, 2 / workers), rel=0.02)


SLEEPER = """
import ctypes
import os
import time
import numpy as np
import pytest
from pathlib import Path
from pytest_modelbench import EvalData

LOG = Path(__file__).with_name("built")

class Sleeper:
    calls = 0

    def __call__(self, batch):
        time.sleep(0.02)
        self.calls += 1
        {misdeed}
        return np.eye(3)[np.asarray(batch)[:, 0].astype(int) % 3]

@pytest.fixture(scope="session")
def student_model():
    with LOG.open("a") as file:
        file.write(f"{{os.getpid()}}\\n")
    {in_fixture}
    return Sleeper()

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(np.arange(60.0).reshape(60, 1), np.arange(60) % 3)
"""


def slept(pytester: pytest.Pytester, workers: int, misdeed: str = "pass", in_fixture: str = "pass") -> dict[str, Any]:
    """Judge a model that sleeps, with other code in its call or its fixture, and return its gate."""
    pytester.makeconftest(SLEEPER.format(misdeed=misdeed, in_fixture=in_fixture))
    pytester.makepyfile(test_sla=GOODPUT.format(rate="70/s", within="1 s", workers=workers))
    options = ("--modelbench", "--modelbench-json=report.json", "--modelbench-budget=4", "-p", "no:cacheprovider")
    finished = Finished(pytester.runpytest_inprocess(*options), read_report(pytester))
    assert "INTERNALERROR" not in finished.text
    return finished.gate("goodput") | {"text": finished.text}


@pytest.mark.slow
def test_each_worker_builds_its_model(pytester: pytest.Pytester) -> None:
    """Calls of 20 ms at 70 a second: three processes, each with a model of its own, answer them."""
    gate = slept(pytester, 3)
    assert gate["verdict"] == "pass", gate["text"]
    assert len(set((pytester.path / "built").read_text().split())) == 4
    assert gate["breakdown"][0]["utilisation"] < 0.9
    assert gate["breakdown"][0]["client_busy"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("misdeed", "in_fixture", "reason"),
    [
        ("os.kill(os.getpid(), 9) if self.calls > 20 else None", "pass", "was ended by SIGKILL"),
        ("ctypes.CDLL(None)._exit(3) if self.calls > 20 else None", "pass", "ended with exit code 3"),
        ("pass", "if len(LOG.read_text().split()) > 1: raise OSError('no licence left')", "no licence left"),
    ],
    ids=["is killed", "ends", "does not start"],
)
def test_a_worker_that_is_gone_is_an_error(
    pytester: pytest.Pytester, misdeed: str, in_fixture: str, reason: str
) -> None:
    """It is named with its cause, and the others end too."""
    began = time.monotonic()
    gate = slept(pytester, 2, misdeed, in_fixture)
    assert gate["verdict"] == "error", gate["text"]
    assert reason in gate["text"]
    assert time.monotonic() - began < 120


PREVIOUS = """
class Faster(Sleeper):
    def __call__(self, batch):
        return super().__call__(batch) if len(batch) > 1 else time.sleep(0.002) or np.eye(3)[[0]]

Faster.__name__ = "Sleeper"

@pytest.fixture(scope="session")
def previous_model():
    return Faster()
"""


@pytest.mark.slow
def test_workers_of_the_previous_student_run_it_and_not_the_student(pytester: pytest.Pytester) -> None:
    """Calls of 20 ms against 2 ms before, which are equal in structure: the largest rate is a tenth of what it was."""
    pytester.makeconftest(SLEEPER.format(misdeed="pass", in_fixture="pass") + PREVIOUS)
    pytester.makepyfile(
        test_sla="""
import pytest

@pytest.mark.kpi("max_qps", "regression <= 50%", within="p90 <= 200 ms", workers=2)
def test_capacity(): ...
"""
    )
    options = ("--modelbench", "--modelbench-json=report.json", "--modelbench-budget=6", "-p", "no:cacheprovider")
    finished = Finished(pytester.runpytest_inprocess(*options), read_report(pytester))
    gate = finished.gate("max_qps")
    assert gate["readings"]["baseline"]["value"] > 3 * gate["readings"]["student"]["value"], finished.text
    assert gate["verdict"] == "fail", finished.text


SERVED = """
import pytest

@pytest.mark.kpi("max_qps", {limit}within="p90 <= 100 ms")
def test_capacity(): ...
"""


def through(pytester: pytest.Pytester, server: InferenceServer, tests: str, budget_s: int = 6) -> Finished:
    """Judge a student behind a server."""
    pytester.makeconftest(FAKES.replace("cost_ns=1e6, clock=CLOCK, ", ""))
    pytester.makepyfile(test_sla=tests)
    with served(server) as place:
        finished = pytester.runpytest_inprocess(
            "--modelbench", f"--modelbench-student=kserve://{place}/digits", "--modelbench-json=report.json",
            f"--modelbench-budget={budget_s}", "-p", "no:cacheprovider",
        )  # fmt: skip
    return Finished(finished, read_report(pytester))


def right(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return logits that are right for the data of `FAKES`."""
    labels = rows[:, 0].astype(int) % 10
    return np.asarray(np.eye(10, dtype=np.float32)[labels])


@pytest.mark.slow
def test_a_stall_of_the_server_is_in_the_responses(pytester: pytest.Pytester) -> None:
    """One call of 600 ms among 150: its wait is in the responses of dozens, and the service shows one slow call."""
    server = InferenceServer(right, 1)
    calls = iter(range(10**6))

    def stalling(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        time.sleep(0.6 if next(calls) == 60 else 0.0)
        return right(rows)

    server.model = stalling
    tests = '@pytest.mark.kpi("response_p99", rate="100/s", workers=1)\ndef test_response(): ...\n'
    finished = through(pytester, server, f"import pytest\n\n{tests}")
    (fact,) = finished.gate("response_p99")["breakdown"]
    assert fact["backlog_most"] > 30, finished.text
    assert fact["measured_p99_ms"] > 10 * fact["service_p50_ms"]
    assert fact["measured_p99_ms"] > 5 * fact["service_p99_ms"]


@pytest.mark.slow
def test_the_capacity_behind_a_server_is_the_formulas(pytester: pytest.Pytester) -> None:
    """One call after the other in 20 ms, over 16 connections: M/D/1 keeps a p90 of 5 services up to a load of 0.77."""
    finished = through(pytester, InferenceServer(right, 1, delay_s=0.02), SERVED.format(limit=""), 10)
    gate = finished.gate("max_qps")
    service_s = min(row["service_p50_ms"] for row in gate["breakdown"]) / 1e3
    load = gate["readings"]["student"]["value"] * service_s
    assert 0.5 < load < 0.95, finished.text  # of one server; 16 that worked at once would give 8 or more
    assert {row["workers"] for row in gate["breakdown"]} == {16}
