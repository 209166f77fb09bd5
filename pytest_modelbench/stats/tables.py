"""Counts of few kinds, resampled as counts: an exact bootstrap whose time does not grow with the samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_modelbench.stats.cells import FEWEST_CELLS_OF_A_STRATUM, FloatArray, IntArray, drawn_evenly

MOST_KINDS = 64


@dataclass(frozen=True, kw_only=True)
class Resamples:
    """Resamples of a set of samples of which only the kind is known.

    The set is cut into cells, and `drawn`, (resamples, cells), says how often each was drawn. Entry i of `cell`,
    `kind` and `many` says how many samples of a kind a cell holds.
    """

    drawn: FloatArray
    cell: IntArray
    kind: IntArray
    many: FloatArray

    def sums(self, part_of: IntArray, of: int) -> FloatArray:
        """Return how many samples each resample has of each of `of` classes of kinds, (resamples, of).

        Args:
            part_of: the class of each entry's kind, -1 for none.
            of: the number of classes.
        """
        cells = self.drawn.shape[1]
        inside = part_of >= 0
        where = self.cell[inside] * of + part_of[inside]
        held = np.bincount(where, self.many[inside], cells * of).reshape(cells, of)
        sums: FloatArray = self.drawn @ held
        return sums


def resampled(kinds: IntArray, counts: IntArray, resamples: int, rng: np.random.Generator) -> Resamples:
    """Draw as many samples again, with replacement, as there are of all kinds together.

    Of few kinds the counts of a resample are one multinomial draw. Of many, samples are dealt into cells which are
    then drawn, as `CellSums` has it; up to `FEWEST_CELLS_OF_A_STRATUM` samples each is a cell of its own.

    Args:
        kinds: the kinds that occur.
        counts: how many samples there are of each, at least 1.
        resamples: how many sets to draw.
        rng: to draw from.
    """
    n = int(counts.sum())
    if len(kinds) <= MOST_KINDS:
        drawn = rng.multinomial(n, counts / n, size=resamples).astype(np.float64)
        # a cell is a sample's kind here, so what is drawn is samples and not sets of them
        return Resamples(drawn=drawn, cell=np.arange(len(kinds)), kind=kinds, many=np.ones(len(kinds)))
    cells = min(n, FEWEST_CELLS_OF_A_STRATUM)
    cell = np.arange(n) if cells == n else rng.integers(0, cells, n)
    places, many = np.unique(cell * len(kinds) + np.repeat(np.arange(len(kinds)), counts), return_counts=True)
    return Resamples(
        drawn=drawn_evenly(cells, resamples, rng),
        cell=places // len(kinds),
        kind=kinds[places % len(kinds)],
        many=many.astype(np.float64),
    )
