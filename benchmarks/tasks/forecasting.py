"""How often intervals of forecasts' errors hold the true value, for windows of one long series and of many series.

Usage: python benchmarks/tasks/forecasting.py [--repeats 500]
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.signal import lfilter
from standin import Samples, misses, shares

from pytest_modelbench.kpis.by_jackknife import jackknife_evidence
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.forecasting.errors import mean_of
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.stats.cells import FloatArray

HORIZON = 12
CORRELATION = 0.8
"""Of an error and the next one (AR(1))."""


def errors(rng: np.random.Generator, series: int, steps: int) -> dict[str, FloatArray]:
    """Return errors of both models by time, (series, steps): a common part, and one of each; scales differ."""
    drawn = rng.standard_normal((3, series, steps + 200))
    common, student, teacher = lfilter([1.0], [1.0, -CORRELATION], drawn, axis=-1)[..., 200:]
    scale = np.exp(rng.normal(0, 0.4, (series, 1))) if series > 1 else 1.0
    return {"student": scale * (common + 0.6 * student), "teacher": scale * (common + 0.4 * teacher)}


def windows(by_time: FloatArray) -> FloatArray:
    """Return the sums of |error| and the counts of all windows, one at each step, (windows, 2)."""
    cut = np.lib.stride_tricks.sliding_window_view(np.abs(by_time), HORIZON, axis=1)
    sums = cut.sum(axis=-1).reshape(-1)
    return np.stack([sums, np.full(len(sums), float(HORIZON))], axis=1)


def main(repeats: int) -> None:
    rng, value = np.random.default_rng(0), mean_of()
    question = Question(kpi=CATALOGUE["forecast_mae"], confidence=0.95, asked=True, with_teacher=True)
    print(
        "| series | windows of each | independent | below, MAE | above, MAE | below, difference | above, difference |"
    )
    print("|---|---|---|---|---|---|---|")
    for series, count, how, block in (
        (1, 600, "each window", None),
        (1, 600, "blocks of 12", 12),
        (1, 600, "blocks of 24", 24),
        (1, 600, "blocks of 48", 48),
        (30, 60, "each window", None),
        (30, 60, "series", 60),
        (8, 60, "series", 60),
    ):
        many = errors(rng, 1 if series == 1 else 20_000, 400_000 if series == 1 else 40)
        true = {role: float(np.abs(its).mean()) for role, its in many.items()}
        missed = np.zeros(4)
        for _ in range(repeats):
            tables = {role: windows(its) for role, its in errors(rng, series, count + HORIZON - 1).items()}
            group = None if block is None else (np.arange(series * count) // block).tolist()
            evidence = jackknife_evidence(question, Samples(group), tables, value, "MAE", log=True)
            missed += misses(evidence, true)
        print(f"| {series} | {count} | {how} | {shares(missed, repeats)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=500)
    main(parser.parse_args().repeats)
