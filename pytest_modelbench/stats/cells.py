"""Sums over samples that can be resampled: a bootstrap whose memory does not grow with the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pytest_modelbench.stats.exact_sums import ExactSums

IntArray = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]
Hashes = npt.NDArray[np.uint64]
Sums = Mapping[str, FloatArray]
MOST_CELLS = 2000
FEWEST_CELLS_OF_A_STRATUM = 200
FEWEST_ROWS = 64


class CellSums:
    """Sums of what samples contribute, kept apart by cells, which are drawn with replacement.

    Up to `MOST_CELLS` samples every sample is a cell of its own: the ordinary bootstrap. Of more samples each goes
    into the cell that the hash of its id says: the random groups method (Wolter, Introduction to Variance
    Estimation, chapter 2), whose variance of any smooth function of sums is that of single samples. As sums are exact
    and cells follow from ids, the sums of parts of the data, merged in any order, and all resamples of them, are
    those of the whole to the last bit.

    >>> sums = CellSums()
    >>> placed = sums.place(np.arange(4, dtype=np.uint64))
    >>> sums.add("right", placed, np.zeros(4, dtype=int), 1, np.array([1.0, 1, 0, 1]))
    >>> sums.total()["right"].tolist()
    [[3.0]]
    """

    def __init__(self) -> None:
        self._rows: dict[int, int] | None = {}  # the row of each hash, as long as they are few
        self._tables: dict[str, ExactSums] = {}
        self._room = FEWEST_ROWS

    @property
    def cells(self) -> int:
        """The number of cells."""
        return MOST_CELLS if self._rows is None else len(self._rows)

    def place(self, hashes: Hashes) -> IntArray:
        """Return the cell of each of some samples, for `add`; it holds until samples are placed again.

        Args:
            hashes: of the samples' ids.
        """
        if self._rows is not None:
            new = [key for key in np.unique(hashes).tolist() if key not in self._rows] if len(hashes) else []
            if len(self._rows) + len(new) > MOST_CELLS:
                self._group()
            else:
                self._rows |= {key: len(self._rows) + at for at, key in enumerate(new)}
                self._make_room(len(self._rows))
        if self._rows is None:
            return _group_of(hashes)
        rows = self._rows
        return np.array([rows[key] for key in hashes.tolist()], dtype=np.intp)

    def _group(self) -> None:
        """Put all samples into the cells of many samples."""
        if self._rows is None:
            return
        to = np.zeros(self._room, dtype=np.intp)
        to[list(self._rows.values())] = _group_of(np.array(list(self._rows), dtype=np.uint64))
        self._tables = {name: table.moved(to, MOST_CELLS) for name, table in self._tables.items()}
        self._rows, self._room = None, MOST_CELLS

    def _make_room(self, rows: int) -> None:
        if rows <= self._room:
            return
        self._room = min(MOST_CELLS, max(rows, 2 * self._room))
        for table in self._tables.values():
            table.grow(self._room)

    def add(
        self,
        name: str,
        cells: IntArray,
        kinds: IntArray,
        of: int | Sequence[Any],
        weights: FloatArray | None = None,
    ) -> None:
        """Add to the sums of `name`, one for each kind.

        Args:
            name: of the sums.
            cells: of the samples, as `place` gave them.
            kinds: which sum each sample is added to, a position among the kinds; -1 for none.
            of: the number of kinds, or what tells them apart where parts of the data may have others.
            weights: what is added; 1 by default.
        """
        table = self._tables.setdefault(name, ExactSums(self._room))
        table.add(cells, kinds, range(of) if isinstance(of, int) else of, weights)

    def merge(self, other: Self) -> None:
        """Add the sums of other samples."""
        mine, theirs = self._rows, other._rows
        if mine is None or theirs is None or len({*mine, *theirs}) > MOST_CELLS:
            self._group()
            other._group()
            to = np.arange(MOST_CELLS)
        else:
            to = np.zeros(other._room, dtype=np.intp)
            to[list(theirs.values())] = self.place(np.array(list(theirs), dtype=np.uint64))
        for name, table in other._tables.items():
            self._tables.setdefault(name, ExactSums(self._room)).merge(table.moved(to, self._room))

    def table(self, name: str) -> ExactSums:
        """Return the exact sums of a name."""
        return self._tables[name]

    @property
    def names(self) -> list[str]:
        """The names of the sums."""
        return list(self._tables)

    def replaced(self, tables: Mapping[str, ExactSums]) -> Self:
        """Return the same cells with other sums of as many rows."""
        other = type(self)()
        other._rows, other._room = self._rows, self._room  # noqa: SLF001 - an object of this very class
        other._tables = {**self._tables, **tables}  # noqa: SLF001
        return other

    def total(self, kinds: Sequence[Any] | None = None) -> Sums:
        """Return the sums over all samples, each of shape (1, kinds)."""
        order = self._in_order()
        ones = np.ones((1, len(order)))
        return {name: table.times(ones, order, kinds) for name, table in self._tables.items()}

    def resamples(self, count: int, seed: int, kinds: Sequence[Any] | None = None) -> Sums:
        """Return the sums of resamples, each of shape (count, kinds).

        Args:
            count: how many.
            seed: of the draws.
            kinds: which, in which order; all by default.
        """
        order = self._in_order()
        drawn = drawn_evenly(len(order), count, np.random.default_rng(seed))
        return {name: table.times(drawn, order, kinds) for name, table in self._tables.items()}

    def _in_order(self) -> IntArray:
        """Return the rows in an order that is the same for the same samples."""
        if self._rows is None:
            return np.arange(MOST_CELLS)
        rows = self._rows
        return np.array([rows[key] for key in sorted(rows)], dtype=np.intp)

    def plain(self) -> dict[str, Any]:
        """Return numbers, texts and arrays that take few bytes."""
        if self._rows is None:
            return {"tables": {name: table.plain(slice(None)) for name, table in self._tables.items()}}
        order = self._in_order()
        keys = np.array(sorted(self._rows), dtype=np.uint64)
        return {"keys": keys, "tables": {name: table.plain(order) for name, table in self._tables.items()}}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `plain` gave."""
        sums = cls()
        sums._rows = {key: at for at, key in enumerate(plain["keys"].tolist())} if "keys" in plain else None
        sums._room = MOST_CELLS if sums._rows is None else max(FEWEST_ROWS, len(sums._rows))
        sums._tables = {name: ExactSums.from_plain(of, sums._room) for name, of in plain["tables"].items()}
        return sums


