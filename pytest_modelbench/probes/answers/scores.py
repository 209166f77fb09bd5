"""How a model's raw outputs become one score for each class, and how a gradient of the scores goes back to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.probes.answers.meaning import Predictions

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Loss = Callable[[FloatArray, IntArray, IntArray | None], FloatArray]
"""Returns a loss's gradient by the scores, for scores, true classes, and the classes that samples are to become."""


@dataclass(frozen=True, kw_only=True)
class ScoreReader:
    """Reads raw outputs as scores, (n, classes) in float64, whose largest is the predicted class.

    Probabilities become logarithms, so that rounding near 1 hides as little as may be; labels become 0 and 1.

    Attributes:
        meaning: `logits`, `probabilities` or `labels`.
        columns: the label of each score.
        single: whether the model gives one number for two classes.
    """

    meaning: str
    columns: Array
    single: bool

    def scores(self, outputs: Array) -> FloatArray:
        """Return one score for each class."""
        if self.meaning == "labels":
            return np.asarray(outputs.reshape(len(outputs), -1) == self.columns[None, :], dtype=np.float64)
        values = outputs.reshape(len(outputs), -1).astype(np.float64)
        with np.errstate(divide="ignore"):
            if not self.single:
                return np.log(values) if self.meaning == "probabilities" else values
            if self.meaning == "probabilities":
                return np.log(np.hstack([1 - values, values]))
        return np.hstack([np.zeros_like(values), values])

    def back(self, outputs: Array, weights: FloatArray) -> FloatArray:
        """Return the gradient by raw outputs of the sum of `weights` times scores, (n, classes)."""
        values = outputs.reshape(len(outputs), -1).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if not self.single:
                gradient = np.where(weights == 0, 0.0, weights / values) if self._logs else weights
            elif self._logs:
                gradient = weights[:, 1:] / values - weights[:, :1] / (1 - values)
            else:
                gradient = weights[:, 1:]
        return gradient.reshape(outputs.shape)

    @property
    def _logs(self) -> bool:
        return self.meaning == "probabilities"

    def positions(self, targets: Array) -> IntArray:
        """Return the score that is each target's."""
        order = np.argsort(self.columns, kind="stable")
        return order[np.searchsorted(self.columns, targets, sorter=order)]


def reader_of(predictions: Predictions, classes: Sequence[Any] | None) -> ScoreReader:
    """Return how outputs are read, from a model's predictions for the data as they are.

    Args:
        predictions: of the same model.
        classes: the labels of the output columns in their order, where the data name them.

    Raises:
        DoesNotFit: the task has not one label for each sample.
    """
    if predictions.task in {"regression", "multilabel"}:
        raise DoesNotFit(f"scores are read for one label per sample, and the task is {predictions.task}")
    outputs = predictions.outputs
    if predictions.meaning == "labels":
        seen = predictions.labels if predictions.targets is None else predictions.targets
        columns = np.unique(np.concatenate([np.ravel(predictions.labels), np.ravel(seen)]))
        return ScoreReader(meaning="labels", columns=columns, single=False)
    width = 1 if outputs.array.ndim == 1 else outputs.array.shape[1]
    named = classes if width == 1 or outputs.classes is None else outputs.classes
    columns = np.asarray(named if named is not None else range(max(width, 2)))
    targets = predictions.targets
    if targets is not None and targets.dtype.kind in "iu" and columns.dtype.kind in "US" and width > 1:
        columns = np.arange(width)  # targets are positions of named classes
    return ScoreReader(meaning=predictions.meaning, columns=columns, single=width == 1)


def margins(scores: FloatArray, truth: IntArray) -> FloatArray:
    """Return by how much the largest other score exceeds the true one; above 0 the sample is lost.

    A tie counts as the model decides it: the first of equal scores wins.
    """
    rows = np.arange(len(scores))
    own, others = scores[rows, truth], scores.copy()
    others[rows, truth] = -np.inf
    with np.errstate(invalid="ignore"):
        apart = others.max(axis=1) - own
    most = np.finfo(np.float64).max
    apart = np.nan_to_num(apart, nan=most, posinf=most, neginf=-most)  # NaN answers are wrong
    lost = np.nan_to_num(scores, nan=-np.inf, neginf=-np.inf, posinf=np.inf).argmax(axis=1) != truth
    tiny = np.finfo(np.float64).tiny
    return np.asarray(np.where(lost, np.maximum(apart, tiny), np.minimum(apart, -tiny)))


def margin_weights(scores: FloatArray, truth: IntArray, aims: IntArray | None = None) -> FloatArray:
    """Return the gradient of the margin by the scores: +1 for another class, -1 for the true one.

    The other class is the aimed one, or without aims the one with the largest score.
    """
    rows = np.arange(len(scores))
    if aims is None:
        others = np.nan_to_num(scores, nan=-np.inf, neginf=-np.inf, posinf=np.inf)
        others[rows, truth] = -np.inf
        aims = others.argmax(axis=1)
    weights = np.zeros_like(scores)
    weights[rows, aims] += 1
    weights[rows, truth] -= 1
    return weights


def cross_entropy_weights(scores: FloatArray, truth: IntArray, aims: IntArray | None = None) -> FloatArray:
    """Return the gradient of the cross entropy by the scores: the probabilities, less 1 for the true class."""
    del aims  # it has none
    weights: FloatArray = scipy.special.softmax(scores, axis=1)
    weights[np.arange(len(scores)), truth] -= 1
    return weights
