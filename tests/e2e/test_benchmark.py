"""pytest-benchmark: its rounds judged by our intervals, and our timings in its form; JUnit's properties."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from suites import FAKES, Judge

SPIN = """
import time
import pytest

def spin(ms=0.2):
    end = time.perf_counter() + ms / 1000
    while time.perf_counter() < end:
        pass
"""
SUITE = (
    SPIN
    + """
@pytest.mark.kpi("latency_p99", "<= 1 s")
@pytest.mark.kpi("latency_mean", "<= 1 s", ">= 0.15 ms", allow_reversed=True)
def test_enough(benchmark):
    benchmark.pedantic(spin, rounds=4000, iterations=1)

@pytest.mark.kpi("latency_p50", "<= 0.1 ms")
def test_slow(benchmark):
    benchmark.pedantic(spin, rounds=50, iterations=1)

@pytest.mark.kpi("latency_p99", "<= 1 s")
def test_few(benchmark):
    benchmark.pedantic(spin, rounds=50, iterations=1)
"""
)
NOTHING = "import pytest\n"


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest-benchmark disables itself in a worker, also for a session of pytester's in it."""
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        monkeypatch.delenv(name, raising=False)


def test_its_rounds_are_judged(judge: Judge) -> None:
    """By intervals: what 50 rounds cannot bound is inconclusive. No model of ours is needed."""
    finished = judge(SUITE, fakes=NOTHING)
    gates = {(gate["nodeid"].partition("::")[2], gate["kpi"]): gate for gate in finished.report["gates"]}
    assert {key: gate["verdict"] for key, gate in gates.items()} == {
        ("test_enough", "latency_p99"): "pass",
        ("test_enough", "latency_mean"): "pass",
        ("test_slow", "latency_p50"): "fail",
        ("test_few", "latency_p99"): "inconclusive",
    }, finished.text
    reading = gates["test_enough", "latency_mean"]["readings"]["student"]
    assert reading["n"] == 3999  # the first round warms up
    assert reading["ci_low"] < reading["value"] < reading["ci_high"]
    assert "batches of pytest-benchmark's rounds" in reading["method"]
    assert "latency_p99 needs " in gates["test_few", "latency_p99"]["reason"]


def test_with_a_student(judge: Judge) -> None:
    """A test that asks for the student runs for each of them."""
    suite = """
    import pytest

    @pytest.mark.kpi("latency_mean", "<= 1 s")
    def test_call(benchmark, student, eval_data):
        benchmark.pedantic(student, args=(eval_data.inputs[:8],), rounds=20, iterations=1)
    """
    several = """
@pytest.fixture(scope="session", params=["a", "b"])
def student_model(request):
    return STUDENT
"""
    finished = judge(suite, more=several)
    assert {gate["student"] for gate in finished.report["gates"]} == {"a", "b"}, finished.text
    assert set(finished.verdicts.values()) == {"pass"}


@pytest.mark.parametrize(
    ("body", "verdict", "words"),
    [
        (
            "benchmark.pedantic(spin, rounds=9, iterations=3)",
            "error",
            "pytest-benchmark timed 3 calls together in each round, and latency_p50 is about single calls. Write ",
        ),
        ("pass", "error", "the test never called its fixture benchmark. Write benchmark(student, batch)"),
        (
            "benchmark.pedantic(spin, rounds=2, iterations=1)",
            "error",
            "pytest-benchmark timed 2 rounds, and the first only warms up. Give it more rounds",
        ),
    ],
    ids=["iterations", "unused", "few"],
)
def test_rounds_that_say_nothing(judge: Judge, body: str, verdict: str, words: str) -> None:
    """An error that says what to write."""
    suite = (
        SPIN
        + f"""
@pytest.mark.kpi("latency_p50", "<= 1 s")
def test_call(benchmark):
    {body}
"""
    )
    gate = judge(suite, "-p", "no:randomly", fakes=NOTHING).gate("latency_p50")
    assert gate["verdict"] == verdict
    assert gate["reason"].startswith(words)


