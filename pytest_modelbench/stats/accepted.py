"""The share of other samples that are accepted at the confidence that a share of the data reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pytest_modelbench.results import Estimate

FloatArray = npt.NDArray[np.float64]
RESAMPLES = 999
_KINDS = 4
_EACH = 0.25
"""Samples that are added to each kind: accepted by both models, by one of them, by none."""


def threshold(inside: FloatArray, at: float, more: int = 0) -> float:
    """Return the largest confidence that at least `at` percent of the data, and `more` samples of them, reach.

    >>> threshold(np.arange(100.0), 95), threshold(np.arange(100.0), 95, 1)
    (5.0, 4.0)
    """
    kept = min(math.ceil(len(inside) * at / 100 - 1e-9) + more, len(inside))
    return float(np.partition(inside, len(inside) - kept)[len(inside) - kept])


def accepted(inside: FloatArray, outside: FloatArray, at: float) -> float:
    """Return the share of outside samples at or above the threshold that at least `at` percent of inside ones reach.

    >>> accepted(np.arange(100.0), np.array([3.0, 5.0, 50.0, 4.0]), 95)
    0.5
    """
    return float((outside >= threshold(inside, at)).mean())


def drawn_shares(
    inside: Mapping[str, FloatArray], outside: Mapping[str, FloatArray], at: float, seed: int
) -> dict[str, FloatArray]:
    """Return shares that might be accepted, `RESAMPLES` of each model, the same draws for both.

    The data are resampled, which moves the thresholds; every other resample accepts one sample more, as the true
    threshold lies on either side of the samples' own. Resampling the set outside as well would be certain of a share
    of 0 where none of it is accepted; instead the shares of the samples that both models, one or none accepts are
    drawn from their posterior by Jeffreys' prior (Brown, Cai and DasGupta, Statistical Science 16:101 (2001)).

    Args:
        inside: the confidence of the data, by model, of one or two.
        outside: that of the set outside.
        at: the percentage of the data that is accepted.
        seed: of the draws.
    """
    rng, first, last = np.random.default_rng([seed, 95]), *list(inside)[:1], *list(inside)[-1:]
    n = len(inside[first])
    shares = np.empty((RESAMPLES, _KINDS))
    for draw in range(RESAMPLES):
        rows = rng.integers(0, n, n)
        taken = {role: outside[role] >= threshold(inside[role][rows], at, draw % 2) for role in inside}
        counts = np.bincount(taken[first] + 2 * taken[last], minlength=_KINDS)
        shares[draw] = rng.standard_gamma(counts + _EACH)
    shares /= shares.sum(axis=1, keepdims=True)
    return {first: shares[:, 1] + shares[:, 3]} | {last: shares[:, 2] + shares[:, 3]}


def bounds_threshold(n: int, at: float, alpha: float) -> bool:
    """Whether the least confidence of n samples is below that of the least `100 - at` percent of all, but for alpha.

    If it may not be, nothing bounds the share that is accepted from above. At 100% no n is enough: the least
    confidence of all may be below that of any sample, and resamples only raise it.

    >>> bounds_threshold(58, 95, 0.05), bounds_threshold(59, 95, 0.05)
    (False, True)
    """
    return bool((at / 100) ** n <= alpha)


def between(value: float, drawn: FloatArray, alpha: float) -> Estimate:
    """Return a value in 0..1 as a percentage, with the ends between which it was drawn."""
    low, high = np.quantile(drawn, [alpha, 1 - alpha])
    return Estimate(value=100 * value, low=100 * min(float(low), value), high=100 * max(float(high), value))
