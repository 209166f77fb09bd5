"""Parity: by how much the outputs of a deployed model differ from those of the model that it was made from.

For each output with the reference's values r and the candidate's g, in float64:

    e = |g - r| / (scale + |r|),  scale = median |r| of the output

Parity is the largest e of all elements and outputs. The median makes it independent of the outputs' unit, and one
large value does not hide an error of the others, as it does with the root mean square. One number is an absolute and
a relative tolerance at once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.exports.pairing import Array, Pair, Paired, pair, rows_of
from pytest_modelbench.exports.unrelated import unrelated

EXPECTED = (("float32", 1e-5), ("float16", 2e-3), ("bfloat16", 2e-2), ("int8", 5e-2))
"""Number types, each with the greatest parity that its rounding explains."""
ALLCLOSE_RTOL = 1e-5
"""The `rtol` that numpy.allclose has by default."""
_NEAR = 1e-2
"""Outputs that agree this well hold the same values; those that do not are looked for under other names."""
_OVERFLOW = 1e307


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The outputs of one batch of `rows` samples, paired."""

    rows: int
    paired: Paired


@dataclass(frozen=True, kw_only=True)
class OutputParity:
    """The parity of one output; see `Parity` for the fields.

    `elements` are those that are finite in both. `scale` is what differences are relative to, 0 for an output of
    integers, truth values or texts.
    """

    name: str
    value: float
    scale: float
    worst_sample: int
    max_abs: float
    rtol: float
    atol: float
    argmax_agreement: float | None
    elements: int
    broken: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {name: value for name, value in vars(self).items() if name != "broken"}


