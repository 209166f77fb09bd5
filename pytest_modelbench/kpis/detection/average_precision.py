"""Average precision and recall of detections as evidence, with a paired bootstrap of images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_modelbench.data.tasks.detection import DetectionData
from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.kpis.by_group import groups_of, resampled_evidence
from pytest_modelbench.kpis.by_task import Answered
from pytest_modelbench.kpis.detection.curves import average_precisions, hits_by_image, recalls
from pytest_modelbench.kpis.detection.detected import detected
from pytest_modelbench.kpis.detection.matching import AREAS, OVERLAPS, ClassMatches, matched
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, IntArray, share_of
from pytest_modelbench.stats.paired import bias_corrected

_EVERY = tuple(range(len(OVERLAPS)))
_MANY = 10**9
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Mean:
    """What a KPI is a mean of.

    Attributes:
        area: which targets count, a name of `AREAS`.
        at: the overlaps, by position in `OVERLAPS`.
        most: how many detections of a class in an image count.
    """

    area: str = "all"
    at: Sequence[int] = _EVERY
    most: int = _MANY


PRECISIONS: Mapping[str, Mean] = {
    "map": Mean(),
    "map_50": Mean(at=(0,)),
    "map_75": Mean(at=(5,)),
    **{f"map_{area}": Mean(area) for area in ("small", "medium", "large")},
}
RECALLS: Mapping[str, Mean] = {
    **{f"mar_{most}": Mean(most=most) for most in (1, 10, 100)},
    **{f"mar_{area}": Mean(area, most=100) for area in ("small", "medium", "large")},
}
ByClass = Callable[[TaskAnswers, FloatArray, Mean], FloatArray]


def precision(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean average precision.

    Raises:
        DoesNotFit: no target counts.
        MeasurementError: as for `detected`.
    """
    yield _evidence(question, measurements, PRECISIONS[question.kpi.statistic], precision_by_class)


def recall(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean average recall.

    Raises:
        DoesNotFit: no target counts.
        MeasurementError: as for `detected`.
    """
    yield _evidence(question, measurements, RECALLS[question.kpi.statistic], recall_by_class)


def precision_by_class(measured: TaskAnswers, weights: FloatArray, mean: Mean) -> FloatArray:
    """Return the average precision of each class in percent, (resamples, classes)."""
    several = matched(measured, mean.area)
    return 100 * np.stack([average_precisions(each, weights, mean.at).mean(axis=1) for each in several], axis=1)


def recall_by_class(measured: TaskAnswers, weights: FloatArray, mean: Mean) -> FloatArray:
    """Return the recall of each class in percent, (resamples, classes)."""
    return 100 * recalls(matched(measured, mean.area), weights, mean.most)


def _evidence(question: Question, measurements: Measurements, mean: Mean, by_class: ByClass) -> Evidence:
    answers = detected(question, measurements)
    several = matched(answers.student, mean.area)
    if not several:
        low, high = AREAS[mean.area]
        upper = f"to {high:g} pixels" if high < AREAS["all"][1] else "pixels up"
        size = "" if mean.area == "all" else f" with an area from {low:g} {upper}"
        raise DoesNotFit(f"{question.kpi.name} needs targets{size}, and these data have none (crowds do not count)")
    functions = {role: over_classes(measured, mean, by_class) for role, measured in answers.answers.items()}
    n = len(answers.student)
    groups = groups_of(answers.data.group, n)
    fewest = min(len(np.unique(groups[matches.targets > 0])) for matches in several)
    evidence = resampled_evidence(
        question, answers.data, functions, n, _method(several), bias_corrected, units=fewest
    )
    return replace(
        evidence,
        notes=(*evidence.notes, *_notes(answers)),
        worst_samples=answers.worst(_worst(several, n, mean)),
        breakdown=(*evidence.breakdown, *_rows(answers, mean, by_class)),
    )


def _method(several: Sequence[ClassMatches]) -> str:
    count = int(sum(matches.targets.sum() for matches in several))
    return f"{count:,} targets of {len(several)} class{'es' * (len(several) > 1)}, matched by pycocotools"


def over_classes(measured: TaskAnswers, mean: Mean, by_class: ByClass) -> Callable[[FloatArray], FloatArray]:
    """Return the mean over classes with targets as a function of weights."""

    def values(weights: FloatArray) -> FloatArray:
        table = each_class(measured, weights, mean, by_class)
        defined = np.isfinite(table)
        return share_of(np.where(defined, table, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))

    return values


def each_class(measured: TaskAnswers, weights: FloatArray, mean: Mean, by_class: ByClass) -> FloatArray:
    """Return the value of each class, (resamples, classes); KPIs share those of the same weights."""
    held = measured.derived
    key = (by_class.__name__, mean, hashlib.blake2b(np.ascontiguousarray(weights).data).digest())
    if key not in held:
        held[key] = by_class(measured, weights, mean)
    table: FloatArray = held[key]
    return table


def _rows(answers: Answered[DetectionData], mean: Mean, by_class: ByClass) -> Iterator[dict[str, Any]]:
    """Yield a row for each class with targets."""
    once = np.ones((1, len(answers.student)))
    tables = {role: by_class(measured, once, mean)[0] for role, measured in answers.answers.items()}
    for position, matches in enumerate(matched(answers.student, mean.area)):
        name = answers.data.names.get(matches.label, str(matches.label))
        values = {role: float(table[position]) for role, table in tables.items()}
        yield {"name": f"class={name}", "n": int(matches.targets.sum()), **values}


def _worst(several: Sequence[ClassMatches], n: int, mean: Mean) -> IntArray:
    """Return the images in which most targets are missed, worst first."""
    missed: FloatArray = np.sum(
        [each.targets - hits_by_image(each, n, mean.at, mean.most) for each in several], axis=0
    )
    order = np.argsort(-missed, kind="stable")
    return order[missed[order] > _ROUNDING]


def _notes(answers: Answered[DetectionData]) -> Iterator[str]:
    """Yield a note on models whose detections have classes that no target has."""
    for role, measured in answers.answers.items():
        labels, known = measured.answers["labels"].values, np.unique(measured.targets["labels"].values)
        strange = ~np.isin(labels, known)
        if len(labels) and strange.all():
            yield (
                f"no detection of the {role} has a class of the targets: it has {_few(labels)}, and the targets "
                f"{_few(known)}. Do both number classes alike?"
            )
        if not len(labels):
            yield f"the {role} has no detections"


def _few(labels: Any) -> str:
    numbers = np.unique(labels).tolist()
    return ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
