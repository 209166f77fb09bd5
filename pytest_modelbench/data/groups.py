"""Which group, slice or class each sample belongs to."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.missing import as_values, missing_of
from pytest_modelbench.data.treatment import Bins, Treatment
from pytest_modelbench.errors import DataError, DoesNotFit

Array = npt.NDArray[Any]
MOST_UNSORTED, CHUNK_ROWS = 2**15, 1 << 16
MOST_COUNTED = 1 << 20
"""Of more combinations only those that occur are counted."""
PLAIN = Treatment()
MOST_NUMBERS = 20
"""The most numbers of a sensitive feature that are taken for groups without being asked."""
Read = Callable[[Callable[[Any], Any]], Array]
"""Applies a function to the inputs, batch by batch, and joins what it gives."""


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """One partition of the samples: `codes` holds the position in `names` of each sample's group, -1 for none.

    `missing` says how many samples have no value, and `missing_name` which group they are; None for none. `order` has
    what groups are sorted by, also those of several parts of the data. `form` is what groups were made of: "values",
    "numbers" that are groups each, "edges" of bins, or "quantiles" of these very samples.
    """

    name: str
    names: tuple[str, ...]
    codes: Array
    missing: int = 0
    missing_name: str | None = None
    order: tuple[tuple[Any, ...], ...] = ()
    form: str = "values"

    @property
    def told(self) -> str:
        """What became of samples without a value; empty where there are none."""
        return told_of_missing(self.missing, self.name, self.missing_name)

    def sizes(self) -> list[int]:
        """Return the number of samples in each group."""
        return counts(self.codes, len(self.names))

    def with_names(self) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
        """Yield each group's name and which samples are in it."""
        for code, name in enumerate(self.names):
            yield name, self.codes == code


def told_of_missing(missing: int, name: str, missing_name: str | None) -> str:
    """Say what became of samples without a value, excluded or a group; empty where there are none."""
    if not missing:
        return ""
    kept = "are excluded" if missing_name is None else f"are the group {missing_name!r}"
    return f"{missing:,} samples without {name} {kept}"


