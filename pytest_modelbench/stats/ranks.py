"""The area under the ROC curve from ranks, with its influence of each sample: no resampling, one sort of the scores.

Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44:837 (1988), by ranks as in Sun and Xu, IEEE Signal Processing
Letters 21:1389 (2014). A sample's placement is the share of the other kind's samples that it is on the right side of.
The area is the mean placement. A sample has an influence on the areas of both models and on averages of several
areas; sums of products of influences are their variances and covariances.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri

from pytest_modelbench.results import Comparison, Estimate

FloatArray = npt.NDArray[np.float64]
Ends = tuple[float, ...]
METHOD = "DeLong's paired covariance"
_NEAR = 1e-9
_LEAST_OF_TWO = 0.5
"""The least share of the reference variance for the ends of a difference: two models err alike."""


def area_of(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]) -> tuple[float, FloatArray]:
    """Return the area in 0..1, and each sample's influence: the variance of the area is the sum of their squares.

    Both are NaN where all samples are of one kind.

    >>> area, influence = area_of(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    >>> area, influence.round(3).tolist()
    (0.875, [0.088, -0.088, -0.088, 0.088])
    """
    m = int(positive.sum())
    n = len(positive) - m
    if not m or not n:
        return math.nan, np.full(len(positive), math.nan)
    order = np.argsort(scores)
    ranked, kind = scores[order], positive[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    sizes = np.diff(starts, append=len(ranked))
    hits = np.add.reduceat(kind, starts, dtype=np.float64)
    below = np.cumsum(hits) - hits / 2  # positives below, those of the same score by half
    places = np.empty(len(ranked))
    places[order] = np.repeat(below, sizes)
    others = np.empty(len(ranked))
    others[order] = np.repeat(np.cumsum(sizes - hits) - (sizes - hits) / 2, sizes)
    placement = np.where(positive, others / n, 1 - places / m)
    area = float(placement[positive].mean())
    weight = np.where(positive, _weight(m), _weight(n))
    return area, (placement - area) * weight


def _weight(n: int) -> float:
    """Return what makes a sum of squared deviations the unbiased variance of their mean."""
    return 1 / math.sqrt(n * (n - 1)) if n > 1 else 1.0


def area_interval(area: float, influence: FloatArray, alpha: float, sizes: tuple[int, int] | None = None) -> Estimate:
    """Return the area with an interval which stays within 0..1: on the logit scale, or by `sizes` a score interval.

    Without sizes leave the interval out if the two kinds are perfectly separated: a width of zero would claim a
    certainty that no finite sample gives (Pepe, The Statistical Evaluation of Medical Tests, 2003, 5.2.5, for the
    scale).

    Args:
        area: in 0..1.
        influence: of each sample.
        alpha: the error of one side.
        sizes: the numbers of samples of both kinds, of one area.
    """
    if sizes is not None:
        return _score_interval(area, float(influence @ influence), alpha, sizes, least=1.0)
    spread = math.sqrt(float(influence @ influence))
    if spread == 0 or not 0 < area < 1:
        return Estimate(value=area)
    half = float(ndtri(1 - alpha)) * spread / (area * (1 - area))
    centre = math.log(area / (1 - area))
    low, high = (1 / (1 + math.exp(-(centre + side * half))) for side in (-1, 1))
    return Estimate(value=area, low=low, high=high)


def _score_interval(area: float, variance: float, alpha: float, sizes: tuple[int, int], least: float) -> Estimate:
    """Return the areas that the samples do not contradict, by the variance that each of them would have.

    The variance is Hanley and McNeil's (Radiology 143:29 (1982)), with the mean of both sizes as in method 5 of
    Newcombe (Statistics in Medicine 25:559 (2006)), times as many as DeLong's is of it here. Near 1 few samples are
    on the wrong side, and DeLong's is too small more often than too large: it counts as `least` times the other.
    """
    m, n = sizes

    def of(at: float) -> float:
        others = (m + n) / 2 - 1
        return at * (1 - at) * (1 + others * ((1 - at) / (2 - at) + at / (1 + at))) / (m * n)

    larger = max(least, variance / of(area)) if 0 < area < 1 else 1.0

    def contradicted(at: float) -> float:
        return (area - at) ** 2 - larger * float(ndtri(1 - alpha)) ** 2 * of(at)

    low = brentq(contradicted, 0.0, min(area, 1 - _NEAR)) if area > 0 else 0.0
    high = brentq(contradicted, max(area, _NEAR), 1.0) if area < 1 else 1.0
    return Estimate(value=area, low=min(float(low), area), high=max(float(high), area))


def compare_areas(
    student: tuple[float, FloatArray],
    teacher: tuple[float, FloatArray],
    alpha: float,
    scale: float,
    sizes: tuple[int, int] | None = None,
) -> Comparison:
    """Compare two areas of the same samples.

    The ends of the difference come from those of both areas and their correlation (MOVER: Zou and Donner, Statistics
    in Medicine 27:1693 (2008)), which near 1 is right more often than the normal interval; those of the ratio
    likewise from logarithms. Without sizes an area of 1 has no interval: the ends are normal, and there are none if
    both models have the same influences.

    Args:
        student: its area and influences.
        teacher: the teacher's.
        alpha: the error of one side.
        scale: what the difference is multiplied by, 100 for points.
        sizes: the numbers of samples of both kinds, of one area.
    """
    (s, ours), (t, theirs) = student, teacher
    if sizes is None and not np.any(ours - theirs):
        return Comparison(
            ratio=Estimate(value=s / t) if t else None, difference=Estimate(value=scale * (s - t)), method=METHOD
        )
    own, other = (
        area_interval(area, each, alpha)
        if sizes is None
        else _score_interval(area, float(each @ each), alpha, sizes, _LEAST_OF_TWO)
        for area, each in (student, teacher)
    )
    if own.low is None or own.high is None or other.low is None or other.high is None:
        difference, ratio = _normal(student, teacher, alpha)
    else:
        shared = float(ours @ theirs) / (math.sqrt(float(ours @ ours) * float(theirs @ theirs)) or 1.0)
        ends = (own.low, s, own.high), (other.low, t, other.high)
        difference, ratio = _apart(*ends, shared), _normal(student, teacher, alpha)[1]
        if own.low and other.low:
            first, second = (tuple(map(math.log, each)) for each in ends)
            ratio = _apart(first, second, shared).map(math.exp)
    return Comparison(ratio=ratio, difference=difference.map(lambda apart: scale * apart), method=METHOD)


def _apart(first: Ends, second: Ends, shared: float) -> Estimate:
    """Return the difference of two estimates with ends, given their correlation."""
    (low, value, high), (other_low, other, other_high) = first, second
    down = _distance(value - low, other_high - other, shared)
    up = _distance(high - value, other - other_low, shared)
    return Estimate(value=value - other, low=value - other - down, high=value - other + up)


def _distance(half: float, other: float, shared: float) -> float:
    return math.sqrt(max(0.0, half**2 + other**2 - 2 * shared * half * other))


def _normal(
    student: tuple[float, FloatArray], teacher: tuple[float, FloatArray], alpha: float
) -> tuple[Estimate, Estimate | None]:
    """Return difference and ratio (None of an area of 0) with normal ends, the ratio's on the log scale."""
    (s, ours), (t, theirs) = student, teacher
    z = float(ndtri(1 - alpha))
    half = z * float(np.linalg.norm(ours - theirs))
    difference = Estimate(value=s - t, low=s - t - half, high=s - t + half)
    if s == 0 or t == 0:
        return difference, Estimate(value=s / t) if t else None
    width = math.exp(z * float(np.linalg.norm(ours / s - theirs / t)))
    return difference, Estimate(value=s / t, low=s / t / width, high=s / t * width)
