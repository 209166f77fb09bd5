"""Values of features and targets as arrays in which missing values stay recognisable."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, is_tensor

Array = npt.NDArray[Any]
MISSING_TEXTS = ("nan", "NaN", "<NA>", "NaT")
"""What NumPy makes of missing values in an array of texts."""


def as_values(values: Any) -> Array:
    """Return an array of what a user gave, in which missing values are still told apart from texts.

    NumPy makes the text 'nan' of a NaN among texts, and drops the mask of a masked array.
    """
    if is_tensor(values):
        return as_array(values)
    if isinstance(values, np.ma.MaskedArray):
        if not np.ma.is_masked(values):
            return np.asarray(values.data)
        masked = np.asarray(values.data).astype(object)
        masked[np.ma.getmaskarray(values)] = None
        return masked
    array = np.asarray(values)
    listed = array.dtype.kind in "US" and array.ndim == 1 and not hasattr(values, "dtype")
    if not listed or all(isinstance(value, str | bytes) for value in values):
        return array
    mixed = np.empty(len(values), dtype=object)
    mixed[:] = list(values)
    return mixed if missing_of(mixed).any() else array


def missing_of(values: Array) -> npt.NDArray[np.bool_]:
    """Return which values are missing: None, NaN, NaT, pandas' NA, and what NumPy makes of them among texts."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind == "U":
        missing: npt.NDArray[np.bool_] = np.logical_or.reduce([values == text for text in MISSING_TEXTS])
        return missing
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=bool)
    gone = type(sys.modules["pandas"].NA) if "pandas" in sys.modules else type(None)
    return np.array([value is None or isinstance(value, gone) or bool(value != value) for value in values])  # noqa: PLR0124 - NaN
