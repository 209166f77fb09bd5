"""Axes of plots: where a value is drawn, and which values are labelled.

Three scales: even, logarithmic, and one that is even near 0 and logarithmic away from it, by the inverse
hyperbolic sine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_modelbench.grammar.units import readable, with_unit

NEAR_ZERO = 0.01
"""Up to which distance the axis of margins is even."""
_STEPS = (1.0, 2.0, 5.0)
_MOST_DECADES = 4


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale from values `low` to `high` onto the lengths `start` to `end`, with its labelled values."""

    low: float
    high: float
    start: float
    end: float
    ticks: Sequence[float]
    form: Callable[[float], float]

    def at(self, value: float) -> float:
        """Return the length of a value; one outside of the axis is at its end."""
        low, high = self.form(self.low), self.form(self.high)
        share = (self.form(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Whether a value lies on the axis."""
        return self.low <= value <= self.high


def even_axis(values: Sequence[float], start: float, end: float, *, pad: float = 0.06, most: int = 5) -> Axis:
    """Return an even axis around values, of which there is at least one.

    Args:
        values: what must be on it; they are finite.
        start: the length of its low end.
        end: the length of its high end.
        pad: the share of the span that is added on either side.
        most: labelled values, about.

    >>> even_axis([0.0, 10.0], 0, 100, pad=0).ticks
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    low, high = min(values), max(values)
    span = high - low or max(abs(high), 1e-12) * 0.2
    low, high = low - pad * span, high + pad * span
    if high - low == 0:
        low, high = low - 1, high + 1
    step = _round_step((high - low) / most)
    first = math.ceil(low / step - 1e-9)
    ticks = [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis(low=low, high=high, start=start, end=end, ticks=ticks, form=float)


def _round_step(least: float) -> float:
    scale = 10.0 ** math.floor(math.log10(least))
    return next(step * scale for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * scale >= least * (1 - 1e-9))


def log_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Return a logarithmic axis around positive values."""
    low, high = min(values), max(values)
    pad = max((high / low) ** 0.06, 1.02)
    low, high = low / pad, high * pad
    if high / low < 3:
        ticks = even_axis([low, high], 0, 1, pad=0, most=4).ticks
        return Axis(low=low, high=high, start=start, end=end, ticks=ticks, form=math.log)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = _STEPS if len(decades) <= _MOST_DECADES else (1.0,)
    ticks = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
    every = max(1, -(-len(ticks) // 7))
    return Axis(low=low, high=high, start=start, end=end, ticks=ticks[::every], form=math.log)


def margin_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Return an axis of shares of a limit, on which 0 is always and small distances are as visible as large ones.

    >>> margin_axis([-0.05, 0.5], 0, 1).ticks
    [-0.01, 0.0, 0.01, 0.1]
    """
    least, most = min(*values, -0.02), max(*values, 0.02)
    low, high = 1.3 * max(least, -12.0), 1.3 * min(most, 12.0)
    sides = [sign * size for size in (10.0, 1.0, 0.1, 0.01) for sign in (-1, 1)]
    ticks = sorted([0.0, *(tick for tick in sides if low <= tick <= high)])
    return Axis(low=low, high=high, start=start, end=end, ticks=ticks, form=_squashed)


def _squashed(value: float) -> float:
    return math.asinh(value / NEAR_ZERO)


def tick_texts(ticks: Sequence[float], unit: str) -> list[str]:
    """Return the labels of ticks: numbers in the unit that reads best, the last one with it.

    >>> tick_texts([0.0, 0.05, 0.1], "ms")
    ['0', '50', '100 µs']
    """
    if not ticks:
        return []
    factor, unit = (100.0, "%") if unit == "fraction" else (1.0, unit)
    numbers, unit = readable([factor * tick for tick in ticks], unit)
    return [*numbers[:-1], with_unit(numbers[-1], unit)]
