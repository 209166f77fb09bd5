"""Times of requests, with the prompt as the independent unit: a prompt that is asked again is not a new one.

How long an answer takes depends on its prompt far more than on chance, for both models alike, so that comparisons are
paired by prompt. `Clusters` are one array of values for each prompt, all repetitions together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from pytest_modelbench.results import Comparison, Estimate
from pytest_modelbench.stats.clustered import Series, compare_percentiles, exponential, stretched
from pytest_modelbench.stats.intervals import FloatArray, effective_size, mean_interval, quantile_interval

Clusters = Sequence[FloatArray]
MEDIAN = 0.5


def quantile_by_prompt(clusters: Clusters, p: float, alpha: float) -> tuple[Estimate, float]:
    """Return a quantile of all values with Woodruff's interval, and for how many independent values they count.

    That is at most the number of clusters: one-sided bounds on p99 at 95% need 299 prompts, however often each is
    asked.

    Args:
        clusters: the values of each prompt, in any unit.
        p: the quantile, in 0..1.
        alpha: the error of one side.
    """
    size = float(len(clusters))
    if max(map(len, clusters)) > 1 and len(clusters) > 1:
        size = min(size, effective_size(clusters, p))
    return quantile_interval(np.sort(np.concatenate(clusters)), p, size, alpha), size


def ratio_of_sums(amounts: FloatArray, times: FloatArray, alpha: float) -> Estimate:
    """Return the ratio of two sums over prompts, with a jackknife interval of its logarithm.

    A few long prompts may hold most of a sum: the degrees of freedom are those of so many equal ones (Kish, Survey
    Sampling, 1965). With the linearised variance and all prompts counted, 10% of intervals of 20 prompts with a
    coefficient of variation of 1.8 lie on the wrong side where 5% may.

    Args:
        amounts: of each prompt, (n,), not all zero.
        times: of each prompt, (n,), above zero.
        alpha: the error of one side.

    >>> ratio_of_sums(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]), 0.05)
    Estimate(value=0.5, low=0.5, high=0.5)
    """
    ratio, left = float(amounts.sum() / times.sum()), _without_one(amounts, times)
    half = _half_width(_logarithms(left), (amounts, times), alpha)
    return Estimate(value=ratio, low=ratio * exponential(-half), high=ratio * exponential(half))


def _without_one(amounts: FloatArray, times: FloatArray) -> FloatArray:
    """Return the ratio without each prompt; NaN where there is no other."""
    with np.errstate(divide="ignore", invalid="ignore"):
        left: FloatArray = (amounts.sum() - amounts) / (times.sum() - times)
    return left if len(left) > 1 else np.full(1, math.nan)


def _logarithms(values: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms: FloatArray = np.log(values)
    return logarithms


def _half_width(left: FloatArray, columns: Sequence[FloatArray], alpha: float) -> float:
    """Return half of an interval from the values without each prompt; infinity where they support none.

    Args:
        left: the value without each prompt, (n,).
        columns: what the sums are made of, each (n,).
        alpha: the error of one side.
    """
    n = len(left)
    if n < 2 or not np.isfinite(left).all():
        return math.inf
    error = math.sqrt((n - 1) / n * float(((left - left.mean()) ** 2).sum()))
    equal = min(float(column.sum() ** 2 / (column**2).sum()) for column in columns)
    return error * float(stdtrit(max(equal - 1, 1.0), 1 - alpha))


def compare_sums(
    student: tuple[FloatArray, FloatArray], teacher: tuple[FloatArray, FloatArray], alpha: float
) -> Comparison:
    """Compare ratios of sums by prompt: each is left out of both models at once, so that a long prompt cancels.

    Args:
        student: its amounts and times, each (n,).
        teacher: the same for the same prompts.
        alpha: the error of one side.
    """
    s, t = (float(amounts.sum() / times.sum()) for amounts, times in (student, teacher))
    (left_s, left_t), columns = (_without_one(*sums) for sums in (student, teacher)), (*student, *teacher)
    half = _half_width(_logarithms(left_s) - _logarithms(left_t), columns, alpha)
    gap = _half_width(left_s - left_t, columns, alpha)
    return Comparison(
        ratio=Estimate(value=s / t, low=s / t * exponential(-half), high=s / t * exponential(half)),
        difference=Estimate(value=s - t, low=s - t - gap, high=s - t + gap),
        method=f"ratio of sums, jackknife over {len(student[0])} prompts",
    )


def compare_quantiles(student: Series, teacher: Series, p: float, alpha: float, seed: int) -> Comparison:
    """Compare a quantile by prompt: the median by paired log-ratios, others by a joint bootstrap of prompts.

    Args:
        student: its values, `[prompt][repetition] -> array`.
        teacher: the same, repetition by repetition.
        p: the quantile, in 0..1.
        alpha: the error of one side.
        seed: of the bootstrap.
    """
    if p != MEDIAN:
        return compare_percentiles(student, teacher, p, alpha, seed, "prompts")
    logs, gaps = log_ratios(student, teacher), _gaps(student, teacher)
    s, t = (
        float(np.median(np.concatenate([values for prompt in series for values in prompt])))
        for series in (student, teacher)
    )
    return Comparison(
        ratio=stretched(mean_interval(logs, alpha).map(exponential), s / t),
        difference=stretched(mean_interval(gaps, alpha), s - t),
        method=f"paired log-ratio by prompt, Student's interval over {len(logs)} prompts",
    )


def log_ratios(student: Series, teacher: Series) -> FloatArray:
    """Return the log-ratio of each prompt, the mean over its repetitions, (n,)."""
    pairs = zip(student, teacher, strict=True)
    return np.array(
        [
            np.mean([math.log(np.mean(s) / np.mean(t)) for s, t in zip(own, other, strict=True)])
            for own, other in pairs
        ]
    )


def _gaps(student: Series, teacher: Series) -> FloatArray:
    pairs = zip(student, teacher, strict=True)
    return np.array([np.mean([np.mean(s) - np.mean(t) for s, t in zip(a, b, strict=True)]) for a, b in pairs])
