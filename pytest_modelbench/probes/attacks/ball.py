"""Where an attack may go: a ball around each input, cut off at the range of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DataError, DoesNotFit
from pytest_modelbench.grammar.radius import LEVELS, Radius

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
_TOUCHING = 0.05
"""How near to 0 and to 1 the data must come, as a share of the range, for 0 to 1 to be the range."""
_NO_ATTACK = 1e-3
"""Less of the span of the data than this is no attack, but a mistake about their range."""
ROUNDINGS = 2
"""Of the inputs' type, by which values before normalisation may be outside of their range."""
_LOOSE = 1e-5
"""By how much of the radius rounding may exceed it."""


@dataclass(frozen=True, kw_only=True)
class Ball:
    """All inputs within `low` to `high` whose distance from one is at most `radius`, in one of two norms.

    Attributes:
        radius: linf: how far each value may go. l2: the distance of an input that differs in one value only; all
            values together may go as far. One for all values, or one for each column or channel, (1, channels, 1, 1).
        low: the least value of an input, in the shape of `radius`; minus infinity where none is known.
        high: the greatest.
        norm: `linf` or `l2`.
    """

    radius: FloatArray
    low: FloatArray
    high: FloatArray
    norm: str = "linf"

    def project(self, centre: Array, inputs: Array) -> Array:
        """Return inputs inside, (n, ...), in the type of `centre`: brought to the ball, then cut off at the range.

        `centre` is within the range, so that cutting off does not leave the ball again.
        """
        moved = inputs.astype(np.float64) - centre
        if self.norm == "linf":
            moved = np.clip(moved, -self.radius, self.radius)
        else:
            moved = np.where(self.radius > 0, moved, 0.0)
            moved /= np.maximum(_spread(self._lengths(moved), moved), 1)
        return np.clip(centre + moved, self.low, self.high).astype(centre.dtype)

    def stepped(self, centre: Array, inputs: Array, direction: FloatArray, share: float) -> Array:
        """Go some share of the radius along a direction, (n, ...), and stay inside.

        linf: along its signs. l2: along the direction itself, in units of the radius.
        """
        if self.norm == "linf":
            return self.project(centre, inputs + share * self.radius * np.sign(direction))
        steepest = direction * self.radius
        steepest /= np.maximum(np.abs(steepest).max(axis=_all(steepest), keepdims=True), np.finfo(np.float64).tiny)
        return self.project(centre, inputs + share * self.radius * _unit(steepest))

    def random(self, centre: Array, rng: np.random.Generator) -> Array:
        """Return one random input around each: in a corner of the ball, of l2 on its surface."""
        if self.norm == "linf":
            return self.project(centre, centre + self.radius * rng.choice([-1.0, 1.0], centre.shape))
        return self.project(centre, centre + self.radius * _unit(rng.normal(size=centre.shape)))

    def holds(self, centre: Array, inputs: Array) -> npt.NDArray[np.bool_]:
        """Return whether each of the inputs is finite and inside, but for rounding."""
        rounding = np.finfo(centre.dtype).eps * np.abs(centre.astype(np.float64)).max(initial=1.0)
        moved = np.abs(inputs.astype(np.float64) - centre)
        inside = np.isfinite(inputs) & (moved <= self.radius * (1 + _LOOSE) + rounding)
        inside &= (inputs >= self.low - rounding) & (inputs <= self.high + rounding)
        held = np.asarray(inside.reshape(len(inputs), -1).all(axis=1))
        if self.norm == "l2":
            slack = self._lengths(np.full(moved.shape, rounding))
            held &= self._lengths(np.nan_to_num(moved, posinf=0.0)) <= 1 + _LOOSE + slack
        return held

    def whole(self) -> Ball:
        """Return the ball that is the whole range, or a hundred times as wide where none is known."""
        wide = np.where(np.isfinite(self.high - self.low), self.high - self.low, 100 * self.radius)
        return replace(self, radius=wide, norm="linf")

    def _lengths(self, moved: FloatArray) -> FloatArray:
        """Return how far each sample was moved, as a share of the radius, (n,); values that may not move count 0."""
        shares = np.divide(moved, self.radius, out=np.zeros_like(moved), where=self.radius > 0)
        return np.asarray(np.linalg.norm(shares.reshape(len(moved), -1), axis=1))


def _all(array: Array) -> tuple[int, ...]:
    return tuple(range(1, array.ndim))


def _spread(of_samples: FloatArray, like: Array) -> FloatArray:
    """Return one number for each sample, in as many dimensions as `like`."""
    return of_samples.reshape(-1, *(1 for _ in _all(like)))


def _unit(directions: FloatArray) -> FloatArray:
    """Return each sample's direction with the length 1; nothing where it has none."""
    lengths = np.linalg.norm(directions.reshape(len(directions), -1), axis=1)
    return directions / _spread(np.where(lengths > 0, lengths, 1.0), directions)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How the model's inputs follow from values before they were normalised: less `mean`, over `std`.

    Attributes:
        mean: one for all values, or one for each channel: axis 1 of images and series, the last of tables.
        std: as `mean`, above 0.
    """

    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0

    def of(self, inputs: Array) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation in a shape that goes with inputs.

        Raises:
            DataError: there are as many of them as the inputs have no channels.
        """
        mean, std = np.broadcast_arrays(np.asarray(self.mean, np.float64), np.asarray(self.std, np.float64))
        if mean.size == 1:
            return mean.reshape(()), std.reshape(())
        channels = inputs.shape[1] if inputs.ndim > 1 else 1
        if mean.size != channels:
            raise DataError(
                f"mean= and std= are for {mean.size} channels, and the inputs have {channels} (axis 1 of shape "
                f"{inputs.shape}). Write one number, or one for each channel"
            )
        shape = (1, channels, *(1 for _ in inputs.shape[2:]))
        return mean.reshape(shape), std.reshape(shape)


