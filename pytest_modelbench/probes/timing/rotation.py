"""Which batch a block of calls begins with: the same for all models of a round, and each batch equally often."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

GOLDEN = 2 / (1 + math.sqrt(5))


class Rotation:
    """Walks through batches in steps of the golden section, which spreads any number of them over all.

    >>> rotation = Rotation(8)
    >>> [rotation.next() for _ in range(9)]
    [0, 5, 2, 7, 4, 1, 6, 3, 0]
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self._step = next(
            step for step in range(max(1, round(batches * GOLDEN)), batches + 2) if math.gcd(step, batches) == 1
        )
        self._at = -self._step

    def next(self) -> int:
        """Return the batch that the next block begins with."""
        self._at = (self._at + self._step) % self._batches
        return self._at


class Called:
    """Counts how many of a model's batches were called while it was timed."""

    def __init__(self, batches: Sequence[object]) -> None:
        self._seen = np.zeros(len(batches), dtype=bool)

    def note(self, first: int, calls: int) -> None:
        """Take note of calls in a row."""
        self._seen[np.arange(first, first + min(calls, len(self._seen))) % len(self._seen)] = True

    def __len__(self) -> int:
        return int(self._seen.sum())
