"""Corruptions of tables: rows of columns that hold numbers, categories, dates or flags of one category each.

Our own definitions, in terms of the values that were seen in each column. A column of numbers that takes few whole
values is one of categories, and columns of 0 and 1 of which exactly one is 1 in each row are one category together:
noise would make rows of them that mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.corruptions.streams import Generators

Values = npt.NDArray[Any]
Key = Any
MOST_CATEGORIES = 20
FACTORS = (1.8, 2.54, 10.0, 100.0, 1000.0)
"""Units that are mistaken for each other: Fahrenheit, inches, millimetres, centimetres, metres."""
HOURS = (1, 24, 7 * 24, 30 * 24, 365 * 24)
LEVELS: Mapping[str, tuple[float, ...]] = {
    "column_noise": (0.1, 0.2, 0.4, 0.6, 1.0),
    "missing_cells": (0.05, 0.1, 0.2, 0.35, 0.5),
    "shuffled_cells": (0.05, 0.1, 0.2, 0.35, 0.5),
    "swapped_categories": (0.05, 0.1, 0.2, 0.35, 0.5),
    "unit_slip": FACTORS,
    "coarse_cells": (64, 32, 16, 8, 4),
    "shifted_time": HOURS,
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """What was seen in a column: `kind` is `number`, `category`, `time` or `other`, `block` its one-hot category.

    `seen` are its values, row by row; `gaps` says that it can hold a missing value.
    """

    kind: str
    seen: Values
    gaps: bool
    spread: float = 0.0
    low: float = 0.0
    high: float = 0.0
    block: int = -1


def column_of(values: Values) -> Column:
    """Say what a column is."""
    kind, gaps = values.dtype.kind, values.dtype.kind in "fOM"
    if kind == "M":
        return Column(kind="time", seen=values, gaps=True)
    if kind not in "fiu":
        return Column(kind="category" if kind in "bOUS" else "other", seen=values, gaps=gaps)
    finite = values[np.isfinite(values)].astype(float)
    if not len(finite):
        return Column(kind="other", seen=values, gaps=gaps)
    few = len(np.unique(finite)) <= MOST_CATEGORIES and bool(np.all(finite == np.round(finite)))
    return Column(
        kind="category" if few else "number",
        seen=values,
        gaps=gaps,
        spread=float(finite.std()),
        low=float(finite.min()),
        high=float(finite.max()),
    )


def blocks_of(columns: Mapping[Key, Column]) -> dict[Key, Column]:
    """Mark neighbouring columns of 0 and 1 whose sum is 1 in every row as one category."""
    marked, names = dict(columns), list(columns)
    at = number = 0
    while at < len(names):
        stop, total = at, np.zeros(len(columns[names[at]].seen))
        while stop < len(names) and _is_flag(columns[names[stop]]):
            total += columns[names[stop]].seen.astype(float)
            stop += 1
            if np.all(total == 1) and stop - at > 1:
                for name in names[at:stop]:
                    marked[name] = replace(columns[name], block=number)
                number, at = number + 1, stop - 1
                break
            if np.any(total > 1):
                break
        at += 1
    return marked


def _is_flag(column: Column) -> bool:
    return column.kind == "category" and column.seen.dtype.kind in "fiub" and set(np.unique(column.seen)) <= {0, 1}


def lacking(name: str, columns: Sequence[Column]) -> str:
    """Return what a corruption needs and the columns do not have, "" if nothing."""
    kinds = {column.kind for column in columns}
    if name == "missing_cells":
        return "" if any(column.gaps for column in columns) else "column that can hold a missing value"
    needed = {"swapped_categories": "category", "shifted_time": "time"}.get(name, "number")
    words = {"category": "column of categories", "time": "column of dates", "number": "column of numbers"}
    return "" if needed in kinds else words[needed]


Change = Callable[[Values, Column, Values, float], Values]


def noise(values: Values, column: Column, drawn: Values, share: float) -> Values:
    """Add a share of the column's standard deviation, within the values that were seen."""
    return np.clip(values + share * column.spread * drawn, column.low, column.high)


