"""Models, clocks and machines that misbehave in the middle of a run: a clear error, and nothing measured is lost."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from suites import FAKES, Judge, interruptible, read_report

from pytest_modelbench.plugin import process_guard

pytestmark = pytest.mark.slow

BEFORE_AND_AFTER = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
def test_a_accuracy(): ...

@pytest.mark.kpi("latency_p50", "<= 1 s", "ratio <= 2")
def test_b_p50(): ...

@pytest.mark.kpi("parameters", "reduction >= 80%")
def test_c_size(): ...
"""
REAL = """
import os, time
import numpy as np
import pytest
from pytest_modelbench import EvalData

class Net:
    kept = []
    def __init__(self, fault=None):
        self.fault, self.calls = fault, 0
    def __call__(self, batch):
        if len(batch) == 1 and self.fault is not None:
            self.calls += 1
            self.fault(self)
        return np.eye(3)[np.asarray(batch)[:, 0].astype(int) % 3]

@pytest.fixture(scope="session")
def teacher_model():
    return Net()

@pytest.fixture(scope="session")
def eval_data():
    inputs = np.arange(60.0).reshape(60, 1)
    return EvalData(inputs, np.arange(60) % 3)
"""
SIMPLE = """
import pytest

@pytest.mark.kpi("top1_accuracy", "drop <= 2 pp")
def test_a_accuracy(): ...

@pytest.mark.kpi("latency_p50", "<= 1 s", "ratio <= 2")
def test_b_p50(): ...

@pytest.mark.kpi("agreement", ">= 99%")
def test_c_agreement(): ...
"""


def student(fault: str) -> str:
    return f"""
def fault(net):
    {fault}

@pytest.fixture(scope="session")
def student_model():
    return Net(fault)
"""


def the_others_stand(report: dict[str, object], reason: str) -> None:
    """The gates before and after the fault have their verdicts; the timed one is an error that says why."""
    gates = {gate["nodeid"].partition("::test_")[2]: gate for gate in report["gates"]}  # type: ignore[attr-defined]
    assert {name: gate["verdict"] for name, gate in gates.items()} == {
        "a_accuracy": "pass",
        "b_p50": "error",
        "c_agreement": "pass",
    }
    assert reason in gates["b_p50"]["reason"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("assert net.calls < 1000, 'worn out'", "student raised AssertionError on inputs of shape (1, 1): worn out"),
        ("if net.calls == 1000: os._exit(0)", "os._exit(0) was called: it would have ended pytest without a verdict"),
        ("if net.calls == 1000: time.sleep(3600)", "student or teacher did not return from a call within 5 s"),
        ("if net.calls == 1000: raise SystemExit(0)", "student raised SystemExit on inputs of shape (1, 1): 0"),
    ],
    ids=["raises", "os._exit", "blocks", "sys.exit"],
)
def test_model_that_fails_at_its_thousandth_call(judge: Judge, fault: str, reason: str) -> None:
    """The timed gate is an error with its reason, the others are judged, and pytest fails."""
    finished = judge(SIMPLE, "--modelbench-budget=1", fakes=REAL, more=student(fault), process=True)
    assert finished.result.ret == 1
    assert finished.report["complete"] is True
    the_others_stand(finished.report, reason)


def test_model_that_leaks(judge: Judge) -> None:
    """A megabyte a call is told with its number, before the machine is out of memory."""
    little = """
def pytest_configure():
    from pytest_modelbench.probes.timing import engine as timing
    timing.available_bytes = lambda: 20 * 2**20
"""
    leak = student("Net.kept.append(np.ones(2**17)); time.sleep(1e-4)")
    finished = judge(SIMPLE, fakes=REAL, more=leak + little, process=True)
    the_others_stand(finished.report, "half of the memory that was available is taken")
    reason = next(gate["reason"] for gate in finished.report["gates"] if gate["kpi"] == "latency_p50")
    found = re.search(r"the process grew by ([\d.]+) MB while it called student ([\d,]+) times and teacher", reason)
    assert found, reason
    assert 0.5 < float(found[1]) / int(found[2].replace(",", "")) < 1.5  # a megabyte a call


