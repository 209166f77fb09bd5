"""Which group, slice or class each sample belongs to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DataError
from pytest_modelbench.models.outputs import as_array, is_tensor

Array = npt.NDArray[Any]
MOST_UNSORTED, CHUNK_ROWS = 2**15, 1 << 16
Read = Callable[[Callable[[Any], Any]], Array]
"""Applies a function to the inputs, batch by batch, and joins what it gives."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """One partition of the samples: `codes` holds the position in `names` of each sample's group, -1 for none."""

    name: str
    names: tuple[str, ...]
    codes: Array

    def sizes(self) -> list[int]:
        """Return the number of samples in each group."""
        return counts(self.codes, len(self.names))

    def with_names(self) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """Yield each group's name and which samples are in it."""
        for code, name in enumerate(self.names):
            yield name, self.codes == code


def features_of(given: Any, what: str) -> dict[str, Any]:
    """Return named features for what a user gave: a mapping, a frame, names of columns, or one array.

    Raises:
        DataError: it is none of these.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): values for name, values in given.items()}
    if hasattr(given, "columns"):
        return {str(name): given[name] for name in given.columns}
    if isinstance(given, str):
        return {given: given}
    if isinstance(given, list | tuple) and given and all(isinstance(one, str) for one in given):
        if len(set(given)) < len(given):  # no column has two names: these are one group per sample
            return {what: np.asarray(given)}
        return {str(name): str(name) for name in given}
    if hasattr(given, "shape") and len(given.shape) == 1:
        return {str(getattr(given, "name", None) or what): given}
    raise DataError(
        f"{what}: found {type(given).__name__}, expected a mapping of names to arrays with one value per sample, or "
        f"names of columns, such as {what}={{'sex': sex}}"
    )


def check_lengths(features: Mapping[str, Any], what: str, length: int | None) -> None:
    """Refuse arrays that do not have one value per sample.

    Raises:
        DataError: naming the feature, and both numbers.
    """
    for name, values in features.items():
        if isinstance(values, str) or callable(values):
            continue
        if not hasattr(values, "__len__"):
            raise DataError(f"{what} {name!r}: found {values!r:.40}, expected one value per sample")
        if length is not None and len(values) != length:
            raise DataError(
                f"{what} {name!r} has {len(values)} values, and there are {length} samples; expected one per sample"
            )


def grouping(name: str, values: Any, read: Read, what: str) -> Grouping:
    """Return the groups of one feature: a column's name, a function of the inputs, or one value per sample.

    A mask (an array of booleans) of slices is one group, of the samples for which it is true.

    Raises:
        DataError: no such column, a function that raises, missing values, or values of another length.
    """
    if isinstance(values, str):
        found = read(lambda inputs: _column(inputs, values, f"{what} {name!r}"))
    elif callable(values):
        found = read(values)
    else:
        found = as_array(values) if is_tensor(values) else np.asarray(values)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise DataError(f"{what} {name!r} has shape {found.shape}, expected one value per sample")
    missing = _missing(found)
    if missing.any():
        raise DataError(
            f"{what} {name!r} is missing for {int(missing.sum())} of {len(found)} samples, the first at position "
            f"{int(np.argmax(missing))}. Leave them out, or give them a group of their own, such as 'unknown'"
        )
    if found.dtype == bool and what == "slice":
        return Grouping(name=name, names=(name,), codes=np.where(found, 0, -1).astype(np.int16))
    names, codes = coded(found)
    shown = tuple(f"{name}={one}" for one in names) if what == "slice" else tuple(map(str, names))
    return Grouping(name=name, names=shown, codes=_few_bytes(codes, len(names)))


def _few_bytes(codes: Array, names: int) -> Array:
    return codes.astype(np.int16 if names < MOST_UNSORTED else np.int32, copy=False)


def _column(inputs: Any, column: str, place: str) -> Any:
    known = inputs.columns if hasattr(inputs, "columns") else inputs if isinstance(inputs, Mapping) else None
    if known is None:
        raise DataError(f"{place} names a column, and the inputs are a {type(inputs).__name__}. Give its values")
    if column not in known:
        raise DataError(
            f"{place}: there is no column {column!r} in the inputs; there are {', '.join(map(str, known))}"
        )
    return inputs[column]


def _missing(values: Array) -> npt.NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind != "O":
        return np.zeros(len(values), dtype=bool)
    gone = type(sys.modules["pandas"].NA) if "pandas" in sys.modules else type(None)
    return np.array([value is None or isinstance(value, gone) or bool(value != value) for value in values])  # noqa: PLR0124 - NaN


def coded(values: Array) -> tuple[list[Any], Array]:
    """Return the distinct values in order, and the position of each sample's among them.

    Whole numbers of a small range are not sorted, which keeps the memory of large sets small.
    """
    if values.dtype.kind in "iub" and values.size and int(values.max()) - int(values.min()) < MOST_UNSORTED:
        low = int(values.min())
        occurring = np.zeros(int(values.max()) - low + 1, dtype=bool)
        codes = np.empty(len(values), dtype=np.int16)
        for start in range(0, len(values), CHUNK_ROWS):
            codes[start : start + CHUNK_ROWS] = values[start : start + CHUNK_ROWS].astype(np.int64) - low
            occurring[codes[start : start + CHUNK_ROWS]] = True
        names = [low + one for one in np.flatnonzero(occurring).tolist()]
        named = [bool(one) for one in names] if values.dtype == bool else names
        if occurring.all():
            return named, codes
        order = (np.cumsum(occurring) - 1).astype(np.int16)
        return named, order[codes]
    if values.dtype.kind == "O":
        values = values.astype(str)
    distinct, inverse = np.unique(values, return_inverse=True)
    return distinct.tolist(), inverse


def counts(codes: Array, of: int, among: Array | None = None) -> list[int]:
    """Return how many samples have each code from 0 to `of` - 1, of those for which `among` is true."""
    found = np.zeros(of, dtype=np.int64)
    for start in range(0, len(codes), CHUNK_ROWS):
        part = codes[start : start + CHUNK_ROWS]
        inside = part >= 0 if among is None else (part >= 0) & among[start : start + CHUNK_ROWS]
        found += np.bincount(part[inside], minlength=of)
    return [int(count) for count in found]


def crossed(groupings: Sequence[Grouping]) -> Grouping:
    """Return the intersections of several groupings that occur, such as sex and age."""
    first = groupings[0]
    for second in groupings[1:]:
        both = first.codes.astype(np.int64) * len(second.names) + second.codes
        found, codes = np.unique(both, return_inverse=True)
        names = tuple(
            f"{first.names[one // len(second.names)]} & {second.names[one % len(second.names)]}"
            for one in found.tolist()
        )
        first = Grouping(name=f"{first.name} & {second.name}", names=names, codes=_few_bytes(codes, len(names)))
    return first
