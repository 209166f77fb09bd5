"""How often drift is found where there is none, and where there is: simulated streams of predictions.

Usage: python benchmarks/monitoring.py [--streams 2000]

Each stream is compared with a fresh reference by `stats.hellinger`, and judged by a limit as gates are: FAIL if the
interval is above it, PASS if it is below. For comparison, two common alarms: a p below 0.05 of the test of Kolmogorov
and Smirnov, and a population stability index above 0.1 or 0.25.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from pytest_modelbench.kpis.fidelity.drift import CLUSTERS
from pytest_modelbench.probes.answers.distributions import drifted, of_numbers
from pytest_modelbench.stats.hellinger import distance_of, hellinger

Floats = npt.NDArray[np.float64]
ALPHA, LIMIT = 0.05, 0.1
SIZES = ((360, 300), (360, 10_000), (2_000, 2_000), (10_000, 100_000))


def shares(kinds: int, tail: float = 0.0) -> Floats:
    """Return the shares of classes: equal ones, or ones that fall by a power."""
    weights = np.arange(1, kinds + 1) ** -tail
    return np.asarray(weights / weights.sum())


def moved(base: Floats, distance: float, towards: int) -> Floats:
    """Return shares at a distance from others: towards a class."""
    low, high = 0.0, 1.0
    target = np.eye(len(base))[towards]
    for _ in range(60):
        middle = (low + high) / 2
        nearer = distance_of(base, (1 - middle) * base + middle * target) < distance
        low, high = (middle, high) if nearer else (low, middle)
    return np.asarray((1 - low) * base + low * target)


def independent(chances: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Draw counts of independent rows, (clusters, classes)."""
    sizes = [len(part) for part in np.array_split(np.arange(rows), min(CLUSTERS, rows))]
    return np.stack([rng.multinomial(size, chances) for size in sizes]).astype(float)


def bursts(chances: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Draw counts of rows that come in bursts of five equal ones."""
    return 5 * independent(chances, rows // 5, rng)


def verdicts(
    base: Floats, chances: Floats, size: tuple[int, int], draw: Callable[..., Floats], streams: int, seed: int
) -> tuple[Counter[str], float]:
    """Judge streams; return how many have each verdict, and the share whose interval has the true distance."""
    rng, true, counted, covered = np.random.default_rng(seed), distance_of(base, chances), Counter[str](), 0
    for _ in range(streams):
        reference = rng.multinomial(size[0], base).astype(float)
        estimate = hellinger(reference, draw(chances, size[1], rng), ALPHA).estimate
        low, high = estimate.low or 0.0, 1.0 if estimate.high is None else estimate.high
        counted["FAIL" if low > LIMIT else "PASS" if high <= LIMIT else "INCONCLUSIVE"] += 1
        covered += low <= true <= high
    return counted, covered / streams


def row_of(counted: Counter[str], covered: float, streams: int) -> str:
    """Return one row's shares."""
    parts = [f"{100 * counted[name] / streams:5.1f}%" for name in ("FAIL", "INCONCLUSIVE", "PASS")]
    return f"{'  '.join(parts)}  covered {100 * covered:5.1f}%"


def classes(streams: int) -> None:
    """Print the verdicts on classes: no drift, drift at the limit, twice the limit."""
    cases = (
        ("10 equal classes", shares(10), independent, 0),
        ("10 classes, bursts of 5", shares(10), bursts, 0),
        ("200 classes, long tail", shares(200, 1.0), independent, 0),
        ("to the rarest of 200", shares(200, 1.0), independent, -1),
        ("2 classes, 2% positive", np.array([0.98, 0.02]), independent, 1),
    )
    print(f"limit {LIMIT} on the Hellinger distance, confidence {1 - ALPHA:g} on each side, {streams} streams each")
    for seed, (name, base, draw, towards) in enumerate(cases):
        for size in SIZES:
            for distance in (0.0, LIMIT, 2 * LIMIT):
                chances = moved(base, distance, towards)
                row = row_of(*verdicts(base, chances, size, draw, streams, seed), streams)
                print(f"{name:26} reference {size[0]:6,}, rows {size[1]:7,}, true {distance:.2f}: {row}")


def numbers(streams: int) -> None:
    """Print the verdicts on confidences by deciles, beside two common alarms."""
    print("confidences, beta(8, 2), shifted by a share of their spread; by deciles of the reference")
    rng = np.random.default_rng(9)
    for size in SIZES:
        for shift in (0.0, 0.02, 0.2, 0.5):
            counted: Counter[str] = Counter()
            for _ in range(max(streams // 10, 20)):
                then, now = rng.beta(8, 2, size[0]), rng.beta(8, 2, size[1]) - shift * 0.12
                counts = drifted(of_numbers(then), now, CLUSTERS)
                estimate = hellinger(counts.reference, counts.clusters, ALPHA).estimate
                counted["FAIL"] += (estimate.low or 0.0) > LIMIT
                counted["PASS"] += (estimate.high or 0.0) <= LIMIT
                counted["ks"] += float(ks_2samp(then, now).pvalue) < ALPHA
                p, q = counts.reference / size[0], counts.clusters.sum(axis=0) / size[1]
                index = float(((q - p) * np.log(np.maximum(q, 1e-6) / np.maximum(p, 1e-6))).sum())
                counted["psi 0.1"] += index > 0.1
                counted["psi 0.25"] += index > 0.25
            shown = ", ".join(f"{name} {100 * counted[name] / max(streams // 10, 20):.0f}%" for name in (
                "FAIL", "PASS", "ks", "psi 0.1", "psi 0.25"
            ))  # fmt: skip
            print(f"reference {size[0]:6,}, rows {size[1]:7,}, shift {shift:.2f} sd: {shown}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=2000)
    streams = parser.parse_args().streams
    classes(streams)
    numbers(streams)


if __name__ == "__main__":
    main()
