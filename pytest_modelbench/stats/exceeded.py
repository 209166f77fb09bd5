"""What a quantile or a mean surely exceeds because every value does: exact, from as few as two values.

If a share q of all values were at most x, the chance that n independent values all exceed x would be at most
(1 - q)**n (the sign test); if the mean of values that are never negative were x, values above c would have at most
the share x / c (Markov's inequality). Values of one cluster are not independent, so clusters are counted. Clusters
differ by some percent, not by half: what every value exceeds by half and more is counted by values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np  # noqa: F401 - for the examples

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.intervals import FloatArray

FAR = 1.5


def with_least_quantile(estimate: Estimate, clusters: Sequence[FloatArray], p: float, alpha: float) -> Estimate:
    """Give a quantile that has no lower end the one that all values support together, if they do.

    Args:
        estimate: of the quantile.
        clusters: its values, none negative.
        p: the quantile, in 0..1.
        alpha: the error of one side.

    >>> calls = [np.array([250.0, 251.0])] * 7
    >>> bounded = with_least_quantile(Estimate(value=250.0, low=-math.inf, high=math.inf), calls, 0.5, 0.004)
    >>> round(bounded.low, 1)
    166.7
    """
    if estimate.low is None or math.isfinite(estimate.low):
        return estimate
    least, values = _least(clusters)
    if (1 - p) ** len(clusters) <= alpha:
        return _from(estimate, least)
    return _from(estimate, least / FAR) if (1 - p) ** values <= alpha else estimate


def with_least_mean(estimate: Estimate, clusters: Sequence[FloatArray], alpha: float) -> Estimate:
    """Give a mean whose lower end is not above zero the one that all values support together.

    >>> calls = [np.array([250.0, 251.0])] * 7
    >>> bounded = with_least_mean(Estimate(value=250.0, low=-math.inf, high=math.inf), calls, 0.004)
    >>> round(bounded.low)
    114
    """
    if estimate.low is None or estimate.low > 0:
        return estimate
    least, values = _least(clusters)
    return _from(estimate, max(least * alpha ** (1 / len(clusters)), least / FAR * alpha ** (1 / values)))


def _least(clusters: Sequence[FloatArray]) -> tuple[float, int]:
    return min(float(cluster.min()) for cluster in clusters), sum(len(cluster) for cluster in clusters)


def _from(estimate: Estimate, low: float) -> Estimate:
    return Estimate(value=estimate.value, low=min(low, estimate.value), high=estimate.high)
