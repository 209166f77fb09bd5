"""Which corruptions fit evaluation data, and what they must know of them: forms, ranges, columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, is_sparse, is_tensor, leaves, number_parts, pick, rows, shapes
from pytest_modelbench.data.corruptions.names import AUTO, Corruption, of_family
from pytest_modelbench.data.corruptions.tabular import Column, Key, Values, blocks_of, column_of, lacking
from pytest_modelbench.data.edge_cases import kind_of
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, DoesNotFit, NotApplicable

IntArray = npt.NDArray[np.intp]
CHANNELS = (1, 3, 4)
MOST_COLUMNS = 1000
MOST_SEEN = 5000
NEAR = 0.05
LEAST_USED = 0.02
ROUNDING = 1e-3
"""The share of the range by which values may lie outside of it, as a range is written with few digits."""
TOKENS = (
    "the inputs are token ids, which no corruption can change into others that mean something. Corruptions of text "
    "act before the tokenizer: evaluate a model that takes texts (a pipeline)"
)


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """What corruptions know of one array of the inputs.

    Attributes:
        family: the family that fits it, "" for an array that stays as it is.
        axis: of the channels (images) or of time (series) in one sample; None for images without channels.
        low, high: the range that values are clipped to.
        columns: of a table, by name or position.
    """

    family: str = ""
    axis: int | None = None
    low: float = 0.0
    high: float = 1.0
    columns: Mapping[Key, Column] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The corruptions that fit some data, and what each array of the inputs is for each family; notes for readers."""

    corruptions: tuple[Corruption, ...]
    leaves: Mapping[str, tuple[Leaf, ...]]
    notes: tuple[str, ...] = ()


def fit(
    data: EvalData,
    named: str | Sequence[Corruption],
    chosen: IntArray | None = None,
    limits: Sequence[float] | None = None,
) -> Fit:
    """Find which corruptions fit, and look at the data as far as they need it.

    Args:
        data: the evaluation data.
        named: corruptions, a family, or `auto` for the family that the inputs are of.
        chosen: the positions of the samples that are used, in order; all by default.
        limits: the stated range of images and series.

    Raises:
        NotApplicable: the inputs are token ids.
        DoesNotFit: nothing fits, or the inputs may be of several families; the message says what to write.
        DataError: the stated range is not that of the inputs.
    """
    first = next(iter(data.batches())).inputs
    if isinstance(named, str):
        named = of_family(family_of(first) if named == AUTO else named)
    forms = {family: _forms(first, family) for family in dict.fromkeys(c.family for c in named) if family}
    seen = _seen(data, chosen)
    known = {family: _known(family, form, seen, limits) for family, form in forms.items()}
    if len(forms) < len({corruption.family for corruption in named}):
        known[""] = _custom(first, seen, limits)
    lacking_of = {c: why for c in named if (why := _lacks(c, first, known))}
    for corruption, why in lacking_of.items():
        if not corruption.optional or len(lacking_of) == len(named):
            raise DoesNotFit(f"corruption '{corruption}' needs a {why}, and the inputs have none")
    notes = tuple(f"{corruption} left out: the inputs have no {why}" for corruption, why in lacking_of.items())
    return Fit(corruptions=tuple(c for c in named if c not in lacking_of), leaves=known, notes=notes)


def family_of(inputs: Any) -> str:
    """Return the family of corruptions that a batch is for, where only one fits.

    Raises:
        NotApplicable: token ids.
        DoesNotFit: none, or more than one.
    """
    parts = leaves(inputs)
    if any(hasattr(leaf, "columns") for leaf in parts):
        return "tabular"
    if any(_is_text(leaf) for leaf in parts):
        return "text"
    arrays = [array for leaf in parts for array in number_parts(leaf)]
    if any(array.ndim == 4 for array in arrays):
        return "images"
    if kind_of(inputs) == "tokens":
        raise NotApplicable(TOKENS)
    if arrays and all(array.ndim <= 2 and array[0].size <= MOST_COLUMNS for array in arrays):
        return "tabular"
    several = "images, series or a table" if arrays else "nothing that corruptions are for"
    choices = "corruptions='images', 'series' or 'tabular'" if arrays else "corruptions='module:function'"
    raise DoesNotFit(f"inputs of shape {shapes(inputs)} may be {several}. Write {choices}")


