"""What does measuring cost beside the calls that are measured?

The share of wall time inside of model calls once the pilot is done, for a model of 100 µs; and the time of a timed
call that does nothing, against a round of pytest-benchmark with one iteration.

Usage: python benchmarks/overhead.py [--seconds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pytest_modelbench.models.adapters.function import CallableModel
from pytest_modelbench.probes.timing.engine import TimingMeasurement, TimingSettings, measure_timing

PAIRS = 5
ROUNDS = 20_000
THEIRS = """
import time

def test_nothing(benchmark):
    start = time.perf_counter()
    benchmark.pedantic(lambda: None, rounds={rounds}, iterations=1)
    open({path!r}, "w").write(str((time.perf_counter() - start) / {rounds}))
"""


class Busy:
    """Does nothing for a while, and knows how long it was called in all."""

    spent_ns = 0
    calls = 0

    def __init__(self, duration_ns: int) -> None:
        self.duration_ns = duration_ns

    def __call__(self, inputs: Any) -> Any:
        """Be busy for as long as was asked."""
        start = time.perf_counter_ns()
        while time.perf_counter_ns() - start < self.duration_ns:
            pass
        Busy.calls += 1
        Busy.spent_ns += time.perf_counter_ns() - start
        return inputs


class Nothing:
    """Does nothing, at once."""

    def __call__(self, inputs: Any) -> Any:
        """Return at once."""
        return inputs


def share_in_calls(seconds: float) -> float:
    """Return the share of wall time inside of the calls of two models of 100 µs, from the first look to the last."""
    models = {role: CallableModel(Busy(100_000), role) for role in ("student", "teacher")}
    spent: list[tuple[int, int]] = []

    def look(_: object) -> bool:
        spent.append((Busy.spent_ns, time.perf_counter_ns()))
        return False

    measure_timing(models, {role: [0] for role in models}, TimingSettings(budget_s=seconds), look)
    return (spent[-1][0] - spent[0][0]) / (spent[-1][1] - spent[0][1])


def ours_per_call(seconds: float) -> float:
    """Return the seconds of wall time for each timed call of a model that does nothing, after the first look."""
    models = {role: CallableModel(Nothing(), role) for role in ("student", "teacher")}
    looks: list[tuple[int, float]] = []

    def look(found: TimingMeasurement) -> bool:
        calls = sum(len(calls) for one in found.series.values() for rounds in one for calls in rounds)
        looks.append((calls, time.perf_counter()))
        return False

    measure_timing(models, {role: [0] for role in models}, TimingSettings(budget_s=seconds), look)
    return (looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0])


def theirs_per_round() -> float:
    """Return the seconds of wall time for each round of pytest-benchmark on a function that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "seconds.txt")
        Path(folder, "test_nothing.py").write_text(THEIRS.format(rounds=ROUNDS, path=str(path)))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
        subprocess.run(command, capture_output=True, check=True)
        return float(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0, help="budget of each measurement")
    seconds = parser.parse_args().seconds
    shares = [share_in_calls(seconds) for _ in range(PAIRS)]
    print(
        f"share of wall time in the calls of a 100 µs model: {statistics.median(shares):.1%} (target: at least 90%)"
    )
    pairs = [(ours_per_call(seconds / 2), theirs_per_round()) for _ in range(PAIRS)]  # in turns
    ours, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
    print(f"a timed call that does nothing: {ours * 1e9:,.0f} ns")
    print(f"a round of pytest-benchmark, iterations=1: {theirs * 1e9:,.0f} ns, {theirs / ours:.1f} times as much")


if __name__ == "__main__":
    main()
