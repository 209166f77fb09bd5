"""Sums that do not depend on the order in which, or the parts from which, they are added: to the last bit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

MOST_EXPONENT = 1000
IntArray = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]
BITS = 20
"""Of a digit. Whole numbers below 2**53 are exact in float64, so that 2**33 digits add up without rounding."""


class ExactSums:
    """A table of sums, `rows` by kinds, each kept as whole numbers of powers of 2**`BITS`.

    A float64 is cut into digits to the base 2**`BITS`, which depend on nothing but itself. Digits of one power add up
    as whole numbers, without rounding; so do tables of parts of the data, and products with whole numbers. That is
    the idea of Kulisch's accumulator (Kulisch and Snyder, Computing 91:307 (2011)), with one word for each power.

    Args:
        rows: the number of rows.

    >>> sums = ExactSums(1)
    >>> for value in (1e16, 1.0, -1e16):
    ...     sums.add(np.zeros(1, dtype=int), np.zeros(1, dtype=int), [0], np.array([value]))
    >>> sums.rounded().tolist()
    [[1.0]]
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.labels: list[Any] = []
        self._places: dict[Any, int] = {}
        self._powers: dict[int, FloatArray] = {}
        self._undefined: set[Any] = set()

    def add(self, rows: IntArray, kinds: IntArray, labels: Sequence[Any], weights: FloatArray | None = None) -> None:
        """Add to sums.

        Args:
            rows: which row each number is added to.
            kinds: the position among `labels` of the kind that it is added to; -1 for none.
            labels: of the kinds; each is a column of the table.
            weights: what is added; 1 by default. The sum of a kind that gets NaN or infinity is NaN in all rows.
        """
        self.know(labels)
        of = len(self.labels)
        counted = slice(None) if len(kinds) and kinds.min() >= 0 else kinds >= 0
        columns = np.array([self._places[label] for label in labels], dtype=np.intp)[kinds[counted]]
        where = rows[counted] * of + columns
        digits: Iterable[tuple[int, FloatArray | None]] = [(0, None)]
        if weights is not None:
            numbers, finite = weights[counted], np.isfinite(weights[counted])
            if not finite.all():
                self._undefined |= {self.labels[column] for column in np.unique(columns[~finite]).tolist()}
                numbers = np.where(finite, numbers, 0.0)
            digits = digits_of(numbers)
        for power, digit in digits:
            if power not in self._powers:
                self._powers[power] = np.zeros((self.rows, of))
            self._powers[power] += np.bincount(where, digit, self.rows * of).reshape(self.rows, of)

    def grow(self, rows: int) -> None:
        """Make room for more rows."""
        more = ((0, rows - self.rows), (0, 0))
        self._powers = {power: np.pad(table, more) for power, table in self._powers.items()}
        self.rows = rows

    def know(self, labels: Sequence[Any]) -> None:
        """Make a column for each label that has none."""
        new = [label for label in labels if label not in self._places]
        if not new:
            return
        self._places |= {label: len(self.labels) + at for at, label in enumerate(new)}
        self.labels += new
        self._powers = {power: np.pad(table, ((0, 0), (0, len(new)))) for power, table in self._powers.items()}

    def moved(self, to: IntArray, rows: int) -> Self:
        """Return the sums of rows that become one.

        Args:
            to: the new number of each row.
            rows: how many there are then.
        """
        other = type(self)(rows)
        other.know(self.labels)
        other._undefined |= self._undefined  # noqa: SLF001 - an object of this very class
        for power, table in self._powers.items():
            other._powers[power] = np.zeros((rows, len(self.labels)))  # noqa: SLF001
            np.add.at(other._powers[power], to, table)  # noqa: SLF001
        return other

    def merge(self, other: Self) -> None:
        """Add the sums of another table of as many rows."""
        self.know(other.labels)
        self._undefined |= other._undefined
        columns = [self._places[label] for label in other.labels]
        for power, table in other._powers.items():
            mine = self._powers.setdefault(power, np.zeros((self.rows, len(self.labels))))
            mine[:, columns] += table

    def rounded(self) -> FloatArray:
        """Return the sums, (rows, kinds)."""
        return self.times(np.eye(self.rows), np.arange(self.rows))

    def times(self, factors: FloatArray, rows: IntArray, labels: Sequence[Any] | None = None) -> FloatArray:
        """Return `factors @ sums`: exact for each power, in any order, and then rounded.

        Args:
            factors: whole numbers, (n, number of rows).
            rows: which rows they are for.
            labels: which kinds, in which order; all by default.
        """
        self.know(labels or [])
        places = {label: at for at, label in enumerate(self.labels)}
        columns = np.array([places[label] for label in (self.labels if labels is None else labels)], dtype=np.intp)
        total = np.zeros((len(factors), len(columns)))
        for power in sorted(self._powers):
            table = self._powers[power][rows]
            held = np.flatnonzero(np.any(table, axis=0)[columns])  # a part often has few kinds of its own
            total[:, held] += np.ldexp(factors @ table[:, columns[held]], BITS * power)
        undefined = [at for at, column in enumerate(columns) if self.labels[column] in self._undefined]
        total[:, undefined] = np.nan
        return total

    def integers(self, label: Any) -> tuple[list[int], int]:
        """Return the sum of one kind in each row, exactly: whole numbers, and the power of 2 that they are times."""
        at, lowest = self._places[label], min(self._powers, default=0)
        sums = [0] * self.rows
        for power, table in self._powers.items():
            shift = BITS * (power - lowest)
            sums = [total + (int(digit) << shift) for total, digit in zip(sums, table[:, at].tolist(), strict=True)]
        return sums, BITS * lowest

    def plain(self, rows: IntArray | slice) -> dict[str, Any]:
        """Return some rows as numbers, texts and arrays that take few bytes."""
        powers = {str(power): _narrow(table[rows]) for power, table in self._powers.items()}
        undefined = [at for at, label in enumerate(self.labels) if label in self._undefined]
        return {"labels": list(self.labels), "powers": powers, "undefined": undefined}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], rows: int) -> Self:
        """Return what `plain` gave, in a table of at least as many rows."""
        sums = cls(rows)
        sums.know([tuple(label) if isinstance(label, list) else label for label in plain["labels"]])
        sums._undefined = {sums.labels[at] for at in plain["undefined"]}
        for power, some in plain["powers"].items():
            sums._powers[int(power)] = np.zeros((rows, len(sums.labels)))
            sums._powers[int(power)][: len(some)] = some
        return sums


