"""Where a history of one value changed: sequential window tests against all runs since the last change.

After each run the newest 1 to 32 runs are compared with the runs before them, back to the last change point. Three
measures keep that honest where runs are not independent normal values:

- **Robust**: deviations are clipped at 2.25 standard deviations, so that about five runs in a row are needed and no
  single disturbed run raises an alarm. A history of 60 runs without any outlier is clipped at 3 only: three runs do.
- **Autocorrelated noise** is whitened as a process of first order, whose coefficient is estimated with its bias
  corrected and one standard error added.
- **Noise from before**: scale and coefficient come from runs that end before the tested window begins where the
  history is long enough, so that a change does not hide itself.

The threshold is that of `LOOKS` independent one-sided tests, calibrated on histories of 200 runs
(benchmarks/history.py). Sources: window tests are generalised likelihood ratio tests (Lai, JRSS B 57:613-658, 1995);
clipped scores are Huber's (Robust Statistics, 1981); the bias of the coefficient is Kendall's (Biometrika 41:403-404,
1954).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtr

Floats = npt.NDArray[np.float64]
Values = Sequence[float] | Floats
LOOKS = 1000
"""Independent tests that looking after each of 200 runs amounts to, for steps and for drifts: calibrated for the
worst of three noises."""
WINDOWS = ((1, 8), (9, 32))
"""Ranges of tested window lengths, in runs. The noise is estimated without the newest runs of each range."""
LEAST_RUNS = 10
"""Runs before the first test of noisy values; constant ones, and any after a change, need fewer."""
LEAST_CONSTANT, LEAST_AFTER = 5, 3
CLIP, CLIP_CLEAN, OUTLIER, CLEAN_RUNS = 2.25, 3.0, 4.0, 60
_MOST_PHI = 0.9
_BOUND = 4.0
_LIKELY = 3.0
_EFFICIENCY = 0.95
"""Of the median slope under normal noise, relative to least squares: 3 / pi."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of a level.

    Attributes:
        at: index of the first run after it.
        first: the earliest run that the data support in its place.
        last: the latest.
        seen: index of the run after which it was found.
        shift: level after minus level before, in the unit of the values.
    """

    at: int
    first: int
    last: int
    seen: int
    shift: float


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Spread of the innovations, first-order autocorrelation, and how many values both rest on."""

    scale: float
    phi: float
    n: int
    clean: bool

    @property
    def clip(self) -> float:
        """How far a deviation counts, in standard deviations."""
        return CLIP_CLEAN if self.clean and self.n >= CLEAN_RUNS else CLIP


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How far a level moved from the first run to the last, and whether that is more than noise."""

    total: float
    surely_moved: bool


@dataclass(frozen=True, kw_only=True)
class _Window:
    """The most extreme window of a look: its p as a normal quantile with the sign of the shift, its length."""

    z: float = 0.0
    runs: int = 0
    spread: float = 0.0


def change_points(
    values: Values,
    errors: Values | None = None,
    *,
    false_alarms: float = 0.01,
    least: float = 0.0,
) -> list[Change]:
    """Return the changes that looking after each run finds, from the earliest to the latest.

    Args:
        values: one for each run, in their order; logarithms where ratios are meant.
        errors: standard errors of the values, NaN if unknown: a run less exact than most counts less.
        false_alarms: chance of an alarm for worse values in 200 runs without a change.
        least: smaller shifts are left out.

    >>> [change.at for change in change_points([1.0, 1.0, 1.0, 1.0, 1.0, 1.2, 1.2])]
    [5]
    """
    runs = np.asarray(values, dtype=np.float64)
    unit = _unit(runs)
    runs = runs / unit
    weights = _weights(len(runs), errors)
    threshold = float(-ndtri(false_alarms / LOOKS))
    raised: list[tuple[int, int, float]] = []
    start, settled = 0, list[Floats]()
    look = 1
    while look < len(runs):
        look += 1
        window = _extreme(runs[start:look], weights[start:look], settled)
        if abs(window.z) <= threshold:
            continue
        at = start + _split(runs[start:look], look - start - window.runs, window.spread)[1]
        raised.append((at, look - 1, window.spread))
        settled.append(runs[start:at])
        start, look = at, max(look, at + LEAST_AFTER)
    changes = [replace(change, shift=change.shift * unit) for change in _redated(runs, raised)]
    return [change for change in changes if abs(change.shift) >= least]


def _unit(runs: Floats) -> float:
    """Return a power of two near the largest value: no square of a value overflows, and nothing is rounded."""
    return math.ldexp(1.0, min(math.frexp(float(np.abs(runs).max(initial=0.0)))[1], 1023))


def drift_of(values: Values, over: int, *, false_alarms: float = 0.01) -> Drift:
    """Return the drift of the last runs: the median slope of all their pairs (Theil and Sen), times the runs between.

    The noise is that of all runs about such slopes, one for each `over` of them.

    Args:
        values: one for each run, in their order, at least `over`.
        over: how many of the last runs, at least 3.
        false_alarms: chance that it is called sure in 200 runs without a drift, with a test after each.

    >>> drift_of([5.0, 0.0, 1.0, 2.0, 3.0], over=4).total
    3.0
    """
    runs = np.asarray(values, dtype=np.float64)
    ends = range(len(runs), over - 1, -over)
    slopes = [_slope(runs[end - over : end]) for end in ends]
    rests = [runs[end - over : end] - slope * np.arange(over) for end, slope in zip(ends, slopes, strict=True)]
    noise = noise_of(rests, fitted=2)
    error = noise.scale / (1 - noise.phi) * math.sqrt(12 / over / _EFFICIENCY)
    total = slopes[0] * (over - 1)
    z = -ndtri(stdtr(max(0.8 * noise.n - 2 * len(rests), 3), -abs(total) / error)) if error else math.inf
    return Drift(total=total, surely_moved=bool(total and z > -ndtri(false_alarms / LOOKS)))


def _slope(runs: Floats) -> float:
    later, earlier = np.triu_indices(len(runs), 1)[::-1]
    return float(np.median((runs[later] - runs[earlier]) / (later - earlier)))


def _weights(n: int, errors: Values | None) -> Floats:
    """Return how much of a run's deviation counts: the typical error over its own, at most 1."""
    if errors is None:
        return np.ones(n)
    each = np.asarray(errors, dtype=np.float64)
    each = np.where(np.isfinite(each) & (each > 0), each, np.nan)
    if np.isnan(each).all():
        return np.ones(n)
    ratio: Floats = np.nan_to_num(np.nanmedian(each) / each, nan=1.0)
    return np.minimum(ratio, 1.0)


