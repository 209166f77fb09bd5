"""Comparisons of two models timed in the same rounds, with placements as the independent unit.

A `Series` is one array of per-call times for each block pair (round), grouped by placement:
`series[placement][round]` holds the calls of that round. Where a comparison was repeated in fresh processes, these
take the place of placements: `unit` names the outer level in what is said of a method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import stdtrit

from pytest_modelbench.results import Comparison, Estimate
from pytest_modelbench.stats.intervals import (
    FEWEST_RANKED,
    FloatArray,
    centre_interval,
    mean_interval,
    percentile_interval,
)

Series = Sequence[Sequence[FloatArray]]
RESAMPLES = 400
ENOUGH_CALLS = 16


def compare_means(student: Series, teacher: Series, alpha: float, unit: str = "placements") -> Comparison:
    """Compare means by the ratio of the pooled means, with placements as the independent unit.

    The ratio estimator with its linearised variance (Cochran, Sampling Techniques, 1977, chapter 6): the residuals
    `s - ratio * t` of the placements' means are paired, so that what moves both models cancels. Student's quantile,
    on the logarithm of the ratio.
    """
    s, t = (np.array([np.concatenate(rounds).mean() for rounds in series]) for series in (student, teacher))
    ratio = float(s.mean() / t.mean())
    relative = mean_interval((s - ratio * t) / s.mean(), alpha)
    half = math.inf if relative.high is None else relative.high - relative.value
    return Comparison(
        ratio=Estimate(value=ratio, low=ratio * math.exp(-half), high=ratio * exponential(half)),
        difference=mean_interval(s - t, alpha),
        method=f"ratio of means, linearised over {len(s)} {unit}",
    )


def exponential(value: float) -> float:
    """Return e to a power, infinity where a number cannot hold it."""
    return math.inf if value > 700 else math.exp(value)


def compare_medians(student: Series, teacher: Series, alpha: float, unit: str = "placements") -> Comparison:
    """Compare medians: the paired log-ratio of every round's medians, and the median of these by placement.

    The interval is over the placements' values, which are independent where rounds are not: where a model sits in
    memory moves all of its rounds together. It is Student's for few placements and Wilcoxon's for eight and more,
    which a placement in a bad minute does not widen: the order is random, so the values are symmetric. A round that
    was disturbed in one of its blocks moves the median of a placement little, where it would move a mean.

    Rounds of few calls may have another median than all calls together; the interval is then stretched to the ratio
    of the pooled medians, which the readings show. With more calls a round's median needs no such correction, and
    pooling would only mix the machine's fast and slow minutes.

    Args:
        student: per-call times, `[placement][round] -> array`.
        teacher: the same for the teacher, round by round.
        alpha: the error of one side.
        unit: what the outer level is called.
    """
    logs, gaps = [], []
    for student_rounds, teacher_rounds in zip(student, teacher, strict=True):
        pairs = [
            (float(np.median(s)), float(np.median(t))) for s, t in zip(student_rounds, teacher_rounds, strict=True)
        ]
        logs.append(float(np.median([math.log(s / t) for s, t in pairs])))
        gaps.append(float(np.median([s - t for s, t in pairs])))
    ratio, gap = centre_interval(logs, alpha).map(exponential), centre_interval(gaps, alpha)
    if min(len(calls) for series in (student, teacher) for rounds in series for calls in rounds) < ENOUGH_CALLS:
        s, t = (
            float(np.median(np.concatenate([calls for r in series for calls in r]))) for series in (student, teacher)
        )
        ratio, gap = stretched(ratio, s / t), stretched(gap, s - t)
    interval = "Student's" if len(logs) < FEWEST_RANKED else "signed-rank"
    return Comparison(
        ratio=ratio,
        difference=gap,
        method=f"paired log-ratio per round, {interval} interval over {len(logs)} {unit}",
    )


def stretched(estimate: Estimate, point: float) -> Estimate:
    """Return an estimate whose interval holds a point."""
    if estimate.low is None or estimate.high is None:
        return estimate
    return Estimate(value=estimate.value, low=min(estimate.low, point), high=max(estimate.high, point))


def compare_percentiles(
    student: Series, teacher: Series, p: float, alpha: float, seed: int, unit: str = "placements"
) -> Comparison:
    """Compare a percentile of the pooled calls by resampling whole placements, the same for both models.

    The standard error comes from a joint cluster bootstrap, enlarged by `sqrt(m / (m - 1))` for m placements
    (Davison and Hinkley, Bootstrap Methods, 1997, 2.6) and multiplied by Student's quantile. An end is
    infinite where either sample is too small to bound the percentile itself.
    """
    pooled = [[np.concatenate(rounds) for rounds in series] for series in (student, teacher)]
    placements = len(student)
    own = [percentile_interval(clusters, p, alpha / 2)[0] for clusters in pooled]
    s, t = own[0].value, own[1].value
    if placements < 2 or any(math.isinf(e.high or 0) or math.isinf(e.low or 0) for e in own):
        return _from_own_bounds(*own)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(placements, np.full(placements, 1 / placements), size=RESAMPLES)
    resampled = [_weighted_quantiles(clusters, p, draws) for clusters in pooled]
    factor = math.sqrt(placements / (placements - 1)) * float(stdtrit(placements - 1, 1 - alpha))
    half_log = float(np.std(np.log(resampled[0] / resampled[1]), ddof=1)) * factor
    half_gap = float(np.std(resampled[0] - resampled[1], ddof=1)) * factor
    return Comparison(
        ratio=Estimate(value=s / t, low=s / t * math.exp(-half_log), high=s / t * math.exp(half_log)),
        difference=Estimate(value=s - t, low=s - t - half_gap, high=s - t + half_gap),
        method=f"joint bootstrap of {placements} {unit}",
    )


def _from_own_bounds(student: Estimate, teacher: Estimate) -> Comparison:
    """Compare by the two models' own intervals, each with half of the error.

    A sample that is too small to bound a percentile from above may be large enough from below: a student whose lower
    bound is far above the teacher's upper one is slower, for any upper bound.
    """
    (s_low, s_high), (t_low, t_high) = (
        (
            max(estimate.low if estimate.low is not None else 0.0, 0.0),
            math.inf if estimate.high is None else estimate.high,
        )
        for estimate in (student, teacher)
    )
    low = s_low / t_high if math.isfinite(t_high) else 0.0
    high = s_high / t_low if t_low > 0 else math.inf
    value = student.value / teacher.value
    gap = student.value - teacher.value
    return Comparison(
        ratio=Estimate(value=value, low=min(low, value), high=max(high, value)),
        difference=Estimate(value=gap, low=min(s_low - t_high, gap), high=max(s_high - t_low, gap)),
        method="the two percentiles' own intervals; too few calls for a joint bootstrap",
    )


def _weighted_quantiles(clusters: Sequence[FloatArray], p: float, draws: np.ndarray) -> FloatArray:
    """Return the p-quantile of every resample, given how often each cluster was drawn in it.

    Args:
        clusters: m arrays of values.
        p: the quantile, in 0..1.
        draws: how often each cluster is in a resample, (resamples, m).
    """
    values = np.concatenate(clusters)
    owner = np.repeat(np.arange(len(clusters)), [len(cluster) for cluster in clusters])
    order = np.argsort(values, kind="stable")
    values, owner = values[order], owner[order]
    step = math.isqrt(len(values) - 1) + 1  # counted by bins of this many values, then value by value in one bin
    bins = -(-len(values) // step)
    counts = np.bincount(owner * bins + np.arange(len(values)) // step, minlength=len(clusters) * bins)
    weights = draws.astype(np.float64)
    mass = np.cumsum(weights @ counts.reshape(len(clusters), bins), axis=1)
    target = p * mass[:, -1]
    first = np.minimum((mass < target[:, None]).sum(axis=1), bins - 1)
    rows = np.arange(len(draws))
    missing = target - np.where(first > 0, mass[rows, first - 1], 0.0)
    within = first[:, None] * step + np.arange(step)
    inside = within < len(values)
    index = np.minimum(within, len(values) - 1)
    gained = np.cumsum(weights[rows[:, None], owner[index]] * inside, axis=1)
    at = np.minimum((gained < missing[:, None]).sum(axis=1), step - 1)
    quantiles: FloatArray = values[index[rows, at]]
    return quantiles


def widen(comparison: Comparison, floor: float, level: float) -> Comparison:
    """Widen a comparison by a resolution floor, for models whose placement could not be varied.

    Args:
        comparison: from one of the functions above.
        floor: half-width to add to the log-ratio; 0.01 is one percent.
        level: the teacher's value, to which the floor of the difference is proportional.
    """

    def stretch(estimate: Estimate | None, down: Callable[[float], float], up: Callable[[float], float]) -> Estimate:
        if estimate is None or estimate.low is None or estimate.high is None:
            raise ValueError("a timed comparison always has both intervals")
        return Estimate(value=estimate.value, low=down(estimate.low), high=up(estimate.high))

    return Comparison(
        ratio=stretch(comparison.ratio, lambda r: r * math.exp(-floor), lambda r: r * math.exp(floor)),
        difference=stretch(comparison.difference, lambda d: d - floor * level, lambda d: d + floor * level),
        method=f"{comparison.method}; {floor:.0%} added because the models could not be copied",
    )
