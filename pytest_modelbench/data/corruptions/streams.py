"""Random numbers of a sample's own: they depend on neither batch, order, worker nor model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from pytest_modelbench.data.corruptions.names import Cell


class Generators:
    """The generators of some samples, in their order.

    Args:
        generators: one for each sample.
        beat: called before each sample is corrupted: of large images a batch takes long.
    """

    def __init__(self, generators: list[np.random.Generator], beat: Callable[[], None] = lambda: None) -> None:
        self._generators = generators
        self._beat = beat

    def __iter__(self) -> Iterator[np.random.Generator]:
        for generator in self._generators:
            self._beat()
            yield generator

    def __len__(self) -> int:
        return len(self._generators)


def stream(cell: Cell, sample: Any) -> np.random.Generator:
    """Return the generator of one sample: Philox, whose key is a hash of corruption, severity, seed and sample id.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    text = f"{cell.corruption.stream}|{cell.severity}|{cell.seed}|{sample}"
    key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype=np.uint64)))


def streams(cell: Cell, samples: Iterable[Any], beat: Callable[[], None] = lambda: None) -> Generators:
    """Return the generators of some samples, in their order."""
    return Generators([stream(cell, sample) for sample in samples], beat)
