"""Whether the outputs of a file are those of another model: they agree with the reference as often as by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pytest_modelbench.exports.pairing import Pair

LEAST_ROWS = 64
"""Fewer rows do not tell chance from a model that is often wrong."""
MOST_SHARE = 0.9
"""If one class is predicted more often, an agreement by chance is near that of a model that is right."""
_DEVIATIONS = 3.0


def unrelated(pairs: Sequence[Pair]) -> str:
    """Say that an output's argmax agrees with the reference's no more often than by chance; "" if it cannot tell.

    Two models that have nothing to do with each other agree in the share sum(p_k q_k) of rows, where p_k and q_k are
    how often each predicts class k. An agreement of at most three standard deviations above it is chance.

    Args:
        pairs: the output of each batch, at the same position of the outputs.
    """
    if any(pair.whole or pair.reference.ndim < 2 or pair.reference.shape[-1] < 2 for pair in pairs):
        return ""
    ours, theirs = (
        np.concatenate([array.argmax(-1).ravel() for array in arrays])
        for arrays in ([pair.reference for pair in pairs], [pair.candidate for pair in pairs])
    )
    count = ours.size
    if count < LEAST_ROWS:
        return ""
    classes = max(int(ours.max()), int(theirs.max())) + 1
    p, q = (np.bincount(labels, minlength=classes) / count for labels in (ours, theirs))
    if max(p.max(), q.max()) > MOST_SHARE:
        return ""
    chance, agreement = float(p @ q), float((ours == theirs).mean())
    if agreement > chance + _DEVIATIONS * math.sqrt(chance * (1 - chance) / count):
        return ""
    return (
        f"the outputs {pairs[0].name!r} are those of another model: their argmax agrees in {100 * agreement:.3g}% of "
        f"{count} rows, and chance gives {100 * chance:.3g}%"
    )
