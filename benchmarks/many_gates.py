"""What does a gate cost beside its measurement, and how does that grow with the number of gates?

Runs suites of cheap gates on a fake model, and the same tests without gates under plain pytest; prints the processor
seconds of the summary, of everything (less that of a run of one test), and of each gate.

Usage: python benchmarks/many_gates.py [--gates 200 1000 5000] [--python PYTHON]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CONFTEST = """
import json, time
from pathlib import Path
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary():
    start = time.process_time()
    found = yield
    Path("seconds.json").write_text(json.dumps([time.process_time() - start]))
    return found

def pytest_unconfigure():
    path = Path("seconds.json")
    path.write_text(json.dumps([*json.loads(path.read_text()), time.process_time()]))

COUNT = {count}
"""
MODELS = """
import numpy as np
from pytest_modelbench import EvalData, FakeClock, FakeModel

CLOCK = FakeClock()
TEACHER = FakeModel(cost_ns=1e6, clock=CLOCK, parameters=100_000, size_bytes=400_000)

@pytest.fixture(scope="session")
def teacher_model():
    return TEACHER

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(np.arange(20.0).reshape(20, 1), np.arange(20) % 2)
"""
ONE_STUDENT = """
@pytest.fixture(scope="session")
def student_model():
    return FakeModel(cost_ns=4e5, clock=CLOCK, parameters=10_000, size_bytes=40_000)
"""
MANY_STUDENTS = """
@pytest.fixture(scope="session", params=range(COUNT))
def student_model(request):
    return FakeModel(cost_ns=4e5, clock=CLOCK, parameters=10_000 + request.param, size_bytes=40_000)
"""
GATES = """
import pytest

{parametrize}
@pytest.mark.kpi("parameters", "reduction >= 85%")
def test_parameters({name}): ...
"""
PARAMETRIZE = '@pytest.mark.parametrize("part", range({count}))'
PLAIN = """
import pytest

{parametrize}
def test_parameters({name}student_model, teacher_model):
    assert 1 - student_model.parameters / teacher_model.parameters >= 0.85
"""


def suites(count: int) -> dict[str, tuple[str, str, list[str]]]:
    """Return the conftest, the tests and the options of each kind of suite; plain pytest precedes what has gates."""
    shared = CONFTEST.format(count=count) + MODELS
    parametrize = PARAMETRIZE.format(count=count)
    judged = ["-p", "pytest_modelbench.plugin", "--modelbench"]
    one, many = shared + ONE_STUDENT, shared + MANY_STUDENTS
    tests = GATES.format(parametrize=parametrize, name="part")
    return {
        "one student, plain pytest": (one, PLAIN.format(parametrize=parametrize, name="part, "), []),
        "one student, gates": (one, tests, judged),
        "one student, gates and a JSON report": (one, tests, [*judged, "--modelbench-json=report.json"]),
        "many students, plain pytest": (many, PLAIN.format(parametrize="", name=""), []),
        "many students, gates": (many, GATES.format(parametrize="", name=""), judged),
    }


def seconds(python: str, conftest: str, tests: str, options: list[str]) -> tuple[float, float]:
    """Return the processor seconds of the summary and of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "conftest.py").write_text(conftest)
        Path(folder, "test_many.py").write_text(tests)
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "120"}
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        summary, whole = json.loads(Path(folder, "seconds.json").read_text())
    return summary, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gates", type=int, nargs="+", default=[200, 1000, 5000])
    parser.add_argument("--python", default=sys.executable, help="of the environment that is measured")
    given = parser.parse_args()
    alone = {kind: seconds(given.python, *suite)[1] for kind, suite in suites(1).items()}
    print("| tests | suite | summary (s) | all tests (s) | each (ms) | of plain pytest |")
    print("|---|---|---|---|---|---|")
    for count in given.gates:
        plain = 1.0
        for kind, suite in suites(count).items():
            summary, whole = seconds(given.python, *suite)
            rest = whole - alone[kind]
            plain = rest if "plain" in kind else plain
            print(
                f"| {count:,} | {kind} | {summary:.2f} | {rest:.2f} | {1e3 * rest / count:.2f} "
                f"| {rest / plain:.1f}x |",
                flush=True,
            )


if __name__ == "__main__":
    main()
