"""A part of the samples, the same for every model, with each class as often as among all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.intp]
MOST_CLASSES = 1000


def subset(n: int, targets: npt.NDArray[Any] | None, wanted: int, seed: int) -> IntArray | None:
    """Return the positions of `wanted` of `n` samples, in order; None where that is all of them.

    Labels are strata: each gets its share of the samples, the largest remainders the rest. Numbers, several labels
    and very many labels are drawn from as one.

    Args:
        n: the number of samples.
        targets: one label for each, if any.
        wanted: how many.
        seed: of the draw.

    >>> subset(6, np.array([0, 0, 0, 0, 1, 1]), 3, seed=0).tolist()
    [1, 2, 4]
    """
    if wanted >= n:
        return None
    rng = np.random.Generator(np.random.Philox(key=seed))
    strata = np.zeros(n, dtype=np.intp)
    if targets is not None and targets.ndim == 1 and targets.dtype.kind in "iubUSO":
        labels, codes = np.unique(targets.astype(str) if targets.dtype.kind == "O" else targets, return_inverse=True)
        if len(labels) <= MOST_CLASSES:
            strata = codes
    sizes = np.bincount(strata)
    exact = sizes * wanted / n
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: wanted - int(counts.sum())]] += 1
    places = [
        rng.permutation(np.flatnonzero(strata == stratum))[:count] for stratum, count in enumerate(counts.tolist())
    ]
    return np.sort(np.concatenate(places)).astype(np.intp)
