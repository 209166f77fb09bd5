"""Readings of metrics that are functions of sums over samples: averages of errors, and counts of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.accuracy.centred import centred, exact_squares
from pytest_modelbench.kpis.additive import Part, Parts, Read, additive_evidence, summed_parts
from pytest_modelbench.kpis.evidence import (
    judged_models,
    known_classes,
    positions,
    targets_of,
)
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, Sums

Array = npt.NDArray[Any]


def _read(question: Question, measurements: Measurements) -> Summary:
    """Add up what one of the metrics needs.

    Raises:
        DoesNotFit: the task is another one.
    """
    student = measurements.predictions("student")
    regression = question.kpi.statistic in _REGRESSION
    if regression is not (student.task == "regression"):
        wanted = "regression" if regression else "classification"
        raise DoesNotFit(
            f"{question.kpi.name} is for {wanted}, and the task is {student.task}. Write EvalData(..., "
            f"task='{'regression' if regression else 'multiclass'}') if that is wrong"
        )
    if question.kpi.statistic == "balanced_accuracy" and student.task == "multilabel":
        raise DoesNotFit("balanced_accuracy is for one label per sample, and the task is multilabel")
    models = judged_models(question, measurements)
    if regression:
        return summed_parts(models, _errors)
    if question.kpi.statistic in {"log_loss", "brier"}:
        return summed_parts(models, _mean_loss(question))
    return count_classes(models)


def _conclude(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read one of the metrics that sums give."""
    average, meaning = question.options.get("average"), summary.facts["meaning"]
    method = f"{average}-averaged; {meaning}" if average else meaning
    statistic = question.kpi.statistic
    if statistic in _REGRESSION:
        whole = centred(summary) if statistic == "r2" else summary
        yield additive_evidence(question, whole, _REGRESSION[statistic], method)
    elif statistic in {"log_loss", "brier"}:
        yield additive_evidence(question, summary, lambda sums: sums["loss"][:, 0] / sums["n"][:, 0], method)
    else:
        classes = classes_of(summary)
        value = _balanced if statistic == "balanced_accuracy" else _averaged(question, summary, len(classes))
        yield additive_evidence(question, summary, value, method, classes)


summed = Reduction(_read, _conclude)


def _errors(predictions: Predictions, part: slice) -> Parts:
    """Errors of each output of a regression, which are averaged over outputs as scikit-learn does."""
    targets = targets_of(predictions)
    outputs = int(np.prod(targets.shape[1:], dtype=int))
    expected = np.asarray(targets[part], dtype=np.float64).reshape(-1, outputs)
    off = np.asarray(predictions.labels[part], dtype=np.float64).reshape(-1, outputs) - expected
    rows, kinds = np.repeat(np.arange(len(off)), outputs), np.tile(np.arange(outputs), len(off))
    squares, rest = exact_squares(expected)
    sums = {"n": np.ones_like(off), "absolute": np.abs(off), "squared": off**2, "y": expected}
    parts = {key: Part(kinds=kinds, of=outputs, weights=values.ravel(), rows=rows) for key, values in sums.items()}
    both = np.concatenate([squares.ravel(), rest.ravel()])
    return {**parts, "yy": Part(kinds=np.tile(kinds, 2), of=outputs, weights=both, rows=np.tile(rows, 2))}


def _r2(sums: Sums) -> FloatArray:
    variance = sums["yy"] - sums["y"] ** 2 / sums["n"]
    with np.errstate(divide="ignore", invalid="ignore"):
        scores: FloatArray = np.mean(1 - sums["squared"] / variance, axis=1)
    return scores


_REGRESSION: Mapping[str, Callable[[Sums], FloatArray]] = {
    "mae": lambda sums: np.mean(sums["absolute"] / sums["n"], axis=1),
    "rmse": lambda sums: np.mean(np.sqrt(sums["squared"] / sums["n"]), axis=1),
    "r2": _r2,
}


def _mean_loss(question: Question) -> Read:
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

    return parts


def count_classes(models: Mapping[str, Predictions]) -> Summary:
    """Count each class, as `class_counts` does, and note which classes there are."""
    multilabel = models["student"].task == "multilabel"
    return summed_parts(models, class_counts(np.empty(0) if multilabel else known_classes(models)))


def classes_of(summary: Summary) -> list[Any]:
    """Return the classes that were counted, in order."""
    sums = summary.sums[""]
    return sorted({label for name in sums.names for label in sums.table(name).labels})


def class_counts(classes: Array) -> Read:
    """Count each class: samples that are it (`true`), that are answered so (`said`), and that are both (`hit`)."""
    labels_of = classes.tolist()

    def parts(predictions: Predictions, part: slice) -> Parts:
        labels, targets = predictions.labels[part], targets_of(predictions)[part]
        if predictions.task == "multilabel":
            of, masks = labels.shape[1], {"hit": labels * targets, "said": labels, "true": targets}
            places = {name: np.nonzero(mask) for name, mask in masks.items()}
            return {name: Part(kinds=kinds, of=of, rows=rows) for name, (rows, kinds) in places.items()}
        said, true = positions(labels, classes), positions(targets, classes)
        counted = {"hit": np.where(said == true, true, -1), "said": said, "true": true}
        return {name: Part(kinds=kinds, of=labels_of) for name, kinds in counted.items()}

    return parts


def _balanced(sums: Sums) -> FloatArray:
    with np.errstate(invalid="ignore"):
        recalls = np.where(sums["true"] > 0, sums["hit"] / sums["true"], np.nan)
        mean: FloatArray = 100 * np.nanmean(recalls, axis=1)
    return mean


def _averaged(question: Question, summary: Summary, classes: int) -> Callable[[Sums], FloatArray]:
    """Return F1, precision or recall as scikit-learn averages it, 0 where a class has no denominator."""
    name, average, task = question.kpi.name, question.options["average"], summary.facts["task"]
    if average == "binary" and (classes != 2 or task == "multilabel"):
        raise MeasurementError(
            f"{name} with average='binary' is for two classes, and there are {classes} (task {task}). "
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
        if average == "macro" and task != "multilabel":
            weights = ((said + true) > 0).astype(float)  # of the classes that occur
        mean: FloatArray = 100 * (each * weights).sum(axis=1) / weights.sum(axis=1)
        return mean

    return value
