"""Intervals for the largest of several differences, and for how much it grew: not what resampling a maximum gives.

The largest of estimated differences is too large on average, and the largest of resampled ones even more so: where
groups are alike, the percentile interval of a gap lies above it, and that of a drift from a fair teacher below it.
Here a difference is bounded for the pair of groups that may be the largest one, jointly for all such pairs (Berger
and Boos, JASA 89:1012 (1994), for the error that goes into finding them).

A gap is the largest `p` of ordered pairs of groups, such as `rate_a - rate_b`; arrays are (pairs,) or (resamples,
pairs).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_modelbench.results import Estimate

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
FINDING = 0.1
"""The share of the error that goes into finding the pairs that may be the largest."""
MOST_COMPARED = 150_000
"""The most pairs of pairs that a drift is bounded by: those of 20 groups' ratios, or of 23 groups' differences."""
NOTHING = 1e-9
"""A share of the variance of two changes below which their difference is rounding."""


def gap_interval(pairs: FloatArray, drawn: FloatArray, alpha: float) -> Estimate:
    """Return the largest difference with a bound on each side."""
    off = drawn - pairs
    value = float(np.max(pairs))
    low = value - _quantile(np.max(off, axis=1), alpha)
    return Estimate(value=value, low=min(low, value), high=_upper(pairs, off, alpha))


def drift_interval(
    student: FloatArray,
    student_drawn: FloatArray,
    teacher: FloatArray,
    teacher_drawn: FloatArray,
    alpha: float,
    *,
    least: float = 0.0,
) -> Estimate:
    """Return how much the largest difference grew from teacher to student, with a bound on each side.

    The student's gap is no less than any of its pairs, and the teacher's is one of its own, so the drift is no less
    than the least, over the teacher's pairs, of how far the best pair of the student's is above it. For each of the
    teacher's the differences to all of the student's are bounded at once, each by its own spread, which is small for
    the same pair of two models that are much alike. From above likewise with the models exchanged. (Percentiles of
    the resampled drift are not a bound: the noisier model seems the less fair.) Of very many pairs the ends of both
    gaps are compared, which is wider.

    Args:
        student: the pairs of the student.
        student_drawn: those of its resamples.
        teacher: the pairs of the teacher.
        teacher_drawn: those of its resamples, of the same samples.
        alpha: the error of one side.
        least: what a gap can never be below, for any pairs: 0 for a difference and its inverse, -1 for a
            negative ratio and its inverse.
    """
    value = float(np.max(student) - np.max(teacher))
    opposites = [_half(drawn) for drawn in (teacher_drawn, student_drawn)] if least == 0 else [None, None]
    if len(student) * len(teacher) > MOST_COMPARED * (1 if opposites[0] is None or opposites[1] is None else 2):
        own, before = gap_interval(student, student_drawn, alpha / 2), gap_interval(teacher, teacher_drawn, alpha / 2)
        if own.low is None or own.high is None or before.low is None or before.high is None:
            return Estimate(value=value)
        return Estimate(value=value, low=own.low - before.high, high=own.high - before.low)
    low = _least_growth(student, student_drawn, teacher, teacher_drawn, alpha, least, opposites[0])
    high = -_least_growth(teacher, teacher_drawn, student, student_drawn, alpha, least, opposites[1])
    return Estimate(value=value, low=min(low, value), high=max(high, value) + 0.0)


def quotient(student: Estimate, teacher: Estimate) -> Estimate | None:
    """Return the ratio of two gaps, with the ends of both: each has half of the error. None of a gap of 0.

    Resampling the ratio of two largest differences would find the teacher's too large, and so the ratio too small.
    """
    if teacher.value == 0:
        return None
    value = student.value / teacher.value
    if student.low is None or student.high is None or teacher.low is None or teacher.high is None:
        return Estimate(value=value)
    return Estimate(
        value=value, low=student.low / teacher.high, high=student.high / teacher.low if teacher.low > 0 else np.inf
    )


def _half(drawn: FloatArray) -> tuple[IntArray, IntArray] | None:
    """Return half of the pairs and each one's inverse (`b - a` of `a - b`); None where some have none."""
    if drawn.shape[1] % 2:
        return None
    order = np.argsort(drawn.T @ np.linspace(1.0, 2.0, len(drawn)), kind="stable")
    half = drawn.shape[1] // 2
    first, inverse = order[:half], order[::-1][:half]
    return (first, inverse) if np.array_equal(drawn[:, first], -drawn[:, inverse]) else None


def _least_growth(
    pairs: FloatArray,
    drawn: FloatArray,
    others: FloatArray,
    others_drawn: FloatArray,
    alpha: float,
    least: float,
    opposites: tuple[IntArray, IntArray] | None,
) -> float:
    """Return a lower bound of how far the largest of `pairs`, or `least`, is above the largest of `others`.

    `opposites` are half of the others and their inverses, where `pairs` are their own inverses too: what is found for
    a pair then holds for its inverse.
    """
    pairs = np.append(pairs, least)
    off = np.vstack([drawn.T, np.full(len(drawn), least)]) - pairs[:, None]
    others_off = (others_drawn - others).T
    spreads = _spreads(off, others_off)
    inverse = np.divide(1, spreads, out=np.zeros_like(spreads), where=spreads > 0).astype(np.float32)
    narrow, others_narrow = off.astype(np.float32), others_off.astype(np.float32)
    apart = np.empty_like(narrow)
    asked = np.arange(len(others)) if opposites is None else opposites[0]
    furthest = np.empty((2, len(asked), len(drawn)), dtype=np.float32)
    for row, at in enumerate(asked):
        np.subtract(narrow, others_narrow[at], out=apart)
        np.multiply(apart, inverse[:, at : at + 1], out=apart)
        furthest[0, row], furthest[1, row] = apart.max(axis=0), -apart.min(axis=0)
    quantiles = np.quantile(np.maximum(furthest, 0), 1 - alpha, axis=2, method="weibull").max(axis=0)
    reach = np.empty(len(others))
    reach[asked] = quantiles
    if opposites is not None:
        reach[opposites[1]] = quantiles
    bounds = pairs[:, None] - others - reach * spreads  # of skewed noise (ratios) the longer tail
    return float(bounds.max(axis=0).min())


def _spreads(off: FloatArray, others_off: FloatArray) -> FloatArray:
    """Return the standard error of the difference of every two pairs, (pairs, others); 0 where they move alike."""
    own, other = (np.mean(deviations**2, axis=1) for deviations in (off, others_off))
    both = own[:, None] + other
    square = both - 2 * (off @ others_off.T) / off.shape[1]
    spreads: FloatArray = np.sqrt(np.where(square > NOTHING * both, square, 0))
    return spreads


def _upper(pairs: FloatArray, off: FloatArray, alpha: float) -> float:
    """Return an upper bound of whichever pair is the largest."""
    furthest = _quantile(np.max(np.abs(off), axis=1), FINDING * alpha)
    possible = pairs >= np.max(pairs) - 2 * furthest
    return float(np.max(pairs)) + _quantile(np.max(-off[:, possible], axis=1), (1 - FINDING) * alpha)


def _quantile(values: FloatArray, alpha: float) -> float:
    return float(np.quantile(values, 1 - alpha, method="weibull"))
