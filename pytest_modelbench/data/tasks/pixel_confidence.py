"""How sure a model is of the class of each pixel: counted in bins while its scores are at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, is_tensor
from pytest_modelbench.data.tasks.task_data import Array

BINS = 15


def confidences(scores: Any, outputs: str) -> Array:
    """Return the probability of the class with the largest score of each pixel, (n, height, width) of float32.

    Args:
        scores: (n, classes, height, width).
        outputs: `logits`, of which the softmax is taken, or `probabilities`.
    """
    if outputs == "probabilities":
        largest: Array = as_array(scores.amax(1) if is_tensor(scores) else scores.max(axis=1)).astype(np.float32)
        return largest
    if is_tensor(scores):
        logits = scores.float()
        softmax: Array = as_array(1 / (logits - logits.amax(1, keepdim=True)).exp().sum(1))
        return softmax
    values = scores.astype(np.float32)
    with np.errstate(invalid="ignore"):
        probability: Array = 1 / np.exp(values - values.max(axis=1, keepdims=True)).sum(axis=1)
    return probability


def confidences_of_two(values: Array, outputs: str) -> Array:
    """Return the same for one channel, the scores of class 1: the sigmoid is taken of logits."""
    values = values.astype(np.float32)
    if outputs == "probabilities":
        larger: Array = np.maximum(values, 1 - values)
        return larger
    probability: Array = 1 / (1 + np.exp(-abs(values)))
    return probability


def binned(confidence: Array, right: Array, counts: Array) -> Array:
    """Count an image's pixels in bins of confidence, equal ones that are closed on the right.

    Args:
        confidence: of each pixel, (height, width); pixels for which it is NaN are in no bin.
        right: whether each pixel's class is that of the target.
        counts: whether each pixel counts.

    Returns:
        How many pixels each bin has, their confidences, and how many are right, (3 * BINS,).

    >>> ones = np.ones((1, 2), dtype=bool)
    >>> binned(np.array([[0.5, 1.0]]), np.array([[True, False]]), ones).reshape(3, 15)[:, [7, 14]].tolist()
    [[1.0, 1.0], [0.5, 1.0], [1.0, 0.0]]
    """
    counts = counts & np.isfinite(confidence)
    sure, right = confidence[counts].astype(np.float64), right[counts]
    kinds = np.clip(np.ceil(sure * BINS).astype(np.intp) - 1, 0, BINS - 1)
    sums: Array = np.concatenate([np.bincount(kinds, weights, BINS) for weights in (None, sure, right)])
    return sums.astype(np.float64)