def _is_text(leaf: Any) -> bool:
    if isinstance(leaf, list):
        return bool(leaf) and all(isinstance(row, str) for row in leaf)
    kind = getattr(getattr(leaf, "dtype", None), "kind", "")
    return kind == "U" or (kind == "O" and len(leaf) > 0 and all(isinstance(row, str) for row in list(leaf)))


def _forms(inputs: Any, family: str) -> tuple[Leaf, ...]:
    """Say which arrays a family changes, without looking at values.

    Raises:
        NotApplicable: token ids.
        DoesNotFit: it changes none.
    """
    if family != "tabular" and kind_of(inputs) == "tokens":
        raise NotApplicable(TOKENS)
    forms = tuple(_form(leaf, family) for leaf in leaves(inputs))
    if not any(form.family for form in forms):
        examples = {
            "images": "images: (samples, height, width), with 1, 3 or 4 channels first or last",
            "series": "series: (samples, time), or with channels",
            "tabular": "a table: a frame, or numbers of shape (samples, columns)",
            "text": "texts: a list of strings, or a column of them",
        }
        raise DoesNotFit(f"the corruptions are for {examples[family]}; found inputs of shape {shapes(inputs)}")
    return forms


def _form(leaf: Any, family: str) -> Leaf:
    if hasattr(leaf, "columns"):
        if family == "text":
            return Leaf(family="text" if any(_is_text(leaf[column]) for column in leaf.columns) else "")
        return Leaf(family="tabular" if family == "tabular" else "")
    if family == "text" or _is_text(leaf):
        return Leaf(family=family if _is_text(leaf) and family in {"text", "tabular"} else "")
    if is_sparse(leaf) or not number_parts(leaf):
        return Leaf()
    shape = number_parts(leaf)[0].shape[1:]
    if family == "images" and len(shape) in {2, 3}:
        axis = None if len(shape) == 2 else _channels(shape, first=is_tensor(leaf))
        return Leaf(family="images" if len(shape) == 2 or axis is not None else "", axis=axis)
    if family == "series" and len(shape) in {1, 2}:
        return Leaf(family="series", axis=int(np.argmax(shape)))
    return Leaf(family="tabular" if family == "tabular" and len(shape) <= 1 else "")


def _channels(shape: Sequence[int], *, first: bool) -> int | None:
    places = [axis for axis in (0, 2) if shape[axis] in CHANNELS]
    if len(places) == 2:
        return 0 if first else 2
    return places[0] if places else None


def _seen(data: EvalData, chosen: IntArray | None) -> list[Any]:
    """Return the inputs of the first of the samples that are used, as batches."""
    batches, count = [], 0
    for inputs in (inputs for inputs, *_ in read(data, data.batch_size, chosen)):
        batches.append(inputs)
        count += rows(inputs)
        if count >= MOST_SEEN:
            break
    return batches


def read(data: EvalData, batch_size: int, chosen: IntArray | None) -> Iterator[tuple[Any, Any, Sequence[Any]]]:
    """Yield inputs, targets and ids of the samples at some positions, batch by batch; all samples by default."""
    start = 0
    for batch in data.batches(batch_size):
        count = rows(batch.inputs)
        if chosen is None:
            yield batch.inputs, batch.targets, batch.ids
        else:
            first, last = np.searchsorted(chosen, [start, start + count])
            index = chosen[first:last] - start
            if len(index):
                targets = None if batch.targets is None else pick(batch.targets, index)
                yield pick(batch.inputs, index), targets, [batch.ids[i] for i in index.tolist()]
        start += count


def _known(
    family: str, forms: Sequence[Leaf], seen: Sequence[Any], limits: Sequence[float] | None
) -> tuple[Leaf, ...]:
    """Add what the values say: ranges, columns."""
    known = []
    for number, form in enumerate(forms):
        parts = [leaves(batch)[number] for batch in seen]
        if form.family == "tabular":
            known.append(replace(form, columns=_columns(parts)))
        elif form.family in {"images", "series"}:
            low, high = _range(family, parts, limits)
            known.append(replace(form, low=low, high=high))
        else:
            known.append(form)
    return tuple(known)


