"""Do the intervals keep their promise? Simulated sessions in which the truth is known, looked at as a gate does.

Two models with the same distribution of calls are compared at every look of the schedule. A session errs on a side if
any of its looks puts the truth outside on that side, so that no rule of stopping can make it worse. The width at the
last look is compared with that of an oracle, which knows the spread of the estimate over all sessions and needs no
estimate of it. Real A/A sessions in fresh processes are added from the results of verdicts.py.

Usage: python benchmarks/coverage.py [--full] [--sessions 300]
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import signal, stats

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.clustered import compare_means, compare_medians, compare_percentiles
from pytest_modelbench.stats.sequential import look_schedule, spent_alpha

ALPHA = 0.05
FULL_SESSIONS = 10_000
LOOKS = tuple(islice(look_schedule(), 7))
ROUNDS, CALLS = 3, 20
PLACEMENT_SPREAD = 0.003
REAL = Path(__file__).parent / "results" / "verdicts.jsonl"
Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def lognormal(rng: np.random.Generator, n: int) -> Floats:
    return rng.lognormal(0.0, 0.1, n)


def bimodal(rng: np.random.Generator, n: int) -> Floats:
    return np.where(rng.random(n) < 0.3, 1.5, 1.0) * rng.lognormal(0.0, 0.02, n)


def spikes(rng: np.random.Generator, n: int) -> Floats:
    return np.where(rng.random(n) < 0.01, 5.0, 1.0) * rng.lognormal(0.0, 0.05, n)


def autocorrelated(rng: np.random.Generator, n: int) -> Floats:
    """An autoregressive process of first order with coefficient 0.9 on the logarithms."""
    start, noise = rng.normal(0.0, 0.1), rng.normal(0.0, 0.1 * math.sqrt(1 - 0.81), n)
    found: Floats = np.exp(signal.lfilter([1.0], [1.0, -0.9], noise, zi=[0.9 * start])[0])
    return found


def steady(rng: np.random.Generator, n: int) -> Floats:
    return rng.lognormal(0.0, 0.05, n)


CASES: dict[str, tuple[Draw, float]] = {  # how calls are drawn, and the drift of a whole session, of both models
    "lognormal": (lognormal, 0.0),
    "bimodal": (bimodal, 0.0),
    "spikes": (spikes, 0.0),
    "autocorrelation 0.9": (autocorrelated, 0.0),
    "drift by 30%": (steady, 0.3),
}
KPIS = ("mean", "median", "p95", "p99")


def simulate(task: tuple[str, int]) -> list[list[tuple[float, float, float]]]:
    """Return value, low and high of every KPI's ratio at every look of one session."""
    case, seed = task
    draw, drift = CASES[case]
    rng = np.random.default_rng([seed, list(CASES).index(case)])
    placements, per_placement = LOOKS[-1], ROUNDS * CALLS
    level = 1 + drift * np.repeat(np.arange(placements), per_placement) / placements
    series = []
    for _ in range(2):
        moved = np.repeat(np.exp(rng.normal(0.0, PLACEMENT_SPREAD, placements)), per_placement)
        calls = draw(rng, placements * per_placement) * moved * level
        series.append([list(rounds) for rounds in calls.reshape(placements, ROUNDS, CALLS)])
    found: list[list[tuple[float, float, float]]] = [[] for _ in KPIS]
    for k, look in enumerate(LOOKS, 1):
        student, teacher = (one[:look] for one in series)
        alpha = spent_alpha(ALPHA, k)
        ratios = (
            compare_means(student, teacher, alpha).ratio,
            compare_medians(student, teacher, alpha).ratio,
            compare_percentiles(student, teacher, 0.95, alpha, seed).ratio,
            compare_percentiles(student, teacher, 0.99, alpha, seed).ratio,
        )
        for rows, ratio in zip(found, ratios, strict=True):
            rows.append(_ends(ratio))
    return found


def _ends(ratio: Estimate | None) -> tuple[float, float, float]:
    if ratio is None or ratio.low is None or ratio.high is None:
        raise ValueError("a timed comparison always has an interval")
    return ratio.value, ratio.low, ratio.high


def rows_of(case: str, sessions: list[list[list[tuple[float, float, float]]]]) -> Iterator[str]:
    """Yield a row of the table for every KPI of a case."""
    table = np.array(sessions)  # session, KPI, look, (value, low, high)
    quantile = float(stats.norm.ppf(1 - spent_alpha(ALPHA, len(LOOKS))))
    for i, kpi in enumerate(KPIS):
        values, lows, highs = (table[:, i, :, j] for j in range(3))
        above, below = float((lows > 1).any(axis=1).mean()), float((highs < 1).any(axis=1).mean())
        with np.errstate(divide="ignore"):
            widths = np.log(highs[:, -1]) - np.log(np.maximum(lows[:, -1], 0))
        oracle = 2 * quantile * float(np.std(np.log(values[:, -1])))
        bounded = np.isfinite(widths)
        width = f"{np.median(widths[bounded]) / oracle:.2f}" if bounded.mean() > 0.5 else "not bounded"
        yield f"| {case} | {kpi} | {above:.2%} | {below:.2%} | {width} |"


def real_rows() -> Iterator[str]:
    """Yield how often real A/A comparisons in fresh processes excluded the truth."""
    if not REAL.exists():
        return
    rows = [json.loads(line) for line in REAL.read_text().splitlines()]
    for cell in dict.fromkeys(row["cell"] for row in rows if row["work"] == 0 and row.get("low")):
        own = [row for row in rows if row["cell"] == cell and row["work"] == 0 and row["low"] and row["high"]]
        above, below = sum(row["low"] > 1 for row in own), sum(row["high"] < 1 for row in own)
        yield f"| real, {cell}, {len(own)} processes | median | {above / len(own):.2%} | {below / len(own):.2%} | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=300, help="simulated sessions for each case")
    parser.add_argument("--full", action="store_true", help=f"{FULL_SESSIONS:,} sessions")
    arguments = parser.parse_args()
    sessions = FULL_SESSIONS if arguments.full else arguments.sessions
    print(
        f"{sessions:,} sessions a case, looks at {', '.join(map(str, LOOKS))} placements, alpha {ALPHA:.0%} a side\n"
    )
    print("| case | ratio of | low end above 1 | high end below 1 | median width over the oracle's |")
    print("|---|---|---|---|---|", flush=True)
    with multiprocessing.Pool() as pool:
        for case in CASES:
            found = pool.map(simulate, [(case, seed) for seed in range(sessions)], chunksize=20)
            for row in rows_of(case, found):
                print(row, flush=True)
    for row in real_rows():
        print(row)


if __name__ == "__main__":
    main()
