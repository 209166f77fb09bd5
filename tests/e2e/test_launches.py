"""Peak memory and cold start: the test again in fresh processes, each of which builds one model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from suites import Judge

from pytest_modelbench.plugin import child_run as children

pytestmark = pytest.mark.slow

SUITE = """
import pytest

@pytest.mark.kpi("peak_memory", "<= 100 MB", "reduction >= 50%")
def test_memory(): ...
"""
HEAVY = """
import os
import time
from pathlib import Path
import numpy as np
import pytest
from pytest_modelbench import EvalData

MB = 2**20
LOG = Path(__file__).with_name("built")

class Net:
    def __init__(self, held_mb, spike_mb=0):
        self.weights = np.ones(held_mb * MB // 8)
        self.spike = spike_mb * MB // 8
    def __call__(self, batch):
        np.ones(self.spike)
        return np.eye(3)[np.asarray(batch)[:, 0].astype(int) % 3]

def built(what, *sizes):
    with LOG.open("a") as file:
        file.write(f"{os.getpid()} {what}\\n")
    return Net(*sizes)

@pytest.fixture(scope="session")
def teacher_model():
    return built("teacher", 120, 180)

@pytest.fixture(scope="session")
def student_model():
    return built("student", 20, 60)

@pytest.fixture(scope="session")
def eval_data():
    ballast = np.ones(200 * MB // 8)  # belongs to the data, not to a model
    inputs = np.arange(60.0).reshape(60, 1)
    data = EvalData(inputs, np.arange(60) % 3)
    data.ballast = ballast
    return data
"""


def builds() -> dict[str, list[str]]:
    """Return what each process built, in order."""
    found: dict[str, list[str]] = {}
    for line in Path("built").read_text(encoding="utf-8").splitlines():
        process, what = line.split()
        found.setdefault(process, []).append(what)
    return found


def launched() -> list[list[str]]:
    """Return what each fresh process built: one model, for memory twice."""
    return [what for what in builds().values() if len(set(what)) == 1]


@pytest.mark.skipif(sys.platform != "linux", reason="the exact high-water mark is Linux's")
def test_peak_memory(judge: Judge) -> None:
    """Held and spike of each model to 2 MB, without data, interpreter and the other model."""
    finished = judge(SUITE, fakes=HEAVY)
    assert finished.result.ret == 0, finished.text
    readings = finished.gate("peak_memory")["readings"]
    assert readings["student"]["value"] == pytest.approx(80 * 2**20, abs=2e6)
    assert readings["teacher"]["value"] == pytest.approx(300 * 2**20, abs=2e6)
    assert "of interpreter, libraries and tests subtracted" in readings["student"]["method"]
    assert sorted(launched()) == [["student", "student"], ["teacher", "teacher"]]
    finished.result.stdout.fnmatch_lines(["*peak_memory*31? MB*8?.? MB*<= 100 MB*PASS*"])


def test_one_launch_serves_all_gates(judge: Judge) -> None:
    """Also with workers, where the second one reads what the first has measured."""
    more = """
@pytest.mark.kpi("peak_memory", "<= 1 GB")
def test_again(): ...
"""
    assert judge(SUITE + more, "-n", "2", "--dist", "load", fakes=HEAVY).result.ret == 0
    assert [what for what in launched() if "teacher" in what] == [["teacher", "teacher"]]


def test_student_made_from_the_teacher(judge: Judge) -> None:
    """A fixture that asks for the other model gets it, and only what it adds is counted."""
    derived = """
@pytest.fixture(scope="session")
def student_model(teacher_model):
    assert isinstance(teacher_model, Net)
    return built("student", 20, 60)
"""
    finished = judge(SUITE, fakes=HEAVY, more=derived)
    assert finished.gate("peak_memory")["readings"]["student"]["value"] == pytest.approx(80 * 2**20, abs=2e6)


COLD = """
import pytest

@pytest.mark.kpi("cold_start", "<= 60 s", "ratio <= 0.5", processes=3)
def test_start(): ...
"""


def test_cold_start(judge: Judge) -> None:
    """Loading and the first output count, over several processes in turn; the import is told apart."""
    slow = HEAVY.replace(
        '    return built("teacher", 120, 180)', '    time.sleep(0.5)\n    return built("teacher", 1)'
    )
    quick = slow.replace(
        '    return built("student", 20, 60)', '    time.sleep(0.05)\n    return built("student", 1)'
    )
    finished = judge(COLD, fakes=quick)
    gate = finished.gate("cold_start")
    assert gate["verdict"] == "pass", finished.text
    assert 0.5 < gate["readings"]["teacher"]["value"] < 5
    assert gate["readings"]["student"]["value"] < 0.5
    assert "library imported in" in gate["readings"]["student"]["method"]
    assert gate["readings"]["student"]["n"] == 3
    assert sorted(launched()) == [[role] * times for role in ("student", "teacher") for times in (1, 1, 1, 2)]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "was ended by SIGKILL (the kernel does that when memory is out), without"),
        ("os._exit(0)", "os._exit(0) was called"),
    ],
    ids=["killed", "os._exit"],
)
def test_process_that_dies_is_a_verdict(judge: Judge, fault: str, reason: str) -> None:
    """With its signal or its error; the other gates stand."""
    dying = f"""
import sys
@pytest.fixture(scope="session")
def student_model():
    if any("modelbench-child" in argument for argument in sys.argv):
        {fault}
    return built("student", 20, 60)
"""
    other = """
@pytest.mark.kpi("agreement", ">= 99%")
def test_agreement(): ...
"""
    finished = judge(SUITE + other, fakes=HEAVY, more=dying)
    assert finished.result.ret == 1
    gate = finished.gate("peak_memory")
    assert gate["verdict"] == "error"
    assert reason in gate["reason"]
    assert finished.gate("agreement")["verdict"] == "pass"


def test_factory_that_prints_and_forks(judge: Judge) -> None:
    """What it prints is captured; a forked process leaves no answer of its own."""
    noisy = """
@pytest.fixture(scope="session")
def student_model():
    print("hello from the factory")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return built("student", 20, 60)
"""
    finished = judge(SUITE, fakes=HEAVY, more=noisy)
    assert finished.gate("peak_memory")["readings"]["student"]["value"] == pytest.approx(80 * 2**20, abs=2e6)


def test_other_model_in_the_fresh_process(judge: Judge) -> None:
    """A factory that builds something else there is refused, not measured."""
    other = """
import sys, torch

@pytest.fixture(scope="session")
def student_model():
    return torch.nn.Linear(1, 4 if any("modelbench-child" in argument for argument in sys.argv) else 3)

@pytest.fixture(scope="session")
def teacher_model():
    return torch.nn.Linear(1, 3)
"""
    finished = judge(SUITE, fakes=HEAVY, more=other)
    assert "in a fresh process the student is another model" in finished.gate("peak_memory")["reason"]


def test_models_named_on_the_command_line(judge: Judge) -> None:
    """A saved model and a factory are loaded in the fresh process, and measured while they load."""
    module = """
import numpy as np

class Net:
    def __init__(self, mb):
        self.weights = np.ones(mb * 2**20 // 8)
    def __call__(self, batch):
        return np.eye(3)[np.asarray(batch)[:, 0].astype(int) % 3]

def teacher():
    return Net(100)

def student():
    return Net(30)
"""
    Path("named.py").write_text(module, encoding="utf-8")
    options = ("--modelbench-teacher=named.py:teacher", "--modelbench-student=small=named.py:student")
    finished = judge(SUITE, *options, fakes=HEAVY)
    readings = finished.gate("peak_memory")["readings"]
    assert readings["student"]["value"] == pytest.approx(30 * 2**20, abs=2e6)
    assert readings["teacher"]["value"] == pytest.approx(100 * 2**20, abs=2e6)


WEIGHTS = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Linear(1, 6_000_000, bias=False)

class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = net()
    def forward(self, x):
        return self.inner.weight[:3, 0] * x
"""


def test_weights_from_a_file_are_held_once(judge: Judge) -> None:
    """In a process that builds no other model the factory's module is filled as it is."""
    import torch
    from safetensors.torch import save_file

    save_file({"inner.weight": torch.ones(6_000_000, 1)}, "student.safetensors")
    Path("large.py").write_text(WEIGHTS, encoding="utf-8")
    options = ("--modelbench-teacher=large.py:Large", "--modelbench-student=large.py:Large@student.safetensors")
    data = HEAVY.replace("EvalData(inputs, ", "EvalData(inputs.astype('float32'), ")
    finished = judge(SUITE.replace(', "reduction >= 50%"', ""), *options, fakes=data)
    readings = finished.gate("peak_memory")["readings"]
    assert readings["student"]["value"] < 2.6 * 24e6  # the module, and the file while it is read


def test_memory_meter(judge: Judge) -> None:
    """A block of one's own."""
    suite = """
import numpy as np

def test_block(memory_meter):
    with memory_meter as memory:
        np.ones(50 * 2**17)
    assert 45e6 < memory.peak_bytes < 60e6
    assert memory.held_bytes < 5e6
"""
    finished = judge(suite)
    finished.result.assert_outcomes(passed=1)


TORCH = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, megabytes):
        super().__init__()
        self.weights = nn.Parameter(torch.ones(megabytes * 2**18))
        self.seen = []
    def forward(self, x):
        self.seen.append(len(x))
        return torch.eye(3)[x[:, 0].long() % 3] * self.weights[0]

EARLY = Net(60)

@pytest.fixture(scope="session")
def teacher_model():
    return Net(100)

@pytest.fixture(scope="session")
def student_model():
    return Net(40)
"""


def test_torch_modules(judge: Judge) -> None:
    """Their weights to 2 MB, without torch's first steps; one that remembers its calls is still the same model."""
    finished = judge(SUITE, fakes=HEAVY, more=TORCH)
    readings = finished.gate("peak_memory")["readings"]
    assert readings["student"]["value"] == pytest.approx(40 * 2**20, abs=2e6)
    assert readings["teacher"]["value"] == pytest.approx(100 * 2**20, abs=2e6)


def test_model_that_was_built_before_its_fixture(judge: Judge) -> None:
    """It would measure as nothing: an error that says where to build it."""
    early = """
@pytest.fixture(scope="session")
def student_model():
    return EARLY
"""
    gate = judge(SUITE, fakes=HEAVY, more=TORCH + early).gate("peak_memory")
    assert gate["verdict"] == "error"
    assert "it was built before, by another fixture or at import. Build it in student_model" in gate["reason"]


def test_teacher_asked_for_inside_of_a_fixture(judge: Judge) -> None:
    """It is not there in the other process, and the error says what to write."""
    asking = """
@pytest.fixture(scope="session")
def student_model(request):
    teacher = request.getfixturevalue("teacher_model")
    return Net(40 if teacher.seen == [] else 41)
"""
    gate = judge(SUITE, fakes=HEAVY, more=TORCH + asking).gate("peak_memory")
    assert "write teacher_model as an argument of its fixture" in gate["reason"]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (3, "ended with exit code 3"),
        (-9, "was ended by SIGKILL (the kernel does that when memory is out)"),
        (-11, "was ended by SIGSEGV (a crash in compiled code)"),
        (-200, "was ended by signal 200"),
    ],
)
def test_how_a_process_ended(code: int, told: str) -> None:
    """By name where a signal ended it."""
    assert children._ending(code) == told


def test_the_previous_student_is_launched_too(judge: Judge) -> None:
    """In a process of its own that builds neither of the other two."""
    suite = """
    import pytest

    @pytest.mark.kpi("peak_memory", "regression <= 30%")
    def test_memory(): ...
    """
    previous = """
@pytest.fixture(scope="session")
def previous_model():
    return built("previous", 20, 20)
"""
    gate = judge(suite, fakes=HEAVY, more=previous).gate("peak_memory")
    assert gate["verdict"] == "fail"  # 80 MB, and 40 MB before
    assert gate["readings"]["baseline"]["value"] == pytest.approx(40 * 2**20, rel=0.1)
    assert gate["limits"][0]["value"] == pytest.approx(1.0, abs=0.2)
    processes = [line.split() for line in Path("built").read_text().splitlines()]
    by_process = {pid: {what for other, what in processes if other == pid} for pid, _ in processes}
    assert {"previous"} in by_process.values()
    assert "teacher" not in set().union(*by_process.values())
