"""A call that never returns ends with an error and a report, wherever it is made."""

from __future__ import annotations

import re

import pytest
from suites import Judge

from pytest_modelbench.probes.timing import engine as timing
from pytest_modelbench.probes.timing import watchdog


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is long for a call of these fakes."""
    monkeypatch.setattr(watchdog, "LONGEST_CALL_IN_BUDGETS", 0.25)
    monkeypatch.setattr(timing, "LONGEST_CALL_IN_BUDGETS", 0.5)
    monkeypatch.setattr(watchdog, "LONGEST_BATCH_S", 0.25)


HANGS = """
import time
def hang(*_):
    while True:
        time.sleep(0.01)
"""
OTHER = '\n@pytest.mark.kpi("size_on_disk", "<= 1 MB")\ndef test_other(): ...\n'


@pytest.mark.parametrize(
    ("gate", "more"),
    [
        ('"top1_accuracy", ">= 10%"', "STUDENT = student(outputs=hang)"),
        ('"latency_p50", "<= 5 ms"', "STUDENT = student(outputs=hang)"),
        (
            '"batch_invariance", "<= 1 pp"',
            "STUDENT = student(outputs=lambda b: answers(4)(b) if len(b) > 1 else hang())",
        ),
        ('"parameters", "<= 5"', "STUDENT.count_parameters = hang"),
    ],
    ids=["outputs", "timing", "stability", "parameters"],
)
def test_call_that_never_returns_is_an_error(judge: Judge, gate: str, more: str) -> None:
    """And the next gate is judged."""
    finished = judge(
        f"import pytest\n@pytest.mark.kpi({gate})\ndef test_gate(): ...\n{OTHER}",
        "--modelbench-budget=1",
        more=f"{HANGS}\n{more}\n",
    )
    first, other = finished.report["gates"]
    assert (first["verdict"], other["verdict"]) == ("error", "pass")
    assert re.search(
        r"student(, or the data that it is given,)? did not return from a call within 0\.", first["reason"]
    )


def test_data_that_never_come_are_an_error(judge: Judge) -> None:
    """A dataset that blocks is no fault of the model, and the error says so."""
    more = """
from torch.utils.data import Dataset

class Blocking(Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, at):
        hang()

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(Blocking())
"""
    finished = judge(
        'import pytest\n@pytest.mark.kpi("latency_p50", "<= 5 ms")\ndef test_gate(): ...\n',
        "--modelbench-budget=1",
        more=f"{HANGS}\n{more}",
    )
    assert finished.gate("latency_p50")["verdict"] == "error"
    assert "reading the evaluation data did not return" in finished.gate("latency_p50")["reason"]


def test_edge_case_that_never_returns_fails(judge: Judge) -> None:
    """A check in a test's body is guarded too."""
    finished = judge(
        """
        def test_edge(student, edge_case):
            student.check_finite(edge_case)
        """,
        "--modelbench-budget=1",
        "-k=ones or zeros",
        more=f"{HANGS}\nSTUDENT = student(outputs=hang)\n",
    )
    finished.result.stdout.fnmatch_lines(["*student did not return from a call within 0.*"])
    assert finished.result.ret == 1


def test_long_pass_whose_calls_return_is_not_ended(judge: Judge) -> None:
    """Forty batches take longer than a call may: each is bounded by itself."""
    more = """
import time
def slowly(batch):
    time.sleep(0.02)
    return answers(4)(batch)
STUDENT = student(outputs=slowly)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS, TARGETS, batch_size=5)
"""
    finished = judge(
        'import pytest\n@pytest.mark.kpi("top1_accuracy", ">= 90%")\ndef test_gate(): ...\n',
        "--modelbench-budget=1",
        more=more,
    )
    assert finished.gate("top1_accuracy")["verdict"] == "pass"


UNSTOPPABLE = """
import signal
from pytest_modelbench.probes.timing import engine as timing, watchdog
watchdog.LONGEST_CALL_IN_BUDGETS = watchdog.LONGEST_BATCH_S = 0.25
watchdog.PAUSE_S = watchdog.LAST_S = 0.01

def deaf(batch):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGALRM})
    hang()
STUDENT = student(outputs=deaf)
"""


def test_session_that_must_end_has_a_report_and_is_not_green(judge: Judge) -> None:
    """No interrupt reaches the call: the process ends with status 1, and what is known by then is in the report."""
    finished = judge(
        f"import pytest\n{OTHER}\n@pytest.mark.kpi('top1_accuracy', '>= 10%')\ndef test_deaf(): ...\n",
        "--modelbench-budget=1",
        more=f"{HANGS}\n{UNSTOPPABLE}",
        process=True,
    )
    assert finished.result.ret == 1
    assert (
        "test_deaf: student, or the data that it is given, did not return from a call within 0.5 s" in finished.text
    )
    assert "no interrupt ends it: the session ends" in finished.text
    other, deaf = finished.report["gates"]
    assert (other["verdict"], deaf["verdict"]) == ("pass", "error")
    assert finished.report["complete"] is False