def digits_of(numbers: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Yield the digits of finite numbers to the base 2**`BITS`, with their power, from the highest.

    Which digits a number has does not depend on the others.

    >>> [(power, digits.tolist()) for power, digits in digits_of(np.array([3 * 2.0**20 + 1]))]
    [(1, [3.0]), (0, [1.0])]
    """
    rest = np.array(numbers, dtype=np.float64)
    while len(rest) and (highest := max(float(rest.max()), -float(rest.min()))):
        power = (math.frexp(highest)[1] - 1) // BITS
        digits = _times_power(rest, -BITS * power)
        np.trunc(digits, out=digits)
        yield power, digits
        rest -= _times_power(digits, BITS * power)


def _times_power(numbers: FloatArray, exponent: int) -> FloatArray:
    """Return `numbers * 2**exponent`; multiplying takes a fraction of the time of `np.ldexp`, and is as exact."""
    return numbers * 2.0**exponent if abs(exponent) < MOST_EXPONENT else np.ldexp(numbers, exponent)


def _narrow(table: FloatArray) -> npt.NDArray[Any]:
    """Return whole numbers in the smallest type that holds them."""
    for kind in (np.int8, np.int16, np.int32):
        if not table.size or np.abs(table).max() <= np.iinfo(kind).max:
            return table.astype(kind)
    return table.astype(np.int64)
