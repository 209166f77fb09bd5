"""Evidence that several families derive: exact values, shares of samples, and predictions fit to be judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DataError, DoesNotFit, MeasurementError
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes.answers.columns import in_chunks
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import in_common, shown_ids
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import IntArray
from pytest_modelbench.stats.intervals import share_interval
from pytest_modelbench.stats.paired import tango_interval

Array = npt.NDArray[Any]


def exact_evidence(question: Question, reading: Callable[[str], Reading]) -> Evidence:
    """Return evidence whose values are counted: the interval is the point."""
    student = reading("student")
    if not question.with_teacher:
        return Evidence(student=student)
    teacher = reading("teacher")
    return Evidence(student=student, teacher=teacher, comparison=exact_comparison(student.value, teacher.value))


def exact_comparison(student: float, teacher: float) -> Comparison:
    """Compare two exact values; there is no ratio to zero."""
    return Comparison(
        ratio=Estimate.exact(student / teacher) if teacher else None,
        difference=Estimate.exact(student - teacher),
    )


def between(student: Estimate, teacher: Estimate) -> Comparison:
    """Compare two counts, each of which may only be known within bounds."""
    (s_low, s_high), (t_low, t_high) = (
        (estimate.low or 0.0, math.inf if estimate.high is None else estimate.high) for estimate in (student, teacher)
    )
    ratio = None
    if teacher.value and t_low:
        low = s_low / t_high if math.isfinite(t_high) else 0.0
        ratio = Estimate(value=student.value / teacher.value, low=low, high=s_high / t_low)
    gap = student.value - teacher.value
    return Comparison(ratio=ratio, difference=Estimate(value=gap, low=s_low - t_high, high=s_high - t_low))


def share_reading(question: Question, summary: Summary, count: int, n: int | None = None) -> Reading:
    """Return the reading of a share of samples, of all by default."""
    total = summary.n if n is None else n
    return Reading(
        estimate=share_interval(count, total, question.alpha).map(lambda share: 100 * share),
        unit="%",
        n=total,
        confidence=question.confidence,
        method=f"{count} of {total} samples, Wilson interval; {summary.facts['meaning']}",
    )


def compared_shares(question: Question, hits: Mapping[tuple[bool, bool], int]) -> Comparison:
    """Compare the shares of hits among the same samples, in points; the ratio takes the teacher's share as given.

    Args:
        question: whose confidence is used.
        hits: how many samples are hits of the student and of the teacher, as `combinations` counts two masks.
    """
    more, fewer, n = hits.get((True, False), 0), hits.get((False, True), 0), sum(hits.values())
    gained, level = tango_interval(more, fewer, n, question.alpha), (hits.get((True, True), 0) + fewer) / n
    return Comparison(
        ratio=gained.map(lambda share: 1 + share / level) if level else None,
        difference=gained.map(lambda share: 100 * share),
        method="Tango's score interval",
    )


def meaning_of(predictions: Predictions) -> str:
    """Say how outputs were read, for a reading's method."""
    return f"task {predictions.task}, outputs read as {predictions.meaning}"


def judged_predictions(
    question: Question, measurements: Measurements, role: str, targets: bool = True
) -> Predictions:
    """Return a model's predictions, fit to be judged.

    Raises:
        DataError: the KPI needs targets and the data have none.
        MeasurementError: some outputs are not finite: a NaN is neither right nor wrong; or it is the teacher of a
            limit that rests on it, and no better than a constant.
    """
    predictions = measurements.predictions(role)
    if targets and predictions.targets is None:
        raise DoesNotFit(f"{question.kpi.name} needs targets, and the evaluation data have none")
    if not targets and predictions.task == "regression":
        raise DoesNotFit(f"{question.kpi.name} compares labels, and the task is regression")
    if question.kpi.per_sample and predictions.task in {"regression", "multilabel"}:
        raise DoesNotFit(
            f"{question.kpi.name} is for one label per sample, and the task is {predictions.task}. "
            "Write EvalData(..., task='multiclass') if that is wrong"
        )
    refuse_nonfinite(question, predictions)
    if targets and role == "teacher" and question.anchored and predictions.doubt:
        raise MeasurementError(f"{predictions.doubt}. Put it right, or write allow_weak_teacher=True")
    return predictions


