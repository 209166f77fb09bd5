"""How soon a history shows that something got worse, and how often it cries wolf: simulated histories of 200 runs.

Logarithms of a ratio with a run-to-run spread of 2%: independent normal noise; noise with an autocorrelation of 0.6;
normal noise in which 5% of runs took 5 to 50% longer. A false alarm is an alarm for worse anywhere in a history
without a change, with a look after each of its 200 runs (`every run`) or one look at its end (`at the end`). A step
comes at a run between 60 and 180; the columns say how often a look after one of its first 3 runs shows it, after how
many runs a look does, and how often the date is right once 20 runs of the new level are known. The seeds are fixed.

Beside the detector of the plugin: a CUSUM that knows the level, the size of the step and the spread, with the height
that 1% of histories of normal noise without a change exceed, as what is possible at all; a threshold of 5% over the
median of the last 10 runs; the largest CUSUM of ranks with a p of 1% from permuted blocks of 3 runs; and, where they
are installed, PELT (ruptures, l2, penalty 3 log n) and asv's step detection.

Usage: python benchmarks/history.py [--histories 200] [--no-change 300]
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import itertools
import math
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.signal import lfilter

from pytest_modelbench.stats.change_points import Floats, change_points, drift_of

RUNS, SPREAD, PHI = 200, 0.02, 0.6
FIRST, LAST = 60, 180
SOON, SETTLED = 3, 20
STEPS = (0.02, 0.05, 0.10)
RAMP, RAMP_RUNS = 0.05, 50
LIMIT, DRIFT = 0.05, 0.03
PERMUTATIONS = 199
DRIFTS = 50
"""Histories for tests of a drift, which take longer."""


class Seen(NamedTuple):
    """A worsening that a detector shows: its first run, and the run after which it was shown."""

    at: int
    seen: int


def normal(rng: np.random.Generator) -> Floats:
    return rng.normal(0.0, SPREAD, RUNS)


def autocorrelated(rng: np.random.Generator) -> Floats:
    fresh = rng.normal(0.0, SPREAD * math.sqrt(1 - PHI**2), RUNS + 100)
    runs: Floats = lfilter([1.0], [1.0, -PHI], fresh)[100:]
    return runs


def disturbed(rng: np.random.Generator) -> Floats:
    return normal(rng) + (rng.random(RUNS) < 0.05) * np.log1p(rng.uniform(0.05, 0.5, RUNS))


NOISES: dict[str, Callable[[np.random.Generator], Floats]] = {
    "normal": normal,
    f"autocorrelation {PHI}": autocorrelated,
    "5% outliers": disturbed,
}
Detector = Callable[[Floats], list[Seen]]


def plugin(runs: Floats) -> list[Seen]:
    """Look after every run."""
    return [Seen(change.at, change.seen) for change in change_points(runs) if change.shift > 0]


def threshold(runs: Floats) -> list[Seen]:
    """Look after every run, at that run alone."""
    return [
        Seen(at, at) for at in range(10, len(runs)) if runs[at] - np.median(runs[at - 10 : at]) > math.log1p(LIMIT)
    ]


def oracle(runs: Floats, step: float, height: float) -> list[Seen]:
    """Look after every run with Page's CUSUM of the log-likelihood ratio of a step."""
    shown, start = list[Seen](), 0
    for at, total in enumerate(page(runs, step)):
        if total == 0.0:
            start = at + 1
        if total > height and (not shown or shown[-1].at != start):
            shown.append(Seen(start, at))
    return shown


def page(runs: Floats, step: float) -> Iterator[float]:
    size, total = math.log1p(step) / SPREAD, 0.0
    for run in runs:
        total = max(0.0, total + size * (run / SPREAD - size / 2))
        yield total


@functools.cache
def oracle_height(step: float, histories: int = 1000) -> float:
    """Return the height that one in a hundred histories without a change exceeds."""
    return float(
        np.quantile([max(page(normal(np.random.default_rng([1, seed])), step)) for seed in range(histories)], 0.99)
    )


