"""Sums over samples that can be resampled: a bootstrap whose memory does not grow with the data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.intp]
FloatArray = npt.NDArray[np.float64]
Sums = Mapping[str, FloatArray]
MOST_CELLS = 2000
FEWEST_CELLS_OF_A_STRATUM = 200


class CellSums:
    """Sums of what samples contribute, kept apart by cells, which are drawn with replacement.

    Up to `MOST_CELLS` samples every sample is a cell of its own: the ordinary bootstrap. Of more samples each goes
    into a cell at random: the random groups method (Wolter, Introduction to Variance Estimation, chapter 2), whose
    variance of any smooth function of sums is that of single samples. Strata are drawn apart, so that their numbers
    of cells stay as they are.

    Args:
        sizes: the number of samples in each stratum.
        seed: of cells and draws.

    >>> sums = CellSums([4], seed=0)
    >>> sums.add("right", sums.place(np.zeros(4, dtype=int)), np.zeros(4, dtype=int), 1, np.array([1.0, 1, 0, 1]))
    >>> sums.total()["right"].tolist()
    [[3.0]]
    """

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        n = sum(sizes)
        self._sizes = np.array(sizes, dtype=np.intp)
        most = [max(FEWEST_CELLS_OF_A_STRATUM, MOST_CELLS * size // max(n, 1)) for size in sizes]
        self._cells = np.minimum(self._sizes, most)
        self._offsets = np.concatenate([[0], np.cumsum(self._cells)])
        self._seen = np.zeros(len(sizes), dtype=np.intp)
        self._rng = np.random.default_rng(seed)
        self._sums: dict[str, FloatArray] = {}

    @property
    def cells(self) -> int:
        """The number of cells of all strata."""
        return int(self._offsets[-1])

    def place(self, strata: IntArray) -> IntArray:
        """Return the cell of each of the next samples, in the order of the data.

        Args:
            strata: the number of each sample's stratum, -1 for samples that are left out (their cell is -1).
        """
        cells = np.full(len(strata), -1, dtype=np.intp)
        for stratum in range(len(self._sizes)):
            (members,) = np.nonzero(strata == stratum)
            if self._cells[stratum] == self._sizes[stratum]:
                inside = self._seen[stratum] + np.arange(len(members))
            else:
                inside = self._rng.integers(0, self._cells[stratum], len(members))
            cells[members] = self._offsets[stratum] + inside
            self._seen[stratum] += len(members)
        return cells

    def add(self, name: str, cells: IntArray, kinds: IntArray, of: int, weights: FloatArray | None = None) -> None:
        """Add to the sums of `name`, one for each of `of` kinds.

        Args:
            name: of the sums.
            cells: of the samples, as `place` gave them.
            kinds: 0 to `of` - 1, which sum each sample is added to; -1 for none.
            of: the number of kinds.
            weights: what is added; 1 by default.
        """
        if name not in self._sums:
            self._sums[name] = np.zeros((self.cells, of))
        counted = (cells >= 0) & (kinds >= 0)
        where = cells[counted] * of + kinds[counted]
        added = np.bincount(where, None if weights is None else weights[counted], self.cells * of)
        self._sums[name] += added.reshape(self.cells, of)

    def total(self) -> Sums:
        """Return the sums over all samples, each of shape (1, kinds)."""
        return {name: sums.sum(axis=0, keepdims=True) for name, sums in self._sums.items()}

    def resamples(self, count: int) -> Sums:
        """Return the sums of resamples, each of shape (count, kinds)."""
        resampled = {name: np.zeros((count, sums.shape[1])) for name, sums in self._sums.items()}
        for first, last in itertools.pairwise(self._offsets.tolist()):
            if first == last:
                continue
            drawn = drawn_evenly(last - first, count, self._rng)
            for name, sums in self._sums.items():
                kinds = np.flatnonzero(sums[first:last].any(axis=0))  # a stratum often has few kinds of its own
                resampled[name][:, kinds] += drawn @ sums[first:last, kinds]
        return resampled


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