def test_disabled(judge: Judge) -> None:
    """Nothing was timed, so nothing is judged; the item is skipped with the reason."""
    finished = judge(SUITE, "--benchmark-disable", "-rs", fakes=NOTHING)
    assert set(finished.verdicts.values()) == {"not_applicable"}
    finished.result.stdout.fnmatch_lines(["*pytest-benchmark is disabled (--benchmark-disable, or workers)*"])


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        (
            '"latency_p50", "reduction >= 5%"',
            "'reduction >= 5%' needs another model, and pytest-benchmark times this *",
        ),
        ('"throughput", ">= 5 qps"', "this test's rounds come from pytest-benchmark, which gives latency_mean, *"),
    ],
)
def test_mistakes(judge: Judge, marker: str, words: str) -> None:
    """Told before anything runs."""
    suite = f"import pytest\n\n@pytest.mark.kpi({marker})\ndef test_call(benchmark):\n    benchmark(abs, 1)\n"
    finished = judge(suite)
    assert finished.result.ret == 4
    finished.result.stderr.fnmatch_lines([f"ERROR: test_sla.py::test_call: kpi *: {words}"])


TIMED = """
import pytest

@pytest.mark.kpi("latency_p50", "reduction >= 10%")
@pytest.mark.kpi("latency_p99")
@pytest.mark.kpi("parameters")
def test_timed(): ...
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "workers"])
def test_our_timings_for_pytest_benchmark(judge: Judge, workers: tuple[str, ...]) -> None:
    """Written in its form, and read back by its own `compare`."""
    finished = judge(TIMED, "--modelbench-benchmark-json=bench.json", *workers, process=bool(workers))
    assert "benchmarks: bench.json" in finished.text
    written: dict[str, Any] = json.loads(Path("bench.json").read_text())
    found = {one["name"]: one for one in written["benchmarks"]}
    assert set(found) == {"student[batch size 1]", "teacher[batch size 1]"}
    student = found["student[batch size 1]"]
    assert student["stats"]["median"] == pytest.approx(4e-4)
    assert student["stats"]["iterations"] == 1
    assert student["extra_info"]["parameters"] == {"value": 10_000, "unit": ""}
    assert found["teacher[batch size 1]"]["extra_info"]["latency_p50"]["value"] == pytest.approx(1.0)
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(Path("bench.json").resolve())]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "student[batch size 1]" in told.stdout
    assert "teacher[batch size 1]" in told.stdout


def test_properties_for_junit(judge: Judge) -> None:
    """Five scalars of each gate, one gate after the other; nothing large."""
    suite = """
    import pytest

    @pytest.mark.kpi("parameters", "<= 20000", "reduction >= 95%")
    @pytest.mark.kpi("top1_accuracy")
    def test_all(): ...
    """
    judge(suite, "--junitxml=junit.xml")
    properties = ET.parse("junit.xml").iter("property")  # noqa: S314 - written by the line above
    found = [(one.get("name"), one.get("value")) for one in properties]
    assert found == [
        ("kpi", "parameters"),
        ("value", "10000"),
        ("unit", ""),
        ("limit", "<= 20000, reduction >= 95%"),
        ("verdict", "fail"),
        ("kpi", "top1_accuracy"),
        ("value", "98"),
        ("unit", "%"),
        ("limit", ""),
        ("verdict", "reported"),
    ]
    assert len(Path("junit.xml").read_text()) < 4000


def test_without_the_plugin(judge: Judge) -> None:
    """pytest-benchmark is only there where it was installed and loaded: a missing fixture is pytest's own error."""
    finished = judge(SUITE, "-p", "no:benchmark", fakes=FAKES)
    assert finished.result.ret == 1
    assert "fixture 'benchmark' not found" in finished.text
