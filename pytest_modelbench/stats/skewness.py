"""Intervals of means whose distribution is skewed, such as differences that few groups make."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.rounding import settled


def skewed_interval(influences: npt.NDArray[np.float64], value: float, alpha: float) -> Estimate:
    """Return a value with an interval that allows for the skewness of what its independent units add.

    Student's interval and percentiles of resamples are too short on the side of the long tail. Hall's cubic
    transformation of the studentised mean removes its skewness.

    Source: Hall, Journal of the Royal Statistical Society B 54:221 (1992).

    Args:
        influences: what each unit adds to the value, (n,); their mean need not be the value.
        value: the estimate.
        alpha: the error of one side.

    Returns:
        The value, without an interval where there are fewer than two units or all are equal.

    >>> estimate = skewed_interval(np.array([0.0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), 0.9, 0.05)
    >>> round(estimate.high - 0.9, 1), round(0.9 - estimate.low, 1)
    (6.5, 1.2)
    """
    n = len(influences)
    if n < 2 or not np.ptp(settled(influences)):
        return Estimate(value=value)
    deviations = influences - influences.mean()
    spread = float(deviations.std(ddof=1))
    skew = float((deviations**3).mean()) / spread**3 / n**0.5
    quantile = float(stdtrit(n - 1, 1 - alpha))
    low, high = (value - spread / n**0.5 * _studentised(x, skew) for x in (quantile, -quantile))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def _studentised(x: float, skew: float) -> float:
    """Return the studentised mean whose transformation is x."""
    return x if abs(skew) < 1e-9 else 3 / skew * (float(np.cbrt(1 + skew * (x - skew / 6))) - 1)