def _columns(parts: Sequence[Any]) -> dict[Key, Column]:
    arrays = [columns_of(part) for part in parts]
    return blocks_of({key: column_of(np.concatenate([columns[key] for columns in arrays])) for key in arrays[0]})


def columns_of(leaf: Any) -> dict[Key, Values]:
    """Return the columns of a frame by name, or of an array by position; those of other types as objects."""
    if hasattr(leaf, "columns"):
        return {name: _values(leaf[name]) for name in leaf.columns}
    array = np.asarray(leaf) if isinstance(leaf, list) else as_array(leaf)
    return {at: array[:, at] for at in range(array.shape[1])} if array.ndim == 2 else {0: array}


def _values(column: Any) -> Values:
    values: Values = np.asarray(column.to_numpy())
    return values


def _range(family: str, parts: Sequence[Any], limits: Sequence[float] | None) -> tuple[float, float]:
    """Return the range that corrupted values are clipped to.

    Raises:
        DoesNotFit: it is not stated, and not safe to infer.
        DataError: the inputs are not in the stated one, or in a small part of it.
    """
    arrays = [number_parts(part)[0] for part in parts]
    low, high = least_and_most(arrays)
    told = f"the inputs run from {low:.4g} to {high:.4g}"
    if limits is not None:
        least, most = float(limits[0]), float(limits[1])
        stated = f"range=({least:g}, {most:g})"
        if outside(low, high, least, most):
            raise DataError(f"{stated}, and {told}. Write the range that the model's inputs have")
        if high - low < LEAST_USED * (most - least):
            raise DataError(f"{stated}, and {told}: less than {LEAST_USED:.0%} of it. Write the inputs' own range")
        return least, most
    if family == "series":
        return low, high
    if arrays[0].dtype == np.uint8:
        return 0.0, 255.0
    if arrays[0].dtype.kind == "f" and low >= 0 and high <= 1 and low <= NEAR and high >= 1 - NEAR:
        return 0.0, 1.0
    raise DoesNotFit(
        f"{told}: which values can they have? Are they normalised? Write range=(lo, hi), the least and the greatest "
        "value that an input can have"
    )


def outside(low: float, high: float, least: float, most: float) -> bool:
    """Whether values from `low` to `high` leave a range by more than rounding."""
    slack = ROUNDING * (most - least)
    return low < least - slack or high > most + slack


def least_and_most(arrays: Sequence[Values]) -> tuple[float, float]:
    """Return the least and the greatest finite value; 0 and 0 where there is none."""
    finite = [array[np.isfinite(array)] for array in arrays]
    held = [array for array in finite if array.size]
    return (
        float(min((array.min() for array in held), default=0.0)),
        float(max((array.max() for array in held), default=0.0)),
    )


def _custom(inputs: Any, seen: Sequence[Any], limits: Sequence[float] | None) -> tuple[Leaf, ...]:
    """Return what custom corruptions are clipped to: the range that is stated or safe to infer, or none."""
    known = []
    for number, leaf in enumerate(leaves(inputs)):
        low, high = -np.inf, np.inf
        if not hasattr(leaf, "columns") and not is_sparse(leaf) and number_parts(leaf):
            try:
                low, high = _range("images", [leaves(batch)[number] for batch in seen], limits)
            except DoesNotFit:
                low, high = -np.inf, np.inf
        known.append(Leaf(low=low, high=high))
    return tuple(known)


def _lacks(corruption: Corruption, inputs: Any, known: Mapping[str, Sequence[Leaf]]) -> str:
    """Return what a corruption needs and the inputs do not have, "" if nothing."""
    leaves_of = [leaf for leaf in known.get(corruption.family, ()) if leaf.family]
    if corruption.family == "tabular":
        return lacking(corruption.name, [column for leaf in leaves_of for column in leaf.columns.values()])
    if corruption.name == "saturate":
        pairs = zip(leaves(inputs), known["images"], strict=True)
        coloured = any(form.family and form.axis is not None and _size(leaf, form.axis) >= 3 for leaf, form in pairs)
        return "" if coloured else "third colour channel"
    return ""


def _size(leaf: Any, axis: int) -> int:
    return int(number_parts(leaf)[0].shape[1 + axis])