def rank_cusum(runs: Floats) -> list[Seen]:
    """Look once; blocks of 3 runs are permuted."""
    ranks = np.argsort(np.argsort(runs)).astype(np.float64)
    ranks -= ranks.mean()
    sums = np.cumsum(ranks)[:-1]
    blocks = len(runs) // 3
    rng = np.random.default_rng(0)
    order = np.argsort(rng.random((PERMUTATIONS, blocks)), axis=1)
    mixed = ranks[: 3 * blocks].reshape(blocks, 3)[order].reshape(PERMUTATIONS, -1)
    highest = np.abs(np.cumsum(mixed, axis=1)).max(axis=1)
    p = (1 + int((highest >= np.abs(sums).max()).sum())) / (1 + PERMUTATIONS)
    at = int(np.argmax(np.abs(sums))) + 1
    return [Seen(at, len(runs) - 1)] if p <= 0.01 and sums[at - 1] < 0 else []


def segments_worse(runs: Floats, starts: list[int]) -> list[Seen]:
    ends = [*starts[1:], len(runs)]
    levels = [float(np.median(runs[start:end])) for start, end in zip(starts, ends, strict=True)]
    return [
        Seen(start, len(runs) - 1)
        for start, (before, after) in zip(starts[1:], itertools.pairwise(levels), strict=True)
        if after > before
    ]


def pelt(runs: Floats) -> list[Seen]:
    """Look once."""
    variance = float(np.var(np.diff(runs)) / 2)
    penalty = 3 * math.log(len(runs)) * variance
    ends = importlib.import_module("ruptures").Pelt(model="l2", min_size=2, jump=1).fit(runs).predict(pen=penalty)
    return segments_worse(runs, [0, *ends[:-1]])


def asv(runs: Floats) -> list[Seen]:
    """Look once; asv calls a step a regression if it is more than 5%."""
    steps = asv_steps()(list(np.exp(runs)), [1.0] * len(runs))
    shown = []
    for before, after in itertools.pairwise(steps):
        if after[2] > before[2] * (1 + LIMIT):
            shown.append(Seen(after[0], len(runs) - 1))
    return shown


@functools.cache
def asv_steps() -> Any:
    """Return asv's step detection without the rest of asv, whose own imports need a dozen packages."""
    spec = importlib.util.find_spec("asv")
    package = types.ModuleType("asv")
    package.__path__ = list((spec.submodule_search_locations if spec else None) or [])
    sys.modules["asv"] = package
    return importlib.import_module("asv.step_detect").detect_steps


EVERY_RUN: dict[str, Detector] = {"pytest-modelbench": plugin, "threshold of 5%": threshold}
ONCE: dict[str, Detector] = {"rank CUSUM, blocks of 3": rank_cusum}
if importlib.util.find_spec("ruptures"):
    ONCE["PELT"] = pelt
if importlib.util.find_spec("asv"):
    ONCE["asv"] = asv


def new_after(detector: Detector, runs: Floats, at: int, *, once: bool) -> tuple[bool, int | None, int | None]:
    """Return whether a step is shown within 3 runs, after how many, and the run that it is dated to.

    A detector that looks once looks before the step, after 3 of its runs, and after 20.
    """
    if not once:
        shown = [seen for seen in detector(runs[: at + SETTLED]) if seen.seen >= at]
        count = shown[0].seen - at + 1 if shown else None
        return count is not None and count <= SOON, count, shown[0].at if shown else None
    before = {seen.at for seen in detector(runs[:at])}
    soon = [seen for seen in detector(runs[: at + SOON]) if not _near(seen.at, before)]
    later = [seen for seen in detector(runs[: at + SETTLED]) if not _near(seen.at, before)]
    return bool(soon), None, min((seen.at for seen in later), key=lambda date: abs(date - at), default=None)


def _near(at: int, others: set[int]) -> bool:
    return any(abs(at - other) <= 2 for other in others)


def false_alarm_rows(count: int) -> Iterator[str]:
    for kind, noise in NOISES.items():
        histories = [noise(np.random.default_rng([0, seed])) for seed in range(count)]
        for name, detector in (EVERY_RUN | ONCE).items():
            alarmed = sum(bool(detector(runs)) for runs in histories)
            looks = "every run" if name in EVERY_RUN else "at the end"
            yield f"| {kind} | {name} | {looks} | {alarmed} of {count} ({alarmed / count:.1%}) |"
        for over in (20, 50):
            alarmed = sum(
                any(_drifts(runs, end, over) for end in range(over, RUNS + 1)) for runs in histories[:DRIFTS]
            )
            share = f"{alarmed} of {len(histories[:DRIFTS])}"
            yield f"| {kind} | pytest-modelbench --drift 3% --over {over} | every run | {share} |"


