"""Find the missing values of one column: None, NaN, NaT, pandas' NA, and masked values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DataError, shown
from pytest_modelbench.models.outputs import as_array, is_tensor

Array = npt.NDArray[Any]
MISSING_TEXTS = ("nan", "NaN", "<NA>", "NaT")
"""What NumPy makes of missing values in an array of texts."""


def values_of(column: Any) -> Array:
    """Return a column's values as an array, in which missing values are still to be found.

    A list of texts with a NaN in it stays a list of objects: numpy would make it the text 'nan'.

    >>> values_of(["a", float("nan")]).tolist()
    ['a', nan]
    """
    if isinstance(column, np.ma.MaskedArray):
        if not np.ma.getmaskarray(column).any():
            return np.asarray(column)
        values = np.asarray(column).astype(object)
        values[np.ma.getmaskarray(column)] = None
        return values
    if is_tensor(column):
        return as_array(column)
    if isinstance(column, list | tuple) and any(isinstance(value, str | bytes) for value in column):
        mixed = np.empty(len(column), dtype=object)
        mixed[:] = column
        return np.asarray(column) if all(isinstance(value, str) for value in column) else mixed
    return np.asarray(column)


def missing_rows(values: Array) -> npt.NDArray[np.bool_]:
    """Return which values of one column are missing.

    >>> missing_rows(np.array(["a", None, float("nan")], dtype=object)).tolist()
    [False, True, True]
    """
    if values.dtype.kind in "fc":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind == "U":
        found: npt.NDArray[np.bool_] = np.logical_or.reduce([values == text for text in MISSING_TEXTS])
        return found
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=bool)
    gone = type(sys.modules["pandas"].NA) if "pandas" in sys.modules else type(None)
    return np.array([value is None or isinstance(value, gone) or _is_nan(value) for value in values], dtype=bool)


def _is_nan(value: Any) -> bool:
    try:
        return bool(value != value)  # noqa: PLR0124 - true of NaN and NaT alone
    except Exception:  # noqa: BLE001 - the user's own comparison
        return False


def refuse_missing(targets: Any, ids: Sequence[Any]) -> None:
    """Refuse targets that are missing among texts or objects, and texts among numbers.

    NaN among numbers is found by `probes.meaning`, which has all of them.

    Raises:
        DataError: how many of a batch are missing, and the first one's id.
    """
    if is_tensor(targets):
        return
    try:
        values = values_of(targets)
    except ValueError:
        return  # rows of several lengths, which are refused where they become an array
    if values.dtype.kind != "O" or values.ndim != 1:
        return
    missing = missing_rows(values)
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of the {len(values)} targets of a batch are missing, the first for sample "
            f"{shown(ids[int(np.argmax(missing))])}. Leave these samples out, or give them a class of their own, "
            "such as 'unknown'"
        )
    texts = [isinstance(value, str) for value in values]
    if any(texts) and not all(texts):
        text, other = values[texts.index(True)], values[texts.index(False)]
        raise DataError(
            f"the targets mix texts and other values, such as {shown(text)} and {shown(other)}. Give one kind"
        )
