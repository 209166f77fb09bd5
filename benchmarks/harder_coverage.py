"""Do the intervals of out-of-distribution and corruption KPIs keep their promise? Simulated data of known truth.

Each interval has two ends of 5% each, as a limit at the usual confidence of 95% judges one of them. A simulation
counts how often the truth lies below the lower end, and how often above the upper end. The scores of the two models
are correlated by 0.8; answers to one sample under several corruptions are alike, and the two models share most of
what makes a sample hard.

Usage: python benchmarks/harder_coverage.py [--sessions 1000] [--only ood_auroc]
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from answered import read

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.accepted import accepted, between, bounds_threshold, drawn_shares
from pytest_modelbench.stats.ranks import area_interval, area_of, compare_areas

Array = npt.NDArray[Any]
ALPHA = 0.05
ALIKE = 0.8
COARSE = 4
"""Scores are rounded to this many levels for each standard deviation where ties are simulated."""
SIZES = ((30, 30), (100, 30), (200, 200), (1000, 200))
"""Samples of the data, and of the set outside."""
HEAD = " inside outside  {:>5}  ties   {} below   above   without   difference: below   above   without"
AREAS = (0.8, 0.95, 0.99, 0.999)


class Count:
    """How often the truth lies below, above, or in no interval at all."""

    def __init__(self) -> None:
        self.below = self.above = self.without = self.sessions = 0

    def add(self, estimate: Estimate | None, truth: float) -> None:
        self.sessions += 1
        if estimate is None or estimate.low is None or estimate.high is None:
            self.without += 1
            return
        self.below += truth < estimate.low - 1e-12
        self.above += truth > estimate.high + 1e-12

    def __str__(self) -> str:
        none = f"{100 * self.without / self.sessions:5.1f}%" if self.without else "     -"
        return f"{100 * self.below / self.sessions:7.1f}% {100 * self.above / self.sessions:7.1f}% {none:>9}"


def pair(rng: np.random.Generator, n: int, shift: float, *, ties: bool) -> tuple[Array, Array]:
    """Return the scores of both models of n samples."""
    shared, own = rng.normal(size=n), rng.normal(size=(2, n))
    scores = shift + math.sqrt(ALIKE) * shared + math.sqrt(1 - ALIKE) * own
    rounded = np.round(scores * COARSE) / COARSE if ties else scores
    return rounded[0], rounded[1]


def true_area(shift: float, *, ties: bool) -> float:
    """Return the area of normal scores that are `shift` apart, ties by half."""
    if not ties:
        return float(ndtr(shift / math.sqrt(2)))
    levels = np.arange(-12 * COARSE, 12 * COARSE + 1) / COARSE
    edges = np.append(levels, levels[-1] + 1 / COARSE) - 0.5 / COARSE
    inside, outside = (np.diff(ndtr(edges - middle)) for middle in (shift, 0))
    below = np.cumsum(outside) - outside
    return float(inside @ (below + outside / 2))


def area_sessions(sessions: int) -> Iterator[str]:
    yield "ood_auroc: area, and its difference from the teacher (0)"
    yield HEAD.format("area", "area: ")
    for sizes in SIZES:
        for area in AREAS:
            for ties in (False, True):
                yield _area_row(sessions, sizes, area, ties=ties)


def _area_row(sessions: int, sizes: tuple[int, int], area: float, *, ties: bool) -> str:
    rng, shift = np.random.default_rng([1, *sizes, int(1000 * area), ties]), math.sqrt(2) * float(ndtri(area))
    truth, own, gap = true_area(shift, ties=ties), Count(), Count()
    kinds = np.repeat([True, False], sizes)
    for _ in range(sessions):
        inside, outside = pair(rng, sizes[0], shift, ties=ties), pair(rng, sizes[1], 0.0, ties=ties)
        areas = [area_of(kinds, np.concatenate(both)) for both in zip(inside, outside, strict=True)]
        own.add(area_interval(*areas[0], ALPHA, sizes), truth)
        gap.add(compare_areas(areas[0], areas[1], ALPHA, 1.0, sizes).difference, 0.0)
    return f"{sizes[0]:7}{sizes[1]:8}{truth:7.3f}{'yes' if ties else 'no':>6}   {own}          {gap}"


def share_sessions(sessions: int) -> Iterator[str]:
    yield "ood_fpr95: share outside that is accepted with 95% of the data, and its difference from the teacher (0)"
    yield HEAD.format("share", "share:")
    for sizes in SIZES:
        for truth in (0.5, 0.2, 0.02):
            yield _share_row(sessions, sizes, truth, ties=False)
    yield _share_row(sessions, SIZES[2], 0.2, ties=True)


def _share_row(sessions: int, sizes: tuple[int, int], truth: float, *, ties: bool) -> str:
    rng, shift = np.random.default_rng([2, *sizes, int(1000 * truth), ties]), float(ndtri(0.95) - ndtri(truth))
    if ties:
        step = math.floor((shift + float(ndtri(0.05))) * COARSE) / COARSE  # the level that at least 95% reach
        while ndtr(step - 0.5 / COARSE - shift) > 0.05:
            step -= 1 / COARSE
        truth = 1 - float(ndtr(step - 0.5 / COARSE))
    own, gap = Count(), Count()
    for session in range(sessions):
        inside, outside = pair(rng, sizes[0], shift, ties=ties), pair(rng, sizes[1], 0.0, ties=ties)
        roles = ("student", "teacher")
        by_role = [dict(zip(roles, both, strict=True)) for both in (inside, outside)]
        drawn = drawn_shares(by_role[0], by_role[1], 95, session)
        shares = [accepted(inside[at], outside[at], 95) for at in (0, 1)]
        estimate = between(shares[0], drawn["student"], ALPHA)
        apart = between(shares[0] - shares[1], drawn["student"] - drawn["teacher"], ALPHA)
        enough = bounds_threshold(sizes[0], 95, ALPHA)
        own.add(estimate if enough else replace(estimate, high=100.0), 100 * truth)
        gap.add(apart if enough else replace(apart, low=-100.0, high=100.0), 0.0)
    return f"{sizes[0]:7}{sizes[1]:8}{truth:7.3f}{'yes' if ties else 'no':>6}   {own}          {gap}"


NAMES = ("gaussian_noise", "fog", "contrast", "zoom_blur", "pixelate", "brightness", "defocus_blur", "saturate")
CELLS = tuple(f"{name}:{severity}" for name in NAMES for severity in (1, 3, 5))
HARD = np.repeat(np.linspace(1.0, 2.4, len(NAMES)), 3) * np.tile([0.5, 1.0, 1.5], len(NAMES))
"""How many times as often as a sample's own error rate each cell is wrong."""
WORSE = np.repeat(np.linspace(1.0, 1.3, len(NAMES)), 3)
"""How many times as often as the teacher the student is wrong."""


