"""Values that differ by the rounding of floating-point numbers only: they are one value, and show no spread."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ROUNDING = 1e-12
"""The largest difference, relative to the values, that rounding alone may make."""


def settled(values: FloatArray, scale: float = 0.0) -> FloatArray:
    """Return values, all of them the first one where they differ by rounding only; NaN and infinite ones stay.

    Without it, an interval of resamples that are all alike is 1e-14 wide, which claims a certainty that no finite
    sample gives.

    Args:
        values: any shape.
        scale: the size of the numbers whose difference they are.

    >>> settled(np.array([0.1 + 0.2, 0.3])).tolist()
    [0.30000000000000004, 0.30000000000000004]
    """
    finite = values[np.isfinite(values)]
    if not len(finite) or np.ptp(finite) > ROUNDING * max(scale, float(np.abs(finite).max())):
        return values
    return np.where(np.isfinite(values), finite[0], values)
