"""Random numbers of a sample's own: they depend on neither batch, order, worker nor model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from pytest_modelbench.data.corruptions.names import Cell

Generators = list[np.random.Generator]


def stream(cell: Cell, sample: Any) -> np.random.Generator:
    """Return the generator of one sample: Philox, whose key is a hash of corruption, severity, seed and sample id.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """
    text = f"{cell.corruption.stream}|{cell.severity}|{cell.seed}|{sample}"
    key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, dtype=np.uint64)))


def streams(cell: Cell, samples: Iterable[Any]) -> Generators:
    """Return the generators of some samples, in their order."""
    return [stream(cell, sample) for sample in samples]
