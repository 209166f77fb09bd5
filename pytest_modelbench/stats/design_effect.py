"""Samples that are like their neighbours, such as those of one hour: by how much less they are worth.

Source: Kish, Survey Sampling (1965), for the effect; Rao and Scott, JASA 76:221 (1981), for that of several classes.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pytest_modelbench.results import Estimate

Counts = npt.NDArray[np.float64]
FEWEST_CLUSTERS = 8


def design_effect(table: Counts) -> float:
    """Return by how much dependence between neighbours lowers the worth of samples: 1 for independent ones.

    The mean over classes of the variance of a class's share between clusters over the multinomial one (Rao and Scott,
    1981, the first-order correction). Few clusters tell nothing.

    Args:
        table: counts, (clusters, classes).
    """
    sizes, counts = table.sum(axis=1), table.sum(axis=0)
    total, present = float(sizes.sum()), counts > 0
    if len(table) < FEWEST_CLUSTERS or present.sum() < 2:
        return 1.0
    shares = counts[present] / total
    off = table[:, present] - sizes[:, None] * shares
    between = (off**2 / shares).sum() / total * len(table) / (len(table) - 1)
    return max(1.0, float(between) / (int(present.sum()) - 1))


def effect_of(marked: npt.NDArray[np.bool_], clusters: int) -> float:
    """Return the design effect of samples some of which are marked, in stretches of equal numbers.

    Args:
        marked: in the order of time, (samples,).
        clusters: the number of stretches.

    >>> round(effect_of(np.repeat([True, False] * 4, 2), 8), 2)
    2.29
    """
    parts = np.array_split(marked, min(clusters, len(marked)))
    table = np.array([[part.sum(), len(part) - part.sum()] for part in parts], dtype=np.float64)
    return design_effect(table)


def widened(estimate: Estimate, effect: float) -> Estimate:
    """Return an estimate with the ends that fewer samples give: the distances to them grow with the root.

    >>> widened(Estimate(value=5.0, low=4.0, high=7.0), 4.0)
    Estimate(value=5.0, low=3.0, high=9.0)
    """
    if estimate.low is None or estimate.high is None:
        return estimate
    root, value = math.sqrt(effect), estimate.value
    low, high = (value + root * (end - value) for end in (estimate.low, estimate.high))
    return Estimate(value=value, low=low, high=high)
