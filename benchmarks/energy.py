"""Is the energy of two models in the ratio of their work, and what does measuring it cost?

The student does a known share of the teacher's operations. The overhead is the time of a call within a measured
window over that of a call outside of any, both in turn in one process.

Usage: python benchmarks/energy.py [--window 5] [--runs 3]
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

from pytest_modelbench.models.adapters.function import CallableModel
from pytest_modelbench.probes.cost.energy import EnergyMeasurement, EnergySettings, measure_energy
from pytest_modelbench.probes.cost.energy_source import CodeCarbonSource

TEACHER_STEPS = 80
SHARES = (0.1, 0.25, 0.5)
PAIRS = 20


class Sines:
    """Computes sines, again and again."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, inputs: Any) -> Any:
        """Return the last of them."""
        for _ in range(self.steps):
            inputs = np.sin(inputs)
        return inputs


def ratio(share: float, window_s: float, seed: int, source: CodeCarbonSource) -> EnergyMeasurement:
    models = {
        "teacher": CallableModel(Sines(TEACHER_STEPS), "teacher"),
        "student": CallableModel(Sines(round(share * TEACHER_STEPS)), "student"),
    }
    settings = EnergySettings(window_s=window_s, budget_s=1.0, seed=seed)
    return measure_energy(models, [np.ones(50_000)], source, settings, lambda _: True, lambda *_: None)


def overhead(source: CodeCarbonSource, window_s: float) -> float:
    """Return the time of a call in a measured window over that of one outside, as the median over pairs."""
    model, x = Sines(TEACHER_STEPS), np.ones(50_000)
    ratios = []
    for number in range(PAIRS):
        rates = {}
        for measured in (True, False) if number % 2 else (False, True):
            if measured:
                source.start()
            start, calls = time.perf_counter(), 0
            while time.perf_counter() - start < window_s / 5:
                model(x)
                calls += 1
            seconds = time.perf_counter() - start
            if measured:
                source.stop(seconds)
            rates[measured] = seconds / calls
        ratios.append(rates[True] / rates[False])
    return statistics.median(ratios) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--window", type=float, default=5.0, help="seconds that each model answers in a round")
    parser.add_argument("--runs", type=int, default=3, help="of every share")
    arguments = parser.parse_args()
    source = CodeCarbonSource()
    print("; ".join(f"{one.name}: {one.provenance}, {one.method}" for one in source.components))
    print("| share of the work | ratio of energy, each run | furthest off |\n|---|---|---|")
    for share in SHARES:
        found = []
        for seed in range(arguments.runs):
            measurement = ratio(share, arguments.window, seed, source)
            student, teacher = (measurement.above_idle(role, 3) for role in ("student", "teacher"))
            found.append(float(np.exp(np.mean(np.log(student / teacher)))))
        furthest = max(abs(one / share - 1) for one in found)
        print(f"| {share:.0%} | {', '.join(f'{one:.4f}' for one in found)} | {furthest:.1%} |", flush=True)
    print(f"a call in a measured window takes {overhead(source, arguments.window):+.2%}")


if __name__ == "__main__":
    main()
