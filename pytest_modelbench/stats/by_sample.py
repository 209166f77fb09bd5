"""Means of several answers of each sample, with the sample as the independent unit.

The answers to one sample under many corruptions are alike: taken as independent they would make a standard error
that is too small. So each sample counts with its mean. A mean over samples that are nearly all right has a variance
that is estimated too small, or as nothing: a few samples are added, as for shares and for paired shares.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtr, stdtrit

from pytest_modelbench.results import Estimate

FloatArray = npt.NDArray[np.float64]


def share_by_sample(means: FloatArray, alpha: float) -> Estimate:
    """Return the mean of each sample's share, in 0..1, with an interval by samples.

    As Agresti and Coull (The American Statistician 52:119 (1998)) do for single answers, `z**2 / 2` samples are added
    that are all right, and as many that are all wrong.

    >>> estimate = share_by_sample(np.ones(100), 0.05)
    >>> estimate.value, round(estimate.low, 3), estimate.high
    (1.0, 0.957, 1.0)
    """
    added = float(ndtri(1 - alpha)) ** 2 / 2
    return _mean(means, np.array([0.0, 1.0]), added, alpha, (0.0, 1.0))


def difference_by_sample(differences: FloatArray, alpha: float) -> Estimate:
    """Return the mean of each sample's difference of two shares, in -1..1, with an interval by samples.

    As Agresti and Min (Statistics in Medicine 24:729 (2005)) do for single answers, half a sample is added for each
    way in which two answers can be right or wrong: half a sample of 1, half a sample of -1 and a sample of 0.

    >>> estimate = difference_by_sample(np.zeros(100), 0.05)
    >>> estimate.value, round(estimate.low, 4), round(estimate.high, 4)
    (0.0, -0.0163, 0.0163)
    """
    return _mean(differences, np.array([-1.0, 1.0, 0.0, 0.0]), 0.5, alpha, (-1.0, 1.0))


def _mean(
    values: FloatArray, added: FloatArray, weight: float, alpha: float, bounds: tuple[float, float]
) -> Estimate:
    """Return a mean with Student's interval around that with a few more values of a weight."""
    n, more = len(values), weight * len(added)
    value = float(values.mean())
    centre = (n * value + weight * float(added.sum())) / (n + more)
    squares = float(((values - centre) ** 2).sum()) + weight * float(((added - centre) ** 2).sum())
    half = math.sqrt(squares / (n + more - 1) / (n + more)) * float(stdtrit(n + more - 1, 1 - alpha))
    low, high = max(centre - half, bounds[0]), min(centre + half, bounds[1])
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def lost_p_by_sample(differences: FloatArray) -> float:
    """Return the one-sided p of a mean above 0, by Student's test with the samples of `difference_by_sample`.

    >>> round(lost_p_by_sample(np.zeros(50)), 2)
    0.5
    """
    n, more = len(differences), 2.0
    centre = float(differences.sum()) / (n + more)
    squares = float(((differences - centre) ** 2).sum()) + 0.5 * ((1 - centre) ** 2 + (1 + centre) ** 2) + centre**2
    error = math.sqrt(squares / (n + more - 1) / (n + more))
    return float(1 - stdtr(n + more - 1, centre / error))