def features_of(features: Any, what: str) -> dict[str, Any]:
    """Return named features for what a user gave: a mapping, a frame, names of columns, or one array.

    Raises:
        DataError: it is none of these.
    """
    if features is None:
        return {}
    if isinstance(features, Mapping):
        return {str(name): values for name, values in features.items()}
    if hasattr(features, "columns"):
        return {str(name): features[name] for name in features.columns}
    if isinstance(features, str):
        return {features: features}
    if isinstance(features, list | tuple) and features and all(isinstance(name, str) for name in features):
        if len(set(features)) < len(features):  # no column has two names: these are one group per sample
            return {what: np.asarray(features)}
        return {str(name): str(name) for name in features}
    if hasattr(features, "shape") and len(features.shape) == 1:
        return {str(getattr(features, "name", None) or what): features}
    raise DataError(
        f"{what}: found {type(features).__name__}, expected a mapping of names to arrays with one value per sample, "
        f"or names of columns, such as {what}={{'sex': sex}}"
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


def grouping(name: str, values: Any, read: Read, what: str, treatment: Treatment = PLAIN) -> Grouping:
    """Return the groups of one feature: a column's name, a function of the inputs, or one value per sample.

    A mask (an array of booleans) of slices is one group, of the samples for which it is true.

    Raises:
        DataError: no such column, a function that raises, missing values, or values of another length.
        DoesNotFit: so many numbers that nearly each would be a group.
    """
    place = f"{what} {name!r}"
    if isinstance(values, str):
        array = read(lambda inputs: _column(inputs, values, place))
    elif callable(values):
        array = read(values)
    else:
        array = as_values(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"{place} has shape {array.shape}, expected one value per sample")
    missing = missing_of(array)
    if missing.any() and treatment.missing not in {"exclude", "group"}:
        raise DataError(
            f"{place} is missing for {int(missing.sum())} of {len(array)} samples, the first at position "
            f"{int(np.argmax(missing))}. Write missing='exclude' to leave them out or missing='group' to make them a "
            "group, in the gate or in EvalData(...)"
        )
    if array.dtype == bool and what == "slice":
        return Grouping(name=name, names=(name,), codes=np.where(array, 0, -1).astype(np.int16), order=((0, True),))
    grouped = _named(name, array[~missing] if missing.any() else array, treatment.bins_of(name), place)
    if what == "slice":
        grouped = replace(grouped, names=tuple(f"{name}={group}" for group in grouped.names))
    if not missing.any():
        return grouped
    return _with_missing(grouped, missing, f"{name}=" if what == "slice" else "", treatment)


def _with_missing(present: Grouping, missing: npt.NDArray[np.bool_], prefix: str, treatment: Treatment) -> Grouping:
    """Return a grouping in which the samples without a value are in no group, or in one of their own."""
    names, order = present.names, present.order
    codes = np.full(len(missing), -1, dtype=np.int64)
    codes[~missing] = present.codes
    own = None
    if treatment.missing == "group":
        own = f"{prefix}missing" if f"{prefix}missing" not in names else f"{prefix}(missing)"
        codes[missing] = len(names)
        names, order = (*names, own), (*order, (1, ""))
    return replace(
        present,
        names=names,
        order=order,
        codes=_few_bytes(codes, len(names)),
        missing=int(missing.sum()),
        missing_name=own,
    )


def _named(name: str, values: Array, bins: Bins | None, place: str) -> Grouping:
    """Return the groups of values, none of which is missing."""
    numbers = values.dtype.kind in "iuf"
    if bins is not None and numbers and len(values):
        edges = _edges(values, bins)
        if edges is not None:
            held, names, codes = _binned(values, edges)
            form = "edges" if isinstance(bins, tuple) else "quantiles"
            return _grouping(name, names, held, codes, form)
    names, codes = coded(values)
    if numbers and len(names) > MOST_NUMBERS and place.startswith("sensitive"):
        raise too_many_numbers(place, len(names))
    form = "quantiles" if numbers and bins is not None else "numbers" if numbers else "values"
    return _grouping(name, [str(value) for value in names], names, codes, form)


def too_many_numbers(place: str, count: int) -> DoesNotFit:
    """Return what to say of numbers each of which would be a group."""
    return DoesNotFit(
        f"{place} has {count} different numbers, each of which would be a group. Write bins=4 for groups of "
        "about equal size or bins=[30, 50] for edges, in the gate or in EvalData(...); if each number is a "
        "group, convert them to strings"
    )


def _grouping(name: str, names: Sequence[str], values: Sequence[Any], codes: Array, form: str) -> Grouping:
    order = tuple((0, value) for value in values)
    return Grouping(name=name, names=tuple(names), codes=_few_bytes(codes, len(names)), order=order, form=form)


def _edges(values: Array, bins: Bins) -> Sequence[float] | None:
    """Return the inner edges of numbers' bins; None where so few numbers differ that each is a group."""
    if isinstance(bins, tuple):
        return bins
    if len(np.unique(values)) <= bins:
        return None
    quantiles = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf")
    edges = [float(edge) for edge in np.unique(quantiles) if edge > values.min()]
    return edges or [float(np.unique(values)[1])]


def _binned(values: Array, edges: Sequence[float]) -> tuple[list[int], list[str], Array]:
    """Return the bins that hold samples, each from its edge on to below the next one: their numbers and names."""
    shown = [f"{edge:.6g}" for edge in edges]
    labels = [f"< {shown[0]}", *(f"{a} to < {b}" for a, b in itertools.pairwise(shown)), f">= {shown[-1]}"]
    held, codes = coded(np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right"))
    return held, [labels[number] for number in held], codes


def _few_bytes(codes: Array, names: int) -> Array:
    return codes.astype(np.int16 if names < MOST_UNSORTED else np.int32, copy=False)


def _column(inputs: Any, column: str, place: str) -> Any:
    columns = inputs.columns if hasattr(inputs, "columns") else inputs if isinstance(inputs, Mapping) else None
    if columns is None:
        raise DataError(f"{place} names a column, and the inputs are a {type(inputs).__name__}. Give its values")
    if column not in columns:
        raise DataError(
            f"{place}: there is no column {column!r} in the inputs; there are {', '.join(map(str, columns))}"
        )
    return inputs[column]


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
        names = [low + offset for offset in np.flatnonzero(occurring).tolist()]
        named = [bool(name) for name in names] if values.dtype == bool else names
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
    totals = np.zeros(of, dtype=np.int64)
    for start in range(0, len(codes), CHUNK_ROWS):
        part = codes[start : start + CHUNK_ROWS]
        inside = part >= 0 if among is None else (part >= 0) & among[start : start + CHUNK_ROWS]
        totals += np.bincount(part[inside], minlength=of)
    return [int(count) for count in totals]


def crossed(groupings: Sequence[Grouping]) -> Grouping:
    """Return the intersections of several groupings that occur, such as sex and age."""
    first = groupings[0]
    for second in groupings[1:]:
        both = first.codes.astype(np.int64) * len(second.names) + second.codes
        inside = (first.codes >= 0) & (second.codes >= 0)
        codes = np.full(len(both), -1, dtype=np.int64)
        pairs, codes[inside] = np.unique(both[inside], return_inverse=True)
        names = tuple(
            f"{first.names[pair // len(second.names)]} & {second.names[pair % len(second.names)]}"
            for pair in pairs.tolist()
        )
        order = tuple(
            first.order[pair // len(second.names)] + second.order[pair % len(second.names)] for pair in pairs.tolist()
        )
        name, few = f"{first.name} & {second.name}", _few_bytes(codes, len(names))
        first = Grouping(name=name, names=names, codes=few, order=order)
    return first


def combinations(*columns: Array) -> dict[tuple[Any, ...], int]:
    """Count the samples of each combination of values, as Python has them.

    >>> combinations(np.array([1, 1, 0]), np.array(["a", "a", "b"]))
    {(0, 'b'): 1, (1, 'a'): 2}
    """
    codings = [coded(column) for column in columns]
    of, n = math.prod(len(names) for names, _ in codings), len(columns[0])
    dense, tally = np.zeros(of if of <= MOST_COUNTED else 0, dtype=np.int64), collections.Counter[int]()
    for start in range(0, n, CHUNK_ROWS):
        together = np.zeros(min(CHUNK_ROWS, n - start), dtype=np.int64)
        for names, codes in codings:
            together *= len(names)
            together += codes[start : start + CHUNK_ROWS]
        if of <= MOST_COUNTED:
            dense += np.bincount(together, minlength=of)
        else:
            kinds, counted = np.unique(together, return_counts=True)
            tally.update(dict(zip(kinds.tolist(), counted.tolist(), strict=True)))
    found = np.flatnonzero(dense) if of <= MOST_COUNTED else np.array(sorted(tally), dtype=np.int64)
    many = dense[found].tolist() if of <= MOST_COUNTED else [tally[kind] for kind in found.tolist()]
    values: list[list[Any]] = []
    for names, _ in reversed(codings):
        values.insert(0, [names[at] for at in (found % len(names)).tolist()])
        found = found // len(names)
    return dict(zip(zip(*values, strict=True), many, strict=True))