def rates(rng: np.random.Generator, n: int, wrong: float, alike: float) -> Array:
    """Return an error rate of each sample, of the mean `wrong`; larger `alike` makes them differ more."""
    total = 1 / alike - 1
    return rng.beta(wrong * total, (1 - wrong) * total, n)[:, None]


def answers(rng: np.random.Generator, n: int, wrong: float, alike: float) -> tuple[Array, Array]:
    """Return what student and teacher get right, (n, cells); they share the numbers that decide."""
    own, drawn = rates(rng, n, wrong, alike), rng.random((n, len(CELLS)))
    fresh = np.where(rng.random(drawn.shape) < 0.7, drawn, rng.random(drawn.shape))
    return fresh >= np.minimum(own * HARD * WORSE, 1), drawn >= np.minimum(own * HARD, 1)


def truths(wrong: float, alike: float) -> dict[str, float]:
    """Return what the KPIs of these answers are, from the error rates of very many samples."""
    own = rates(np.random.default_rng(0), 400_000, wrong, alike)
    student, teacher = (np.minimum(own * HARD * worse, 1).mean(axis=0) for worse in (WORSE, 1.0))
    by = [one.reshape(len(NAMES), 3) for one in (student, teacher)]
    return {
        "corruption_accuracy": 100 * (1 - float(student.mean())),
        "corruption_drop": 100 * float((by[0] - by[1]).mean(axis=1).max()),
        "mce": 100 * float((by[0].sum(axis=1) / by[1].sum(axis=1)).mean()),
    }


def cell_sessions(sessions: int) -> Iterator[str]:
    yield f"corruption KPIs: {len(NAMES)} corruptions x 3 severities, answers to one sample alike"
    yield f"{'n':>6}{'error':>7}{'alike':>7}  {'KPI':20}{'truth':>8}   below    above   without"
    for n, wrong, alike in ((50, 0.1, 0.3), (200, 0.1, 0.3), (200, 0.02, 0.3), (600, 0.1, 0.3), (600, 0.1, 0.02)):
        expected, rng = truths(wrong, alike), np.random.default_rng([3, n, int(1000 * wrong), int(100 * alike)])
        counts = {kpi: Count() for kpi in expected}
        for _ in range(sessions):
            student, teacher = answers(rng, n, wrong, alike)
            for kpi, count in counts.items():
                count.add(_estimate(kpi, student, teacher), expected[kpi])
        for kpi, count in counts.items():
            yield f"{n:6}{wrong:7.2f}{alike:7.2f}  {kpi:20}{expected[kpi]:8.2f} {count}"


def _estimate(kpi: str, student: Array, teacher: Array) -> Estimate | None:
    """Return the estimate of a KPI; None where it is not judged."""
    from pytest_modelbench.errors import MeasurementError

    try:
        return read(kpi, CELLS, student, teacher).student.estimate
    except MeasurementError:
        return None


TABLES: dict[str, Callable[[int], Iterator[str]]] = {
    "ood_auroc": area_sessions,
    "ood_fpr95": share_sessions,
    "corruptions": cell_sessions,
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--only", choices=TABLES)
    arguments = parser.parse_args()
    for name, table in TABLES.items():
        if arguments.only in {None, name}:
            for line in table(arguments.sessions):
                print(line, flush=True)
            print()


if __name__ == "__main__":
    main()
