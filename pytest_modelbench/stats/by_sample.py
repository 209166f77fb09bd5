"""Means of several answers of each sample, with the sample as the independent unit.

The answers to one sample under many corruptions are alike: taken as independent they would make a standard error
that is too small. So each sample counts with its mean. A mean over samples that are nearly all right has a variance
that is estimated too small, or as nothing: parts of samples are added, as others do for single answers.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit

from pytest_modelbench.results import Estimate

FloatArray = npt.NDArray[np.float64]


def share_by_sample(means: FloatArray, alpha: float) -> Estimate:
    """Return the mean of each sample's share, in 0..1, with an interval by samples.

    Wilson's score interval for the number of independent answers that the samples are worth (Kish, Survey Sampling
    (1965)), with Student's quantile. The variance is that of the samples and of half a sample that is all right and
    half a sample that is all wrong.

    >>> estimate = share_by_sample(np.ones(100), 0.05)
    >>> estimate.value, round(estimate.low, 3), estimate.high
    (1.0, 0.973, 1.0)
    """
    n, value = len(means), float(means.mean())
    centre = (n * value + 0.5) / (n + 1)
    squares = float(((means - centre) ** 2).sum()) + 0.5 * (centre**2 + (1 - centre) ** 2)
    worth = n * n * centre * (1 - centre) / squares
    quantile = float(stdtrit(max(n - 1, 1), 1 - alpha))
    square = quantile**2 / worth
    middle = value + square / 2
    half = quantile * math.sqrt((value * (1 - value) + square / 4) / worth)
    low, high = ((middle + side * half) / (1 + square) for side in (-1, 1))
    return Estimate(value=value, low=low if value > 0 else 0.0, high=high if value < 1 else 1.0)


def difference_by_sample(differences: FloatArray, alpha: float) -> Estimate:
    """Return the mean of each sample's difference of two shares, in -1..1, with an interval by samples.

    As Agresti and Min (Statistics in Medicine 24:729 (2005)) do for single answers, half a sample is added for each
    way in which two answers can be right or wrong: half a sample of 1, half a sample of -1 and a sample of 0.

    >>> estimate = difference_by_sample(np.zeros(100), 0.05)
    >>> estimate.value, round(estimate.low, 4), round(estimate.high, 4)
    (0.0, -0.0164, 0.0164)
    """
    n, value = len(differences), float(differences.mean())
    centre, error = _with_one_of_each(differences)
    half = error * float(stdtrit(n + 1, 1 - alpha))
    low, high = max(centre - half, -1.0), min(centre + half, 1.0)
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def _with_one_of_each(differences: FloatArray) -> tuple[float, float]:
    """Return the mean and its standard error with half a sample of 1, half a sample of -1 and a sample of 0."""
    n = len(differences) + 2
    centre = float(differences.sum()) / n
    squares = float(((differences - centre) ** 2).sum()) + 0.5 * ((1 - centre) ** 2 + (1 + centre) ** 2) + centre**2
    return centre, math.sqrt(squares / (n - 1) / n)


def lost_p_by_sample(differences: FloatArray) -> float:
    """Return the one-sided p of a mean above 0, by Student's test with the samples of `difference_by_sample`.

    >>> round(lost_p_by_sample(np.zeros(50)), 2)
    0.5
    """
    centre, error = _with_one_of_each(differences)
    return float(1 - stdtr(len(differences) + 1, centre / error))