def refuse_nonfinite(question: Question, predictions: Predictions) -> None:
    """Refuse outputs that are NaN or infinite: they are neither right nor wrong.

    Raises:
        MeasurementError: saying how many, and what they have in common.
    """
    bad = np.flatnonzero(predictions.outputs.nonfinite)
    if len(bad):
        fed = int((~predictions.outputs.input_finite[bad]).sum())
        inputs = f"; the inputs of {fed} of them are not finite" if fed else ""
        raise MeasurementError(
            f"{question.kpi.name} is undefined: {predictions.outputs.model} gives NaN or infinite outputs for "
            f"{len(bad)} of {len(predictions)} samples{in_common(predictions.outputs, bad)} (ids "
            f"{', '.join(shown_ids(predictions.ids, bad))}){inputs}"
        )


def judged_models(question: Question, measurements: Measurements, both: bool = False) -> dict[str, Predictions]:
    """Return the predictions of the student and, where they are compared, of the teacher on the same samples."""
    models = {"student": judged_predictions(question, measurements, "student")}
    if question.with_teacher or both:
        models["teacher"] = judged_predictions(question, measurements, "teacher")
        check_paired(models["student"], models["teacher"])
    return models


def check_paired(student: Predictions, teacher: Predictions) -> None:
    """Refuse to pair samples that are not the same ones, or classes that are not.

    Raises:
        DataError: reading the data a second time gave other samples, or another order.
    """
    same = len(student) == len(teacher) and (student.ids == teacher.ids or list(student.ids) == list(teacher.ids))
    if same and student.targets is not None and teacher.targets is not None:
        same = np.array_equal(student.targets, teacher.targets)
    if not same:
        raise DataError(
            f"the data gave {teacher.outputs.model} other samples, or another order, than {student.outputs.model}: "
            "nothing can be paired. Make them read the same every time (no shuffling, a fixed seed)"
        )


def pair_of(question: Question, measurements: Measurements, targets: bool = True) -> tuple[Predictions, Predictions]:
    """Return the predictions of student and teacher, on the same samples and of the same classes."""
    student = judged_predictions(question, measurements, "student", targets=targets)
    teacher = judged_predictions(question, measurements, "teacher", targets=targets)
    check_paired(student, teacher)
    theirs, ours = teacher.columns, student.columns
    if theirs is not None and ours is not None and not np.array_equal(theirs, ours):
        listed = " and ".join(f"{', '.join(map(str, columns[:5]))} ({len(columns)})" for columns in (theirs, ours))
        raise DataError(
            f"teacher and student tell other classes apart: {listed}. {question.kpi.name} compares them class by "
            "class; give both models the same classes"
        )
    if student.labels.shape != teacher.labels.shape:
        raise MeasurementError(
            f"student and teacher predict in different shapes: {student.labels.shape} and {teacher.labels.shape}"
        )
    return student, teacher


def targets_of(predictions: Predictions) -> Array:
    """Return the targets, which `judged_predictions` has asked for."""
    if predictions.targets is None:
        raise DataError("the evaluation data have no targets")
    return predictions.targets


def known_classes(models: Mapping[str, Predictions]) -> Array:
    """Return the labels of the output columns, or all that occur where models give labels only, in order."""
    columns = [predictions.columns for predictions in models.values()]
    if all(labels is not None for labels in columns):
        return np.unique(np.concatenate([np.asarray(labels) for labels in columns]))
    seen: Array | None = None
    for predictions in models.values():
        for array in (predictions.labels, targets_of(predictions)):
            for chunk in in_chunks(array):
                classes = np.unique(chunk)
                seen = classes if seen is None else np.union1d(seen, classes)
    return np.asarray(seen)


def positions(values: Array, classes: Array) -> IntArray:
    """Return where each value stands among the sorted classes, -1 where it does not."""
    places = np.minimum(np.searchsorted(classes, values), len(classes) - 1)
    return np.where(classes[places] == values, places, -1)
