"""Statistics of pairs and triplets that share members: what each adds to the error, and how far the sum spreads.

Source: Aronow, Samii and Assenova, Cluster-Robust Variance Estimation for Dyadic Data, Political Analysis 23:564
(2015).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


def variance_of(influence: FloatArray, members: IntArray) -> float:
    """Return the variance of a sum whose terms are independent only where they share no member.

    The products of all terms that share a member, each once: by each member, less those that share two, and so
    on; times n / (n - 1) of n members.

    Args:
        influence: what each unit adds to the error, (units,).
        members: the numbers of each unit's members, (units, members).

    >>> variance_of(np.array([1.0, 2.0, 3.0]), np.array([[0, 1], [1, 2], [3, 4]]))
    22.5
    """
    ordered = np.sort(members, axis=1)
    first = np.ones(ordered.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    width, total = ordered.shape[1], 0.0
    for size in range(1, width + 1):
        sums = _summed(influence, ordered, first, size)
        total += (-1) ** (size + 1) * float(sums @ sums)
    count = int(members.max()) + 1
    return max(total, float(influence @ influence)) * count / max(count - 1, 1)


def _summed(influence: FloatArray, ordered: IntArray, first: npt.NDArray[np.bool_], size: int) -> FloatArray:
    """Return the sums of the units that have the same members, for each set of so many members."""
    base, keys, values = int(ordered.max()) + 1, [], []
    for columns in itertools.combinations(range(ordered.shape[1]), size):
        distinct = first[:, columns].all(axis=1)
        key = np.zeros(int(distinct.sum()), dtype=np.int64)
        for column in columns:
            key = key * base + ordered[distinct, column]
        keys.append(key)
        values.append(influence[distinct])
    _, at = np.unique(np.concatenate(keys), return_inverse=True)
    return np.bincount(at, np.concatenate(values)).astype(np.float64)


def design_effect_of(influence: FloatArray, members: IntArray) -> float:
    """Return how many times the variance is that of independent units, at least 1."""
    alone = float(influence @ influence)
    return max(1.0, variance_of(influence, members) / alone) if alone else 1.0


def spearman(first: FloatArray, second: FloatArray) -> tuple[float, FloatArray]:
    """Return the rank correlation, with middle ranks for ties, and each unit's part of its error, (units,).

    Both are NaN where one of the two does not vary. The parts follow from those of the covariance and of both
    variances of the ranks.

    >>> round(spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))[0], 6)
    0.5
    """
    x, y = _ranks(first), _ranks(second)
    n, means = len(x), (x.mean(), y.mean())
    both, own, other = (_moment(*each) for each in ((x, y), (x, x), (y, y)))
    covariance = float((x * y).mean() - means[0] * means[1])
    variances = float(x.var()), float(y.var())
    if min(variances) <= 1e-15:
        return math.nan, np.full(n, math.nan)
    value = covariance / math.sqrt(variances[0] * variances[1])
    parts = both / math.sqrt(variances[0] * variances[1]) - value / 2 * (own / variances[0] + other / variances[1])
    return float(np.clip(value, -1, 1)), parts / n


def _ranks(values: FloatArray) -> FloatArray:
    """Return middle ranks as shares, in 0..1."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: FloatArray = ((ends - counts / 2) / len(values))[at]
    return ranks


def _moment(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return the influence of each unit on the mean product of ranks, which themselves are estimates."""
    product = x * y
    parts = product + _above(x, y) + _above(y, x)
    centred: FloatArray = parts - parts.mean()
    return centred


def _above(x: FloatArray, y: FloatArray) -> FloatArray:
    """Return for each unit the mean of `y` over those with a larger `x`, half of it over equal ones."""
    _, at = np.unique(x, return_inverse=True)
    sums = np.bincount(at, y)
    above: FloatArray = ((sums.sum() - np.cumsum(sums)) + sums / 2)[at] / len(x)
    return above