@dataclass(frozen=True, kw_only=True)
class Parity:
    """By how much a candidate's outputs differ from a reference's.

    Attributes:
        value: the largest e of all elements and outputs; for integers, truth values and texts the share that differs.
            Infinite if a rule before the number is broken.
        broken: the broken rule in words, such as "the output 'aux' is missing"; "" if none is.
        nothing: whether no element was compared, so that the value says nothing.
        worst_output: the name of the output with the largest value.
        worst_sample: the position of the sample with the largest value; -1 if it belongs to no sample.
        max_abs: the largest absolute difference.
        rtol: the least `rtol` with which numpy.allclose accepts the outputs at `atol=0`.
        atol: the least `atol` with which numpy.allclose accepts the outputs at `rtol=1e-5`.
        argmax_agreement: the share of rows whose largest value is at the same position, the least of all outputs;
            None if no output has rows of several values.
        elements: how many elements were compared: those that are finite in both.
        samples: how many samples were compared.
        by_position: whether several outputs were paired by their order, because one side has no names.
        mislabelled: which outputs hold the values of another one; "" if none does.
        unrelated: that an output is that of another model; "" if it is not, or cannot be known.
        outputs: the same for each output.
        compared: the outputs themselves, from which parts are joined.
    """

    value: float
    broken: str = ""
    nothing: bool = False
    worst_output: str = ""
    worst_sample: int = -1
    max_abs: float = 0.0
    rtol: float = 0.0
    atol: float = 0.0
    argmax_agreement: float | None = None
    elements: int = 0
    samples: int = 0
    by_position: bool = False
    mislabelled: str = ""
    unrelated: str = ""
    outputs: tuple[OutputParity, ...] = ()
    compared: tuple[Compared, ...] = field(default=(), repr=False, compare=False)

    def as_words(self) -> str:
        """Say which number type explains the value, or which rule is broken.

        >>> Parity(value=3e-4).as_words()
        'as expected of float16 (<= 0.002)'
        """
        if self.broken:
            return self.broken
        if self.nothing:
            return "nothing was compared: the outputs have no finite elements"
        fits = next((f"{name} (<= {most:g})" for name, most in EXPECTED if self.value <= most), "")
        return f"as expected of {fits}" if fits else f"more than rounding explains (> {EXPECTED[-1][1]:g})"

    def outside(self, atol: float, rtol: float) -> float:
        """Return the share of elements that numpy.allclose would refuse: |g - r| > atol + rtol |r|, from 0 to 1.

        Integers, truth values and texts must be equal. A broken rule refuses all.
        """
        if self.broken or not self.elements:
            return 1.0
        refused = 0
        for output in (output for batch in self.compared for output in batch.paired.pairs):
            if output.whole:
                refused += int((output.reference != output.candidate).sum())
                continue
            r, g = _finite(output)
            refused += int((np.abs(g - r) > atol + rtol * np.abs(r)).sum())
        return refused / self.elements

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name as plain JSON types; an infinite one is None."""
        named = {
            name: value
            for name, value in vars(self).items()
            if name not in {"compared", "outputs"} and not isinstance(value, str)
        }
        finite = {
            name: None if isinstance(value, float) and math.isinf(value) else value for name, value in named.items()
        }
        return {**finite, "worst_output": self.worst_output, "words": self.as_words()}


def compare(reference: Any, candidate: Any, *, rows: int) -> Parity:
    """Compare the outputs of two models for one batch.

    The rules come in this order: names, number, kinds and shapes of the outputs; values that are finite in one and
    not in the other; whether anything was compared; the number.

    Args:
        reference: the outputs of the model that the candidate was made from: an array, a tuple or a mapping.
        candidate: the outputs of the deployed model.
        rows: how many samples the batch has.

    Raises:
        ModelError: an output is not an array.
    """
    return _parity([Compared(rows=rows, paired=pair(reference, candidate))])


def join(parts: Sequence[Parity]) -> Parity:
    """Return the parity of several batches as if they were one, with one scale for each output.

    Args:
        parts: the parity of each batch, in the order of the samples; at least one.
    """
    return _parity([batch for part in parts for batch in part.compared])


def _parity(compared: Sequence[Compared]) -> Parity:
    samples, paired = sum(batch.rows for batch in compared), [batch.paired for batch in compared]
    whole = functools.partial(
        Parity,
        samples=samples,
        by_position=any(pairing.by_position for pairing in paired),
        compared=tuple(compared),
    )
    broken = next((pairing.broken for pairing in paired if pairing.broken), "") or _changing(paired)
    if broken:
        broken = "; ".join(filter(None, (broken, _mislabelled(compared))))
        return whole(value=math.inf, broken=broken, mislabelled=_mislabelled(compared))
    outputs = [
        _output([(batch.rows, batch.paired.pairs[at]) for batch in compared]) for at in range(len(paired[0].pairs))
    ]
    elements = sum(output.elements for output in outputs)
    broken = "; ".join(output.broken for output in outputs if output.broken)
    if broken or not elements:
        nothing = not broken
        return whole(
            value=0.0 if nothing else math.inf,
            broken=broken,
            nothing=nothing,
            elements=elements,
            outputs=tuple(outputs),
        )
    worst = max(outputs, key=lambda output: output.value)
    mislabelled = _mislabelled(compared) if worst.value > _NEAR else ""
    at = outputs.index(worst)
    alien = worst.value > EXPECTED[-1][1] and not mislabelled
    agreements = [output.argmax_agreement for output in outputs if output.argmax_agreement is not None]
    return whole(
        value=worst.value,
        worst_output=worst.name,
        worst_sample=worst.worst_sample,
        max_abs=max(output.max_abs for output in outputs),
        rtol=max(output.rtol for output in outputs),
        atol=max(output.atol for output in outputs),
        argmax_agreement=min(agreements, default=None),
        elements=elements,
        mislabelled=mislabelled,
        unrelated=unrelated([pairing.pairs[at] for pairing in paired]) if alien else "",
        outputs=tuple(outputs),
    )


def _changing(paired: Sequence[Paired]) -> str:
    names = [[output.name for output in pairing.pairs] for pairing in paired]
    other = next((outputs for outputs in names if outputs != names[0]), None)
    return "" if other is None else f"the outputs change with the batch: {names[0]} and {other}"


def _output(batches: Sequence[tuple[int, Pair]]) -> OutputParity:
    """Return the parity of one output over all batches.

    Args:
        batches: of each batch the number of its samples, and the output.
    """
    starts = np.cumsum([0, *(rows for rows, _ in batches)])
    places = [rows_of(output.reference, rows) for rows, output in batches]
    sample = np.concatenate(
        [np.where(place < 0, -1, place + start) for place, start in zip(places, starts[:-1], strict=True)]
    )
    r, g = (
        np.concatenate([getattr(output, side).ravel() for _, output in batches])
        for side in ("reference", "candidate")
    )
    pairs = [output for _, output in batches]
    return _of_equality(pairs, r, g, sample) if pairs[0].whole else _of_numbers(pairs, _wide(r), _wide(g), sample)


def _of_equality(pairs: Sequence[Pair], r: Array, g: Array, sample: Array) -> OutputParity:
    """Return the share of values that differ, for outputs whose values are equal or not."""
    differs = np.asarray(r != g)
    numbers = bool(differs.any()) and r.dtype.kind in "iu"
    apart = np.abs(r[differs].astype(np.float64) - g[differs].astype(np.float64)) if numbers else np.zeros(0)
    relative = _over(apart, np.abs(r[differs].astype(np.float64))) if numbers else np.zeros(0)
    return OutputParity(
        name=pairs[0].name,
        value=float(differs.mean()) if differs.size else 0.0,
        scale=0.0,
        worst_sample=int(sample[differs.argmax()]) if differs.any() else -1,
        max_abs=float(apart.max(initial=0.0)),
        rtol=float(relative.max(initial=0.0)),
        atol=float(apart.max(initial=0.0)),
        argmax_agreement=None,
        elements=int(differs.size),
    )


def _of_numbers(pairs: Sequence[Pair], r: Array, g: Array, sample: Array) -> OutputParity:
    finite = np.isfinite(r) & np.isfinite(g)
    broken = _nonfinite(pairs[0].name, r, g)
    r, g, sample = r[finite], g[finite], sample[finite]
    scale = scale_of(r)
    e, size = relative_difference(r, g, scale), np.abs(r)
    with np.errstate(over="ignore"):  # a difference that float64 cannot hold is infinite
        apart = np.abs(g - r)
    worst = int(e.argmax()) if e.size else -1
    return OutputParity(
        name=pairs[0].name,
        value=math.inf if broken else float(e.max(initial=0.0)),
        scale=scale,
        worst_sample=int(sample[worst]) if e.size else -1,
        max_abs=float(apart.max(initial=0.0)),
        rtol=float(_over(apart, size).max(initial=0.0)),
        atol=float((apart - ALLCLOSE_RTOL * size).max(initial=0.0)),
        argmax_agreement=_agreement(pairs),
        elements=int(finite.sum()),
        broken=broken,
    )


def scale_of(r: Array) -> float:
    """Return what the differences of an output are relative to: the median of |r|.

    If that is 0, as for sparse outputs, it is the root mean square. An output that is 0 everywhere has no scale of
    its own: its differences are absolute, which is a scale of 1.

    Args:
        r: the finite values of the reference, one dimension.
    """
    size = np.abs(r)
    if not size.size or not size.any():
        return 1.0
    median = float(np.median(size))
    if median:
        return median
    largest = float(size.max())
    return largest * float(np.sqrt(np.mean((size / largest) ** 2)))


def relative_difference(r: Array, g: Array, scale: float) -> npt.NDArray[np.float64]:
    """Return |g - r| / (scale + |r|) of each element, also of numbers whose difference float64 cannot hold."""
    largest = max(float(np.abs(r).max(initial=0.0)), float(np.abs(g).max(initial=0.0)))
    part = 0.25 if largest > _OVERFLOW else 1.0
    r, g = r * part, g * part
    difference: npt.NDArray[np.float64] = np.abs(g - r) / (scale * part + np.abs(r))
    return difference


def _over(apart: Array, size: Array) -> Array:
    """Return how large a difference is relative to a value: 0/0 is 0, and every other difference from 0 infinite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(apart == 0, 0.0, apart / size)


