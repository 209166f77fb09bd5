"""Readings of metrics that are functions of sums over samples: averages of errors, and counts of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.additive import Additive, Part, Parts, additive_evidence
from pytest_modelbench.kpis.evidence import (
    judged_models,
    known_classes,
    meaning_of,
    positions,
    targets_of,
)
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, Sums

REGRESSION = frozenset({"rmse", "mae", "r2"})
Array = npt.NDArray[Any]
Read = Callable[[Predictions, slice], Parts]


def summed(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read one of the metrics that sums give."""
    student = measurements.predictions("student")
    regression = question.kpi.statistic in REGRESSION
    if regression is not (student.task == "regression"):
        wanted = "regression" if regression else "classification"
        raise DoesNotFit(
            f"{question.kpi.name} is for {wanted}, and the task is {student.task}. Write EvalData(..., "
            f"task='{'regression' if regression else 'multiclass'}') if that is wrong"
        )
    if question.kpi.statistic == "balanced_accuracy" and student.task == "multilabel":
        raise DoesNotFit("balanced_accuracy is for one label per sample, and the task is multilabel")
    models = judged_models(question, measurements)
    average = question.options.get("average")
    method = f"{average}-averaged; {meaning_of(student)}" if average else meaning_of(student)
    yield additive_evidence(question, models, _additive(question, models), method)


def _additive(question: Question, models: Mapping[str, Predictions]) -> Additive:
    statistic, student = question.kpi.statistic, models["student"]
    if statistic in REGRESSION:
        return _errors(statistic, student)
    if statistic in {"log_loss", "brier"}:
        return _mean_loss(question)
    classes = known_classes(models)
    value = _balanced if statistic == "balanced_accuracy" else _averaged(question, student, classes)
    return Additive(parts=class_counts(classes), value=value)


def _errors(statistic: str, student: Predictions) -> Additive:
    """Errors of each output of a regression, averaged over outputs as scikit-learn does."""
    targets = targets_of(student)
    outputs = int(np.prod(targets.shape[1:], dtype=int))
    centre = np.mean(targets.reshape(len(targets), -1), axis=0, dtype=np.float64)  # large targets keep their figures

    def parts(predictions: Predictions, part: slice) -> Parts:
        expected = np.asarray(targets_of(predictions)[part], dtype=np.float64).reshape(-1, outputs)
        off = np.asarray(predictions.labels[part], dtype=np.float64).reshape(-1, outputs) - expected
        rows, kinds = np.repeat(np.arange(len(off)), outputs), np.tile(np.arange(outputs), len(off))
        sums = {"n": np.ones_like(off), "absolute": np.abs(off), "squared": off**2, "y": expected - centre}
        sums["yy"] = sums["y"] ** 2
        return {key: Part(kinds=kinds, of=outputs, weights=values.ravel(), rows=rows) for key, values in sums.items()}

    if statistic == "r2" and bool(np.any(np.all(targets == targets[0], axis=0))):
        raise MeasurementError(f"r2 is undefined: all targets are {targets[0]}, so there is no variance to explain")
    if statistic == "mae":
        return Additive(parts=parts, value=lambda s: np.mean(s["absolute"] / s["n"], axis=1))
    if statistic == "rmse":
        return Additive(parts=parts, value=lambda s: np.mean(np.sqrt(s["squared"] / s["n"]), axis=1))

    def r2(sums: Sums) -> FloatArray:
        variance = sums["yy"] - sums["y"] ** 2 / sums["n"]
        with np.errstate(divide="ignore", invalid="ignore"):
            scores: FloatArray = np.mean(1 - sums["squared"] / variance, axis=1)
        return scores

    return Additive(parts=parts, value=r2)


def _mean_loss(question: Question) -> Additive:
    """Log loss as scikit-learn clips it; Brier's score over all classes, halved for two as scikit-learn does."""

    def parts(predictions: Predictions, part: slice) -> Parts:
        chances = predictions.probabilities(part)
        own = np.searchsorted(np.asarray(predictions.columns), targets_of(predictions)[part])
        hit = np.take_along_axis(chances, own[:, None], axis=1)[:, 0]
        if question.kpi.statistic == "log_loss":
            smallest = np.finfo(np.float64).eps
            loss = -np.log(np.clip(hit, smallest, 1 - smallest))
        else:
            loss = (chances**2).sum(axis=1) - 2 * hit + 1
            loss = loss / 2 if chances.shape[1] == 2 else loss
        kinds = np.zeros(len(loss), dtype=np.intp)
        return {"n": Part(kinds=kinds, of=1), "loss": Part(kinds=kinds, of=1, weights=loss)}

    return Additive(parts=parts, value=lambda sums: sums["loss"][:, 0] / sums["n"][:, 0])


def class_counts(classes: Array) -> Read:
    """Count each class: samples that are it (`true`), that are answered so (`said`), and that are both (`hit`)."""

    def parts(predictions: Predictions, part: slice) -> Parts:
        labels, targets = predictions.labels[part], targets_of(predictions)[part]
        if predictions.task == "multilabel":
            of, masks = labels.shape[1], {"hit": labels * targets, "said": labels, "true": targets}
            places = {name: np.nonzero(mask) for name, mask in masks.items()}
            return {name: Part(kinds=kinds, of=of, rows=rows) for name, (rows, kinds) in places.items()}
        said, true = positions(labels, classes), positions(targets, classes)
        counted = {"hit": np.where(said == true, true, -1), "said": said, "true": true}
        return {name: Part(kinds=kinds, of=len(classes)) for name, kinds in counted.items()}

    return parts


def _balanced(sums: Sums) -> FloatArray:
    with np.errstate(invalid="ignore"):
        recalls = np.where(sums["true"] > 0, sums["hit"] / sums["true"], np.nan)
        mean: FloatArray = 100 * np.nanmean(recalls, axis=1)
    return mean


def _averaged(question: Question, student: Predictions, classes: Array) -> Callable[[Sums], FloatArray]:
    """Return F1, precision or recall as scikit-learn averages it, 0 where a class has no denominator."""
    name, average = question.kpi.name, question.options["average"]
    if average == "binary" and (len(classes) != 2 or student.task == "multilabel"):
        raise MeasurementError(
            f"{name} with average='binary' is for two classes, and there are {len(classes)} (task {student.task}). "
            "Write average='macro'"
        )

    def score(hit: FloatArray, said: FloatArray, true: FloatArray) -> FloatArray:
        below = {"f1": (said + true) / 2, "precision": said, "recall": true}[question.kpi.statistic]
        ratio: FloatArray = np.divide(hit, below, out=np.zeros_like(hit), where=below > 0)
        return ratio

    def value(sums: Sums) -> FloatArray:
        hit, said, true = sums["hit"], sums["said"], sums["true"]
        if average == "micro":
            return np.asarray(100 * score(hit.sum(axis=1), said.sum(axis=1), true.sum(axis=1)))
        each = score(hit, said, true)
        if average == "binary":
            return np.asarray(100 * each[:, 1])
        weights = true if average == "weighted" else np.ones_like(true)
        if average == "macro" and student.task != "multilabel":
            weights = ((said + true) > 0).astype(float)  # of the classes that occur
        mean: FloatArray = 100 * (each * weights).sum(axis=1) / weights.sum(axis=1)
        return mean

    return value
