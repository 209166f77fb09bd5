"""How far predicted masks and targets overlap: shares of pixels, and means over classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.data.tasks.segmentation import SegmentationData
from pytest_modelbench.kpis.by_jackknife import jackknife_evidence
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Tallied, pooled_evidence, worst_first
from pytest_modelbench.kpis.segmentation.confusion import Areas, areas_of, class_names, iou_of, split
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, share_of

ByClass = Callable[[FloatArray], FloatArray]


def _dice(table: FloatArray) -> FloatArray:
    both, target, answer = split(table)
    return np.where(target > 0, share_of(2 * both, target + answer), np.nan)


def _recall(table: FloatArray) -> FloatArray:
    both, target, _ = split(table)
    return share_of(both, target)


MEANS: Mapping[str, ByClass] = {"mean_iou": iou_of, "dice": _dice, "mean_pixel_accuracy": _recall}
"""The value of each class by the statistic, from sums of `Areas.table`; NaN where the target has none of it."""


def pixel_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of pixels that are right, over all images together."""
    answers = answered(question, measurements, SegmentationData)
    tallied = {role: _right(areas_of(answers, role)) for role in answers.answers}
    evidence = pooled_evidence(question, answers.data, tallied, "right pixels", nothing="no pixel counts")
    yield replace(
        evidence,
        notes=(*evidence.notes, *notes_of(answers)),
        worst_samples=answers.worst(worst_first(tallied, "higher")),
    )


def _right(areas: Areas) -> Tallied:
    return Tallied(parts=areas.both.sum(axis=1), wholes=areas.target.sum(axis=1))


def mean_over_classes(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean over classes of IoU, Dice or recall."""
    answers, of_class = answered(question, measurements, SegmentationData), MEANS[question.kpi.statistic]
    areas = {role: areas_of(answers, role) for role in answers.answers}
    tables = {role: its.table for role, its in areas.items()}
    names = class_names(answers, areas["student"])
    method = f"mean over {len(names)} class{'es' * (len(names) > 1)} of the targets, pixels of all images together"
    evidence = jackknife_evidence(question, answers.data, tables, lambda sums: 100 * nan_mean(of_class(sums)), method)
    yield replace(
        evidence,
        notes=(*evidence.notes, *notes_of(answers)),
        worst_samples=answers.worst(worst_images(tables, of_class)),
        breakdown=(*evidence.breakdown, *class_rows(tables, names, of_class)),
    )


def frequency_weighted_iou(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean of the classes' IoU, each weighted by its share of the targets' pixels."""
    answers = answered(question, measurements, SegmentationData)
    tables = {role: areas_of(answers, role).table for role in answers.answers}
    evidence = jackknife_evidence(question, answers.data, tables, _weighted, "weighted by the pixels of the targets")
    yield replace(
        evidence,
        notes=(*evidence.notes, *notes_of(answers)),
        worst_samples=answers.worst(worst_images(tables, iou_of)),
    )


def _weighted(sums: FloatArray) -> FloatArray:
    weights = split(sums)[1]
    return 100 * share_of(np.nansum(weights * np.nan_to_num(iou_of(sums)), axis=-1), weights.sum(axis=-1))


def nan_mean(values: FloatArray) -> FloatArray:
    """Return the mean over the last axis of what is defined; NaN where nothing is."""
    defined = np.isfinite(values)
    return share_of(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def worst_images(tables: Mapping[str, FloatArray], of_class: ByClass) -> Any:
    """Return the images whose mean over their classes is lowest, or lowest beside the teacher's, the worst first."""
    means = {role: nan_mean(of_class(table)) for role, table in tables.items()}
    lost = np.nan_to_num(means.get("teacher", 1.0) - means["student"])
    order = np.argsort(-lost, kind="stable")
    return order[lost[order] > 0]


def class_rows(tables: Mapping[str, FloatArray], names: list[str], of_class: ByClass) -> Iterator[dict[str, Any]]:
    """Yield a row for each class: its name, in how many targets it is, and the models' values in percent."""
    images = (split(tables["student"])[1] > 0).sum(axis=0)
    values = {role: 100 * of_class(table.sum(axis=0)) for role, table in tables.items()}
    for position, name in enumerate(names):
        yield {
            "name": f"class={name}",
            "n": int(images[position]),
            **{role: float(by_class[position]) for role, by_class in values.items()},
        }


def notes_of(answers: Answered[SegmentationData]) -> Iterator[str]:
    """Yield what the report says of NaN scores, of classes that no target has, and of an index that is a class."""
    ignored = answers.data.ignore_index
    for role, measured in answers.answers.items():
        areas = areas_of(answers, role)
        if broken := int(areas.wrong.sum()):
            yield f"{role}: {broken:,} pixels whose scores are NaN or infinite count as wrong"
        strange = np.flatnonzero(areas.answer.any(axis=0) & ~areas.target.any(axis=0)).tolist()
        if strange:
            named = ", ".join(answers.data.names.get(number, str(number)) for number in strange[:5])
            yield f"{role}: answers have classes that no target has, which no mean counts: {named}"
        classes = int(measured.answers["classes"].values.max())
        if ignored is not None and 0 <= ignored < classes and role == "student":
            yield f"ignore_index={ignored} is a class of the model: its pixels do not count"
