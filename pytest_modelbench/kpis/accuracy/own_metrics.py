"""Metrics that users bring: callables, scikit-learn's scorers, torchmetrics, Hugging Face `evaluate`.

Every kind becomes a statistic of the samples in an index array, so that all of them are resampled alike.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer

from pytest_modelbench.errors import DataError, MeasurementError, cause_of, message_of
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.resampling import number_in
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.stats.paired import IntArray, Statistic

Array = npt.NDArray[Any]


def told_inputs(question: Question, predictions: Predictions) -> str:
    """Say for a reading's method what the user's metric receives; "" where it asks for what it needs."""
    metric = question.kpi.metric
    if metric is None or isinstance(metric, str) or hasattr(metric, "update"):
        return ""
    return f"; the metric receives {received(question, predictions)}"


def own_statistic(question: Question, predictions: Predictions) -> Statistic:
    """Return the user's metric as a statistic of the samples in an index array.

    Raises:
        DataError: the data have no targets.
        MeasurementError: (by the statistic) the metric raised on the data themselves; NaN on a resample.
    """
    if predictions.targets is None:
        raise DataError(f"{question.kpi.name} needs targets, and the evaluation data have none")
    compute = _computation(question, predictions, predictions.targets)

    def measured(index: IntArray) -> float:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return number_in(compute(index), question)
        except MeasurementError:
            raise
        except Exception as error:
            if len(np.unique(index)) < len(index):
                return math.nan  # undefined on this resample, as for scikit-learn's metrics
            which = (
                ". Write positive= to name the class that is looked for" if "pos_label" in message_of(error) else ""
            )
            raise MeasurementError(f"the metric of {question.kpi.name} raised {cause_of(error)}{which}") from error

    return measured


def received(question: Question, predictions: Predictions) -> str:
    """Say what a callable or an object with `.compute()` gets as predictions: `labels` or `scores`.

    Raises:
        DataError: several labels per sample, and the marker does not say; or scores of a model that has none.
    """
    stated = question.options.get("inputs")
    if stated is None and predictions.task == "multilabel" and not hasattr(question.kpi.metric, "compute"):
        raise DataError(
            f"the metric of {question.kpi.name} can take the labels of a multilabel model or its scores, which rank "
            "them. Write inputs='labels' or inputs='scores'"
        )
    if stated == "scores" and predictions.scores is None:
        raise DataError(
            f"the metric of {question.kpi.name} asks for inputs='scores', and {predictions.outputs.model} returns "
            f"{predictions.meaning}. Write inputs='labels'"
        )
    return stated or "labels"


def _computation(question: Question, predictions: Predictions, targets: Array) -> Callable[[IntArray], Any]:
    metric = question.kpi.metric
    if isinstance(metric, str):
        scorer, positive = get_scorer(metric), question.options.get("positive")
        if positive is not None:
            predictions = _against_the_rest(predictions, positive)
            targets = np.asarray(predictions.targets)
        stand_in = (_Regressor if predictions.task == "regression" else _Classifier)(predictions)
        return lambda index: scorer(stand_in, index, targets[index])
    if all(hasattr(metric, name) for name in ("update", "compute", "reset")):
        return _torchmetrics(metric, predictions, targets)
    scores = predictions.scores if received(question, predictions) == "scores" else None
    answers: Array = predictions.labels if scores is None else scores
    if hasattr(metric, "compute"):
        return lambda index: metric.compute(predictions=answers[index], references=targets[index])
    return lambda index: metric(targets[index], answers[index])


def _against_the_rest(predictions: Predictions, positive: Any) -> Predictions:
    """Return predictions of one class, as 1, against all others, as 0: what scorers of two classes look for.

    Raises:
        DataError: there is no such class.
    """
    classes = np.unique(predictions.labels if predictions.columns is None else predictions.columns)
    names = [str(label) for label in np.union1d(classes, np.unique(np.asarray(predictions.targets))).tolist()]
    if predictions.task not in {"binary", "multiclass"} or str(positive) not in names:
        raise DataError(f"positive={positive!r} is none of the classes {', '.join(names[:10])}")
    labels, targets = (
        (np.asarray(values).astype(str) == str(positive)).astype(np.int64)
        for values in (predictions.labels, predictions.targets)
    )
    if predictions.scores is None or predictions.columns is None:
        return replace(predictions, labels=labels, targets=targets, columns=None, memo={})
    hit = np.asarray(predictions.columns).astype(str) == str(positive)
    chance = predictions.probabilities(slice(None))[:, hit].sum(axis=1)
    scores, columns = np.stack([1 - chance, chance], axis=1), np.array([0, 1])
    return replace(
        predictions, labels=labels, targets=targets, scores=scores, columns=columns, meaning="probabilities", memo={}
    )


def _torchmetrics(metric: Any, predictions: Predictions, targets: Array) -> Callable[[IntArray], Any]:
    """Feed probabilities where there are scores, otherwise labels; of two classes that of the second."""
    import torch

    scores, columns = predictions.scores, predictions.columns
    fed = predictions.labels
    if scores is not None and columns is None:
        fed = scores if predictions.meaning == "probabilities" else expit(scores)  # multilabel
    elif scores is not None:
        fed = _Classifier(predictions).predict_proba(np.arange(len(predictions)))  # logits could look like chances
    if scores is not None and predictions.task == "binary":
        fed = fed[:, 1]
    elif scores is not None and columns is not None and not np.array_equal(columns, np.arange(len(columns))):
        raise DataError(f"torchmetrics count classes from 0, and the classes are {columns[:3].tolist()}, ...")

    def compute(index: IntArray) -> Any:
        metric.reset()
        metric.update(torch.as_tensor(fed[index]), torch.as_tensor(targets[index]))
        return metric.compute()

    return compute


class _StandIn(BaseEstimator):  # type: ignore[misc]
    """Answers a scorer with recorded predictions: its inputs are positions of samples."""

    def __init__(self, predictions: Predictions) -> None:
        self.predictions = predictions
        self.classes_ = np.unique(predictions.labels) if predictions.columns is None else predictions.columns

    def fit(self, *_: Any) -> _StandIn:
        """Learn nothing: scikit-learn asks estimators for this method."""
        return self

    def predict(self, index: IntArray) -> Array:
        """Return predicted labels or values."""
        labels: Array = self.predictions.labels[index]
        return labels


class _Regressor(RegressorMixin, _StandIn):  # type: ignore[misc]
    """A regression model's predictions."""


class _Classifier(ClassifierMixin, _StandIn):  # type: ignore[misc]
    """A classifier's predictions, as labels and as scores."""

    def predict_proba(self, index: IntArray) -> Array:
        """Return probabilities (n, classes), softmax applied to logits."""
        scores = self._scores(index)
        chances = scores if self.predictions.meaning == "probabilities" else softmax(scores, axis=1)
        total: Array = chances / chances.sum(axis=1, keepdims=True)
        return total

    def decision_function(self, index: IntArray) -> Array:
        """Return scores; of two classes the difference."""
        scores = self._scores(index)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def _scores(self, index: IntArray) -> Array:
        if self.predictions.scores is None:
            raise MeasurementError(f"{self.predictions.outputs.model} gives labels, and the scorer needs scores")
        scores: Array = self.predictions.scores[index].astype(np.float64)
        return scores