def test_model_that_changes_the_shape_of_its_outputs(judge: Judge) -> None:
    """The gate that reads them says which batch; it is not broadcast into a number."""
    finished = judge(
        SIMPLE,
        fakes=REAL.replace(
            "EvalData(inputs, np.arange(60) % 3)", "EvalData(inputs, np.arange(60) % 3, batch_size=20)"
        ),
        more="""
class Shifty(Net):
    def __call__(self, batch):
        found = super().__call__(batch)
        return found[:, :2] if len(batch) == 20 and batch[0, 0] == 40 else found

@pytest.fixture(scope="session")
def student_model():
    return Shifty()
""",
        process=True,
    )
    verdicts = {gate["kpi"]: (gate["verdict"], gate["reason"]) for gate in finished.report["gates"]}
    assert verdicts["latency_p50"][0] == "pass"
    for kpi in ("top1_accuracy", "agreement"):
        assert verdicts[kpi][0] == "error"
        assert "student changed the shape of its output from (*, 3) to (*, 2) at sample 40" in verdicts[kpi][1]


@pytest.mark.parametrize(
    ("costs", "reason"),
    [
        ("[1e6] * 400 + [4e12]", "by its clock a call of student took"),
        ("[1e6] * 400 + [-5e9]", "the clock went back by 5 s during a call of student"),
    ],
    ids=["forward", "back"],
)
def test_clock_that_jumps(judge: Judge, costs: str, reason: str) -> None:
    """A call of an hour, or of less than nothing, is nobody's latency."""
    more = f"""
@pytest.fixture(scope="session")
def student_model():
    return student(cost_ns={costs})
"""
    finished = judge(BEFORE_AND_AFTER, more=more)
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts == {"top1_accuracy": "pass", "latency_p50": "error", "parameters": "pass"}
    assert reason in finished.gate("latency_p50")["reason"]


@pytest.mark.parametrize(
    "leaving",
    [
        "from os import _exit\n\ndef test_leaves(): _exit(0)",
        "import atexit, os\n\ndef test_leaves(): atexit.register(os._exit, 0)\n\ndef test_fails(): assert not os",
        "import os, threading, time\n\ndef test_leaves(): threading.Timer(0, os._exit, (0,)).start() or time.sleep(60)",
        "import os\n\ndef test_leaves(): os.execv('/bin/true', ['true'])",
        "import os\nos._exit(0)\n\ndef test_leaves(): ...",
    ],
    ids=["imported before", "atexit", "thread", "execv", "import"],
)
def test_process_that_leaves_past_pytest(judge: Judge, leaving: str) -> None:
    """The exit code is never 0, and no traceback is of ours."""
    finished = judge(leaving, process=True)
    assert finished.result.ret in {1, 2}, finished.text
    assert Path(process_guard.__file__).name not in finished.text


@pytest.mark.parametrize(
    "raised", ["GeneratorExit", "BaseException('odd')", "asyncio.CancelledError", "SystemExit(0)"]
)
def test_exception_that_is_no_exception(judge: Judge, raised: str) -> None:
    """What a metric or a fixture raises past `except Exception` is the error of its gate, and the others stand."""
    more = f"""
import asyncio
def metric(outputs, targets):
    raise {raised}

@pytest.fixture(scope="session")
def previous_model():
    raise {raised}
"""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("mine", ">= 1", metric="conftest:metric", better="higher", unit="")
        def test_metric(): ...
        @pytest.mark.kpi("size_on_disk", "regression <= 5%")
        def test_previous(): ...
        @pytest.mark.kpi("parameters", "<= 50k")
        def test_size(): ...
        """,
        more=more,
    )
    verdicts = {gate["kpi"]: gate["verdict"] for gate in finished.report["gates"]}
    assert verdicts == {"mine": "error", "size_on_disk": "error", "parameters": "pass"}
    assert "fixture previous_model raised " in finished.gate("size_on_disk")["reason"]


def test_body_that_removes_the_temporary_folder(judge: Judge) -> None:
    """The machine's lock lies in it; the rest of the session goes on with another one."""
    finished = judge(
        """
        import shutil, tempfile, pytest
        @pytest.mark.kpi("parameters", "<= 50k")
        def test_a():
            from pytest_modelbench.bench.machine_lock import lock_folder
            shutil.rmtree(lock_folder())
        @pytest.mark.kpi("latency_p50", "<= 1 s")
        def test_b(): ...
        """,
        more="\nimport os, tempfile\ntempfile.tempdir = os.path.abspath('.')\n",
        process=True,
    )
    assert finished.result.ret == 0, finished.text
    assert set(finished.verdicts.values()) == {"pass"}


