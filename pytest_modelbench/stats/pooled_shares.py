"""Shares of things that come in clusters, such as of the boxes of images: intervals for one and for two paired ones.

Resampling clusters misleads where the share is near 0 or 1: resamples hold no other bad cluster than those there are,
so they vary too little, mostly on the side that matters. Here the variance is that of the linearised share (Cochran,
Sampling Techniques, 1977, chapter 6), and half of one more cluster of average size counts, which is of the rarer kind
as a whole. Wilson's interval then has the number of independent trials that this variance amounts to, with Student's
quantile (Korn and Graubard, Survey Methodology 24:193 (1998)). A difference has Johnson's interval for skewed values
(JASA 73:536 (1978)).

`parts` are what counts in each cluster, `wholes` what it is counted of, both of shape (clusters,).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.intervals import share_interval

FloatArray = npt.NDArray[np.float64]
Pooled = tuple[FloatArray, FloatArray]
"""Parts and wholes."""
UNSEEN = 0.5
"""How much of one more cluster counts, which is of the rarer kind."""


def pooled_share(pooled: Pooled, alpha: float, least: float = 0.0) -> Estimate:
    """Return the sum of parts over the sum of wholes, from 0 to 1.

    Args:
        pooled: parts and wholes.
        alpha: the error of one side.
        least: the least share that a cluster can have.

    >>> ten = np.full(50, 10.0)
    >>> round(pooled_share((ten, ten), 0.05).low, 3)
    0.947
    """
    share, used = _share(pooled), _used(pooled)
    if used < 2:
        return Estimate(value=share, low=least, high=1.0)
    error = _error(_influence(pooled), used, max(share - least, 1 - share))
    trials = share * (1 - share) / error**2 if 0 < share < 1 else used
    return share_interval(share * trials, trials, float(ndtr(-_quantile(used, alpha))))


def pooled_difference(student: Pooled, teacher: Pooled, alpha: float) -> Estimate:
    """Return the student's share minus the teacher's, of the same clusters."""
    gap, used = _share(student) - _share(teacher), min(_used(student), _used(teacher))
    return _around(gap, _influence(student) - _influence(teacher), used, 1.0, alpha)


def pooled_ratio(student: Pooled, teacher: Pooled, alpha: float) -> Estimate | None:
    """Return the student's share over the teacher's, of the same clusters; None of a teacher's share of 0."""
    level, used = _share(teacher), min(_used(student), _used(teacher))
    if not level:
        return None
    ratio = _share(student) / level
    influence = (_influence(student) - ratio * _influence(teacher)) / level
    return _around(ratio, influence, used, 1 / level, alpha).within(0.0, math.inf)


def _around(value: float, influence: FloatArray, used: int, most: float, alpha: float) -> Estimate:
    """Return Student's interval, moved towards the longer tail by what few skewed clusters hide (Johnson, 1978)."""
    if used < 2:
        return Estimate(value=value, low=-math.inf, high=math.inf)
    quantile, error = _quantile(used, alpha), _error(influence, used, most)
    centre = value + error * float((influence**3).sum()) / error**3 * (1 + 2 * quantile**2) / 6
    low, high = centre - quantile * error, centre + quantile * error
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def alike(value: float, units: int, most: float, alpha: float) -> Estimate:
    """Return a value that is the same whichever units it is of, with bounds by a part of one unit that is not alike.

    Args:
        value: the value.
        units: how many there are.
        most: how far one unit can move the value of that unit.
        alpha: the error of one side.

    >>> alike(100.0, 30, 100.0, 0.05).map(lambda end: round(end, 1))
    Estimate(value=100.0, low=96.0, high=104.0)
    """
    if units < 2:
        return Estimate(value=value, low=value - most, high=value + most)
    half = _quantile(units, alpha) * math.sqrt(UNSEEN) * most / units
    return Estimate(value=value, low=value - half, high=value + half)


def _share(pooled: Pooled) -> float:
    return float(pooled[0].sum() / pooled[1].sum())


def _used(pooled: Pooled) -> int:
    """Return how many clusters have something."""
    return int(np.count_nonzero(pooled[1]))


def _influence(pooled: Pooled) -> FloatArray:
    """Return by how much each cluster moves the share, (clusters,)."""
    influence: FloatArray = (pooled[0] - _share(pooled) * pooled[1]) / pooled[1].sum()
    return influence


def _error(influence: FloatArray, used: int, most: float) -> float:
    """Return the standard error, with a part of one more cluster that moves the share as far as one can."""
    return math.sqrt(used / (used - 1) * float((influence**2).sum()) + UNSEEN * (most / used) ** 2)


def _quantile(used: int, alpha: float) -> float:
    return float(stdtrit(used - 1, 1 - alpha))
