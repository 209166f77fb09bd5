"""Where an attack may go: a ball around each input, cut off at the range of the inputs."""

from __future__ import annotations

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
_LOOSE = 1e-5
"""By how much of the radius rounding may exceed it."""


@dataclass(frozen=True, kw_only=True)
class Ball:
    """All inputs no value of which is further than `radius` from one, and all of them within `low` to `high`.

    Attributes:
        radius: of each value, or one for each column.
        low: the least value of an input; minus infinity where none is known.
        high: the greatest.
    """

    radius: FloatArray
    low: float
    high: float

    def project(self, centre: Array, inputs: Array) -> Array:
        """Return the nearest inputs inside, (n, ...), in the type of `centre`."""
        moved = np.clip(inputs.astype(np.float64) - centre, -self.radius, self.radius)
        return np.clip(centre + moved, self.low, self.high).astype(centre.dtype)

    def stepped(self, centre: Array, inputs: Array, direction: FloatArray, share: float) -> Array:
        """Go some share of the radius along the signs of a direction, (n, ...), and stay inside."""
        return self.project(centre, inputs + share * self.radius * np.sign(direction))

    def random(self, centre: Array, rng: np.random.Generator, *, corners: bool = False) -> Array:
        """Return one random input of the ball around each, in its corners if asked for."""
        unit = rng.choice([-1.0, 1.0], centre.shape) if corners else rng.uniform(-1, 1, centre.shape)
        return self.project(centre, centre + self.radius * unit)

    def holds(self, centre: Array, inputs: Array) -> npt.NDArray[np.bool_]:
        """Return whether each of the inputs is finite and inside, but for rounding."""
        rounding = np.finfo(centre.dtype).eps * np.abs(centre.astype(np.float64)).max(initial=1.0)
        moved = np.abs(inputs.astype(np.float64) - centre)
        inside = np.isfinite(inputs) & (moved <= self.radius * (1 + _LOOSE) + rounding)
        inside &= (inputs >= self.low) & (inputs <= self.high)
        return np.asarray(inside.reshape(len(inputs), -1).all(axis=1))

    def whole(self) -> Ball:
        """Return the ball that is the whole range, or a hundred times as wide where none is known."""
        wide = self.high - self.low
        return replace(self, radius=np.asarray(wide) if np.isfinite(wide) else 100 * self.radius)


def ball_for(inputs: Array, radius: Radius, limits: tuple[float, float] | None) -> Ball:
    """Return the ball that a radius means for some inputs.

    Args:
        inputs: all that are attacked, (n, ...).
        radius: as the user wrote it.
        limits: the least and the greatest value of an input; None where it is to be inferred.

    Raises:
        DoesNotFit: the inputs are not an array of floating-point numbers.
        DataError: the range is not stated and cannot be inferred safely, inputs lie outside of it, or the radius
            is far too small for such inputs.
    """
    if inputs.dtype.kind != "f":
        raise DoesNotFit(
            f"attacks change inputs by little, and these are of type {inputs.dtype}. Write EvalData(..., "
            "dtype='float32') if the model takes floating-point numbers"
        )
    if not np.isfinite(inputs).all():
        raise DataError("attacks need finite inputs, and some hold NaN or infinite values")
    least, most = float(inputs.min()), float(inputs.max())
    if radius.of_columns:
        return _of_columns(inputs, radius, limits)
    low, high = _range(least, most) if limits is None else limits
    if least < low or most > high:
        raise DataError(
            f"the inputs run from {least:.4g} to {most:.4g}, and range=({low:g}, {high:g}) is stated. Are they "
            "normalised? State the range that the model gets: range=(lowest, highest)"
        )
    size = radius.share * (high - low)
    if size < _NO_ATTACK * (most - least):
        raise DataError(
            f"eps='{radius}' moves a value by {size:.3g}, and the inputs run from {least:.4g} to {most:.4g}: that is "
            f"no attack. State their range: range=(lowest, highest), such as range=(0, {LEVELS})"
        )
    return Ball(radius=np.asarray(size), low=low, high=high)


def _range(least: float, most: float) -> tuple[float, float]:
    for low, high in ((0.0, 1.0), (0.0, float(LEVELS))):
        near = _TOUCHING * (high - low)
        if low <= least <= low + near and high - near <= most <= high:
            return low, high
    raise DataError(
        f"the inputs run from {least:.4g} to {most:.4g}: what may an input be? State its range: "
        "range=(lowest, highest), of inputs as the model gets them; or eps='0.1 sd' for columns of a table"
    )


def _of_columns(inputs: Array, radius: Radius, limits: tuple[float, float] | None) -> Ball:
    if inputs.ndim != 2:
        raise DoesNotFit(
            f"eps='{radius}' is for the columns of a table, and the inputs have shape {inputs.shape[1:]}. Write a "
            "share of the range, such as eps='8/255'"
        )
    low, high = (-np.inf, np.inf) if limits is None else limits
    return Ball(radius=radius.share * inputs.std(axis=0, dtype=np.float64), low=low, high=high)
