"""Readings of metrics that need all samples at once, with a paired bootstrap; values of the user's own."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator

import numpy as np
from sklearn import metrics

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.derive_footprint import exact_comparison
from pytest_modelbench.kpis.derive_shares import check_paired, judged_predictions, meaning_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.own_metrics import own_statistic, told_inputs
from pytest_modelbench.probes.meaning import Predictions
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.paired import IntArray, Statistic, paired_bootstrap

SLOWEST_RESAMPLED_S = 0.01


def roc_auc(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the area under the ROC curve, which ranks all samples: every resample sorts them anew."""
    yield _resampled(question, measurements, _roc_auc)


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
    averaged = f"{question.options['average']}-averaged; " if question.options.get("average") else ""
    method = f"{averaged}{meaning_of(student)}{told_inputs(question, student)}"
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


def _roc_auc(question: Question, predictions: Predictions) -> Statistic:
    targets, columns = predictions.targets, predictions.columns
    if targets is None:
        raise DoesNotFit("roc_auc needs targets, and the evaluation data have none")
    if columns is None:
        raise DoesNotFit(
            f"roc_auc needs one score per class, and {predictions.outputs.model} gives {predictions.meaning} "
            f"for task {predictions.task}"
        )
    chances = predictions.probabilities(slice(None))
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