def _group_of(hashes: Hashes) -> IntArray:
    cells: IntArray = (hashes % np.uint64(MOST_CELLS)).astype(np.intp)
    return cells


def drawn_evenly(cells: int, count: int, rng: np.random.Generator) -> FloatArray:
    """Return how often each of `cells` equally likely cells is drawn in as many draws, shape (count, cells).

    That is a multinomial draw; counting places takes a fifth of the time of a binomial draw for each cell.
    """
    places = rng.integers(0, cells, size=(count, cells), dtype=np.int32).astype(np.intp)
    places += np.arange(count)[:, None] * cells
    return np.bincount(places.ravel(), minlength=count * cells).reshape(count, cells).astype(np.float64)


def share_of(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Return `part / whole`, NaN where there is nothing."""
    share: FloatArray = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
    return share


def noise_of_few(part: FloatArray, whole: FloatArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Return what resampled shares lack in noise, to be added to them.

    Resamples of 20 answers that are all right are all right too, as if that were certain. With this noise the
    variance of a share is that of the counts with two more of each kind (Agresti and Coull, The American Statistician
    52:119 (1998)); of many samples that adds next to nothing.

    Args:
        part: how many of them, shape (1, ...).
        whole: the number of samples, of the same shape.
        resamples: how many to return.
        rng: to draw from.
    """
    share, wider = share_of(part, whole), (part + 2) / (whole + 4)
    missing = wider * (1 - wider) / (whole + 4) - np.nan_to_num(share * (1 - share)) / np.maximum(whole, 1)
    noise: FloatArray = rng.standard_normal((resamples, *part.shape[1:])) * np.sqrt(np.maximum(missing, 0))
    return noise


def resamples_for(alpha: float) -> int:
    """Return how many resamples make `alpha` an order statistic that is not the outermost."""
    return max(999, math.ceil(2 / alpha) - 1)
