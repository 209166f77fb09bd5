"""Where the variance of a repeated comparison comes from: processes, placements, rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

LEVELS = ("process", "placement", "round")


def spread_by_level(logs: Sequence[Sequence[Sequence[float]]]) -> Mapping[str, float]:
    """Return the standard deviation that each level adds of itself, by level.

    The unbiased estimates of Kalibera and Jones (Quantifying performance changes with effect size confidence
    intervals, arXiv 2007.10899, 6.2): the variance of a level's means, less the next lower one's share in it. An
    estimate below zero counts as zero. The interval over processes needs none of them: it rests on the variance of
    the processes' means, in which all levels are.

    Args:
        logs: one number for each round, `[process][placement][round]`.

    >>> spreads = spread_by_level([[[1.0, 1.0], [1.0, 1.0]], [[2.0, 2.0], [2.0, 2.0]]])
    >>> {level: round(value, 3) for level, value in spreads.items()}
    {'process': 0.707, 'placement': 0.0, 'round': 0.0}
    """
    placements = [[float(np.mean(rounds)) for rounds in process] for process in logs]
    variances = [
        _variance([float(np.mean(means)) for means in placements]),
        _pooled(placements),
        _pooled([rounds for process in logs for rounds in process]),
    ]
    sizes = [_harmonic([len(p) for p in logs]), _harmonic([len(r) for p in logs for r in p])]
    own = [variances[0] - variances[1] / sizes[0], variances[1] - variances[2] / sizes[1], variances[2]]
    return {level: math.sqrt(max(value, 0.0)) for level, value in zip(LEVELS, own, strict=True)}


def _variance(values: Sequence[float]) -> float:
    return float(np.var(values, ddof=1)) if len(values) > 1 else 0.0


def _pooled(groups: Sequence[Sequence[float]]) -> float:
    """Return the variance within groups, each weighed by its degrees of freedom."""
    freedom = sum(len(group) - 1 for group in groups)
    return sum(_variance(group) * (len(group) - 1) for group in groups) / freedom if freedom else 0.0


def _harmonic(sizes: Sequence[int]) -> float:
    return len(sizes) / sum(1 / size for size in sizes)