def _drifts(runs: Floats, end: int, over: int) -> bool:
    drift = drift_of(runs[:end], over)
    return math.expm1(drift.total) >= DRIFT and drift.surely_moved


def step_rows(count: int) -> Iterator[str]:
    for kind, noise in NOISES.items():
        for step in STEPS:
            histories = list(_stepped(noise, step, count))
            known = {"CUSUM that knows all": functools.partial(oracle, step=step, height=oracle_height(step))}
            for name, detector in ((known if noise is normal else {}) | EVERY_RUN | ONCE).items():
                yield f"| {kind} | {step:.0%} | {name} | {_step_cells(detector, histories, once=name in ONCE)} |"


def _stepped(noise: Callable[[np.random.Generator], Floats], step: float, count: int) -> Iterator[tuple[Floats, int]]:
    for seed in range(count):
        rng = np.random.default_rng([2, seed])
        runs, at = noise(rng), int(rng.integers(FIRST, LAST))
        runs[at:] += math.log1p(step)
        yield runs, at


def _step_cells(detector: Detector, histories: list[tuple[Floats, int]], *, once: bool) -> str:
    answers = [new_after(detector, runs, at, once=once) for runs, at in histories]
    soon = sum(answer[0] for answer in answers)
    counts = sorted(math.inf if answer[1] is None else answer[1] for answer in answers)
    late = "" if once else " / ".join(_runs_text(counts[int(q * (len(counts) - 1))]) for q in (0.5, 0.95))
    errors = [abs(date - at) for (_, _, date), (_, at) in zip(answers, histories, strict=True) if date is not None]
    exact, near = sum(error == 0 for error in errors), sum(error <= 1 for error in errors)
    total = len(histories)
    return f"{soon / total:.0%} | {late} | {len(errors) / total:.0%} | {exact / total:.0%} | {near / total:.0%}"


def _runs_text(count: float) -> str:
    return f"> {SETTLED}" if math.isinf(count) else f"{count:.0f}"


def drift_rows(count: int) -> Iterator[str]:
    """Yield what finds a ramp of 5% over 50 runs by its end, and the median run of it after which."""
    for kind, noise in NOISES.items():
        steps, drifts = list[float](), dict[int, list[float]]({20: [], 50: []})
        count = min(count, DRIFTS)
        for seed in range(count):
            rng = np.random.default_rng([3, seed])
            runs, at = noise(rng), 100
            runs[at:] += np.minimum(np.arange(1, RUNS - at + 1) / RAMP_RUNS, 1.0) * math.log1p(RAMP)
            end = at + RAMP_RUNS + 10
            steps.append(
                min((seen.seen - at + 1 for seen in plugin(runs[:end]) if seen.seen >= at), default=math.inf)
            )
            for over, ends in drifts.items():
                ends.append(next((stop - at for stop in range(at, end + 1) if _drifts(runs, stop, over)), math.inf))
        for name, ends in {
            "change points": steps,
            **{f"--drift 3% --over {o}": e for o, e in drifts.items()},
        }.items():
            share, middle = sum(map(math.isfinite, ends)) / count, sorted(ends)[count // 2]
            yield f"| {kind} | {name} | {share:.0%} | {'' if math.isinf(middle) else middle} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--histories", type=int, default=100, help="with a change, of each kind")
    parser.add_argument("--no-change", type=int, default=200, help="without one, of each kind")
    arguments = parser.parse_args()
    began = time.process_time()
    print(f"{RUNS} runs, spread {SPREAD:.0%}\n\n| noise | detector | looks | histories with a false alarm |")
    print("|---|---|---|--:|")
    for row in false_alarm_rows(arguments.no_change):
        print(row, flush=True)
    print(f"\n| noise | step | detector | found within {SOON} runs | runs until found, median / 95% ", end="")
    print(f"| found within {SETTLED} | dated right | to a run |\n|---|---|---|--:|--:|--:|--:|--:|")
    for row in step_rows(arguments.histories):
        print(row, flush=True)
    print(f"\n| noise | a ramp of {RAMP:.0%} over {RAMP_RUNS} runs | found 10 runs after it | median run |")
    print("|---|---|--:|--:|")
    for row in drift_rows(arguments.histories):
        print(row, flush=True)
    print(f"\n{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
