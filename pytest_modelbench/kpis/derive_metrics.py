"""Readings of metrics over all samples, with a paired bootstrap; metrics and values of the user's own."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from sklearn import metrics

from pytest_modelbench.errors import DataError, MeasurementError
from pytest_modelbench.kpis.derive_footprint import exact_comparison
from pytest_modelbench.kpis.derive_shares import check_paired, judged_predictions, meaning_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.own_metrics import own_statistic
from pytest_modelbench.probes.predictions import Predictions
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.paired import IntArray, Statistic, paired_bootstrap

SLOWEST_RESAMPLED_S = 0.01
_REGRESSION = {
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
}
_LABELS = {"f1": metrics.f1_score, "precision": metrics.precision_score, "recall": metrics.recall_score}


def scored(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read one of scikit-learn's metrics."""
    yield _resampled(question, measurements, _statistic)


def own_metric(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read a metric that the user brought (see `own_metrics`)."""
    yield _resampled(question, measurements, own_statistic)


def recorded(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read what the test's body recorded."""
    values = measurements.recorded()

    def reading(role: str) -> Reading:
        return Reading(
            estimate=Estimate(value=values[role]),
            unit=question.kpi.unit,
            provenance="recorded",
            method="kpi.record()",
        )

    if "student" not in values:
        raise MeasurementError(
            f"the test recorded nothing for {question.kpi.name}. Write kpi.record(student=..., teacher=...)"
        )
    if not question.with_teacher and "teacher" not in values:
        yield Evidence(student=reading("student"))
        return
    if "teacher" not in values:
        raise MeasurementError(
            f"a limit on {question.kpi.name} compares with the teacher, and the test recorded only student=. "
            "Write kpi.record(student=..., teacher=...)"
        )
    student, teacher = reading("student"), reading("teacher")
    points = exact_comparison(student.value, teacher.value)
    yield Evidence(student=student, teacher=teacher, comparison=points)


def _resampled(
    question: Question, measurements: Measurements, make: Callable[[Question, Predictions], Statistic]
) -> Evidence:
    student = judged_predictions(question, measurements, "student")
    teacher = judged_predictions(question, measurements, "teacher") if question.with_teacher else None
    if teacher is not None:
        check_paired(student, teacher)
    statistics = make(question, student), make(question, teacher) if teacher else None
    started = time.perf_counter()
    first = statistics[0](np.arange(len(student)))
    slow = time.perf_counter() - started > SLOWEST_RESAMPLED_S and not question.asked
    if not math.isfinite(first):
        raise MeasurementError(f"{question.kpi.name} of {student.outputs.model} is {first}")
    method = f"{_averaging(question)}{meaning_of(student)}"
    if slow:
        own, other, comparison = _points(*statistics, len(student))
        method += "; too slow to resample, state confidence= to have the interval"
    else:
        own, other, comparison = paired_bootstrap(
            *statistics,
            len(student),
            alpha=question.alpha,
            seed=question.seed,
            resamples=max(199, math.ceil(2 / question.alpha) - 1),
        )
        method += f"; {comparison.method or f'bootstrap of {len(student)} samples'}"

    def reading(estimate: Estimate) -> Reading:
        return Reading(
            estimate=estimate,
            unit=question.kpi.unit,
            n=len(student),
            confidence=question.confidence,
            method=method,
        )

    if other is None:
        return Evidence(student=reading(own), sampled=question.asked)
    return Evidence(student=reading(own), teacher=reading(other), comparison=comparison, sampled=question.asked)


def _points(student: Statistic, teacher: Statistic | None, n: int) -> tuple[Estimate, Estimate | None, Comparison]:
    everything = np.arange(n)
    s = student(everything)
    if teacher is None:
        return Estimate(value=s), None, Comparison()
    t = teacher(everything)
    ratio = Estimate(value=s / t) if t else None
    return Estimate(value=s), Estimate(value=t), Comparison(ratio=ratio, difference=Estimate(value=s - t))


def _averaging(question: Question) -> str:
    average = question.options.get("average")
    return f"{average}-averaged; " if average else ""


def _statistic(question: Question, predictions: Predictions) -> Statistic:
    name, targets = question.kpi.name, predictions.targets
    if targets is None:
        raise DataError(f"{name} needs targets, and the evaluation data have none")
    if name in _REGRESSION:
        if predictions.task != "regression":
            raise DataError(
                f"{name} is for regression, and the task is {predictions.task}. "
                "Write EvalData(..., task='regression') if that is wrong"
            )
        function = _REGRESSION[name]
        return _quiet(lambda i: float(function(targets[i], predictions.labels[i])))
    if predictions.task == "regression":
        raise DataError(f"{name} is for classification, and the task is regression")
    if name == "balanced_accuracy":
        return _quiet(lambda i: 100 * float(metrics.balanced_accuracy_score(targets[i], predictions.labels[i])))
    if name in _LABELS:
        label_score, average = _LABELS[name], question.options["average"]
        positive = {"pos_label": np.unique(targets)[-1]} if average == "binary" else {}
        return _quiet(
            lambda i: (
                100
                * float(label_score(targets[i], predictions.labels[i], average=average, zero_division=0, **positive))
            )
        )
    return _probability_score(question, predictions, targets)


def _probability_score(question: Question, predictions: Predictions, targets: npt.NDArray[Any]) -> Statistic:
    name = question.kpi.name
    scores, columns = predictions.scores, predictions.columns
    if scores is None or columns is None:
        raise DataError(
            f"{name} needs one score per class, and {predictions.outputs.model} gives {predictions.meaning} "
            f"for task {predictions.task}"
        )
    logits = scores.astype(np.float64)
    chances = logits if predictions.meaning == "probabilities" else softmax(logits, axis=1)
    chances = chances / chances.sum(axis=1, keepdims=True)
    if name == "log_loss":
        return _quiet(lambda i: float(metrics.log_loss(targets[i], chances[i], labels=columns)))
    if len(columns) == 2:
        return _quiet(lambda i: 100 * float(metrics.roc_auc_score(targets[i] == columns[1], chances[i, 1])))
    average = question.options["average"]
    return _quiet(
        lambda i: (
            100
            * float(metrics.roc_auc_score(targets[i], chances[i], multi_class="ovr", average=average, labels=columns))
        )
    )


def _quiet(statistic: Statistic) -> Statistic:
    """Return NaN for resamples on which scikit-learn finds the metric undefined, without its warnings."""

    def measured(index: IntArray) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return statistic(index)
            except ValueError as error:
                if len(np.unique(index)) == len(index):  # the data themselves, not a resample
                    raise MeasurementError(f"scikit-learn: {error}") from error
                return math.nan

    return measured
