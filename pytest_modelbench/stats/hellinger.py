"""How far apart two distributions are: the Hellinger distance, with an interval that counting noise does not bias.

The distance is `sqrt(1 - sum(sqrt(p * q)))`, 0 for equal shares and 1 for shares without a class in common. Of counts
it is too large on average, the more so the fewer there are. The root of a count has a variance that hardly depends on
its share, so `8 * n * m / (n + m)` times the squared distance has about a noncentral chi-squared distribution, with
one degree of freedom less than there are classes, and the true distance in its noncentrality. The ends are those of
all distances that are compatible with the observed one.

Sources: Hellinger, Journal für die reine und angewandte Mathematik 136:210 (1909); Anscombe, Biometrika 35:246
(1948), for roots of counts and the 3/8 that is added to them; Cochran, Biometrics 10:417 (1954), for rare classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chndtr, chndtrinc

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.design_effect import Counts, design_effect

FEWEST = 5.0
"""The least expected count of a class in the smaller sample; rarer classes are counted as one."""
ADDED = 3 / 8
"""To each count before its root is taken: the variance of roots of small counts is then that of large ones."""
_FURTHEST = 1e7


@dataclass(frozen=True, kw_only=True)
class Distance:
    """A distance from 0 to 1.

    Attributes:
        estimate: the distance of the counted shares, and its ends; the lower one is 0 if noise explains it all.
        kinds: how many classes were compared, after rare ones were joined.
        joined: how many rare classes were counted as one, 0 for none.
        effective: how many independent samples the second counts are worth.
    """

    estimate: Estimate
    kinds: int
    joined: int
    effective: float


def hellinger(reference: Counts, clusters: Sequence[Counts] | Counts, alpha: float) -> Distance:
    """Return the distance of counts from those of a reference, both over the same classes.

    Args:
        reference: how many samples each class has, (classes,).
        clusters: the same for each of several clusters of the other sample, such as stretches of time, (clusters,
            classes). Their spread shows how far samples depend on their neighbours.
        alpha: the error of one side.

    >>> distance = hellinger(np.array([500.0, 500.0]), np.array([[100.0, 100.0]]), 0.05).estimate
    >>> distance.value, distance.low, round(distance.high, 3)
    (0.0, 0.0, 0.072)
    """
    table = np.asarray(clusters, dtype=np.float64)
    base, table, joined = _joined(np.asarray(reference, dtype=np.float64), table)
    counts = table.sum(axis=0)
    n, m = float(base.sum()), float(counts.sum()) / design_effect(table)
    value, scale, freedom = distance_of(base, counts), 8 * n * m / (n + m), len(base) - 1
    if not freedom:
        return Distance(estimate=_of_one_kind(reference, clusters, alpha, n, m), kinds=1, joined=joined, effective=m)
    statistic = scale * distance_of(base + ADDED, counts + ADDED) ** 2
    low = noncentrality(statistic, freedom, 1 - alpha)
    high = noncentrality(max(statistic, freedom), freedom, alpha)  # less than noise gives is noise
    low, high = (math.sqrt(min(end / scale, 1.0)) for end in (low, high))
    estimate = Estimate(value=value, low=min(low, value), high=max(high, value))
    return Distance(estimate=estimate, kinds=len(base), joined=joined, effective=m)


def _of_one_kind(
    reference: Counts, clusters: Sequence[Counts] | Counts, alpha: float, n: float, m: float
) -> Estimate:
    """Return the distance if all samples are of one class, or too few to tell classes apart: then anything may be."""
    observed = np.asarray(reference) + np.asarray(clusters).sum(axis=0)
    if (observed > 0).sum() > 1:
        return Estimate(value=0.0, low=0.0, high=1.0)
    return Estimate(value=0.0, low=0.0, high=math.sqrt(1 - alpha ** ((1 / n + 1 / m) / 2)))


def distance_of(reference: Counts, counts: Counts) -> float:
    """Return the distance of two sets of counts, each with at least one sample.

    >>> distance_of(np.array([1.0, 0.0]), np.array([0.0, 3.0]))
    1.0
    """
    overlap = float(np.sqrt(reference / reference.sum() * counts / counts.sum()).sum())
    return math.sqrt(max(1 - overlap, 0.0))


def noncentrality(statistic: float, freedom: int, share: float) -> float:
    """Return the noncentrality for which a chi-squared variable is at most `statistic` with chance `share`.

    It is 0 where even the central one is so with a smaller chance.

    >>> noncentrality(1.0, 9, 0.95), round(noncentrality(30.0, 9, 0.95), 1)
    (0.0, 8.0)
    """
    if float(chndtr(statistic, freedom, 0.0)) <= share:
        return 0.0
    return min(float(chndtrinc(statistic, freedom, share)), _FURTHEST)


def _joined(reference: Counts, table: Counts) -> tuple[Counts, Counts, int]:
    """Return both with the classes joined that are expected fewer than `FEWEST` times in the smaller sample.

    The third is the number of these classes, 0 if none are joined.
    """
    counts = table.sum(axis=0)
    n, m = reference.sum(), counts.sum()
    rare = (reference + counts) * min(n, m) / (n + m) < FEWEST
    if rare.sum() < 2:
        kept = (reference + counts > 0) | ~rare
        return reference[kept], table[:, kept], 0
    joined = np.concatenate([reference[~rare], [reference[rare].sum()]])
    both = np.concatenate([table[:, ~rare], table[:, rare].sum(axis=1, keepdims=True)], axis=1)
    return joined, both, int((rare & (reference + counts > 0)).sum())
