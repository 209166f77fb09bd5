"""Several differences at once, each with its own spread: which is the largest, and how sure one may be of each.

The bounds hold for all differences together: each is as many of its own standard errors away as the furthest of all
is in resamples (the studentised maximum; Romano and Wolf, Econometrica 73:1237 (2005)), with Student's quantile for
the number of units that it rests on. Half of one more unit counts whose difference is as large as one can be:
units that are all alike do not show that there are no others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtr, stdtrit

from pytest_modelbench.stats.pooled_shares import UNSEEN

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Together:
    """Bounds of several differences, (differences,) each.

    Attributes:
        low: lower ends.
        high: upper ends.
        p: one-sided p-values of no difference above 0, each for itself.
    """

    low: FloatArray
    high: FloatArray
    p: FloatArray


def together(
    values: FloatArray, drawn: FloatArray, units: npt.NDArray[np.intp], most: float, alpha: float, seed: int
) -> Together:
    """Return bounds of differences that all hold together, with the error `alpha` on each side.

    Args:
        values: the differences, (differences,).
        drawn: those of resamples, (resamples, differences); NaN where one is undefined.
        units: how many independent units each rests on, at least 2.
        most: how large a difference can be.
        alpha: the error of one side.
        seed: of the noise of units that were not seen.
    """
    noise = np.random.default_rng([seed, 1]).standard_normal(drawn.shape) * np.sqrt(UNSEEN) * most / units
    off = np.nan_to_num(drawn - values) + noise
    spread = np.sqrt(np.mean(off**2, axis=0) * units / (units - 1))
    furthest = [np.quantile((side * off / spread).max(axis=1), 1 - alpha, method="weibull") for side in (1, -1)]
    down, up = (stdtrit(units - 1, ndtr(reach)) * spread for reach in furthest)
    return Together(
        low=np.minimum(values - down, values),
        high=np.maximum(values + up, values),
        p=np.asarray(stdtr(units - 1, -values / spread), dtype=np.float64),
    )
