"""Reading of the class whose average precision dropped most, which the mean over classes hides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pytest_modelbench.data.tasks.detection import DetectionData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import drawn_by_group, groups_of
from pytest_modelbench.kpis.by_task import Answered
from pytest_modelbench.kpis.detection.average_precision import Mean, each_class, precision_by_class
from pytest_modelbench.kpis.detection.curves import hits_by_image
from pytest_modelbench.kpis.detection.detected import detected
from pytest_modelbench.kpis.detection.matching import OVERLAPS, matched
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.worst_drop import Classes, worst_drop
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, IntArray, drawn_evenly, resamples_for

MANY, ROUNDING = 10**9, 1e-9


def ap_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest drop of a class's average precision.

    Raises:
        DoesNotFit: no class has enough targets.
        MeasurementError: the teacher finds no target, so that nothing can drop.
    """
    answers = detected(question, measurements, both=True)
    evidence, worst = worst_drop(question, _classes(question, answers), "matched by pycocotools")
    yield replace(evidence, worst_samples=answers.worst(_lost(answers, worst)))


def _classes(question: Question, answers: Answered[DetectionData]) -> Classes:
    """Return the average precision of each class with targets, also over resamples of groups."""
    groups, several = groups_of(answers.data.group, len(answers.student)), matched(answers.student, "all")
    count = int(groups.max()) + 1
    draws = drawn_evenly(count, resamples_for(question.alpha), np.random.default_rng(question.seed))
    classes = Classes(
        names=[answers.data.names.get(each.label, str(each.label)) for each in several],
        n=np.array([int(each.targets.sum()) for each in several], dtype=np.intp),
        units=np.array([len(np.unique(groups[each.targets > 0])) for each in several], dtype=np.intp),
        values={role: _precisions(its, np.ones((1, count)), groups)[0] for role, its in answers.answers.items()},
        drawn={role: _precisions(its, draws, groups) for role, its in answers.answers.items()},
        of="targets",
    )
    if several and not classes.values["teacher"].any():
        raise MeasurementError(
            f"{question.kpi.name} compares nothing: the average precision of the teacher is 0 for every class"
        )
    return classes


def _precisions(measured: TaskAnswers, draws: FloatArray, groups: IntArray) -> FloatArray:
    """Return the average precision of each class in percent, (resamples, classes)."""
    if not matched(measured, "all"):
        return np.empty((len(draws), 0))
    return drawn_by_group(lambda weights: each_class(measured, weights, Mean(), precision_by_class), draws, groups)


def _lost(answers: Answered[DetectionData], worst: int) -> IntArray:
    """Return the images in which the student finds fewest of a class's targets that the teacher finds."""
    hits = {
        role: hits_by_image(matched(measured, "all")[worst], len(measured), range(len(OVERLAPS)), MANY)
        for role, measured in answers.answers.items()
    }
    lost = hits["teacher"] - hits["student"]
    order = np.argsort(-lost, kind="stable")
    return order[lost[order] > ROUNDING]