def _nonfinite(name: str, r: Array, g: Array) -> str:
    """Say how many values are finite in one and not in the other; NaN is equal to NaN, infinity to its like."""
    lost = int((np.isfinite(r) & ~np.isfinite(g)).sum())
    if lost:
        return f"the output {name!r}: {lost} of {r.size} values are not finite, and are in the reference"
    nan = np.isnan(r) & np.isnan(g)
    other = int((~np.isfinite(r) & ~nan & (r != g)).sum())
    return (
        f"the output {name!r}: {other} of {r.size} values are NaN or infinite in the reference, and differ"
        if other
        else ""
    )


def _agreement(pairs: Sequence[Pair]) -> float | None:
    """Return the share of rows with the largest value at the same position; None for outputs without such rows."""
    same = total = 0
    for output in pairs:
        r, g = output.reference, output.candidate
        if r.ndim < 2 or r.shape[-1] < 2 or r.dtype.kind == "c" or not r.size:
            return None
        equal = r.argmax(-1) == g.argmax(-1)
        same, total = same + int(equal.sum()), total + equal.size
    return same / total if total else None


def _mislabelled(compared: Sequence[Compared]) -> str:
    """Name the outputs that hold the values of another one, as in files whose names were given by position."""
    pairs = max(compared, key=lambda batch: batch.rows).paired.pairs
    wrong = [output for output in pairs if not _alike(output.reference, output.candidate)]
    mistakes = [
        f"{output.name!r} holds the values of {other.name!r}"
        for output in wrong
        for other in wrong
        if other is not output and _alike(other.reference, output.candidate)
    ]
    return f"{', '.join(mistakes)} (labelled by position)" if mistakes else ""


def _alike(r: Array, g: Array) -> bool:
    """Whether two arrays hold the same values, apart from rounding."""
    if r.shape != g.shape or not r.size or {r.dtype.kind, g.dtype.kind} - set("fciub"):
        return False
    wide = _wide(r), _wide(g)
    if not (np.isfinite(wide[0]).all() and np.isfinite(wide[1]).all()):
        return False
    return bool(relative_difference(*wide, scale_of(wide[0].ravel())).max() <= _NEAR)


def _finite(output: Pair) -> tuple[Array, Array]:
    r, g = _wide(output.reference), _wide(output.candidate)
    finite = np.isfinite(r) & np.isfinite(g)
    return r[finite], g[finite]


def _wide(array: Array) -> Array:
    """Return an array in float64, complex numbers in complex128."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)