def started(pytester: pytest.Pytester, more: str, *arguments: str) -> subprocess.Popen[str]:
    pytester.makeconftest(REAL + more)
    pytester.makepyfile(test_sla=SIMPLE)
    command = [sys.executable, "-m", "pytest", "--modelbench", "--modelbench-json=report.json", *arguments]
    return subprocess.Popen(
        command,
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=interruptible,  # noqa: PLW1509 - nothing of ours runs in other threads
    )


IN_THE_MIDDLE = student(
    "if net.calls == 1000: open('reached', 'w').close()\n    if net.calls > 1000: time.sleep(0.01)"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_signal_in_the_middle_of_a_measurement(pytester: pytest.Pytester, number: int) -> None:
    """What was judged before stands in a report that says that it is not complete."""
    limit = IN_THE_MIDDLE + "\ndef pytest_configure(config): config.option.modelbench_budget = '60'\n"
    run = started(pytester, limit, "-o", "modelbench_budget=60")
    reached = pytester.path / "reached"
    for _ in range(300):
        if reached.exists():
            break
        time.sleep(0.1)
    run.send_signal(number)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 2, output
    report = read_report(pytester)
    assert report["complete"] is False
    assert {gate["kpi"]: gate["verdict"] for gate in report["gates"]} == {
        "top1_accuracy": "pass",
        "latency_p50": "not_run",
        "agreement": "not_run",
    }
    assert "Traceback" not in output.replace("KeyboardInterrupt", "")


def test_killed_process_leaves_what_it_had(pytester: pytest.Pytester) -> None:
    """SIGKILL leaves no time to write; the gates that had ended are in the report all the same."""
    run = started(pytester, IN_THE_MIDDLE)
    reached = pytester.path / "reached"
    for _ in range(300):
        if reached.exists():
            break
        time.sleep(0.1)
    run.kill()
    run.communicate(timeout=60)
    report = read_report(pytester)
    assert (report["complete"], report["exit_status"]) == (False, None)
    assert {gate["kpi"]: gate["verdict"] for gate in report["gates"]}["top1_accuracy"] == "pass"
    assert report["models"]["students"]["student"]["forward_passes"] == 1


def no_room() -> None:
    """Let this process write no file beyond a few bytes; as a full disk, writing is what fails."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))


def test_disk_that_is_full(pytester: pytest.Pytester) -> None:
    """The report cannot be written: that is told, it fails the run, and the terminal shows every verdict."""
    pytester.makeconftest(FAKES)
    pytester.makepyfile(test_sla=BEFORE_AND_AFTER)
    (pytester.path / "out").mkdir()
    command = [sys.executable, "-B", "-m", "pytest", "--modelbench", "--modelbench-json=out/report.json"]
    ended = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        preexec_fn=no_room,
        check=False,
    )
    assert ended.returncode == 4, ended.stdout
    assert "ERROR: --modelbench-json: cannot write" in ended.stdout
    assert "3 gates: 3 pass" in ended.stdout
    assert list((pytester.path / "out").iterdir()) == []


def test_report_is_on_the_disk_while_the_run_goes_on(pytester: pytest.Pytester) -> None:
    """After every item; so whatever ends the process, the items before are there."""
    pytester.makeconftest(FAKES)
    pytester.makepyfile(
        test_sla="""
        import json, pytest
        from pathlib import Path

        @pytest.mark.kpi("parameters", "reduction >= 80%")
        def test_a(): ...

        def test_b():
            report = json.loads(Path("report.json").read_text())
            assert report["complete"] is False
            assert report["gates"][0]["verdict"] == "pass"
        """
    )
    finished = pytester.runpytest_inprocess("--modelbench", "--modelbench-json=report.json", "-p", "no:cacheprovider")
    finished.assert_outcomes(passed=2)
    assert json.loads(Path("report.json").read_text())["complete"] is True
