"""Edge cases made from the evaluation inputs: their shapes, dtypes and ranges, with odd values in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import (
    as_array,
    duplicate,
    is_tensor,
    leaves,
    like,
    map_tree,
    number_parts,
    pick,
    rows,
    take,
)
from pytest_modelbench.data.case_names import BUILT_IN
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DataError, NotApplicable, cause_of

ROWS = 8
ODD_ROWS = 7
TINY = 1e-6
HUGE = 1e3
_MASKS = ("mask", "type_ids", "position")
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class InputRange:
    """What the inputs are like over the whole data; ids are those of token inputs.

    `kind` is `floats`, `integers` (images of bytes, counts), `tokens` (integer sequences) or `other` (texts).
    """

    kind: str
    largest: float
    mean: float
    lowest_id: int
    highest_id: int
    padding_id: int


@dataclass(frozen=True, kw_only=True)
class EdgeCase:
    """One edge case: what to feed, and which rows of it are real samples.

    Attributes:
        name: the item's id.
        what: what is odd about it.
        inputs: the batch to feed.
        plain: the batch of real samples that it was made from.
        origin: for every row of `inputs`, the row of `plain` that it equals, or -1.
        select: the head to judge, as the data state it.
        teacher: returns the teacher's Model, or None where there is none.
    """

    name: str
    what: str
    inputs: Any = field(repr=False)
    plain: Any = field(repr=False)
    origin: npt.NDArray[np.intp] = field(repr=False)
    select: str | int | None = None
    teacher: Callable[[], Any] = field(default=lambda: None, repr=False)

    def __str__(self) -> str:
        return f"edge case {self.name!r} ({self.what})"


def input_range(data: EvalData) -> InputRange:
    """Read the data once and return what its inputs are like."""
    kind, largest, total, count = "other", 0.0, 0.0, 0
    low, high, padding = np.iinfo(np.int64).max, 0, 0
    for batch in data.batches():
        kind = kind_of(batch.inputs) if count == 0 else kind
        for values in _value_parts(batch.inputs, kind):
            finite = values[np.isfinite(values)]
            largest = max(largest, float(np.abs(finite).max(initial=0.0)))
            total, count = total + float(finite.sum(dtype=np.float64)), count + finite.size
            if kind == "tokens" and values.size:
                low, high = min(low, int(values.min())), max(high, int(values.max()))
        count = max(count, 1)
        padding = _padding_of(batch.inputs) if kind == "tokens" and padding == 0 else padding
    return InputRange(
        kind=kind, largest=largest or 1.0, mean=total / count, lowest_id=int(low), highest_id=high, padding_id=padding
    )


def make_case(
    name: str, data: EvalData, seen: InputRange, teacher: Callable[[], Any], own: Callable[[Any], Any] | None = None
) -> EdgeCase:
    """Make one case for the data.

    Args:
        name: of a built-in or a custom case.
        data: the evaluation data.
        seen: what `input_range` found in it.
        teacher: returns the teacher, or None.
        own: the user's function, for a custom case.

    Raises:
        NotApplicable: the case makes no sense for such inputs.
        DataError: the user's function raised.
    """
    plain = duplicate(next(data.batches(ROWS)).inputs)
    what = BUILT_IN[name].what if own is None else ((own.__doc__ or "").strip() or "registered").splitlines()[0]
    if own is not None:
        try:
            inputs = own(duplicate(plain))
            origin = np.full(rows(inputs), -1)
        except Exception as error:
            raise DataError(f"edge case {name!r}: the function raised {cause_of(error)}") from error
    else:
        _check_applies(name, seen.kind)
        inputs, origin = _BUILD.get(name, _filled)(name, plain, seen)
    return EdgeCase(
        name=name, what=what, inputs=inputs, plain=plain, origin=origin, select=data.select, teacher=teacher
    )


def _check_applies(name: str, kind: str) -> None:
    wanted = BUILT_IN[name].inputs
    fits = {"numbers": {"floats", "integers"}, "floats": {"floats"}, "tokens": {"tokens"}}.get(wanted)
    if fits is not None and kind not in fits:
        actual = {"other": "no numbers", "tokens": "token ids", "integers": "integers", "floats": "floating-point"}[
            kind
        ]
        needed = {"tokens": "integer sequences", "floats": "floating-point inputs", "numbers": "numbers"}[wanted]
        raise NotApplicable(f"edge case {name!r} is for {needed}, and the inputs are {actual}")


def kind_of(inputs: Any) -> str:
    """Return what a batch holds: `floats`, `integers`, `tokens` (integer sequences) or `other`."""
    parts = [part for leaf in leaves(inputs) for part in number_parts(leaf)]
    if any(values.dtype.kind == "f" for values in parts):
        return "floats"
    if not parts:
        return "other"
    sequences = all(values.ndim == 2 and values.dtype.itemsize >= 4 for values in parts)
    return "tokens" if sequences and not any(hasattr(leaf, "columns") for leaf in leaves(inputs)) else "integers"


def _value_parts(inputs: Any, kind: str) -> list[Array]:
    """Return the numbers of a batch, masks of tokens apart."""
    named = [leaf for key, leaf in _named_leaves(inputs) if kind != "tokens" or not _is_mask(key)]
    return [part for leaf in named for part in number_parts(leaf)]


def _named_leaves(inputs: Any) -> list[tuple[str, Any]]:
    if isinstance(inputs, Mapping):
        return [(str(key), leaf) for key, value in inputs.items() for leaf in leaves(value)]
    return [("", leaf) for leaf in leaves(inputs)]


def _is_mask(key: str) -> bool:
    return any(word in key for word in _MASKS)


def _padding_of(inputs: Any) -> int:
    """Return the id under a zero of the attention mask, or 0."""
    named = dict(_named_leaves(inputs))
    mask = next((as_array(leaf) for key, leaf in named.items() if "attention_mask" in key), None)
    tokens = next((as_array(leaf) for key, leaf in named.items() if not _is_mask(key)), None)
    if mask is None or tokens is None or mask.shape != tokens.shape or not (mask == 0).any():
        return 0
    return int(tokens[mask == 0][0])


@dataclass(frozen=True, kw_only=True)
class Span:
    """What the numbers of an array can be, in its own dtype: `kind` is that of numpy, `f`, `i` or `u`."""

    kind: str
    largest: float
    subnormal: float = 0.0


def _span(leaf: Any, values: Array) -> Span:
    if values.dtype.kind != "f":
        return Span(kind=values.dtype.kind, largest=float(np.iinfo(values.dtype).max))
    if is_tensor(leaf):
        import torch

        limits = torch.finfo(leaf.dtype)  # half precision has no numpy twin that travels
        return Span(kind="f", largest=limits.max, subnormal=8 * limits.smallest_normal * limits.eps)
    info = np.finfo(values.dtype)
    return Span(kind="f", largest=float(info.max), subnormal=8 * float(info.smallest_subnormal))


def _changed(inputs: Any, kind: str, change: Callable[[Array, Span], Array]) -> Any:
    """Apply a change to the numbers of a batch, a frame's column by column; masks and texts stay."""
    if isinstance(inputs, Mapping):
        return {
            key: value if kind == "tokens" and _is_mask(str(key)) else _changed(value, kind, change)
            for key, value in inputs.items()
        }
    if isinstance(inputs, tuple):
        return tuple(_changed(value, kind, change) for value in inputs)
    if hasattr(inputs, "columns"):
        changed = {column: _changed(inputs[column], kind, change) for column in inputs.columns}
        if not hasattr(inputs, "iloc"):
            return inputs.with_columns(**changed)
        frame = inputs.copy()
        for column, values in changed.items():
            frame[column] = values
        return frame
    parts = number_parts(inputs)
    return like(inputs, change(parts[0], _span(inputs, parts[0]))) if parts else inputs