def _extreme(runs: Floats, weights: Floats, settled: Sequence[Floats]) -> _Window:
    """Return the window of the newest runs that differs most from the runs before it."""
    most = _Window()
    for shortest, longest in WINDOWS:
        first = LEAST_CONSTANT if np.ptp(runs[:-1]) == 0 else LEAST_RUNS
        least = LEAST_AFTER if settled else first
        if len(runs) - least < shortest:
            break
        base = runs[: max(least, len(runs) // 2, len(runs) - longest)]
        noise = noise_of([*settled, base])
        if noise.scale == 0:
            changed = runs[-1] - runs[0]
            return _Window(z=math.copysign(math.inf, changed), runs=1) if changed else most
        scores = np.clip(
            _innovations(runs, noise.phi, float(np.median(base))) * weights / noise.scale, -noise.clip, noise.clip
        )
        lengths = np.arange(shortest, min(longest, len(runs) - least) + 1)
        before = len(runs) - lengths
        sums = np.concatenate([[0.0], np.cumsum(scores)])
        gaps = (sums[-1] - sums[before]) / lengths - sums[before] / before
        t = gaps / np.sqrt(1 / lengths + 1 / before)
        best = int(np.argmax(np.abs(t)))
        z = -ndtri(stdtr(max(0.8 * noise.n - 2, 3), -abs(t[best])))
        if z > abs(most.z):
            spread = noise.scale / math.sqrt(1 - noise.phi**2)
            most = _Window(z=math.copysign(z, t[best]), runs=int(lengths[best]), spread=spread)
    return most


def noise_of(segments: Sequence[Floats], fitted: int = 1) -> Noise:
    """Return the noise of runs about the levels of their segments.

    Args:
        segments: runs without a change within each.
        fitted: parameters that were fitted to each: its level, and a slope that was taken out before.

    >>> noise_of([np.array([1.0, 1.0, 1.0])]).scale
    0.0
    """
    n = sum(map(len, segments))
    deviations = [segment - np.median(segment) for segment in segments]
    spread = _spread(np.concatenate(deviations))
    if spread == 0:
        return Noise(scale=0.0, phi=0.0, n=n, clean=False)
    products = squares = 0.0
    for deviation in deviations:
        clipped = np.clip(deviation, -CLIP * spread, CLIP * spread)
        clipped = clipped - clipped.mean()
        products += float(clipped[1:] @ clipped[:-1])
        squares += float(clipped @ clipped)
    phi = _cautious(products / squares, n, len(segments), fitted) if squares else 0.0
    rest = np.concatenate([_innovations(deviation, phi, 0.0) for deviation in deviations])
    narrow = _spread(rest)
    clipped = np.clip(rest, -CLIP * narrow, CLIP * narrow)
    scale = math.sqrt(float(clipped @ clipped) / max(n - fitted * len(segments), 1) / _CLIPPED)
    return Noise(scale=scale, phi=phi, n=n, clean=bool(np.abs(rest).max() < OUTLIER * scale))


def _spread(deviations: Floats) -> float:
    """Return the scaled median absolute deviation; the standard deviation where most values are equal."""
    return float(1.4826 * np.median(np.abs(deviations)) or np.sqrt(np.mean(deviations**2)))


def _cautious(phi: float, n: int, segments: int, fitted: int) -> float:
    """Return a coefficient without its bias, one standard error larger where it is not near 0; in 0 .. 0.9."""
    phi += (fitted + (fitted + 2) * max(phi, 0.0)) * segments / n
    error = math.sqrt(max(1 - phi**2, 0.05) / n)
    return min(max(phi + error * min(max(phi, 0.0) / 0.3, 1.0), 0.0), _MOST_PHI)


def _innovations(runs: Floats, phi: float, level: float) -> Floats:
    """Return what is new in each run, given the run before it."""
    deviations = runs - level
    fresh = deviations.copy()
    fresh[1:] -= phi * deviations[:-1]
    fresh[0] *= math.sqrt(1 - phi**2)
    return fresh


def _split(runs: Floats, guess: int, spread: float, least: int = 1) -> tuple[int, int, int]:
    """Return the earliest supported, the best and the latest supported first run of the new level.

    Both levels are medians, and deviations from them cost their square, bounded so that outliers date nothing.

    Args:
        runs: with one change.
        guess: where it may be.
        spread: standard deviation of the runs.
        least: how many runs are before it.
    """
    if spread == 0:
        changed = int(np.argmax(runs != runs[0]))
        return changed, changed, changed
    at = min(max(guess, least), len(runs) - 1)
    costs = np.zeros(len(runs))
    for _ in range(4):
        before, after = np.median(runs[:at]), np.median(runs[at:])
        extra = _bounded((runs - after) / spread) - _bounded((runs - before) / spread)
        costs = np.cumsum(extra[::-1])[::-1]
        best = least + int(np.argmin(costs[least:]))
        if best == at:
            break
        at = best
    likely = least + np.flatnonzero(costs[least:] <= costs[at] + _LIKELY)
    return int(likely[0]), at, int(likely[-1])


def _bounded(deviations: Floats) -> Floats:
    costs: Floats = np.minimum(np.abs(deviations), _BOUND) ** 2 / 2
    return costs


def _redated(runs: Floats, raised: Sequence[tuple[int, int, float]]) -> list[Change]:
    """Date each change again by all runs between its neighbours, as far as they are known now."""
    changes = list[Change]()
    for number, (at, seen, spread) in enumerate(raised):
        start = changes[-1].at if changes else 0
        end = raised[number + 1][0] if number + 1 < len(raised) else len(runs)
        first, best, last = (start + split for split in _split(runs[start:end], at - start, spread))
        shift = float(np.median(runs[best:end]) - np.median(runs[start:best]))
        changes.append(Change(at=best, first=first, last=last, seen=seen, shift=shift))
    return changes


def _share_kept(clip: float) -> float:
    """Return the variance of a standard normal value that is clipped."""
    tail = 0.5 * math.erfc(clip / math.sqrt(2))
    density = math.exp(-(clip**2) / 2) / math.sqrt(2 * math.pi)
    return 1 - 2 * tail - 2 * clip * density + 2 * clip**2 * tail


_CLIPPED = _share_kept(CLIP)