def ball_for(
    inputs: Array, radius: Radius, limits: tuple[float, float] | None, norm: str = "linf", scale: Scale | None = None
) -> Ball:
    """Return the ball that a radius means for some inputs.

    Args:
        inputs: all that are attacked, (n, ...).
        radius: as the user wrote it.
        limits: the least and the greatest value of an input; None where it is to be inferred.
        norm: `linf` or `l2`.
        scale: how inputs were normalised: `radius` and `limits` are then of the values before.

    Raises:
        DoesNotFit: the inputs are not an array of floating-point numbers.
        DataError: the range is not stated and cannot be inferred safely, inputs lie outside of it, or the radius
            is far too small or too large for such inputs.
    """
    if inputs.dtype.kind != "f":
        raise DoesNotFit(
            f"attacks change inputs by little, and these are of type {inputs.dtype}. Write EvalData(..., "
            "dtype='float32') if the model takes floating-point numbers"
        )
    if not np.isfinite(inputs).all():
        raise DataError("attacks need finite inputs, and some hold NaN or infinite values")
    mean, std = (scale or Scale()).of(inputs)
    values = inputs * std + mean
    slack = ROUNDINGS * float(np.finfo(inputs.dtype).eps * np.abs(inputs).max(initial=1.0) * std.max())
    if radius.of_columns:
        low, high = (-np.inf, np.inf) if limits is None else limits
        _refuse_outside(values, low - slack, high + slack, "inputs", "State")
        size = _of_columns(inputs, radius)
    else:
        low, high, size = _of_range(values, radius, limits, norm, slack, normalised=scale is not None)
        size = size / std
    axes = tuple(axis for axis in range(inputs.ndim) if axis != 1 or mean.ndim == 0)
    ends = inputs.min(axis=axes).reshape(mean.shape), inputs.max(axis=axes).reshape(mean.shape)
    return Ball(
        radius=size,
        low=np.minimum((low - mean) / std, ends[0]),
        high=np.maximum((high - mean) / std, ends[1]),
        norm=norm,
    )


def _refuse_outside(values: Array, low: float, high: float, what: str, advice: str) -> None:
    """Refuse values outside of a stated range.

    Raises:
        DataError: saying what to write.
    """
    least, most = float(values.min()), float(values.max())
    if least < low or most > high:
        raise DataError(
            f"the {what} run from {least:.4g} to {most:.4g}, and range=({low:.4g}, {high:.4g}) is stated. {advice} "
            "the range that they have: range=(lowest, highest)"
        )


def _of_range(
    values: FloatArray,
    radius: Radius,
    limits: tuple[float, float] | None,
    norm: str,
    slack: float,
    *,
    normalised: bool,
) -> tuple[float, float, FloatArray]:
    """Return the range, and how far an attack may go, of values as they are before the model's normalisation."""
    least, most = float(values.min()), float(values.max())
    what = "values before normalisation by mean= and std=" if normalised else "inputs"
    low, high = _range(least, most, what, normalised=normalised) if limits is None else limits
    size, rounding = radius.share * (high - low), max(slack, 1e-6 * (high - low)) if normalised else 0.0
    advice = "Is this how they were normalised? State" if normalised else (
        "Are they normalised? Write mean= and std= too, eps= and range= are then of the values before; or state"
    )  # fmt: skip
    _refuse_outside(values, low - rounding, high + rounding, what, advice)
    if size < _NO_ATTACK * (most - least):
        raise DataError(
            f"eps='{radius}' moves a value by {size:.3g}, and the {what} run from {least:.4g} to {most:.4g}: that is "
            f"no attack. State their range: range=(lowest, highest), such as range=(0, {LEVELS})"
        )
    if norm == "l2" and size >= (high - low) * np.sqrt(values[0].size):
        raise DataError(
            f"eps='{radius}' is further than any two inputs of {values[0].size} values are apart in l2. Write less"
        )
    return low, high, np.asarray(size)


def _range(least: float, most: float, what: str, *, normalised: bool) -> tuple[float, float]:
    rounding = 1e-6 if normalised else 0.0
    for low, high in ((0.0, 1.0), (0.0, float(LEVELS))):
        near, loose = _TOUCHING * (high - low), rounding * (high - low)
        if low - loose <= least <= low + near and high - near <= most <= high + loose:
            return low, high
    more = "" if normalised else (
        " as the model gets them; for normalised inputs write mean= and std= too, eps= and range= are then of the "
        "values before"
    )  # fmt: skip
    raise DataError(
        f"the {what} run from {least:.4g} to {most:.4g}: what may one be? State their range: "
        f"range=(lowest, highest){more}; or eps='0.1 sd' for columns of a table"
    )


def _of_columns(inputs: Array, radius: Radius) -> FloatArray:
    """Return how far each column may go, (columns,)."""
    if inputs.ndim != 2:
        raise DoesNotFit(
            f"eps='{radius}' is for the columns of a table, and the inputs have shape {inputs.shape[1:]}. Write a "
            "share of the range, such as eps='8/255'"
        )
    return np.asarray(radius.share * inputs.std(axis=0, dtype=np.float64))