def _filled(name: str, plain: Any, seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    """Fill every value with one number."""

    def change(values: Array, span: Span) -> Array:
        return np.full(values.shape, _fill_value(name, span, seen))

    return _changed(plain, seen.kind, change), np.full(rows(plain), -1)


def _fill_value(name: str, span: Span, seen: InputRange) -> float | int:
    huge = min(HUGE * seen.largest, span.largest / 4 if span.kind == "f" else span.largest)
    value = {
        "zeros": 0,
        "ones": 1,
        "constant": seen.mean,
        "huge": huge,
        "tiny": TINY * seen.largest,
        "denormal": span.subnormal,
        "padding-only": seen.padding_id,
        "lowest-id": seen.lowest_id,
        "highest-id": seen.highest_id,
        "unseen-id": seen.highest_id + 1,
    }[name]
    return value if span.kind == "f" else int(min(max(value, 0 if span.kind == "u" else value), span.largest))


def _negative(_name: str, plain: Any, seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    if all(values.dtype.kind == "u" for values in _value_parts(plain, seen.kind)):
        raise NotApplicable("edge case 'negative' is for signed inputs, and these are unsigned")

    def change(values: Array, span: Span) -> Array:
        return values if span.kind == "u" else -np.abs(values)

    return _changed(plain, seen.kind, change), np.full(rows(plain), -1)


def _poisoned(name: str, plain: Any, seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    """Put NaN or infinity into every other row; the rows between are real samples."""

    def change(values: Array, span: Span) -> Array:
        if span.kind != "f":
            return values
        poisoned = values.copy()
        poisoned[1::2] = np.nan if name == "nan" else np.inf
        return poisoned

    origin = np.arange(rows(plain))
    origin[1::2] = -1
    return _changed(plain, seen.kind, change), origin


def _few(name: str, plain: Any, _seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    count = min({"empty-batch": 0, "batch-1": 1, "odd-batch": ODD_ROWS}[name], rows(plain))
    return take(plain, 0, count), np.full(count, -1)  # whether answers depend on the batch size is not asked here


def _strided(_name: str, plain: Any, _seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    def stride(leaf: Any) -> Any:
        if is_tensor(leaf) and leaf.ndim > 1:
            return leaf.repeat_interleave(2, dim=-1)[..., ::2]
        if isinstance(leaf, np.ndarray) and leaf.ndim > 1:
            return np.repeat(leaf, 2, axis=-1)[..., ::2]
        return leaf

    if not any(is_tensor(leaf) or isinstance(leaf, np.ndarray) for leaf in leaves(plain)):
        raise NotApplicable("edge case 'non-contiguous' is for arrays and tensors")
    return map_tree(stride, plain), np.arange(rows(plain))


def _reordered(name: str, plain: Any, _seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    count = rows(plain)
    index = np.zeros(count, dtype=np.intp) if name == "repeated" else np.arange(count)[::-1].copy()
    return pick(plain, index), index


def _sequence(name: str, plain: Any, _seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    length = {"no-tokens": 0, "one-token": 1}[name]
    return map_tree(lambda leaf: leaf[:, :length] if leaf.ndim > 1 else leaf, plain), np.full(rows(plain), -1)


def _longest(_name: str, plain: Any, seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    """Fill the padding with the first token that is none."""

    def fill(key: str, leaf: Any) -> Any:
        values = as_array(leaf)
        if _is_mask(key):
            return like(leaf, np.ones_like(values)) if "attention" in key else leaf
        real = values[values != seen.padding_id]
        return like(leaf, np.where(values == seen.padding_id, real[0] if real.size else values, values))

    named = {key: fill(str(key), leaf) for key, leaf in plain.items()} if isinstance(plain, Mapping) else None
    return named if named is not None else map_tree(lambda leaf: fill("", leaf), plain), np.full(rows(plain), -1)


def _padding(name: str, plain: Any, seen: InputRange) -> tuple[Any, npt.NDArray[np.intp]]:
    filled, origin = _filled(name, plain, seen)
    if isinstance(filled, Mapping):
        filled = {
            key: like(leaf, np.zeros_like(as_array(leaf))) if "attention" in str(key) else leaf
            for key, leaf in filled.items()
        }
    return filled, origin


_BUILD: dict[str, Callable[[str, Any, InputRange], tuple[Any, npt.NDArray[np.intp]]]] = {
    "negative": _negative,
    "nan": _poisoned,
    "inf": _poisoned,
    "empty-batch": _few,
    "batch-1": _few,
    "odd-batch": _few,
    "non-contiguous": _strided,
    "permuted": _reordered,
    "repeated": _reordered,
    "no-tokens": _sequence,
    "one-token": _sequence,
    "longest": _longest,
    "padding-only": _padding,
}
