"""The reading of the area under the ROC curve: from ranks, with each sample's influence on it."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.evidence import judged_models, meaning_of, targets_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.ranks import area_interval, area_of, compare_areas

Array = npt.NDArray[np.float64]
Area = tuple[float, Array]


def roc_auc(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the area under the ROC curve; several classes are each taken against the rest, and averaged.

    Raises:
        DoesNotFit: the model gives no score per class.
        MeasurementError: a class has no samples, or all of them.
    """
    models = judged_models(question, measurements)
    areas = {role: _area(question, predictions) for role, predictions in models.items()}
    comparison = None
    if "teacher" in areas:
        sizes = _sizes(models["student"])
        comparison = compare_areas(areas["student"], areas["teacher"], question.alpha, 100.0, sizes)
    readings = {role: _reading(question, models[role], area) for role, area in areas.items()}
    yield Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=question.asked,
    )


def _reading(question: Question, predictions: Predictions, area: Area) -> Reading:
    several = predictions.columns is not None and len(predictions.columns) > 2
    average, scale = (
        (f"{question.options['average']}-averaged; ", "logit scale") if several else ("", "score interval")
    )
    return Reading(
        estimate=area_interval(*area, question.alpha, _sizes(predictions)).map(lambda share: 100 * share),
        unit=question.kpi.unit,
        n=len(predictions),
        confidence=question.confidence,
        method=f"{average}{meaning_of(predictions)}; DeLong's variance of {len(predictions):,} samples, {scale}",
    )


def _sizes(predictions: Predictions) -> tuple[int, int] | None:
    """Return the number of samples of the positive and of the other class; None of an average over classes."""
    columns = predictions.columns
    if columns is None or len(columns) != 2:
        return None
    positive = int((targets_of(predictions) == columns[1]).sum())
    return positive, len(predictions) - positive


def _area(question: Question, predictions: Predictions) -> Area:
    """Return the area and the influence of each sample on it, as scikit-learn averages over classes.

    Raises:
        DoesNotFit, MeasurementError: see `roc_auc`.
    """
    targets, columns, model = targets_of(predictions), predictions.columns, predictions.outputs.model
    if columns is None:
        raise DoesNotFit(
            f"roc_auc needs one score per class, and {model} gives {predictions.meaning} for task {predictions.task}"
        )
    chances = predictions.probabilities(slice(None))
    positive = targets[:, None] == np.asarray(columns)
    gone = [column for column, hits in zip(columns, positive.sum(axis=0), strict=True) if hits in {0, len(targets)}]
    average = question.options["average"]
    if gone and not (average == "micro" and len(columns) > 2):
        which = "no sample" if not (targets == gone[0]).any() else "every sample"
        raise MeasurementError(f"roc_auc of {model} is nan: {which} is of class {gone[0]}")
    if len(columns) == 2:
        return area_of(positive[:, 1], chances[:, 1])
    if average == "micro":
        area, influence = area_of(positive.ravel(), chances.ravel())
        return area, influence.reshape(chances.shape).sum(axis=1)
    if average not in {"macro", "weighted"}:
        raise MeasurementError(
            f"roc_auc with average={average!r} is for two classes, and there are {len(columns)}. "
            "Write average='macro'"
        )
    by_class = [area_of(positive[:, column], chances[:, column]) for column in range(len(columns))]
    areas = np.array([area for area, _ in by_class])
    influences = np.stack([influence for _, influence in by_class], axis=1)
    shares = positive.mean(axis=0)
    if average == "macro":
        return float(areas.mean()), influences.mean(axis=1)
    weighted = float(areas @ shares)
    own = (areas[positive.argmax(axis=1)] - weighted) / math.sqrt(len(targets) * max(1, len(targets) - 1))
    return weighted, influences @ shares + own  # the shares of the classes vary with the sample as well