def coarse(values: Values, column: Column, _: Values, levels: float) -> Values:
    """Round to evenly spaced levels between the least and the greatest value that were seen."""
    step = (column.high - column.low) / (levels - 1)
    return values if step == 0 else np.round((values - column.low) / step) * step + column.low


def unit(values: Values, _: Column, chosen: Values, factor: float) -> Values:
    """Multiply where this column is the row's."""
    return np.where(chosen, values * factor, values)


def from_other_rows(values: Values, column: Column, drawn: Values, share: float) -> Values:
    """Take the value of another row in a share of the rows: `drawn` says whether (whole part) and which (rest)."""
    chance, rest = drawn // 1 / 2**20, drawn % 1
    donors = np.minimum((rest * len(column.seen)).astype(int), len(column.seen) - 1)
    return np.where(chance < share, column.seen[donors], values)


def gap(values: Values, _: Column, drawn: Values, share: float) -> Values:
    """Leave a share of the cells without a value."""
    nothing: Any = {"f": np.nan, "M": np.datetime64("NaT")}.get(values.dtype.kind)
    changed = values.copy()
    changed[drawn < share] = nothing
    return changed


def shifted(values: Values, _: Column, sign: Values, hours: float) -> Values:
    """Move dates, all of a row in one direction."""
    steps = (sign * hours * 3600).astype("timedelta64[s]")
    moved: Values = (values + steps).astype(values.dtype)
    return moved


def corrupted_columns(
    name: str, columns: Mapping[Key, Values], seen: Mapping[Key, Column], severity: int, rngs: Generators
) -> dict[Key, Values]:
    """Return the columns that a corruption changes.

    Args:
        name: of the corruption.
        columns: the batch, one array (rows,) for each.
        seen: what each column is.
        severity: 1 to 5.
        rngs: one generator for each row.
    """
    level, change = LEVELS[name][severity - 1], TABULAR[name]
    names = [key for key in columns if _is_changed(name, seen[key])]
    drawn = _drawn(name, seen, names, rngs)
    changed = {}
    for key in names:
        values = columns[key]
        new = change(values, seen[key], drawn[key], level)
        if values.dtype.kind in "iu" and new.dtype.kind == "f":
            info = np.iinfo(values.dtype)
            new = np.clip(np.round(new), info.min, info.max)
        changed[key] = new.astype(values.dtype, copy=False)
    return changed


def _is_changed(name: str, column: Column) -> bool:
    if name == "missing_cells":
        return column.gaps
    return column.kind == {"swapped_categories": "category", "shifted_time": "time"}.get(name, "number")


def _drawn(name: str, seen: Mapping[Key, Column], names: Sequence[Key], rngs: Generators) -> dict[Key, Values]:
    """Return a random number of each row for each column; the columns of one block share theirs."""
    count = len(names)
    if name == "unit_slip":
        chosen = np.array([rng.integers(max(count, 1)) for rng in rngs])
        return {key: chosen == at for at, key in enumerate(names)}
    if name == "shifted_time":
        signs = np.array([1 if rng.random() < 0.5 else -1 for rng in rngs])
        return dict.fromkeys(names, signs)
    if name == "column_noise":
        numbers = np.array([rng.standard_normal(count) for rng in rngs]).reshape(len(rngs), count)
    elif name in {"shuffled_cells", "swapped_categories"}:
        pairs = np.array([rng.random((2, count)) for rng in rngs]).reshape(len(rngs), 2, count)
        numbers = np.floor(pairs[:, 0] * 2**20) + pairs[:, 1]
    else:
        numbers = np.array([rng.random(count) for rng in rngs]).reshape(len(rngs), count)
    first: dict[int, int] = {}
    of = [first.setdefault(seen[key].block, at) if seen[key].block >= 0 else at for at, key in enumerate(names)]
    return {key: numbers[:, at] for key, at in zip(names, of, strict=True)}


TABULAR: Mapping[str, Change] = {
    "column_noise": noise,
    "missing_cells": gap,
    "shuffled_cells": from_other_rows,
    "swapped_categories": from_other_rows,
    "unit_slip": unit,
    "coarse_cells": coarse,
    "shifted_time": shifted,
}
