"""Smooth functions of sums over independent units: each unit is left out once, and Student's quantile is used.

For means over classes of ratios, such as intersection over union, whose rare classes are in few units, percentiles of
resamples end too early on one side; this interval does not (`benchmarks/tasks/segmentation.py --coverage`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.rounding import settled

FloatArray = npt.NDArray[np.float64]


def jackknife(value: float, left: FloatArray, alpha: float, *, log: bool = False) -> Estimate:
    """Return a value with Student's interval of its jackknife error (Efron and Stein, Ann. Stat. 9:586 (1981)).

    Args:
        value: of all units.
        left: the value without each unit, (n,); NaN where it is undefined without it.
        alpha: the error of one side.
        log: whether the interval is that of the logarithm, for values above 0 whose error grows with them.

    Returns:
        An estimate without ends where all units are alike, or a unit is needed for any value.

    >>> numbers = np.array([1.0, 2.0, 3.0, 4.0])
    >>> jackknife(2.5, (10.0 - numbers) / 3, 0.025).map(lambda end: round(end, 2))
    Estimate(value=2.5, low=0.45, high=4.55)
    """
    left = settled(left)
    if log and value > 0 and (left > 0).all():
        return replace(jackknife(math.log(value), np.log(left), alpha).map(math.exp), value=value)
    n = len(left)
    if n < 2 or not np.isfinite(left).all() or not np.ptp(left):
        return Estimate(value=value)
    error = math.sqrt((n - 1) / n * float(((left - left.mean()) ** 2).sum()))
    half = float(stdtrit(n - 1, 1 - alpha)) * error
    return Estimate(value=value, low=value - half, high=value + half)
