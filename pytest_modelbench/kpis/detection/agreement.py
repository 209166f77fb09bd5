"""Readings of how far the student detects what its teacher detects, right or wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pytest_modelbench.data.tasks.detection import DetectionData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_task import Answered
from pytest_modelbench.kpis.detection.agreement_pairs import (
    Boxes,
    FloatArray,
    Pairs,
    detections,
    one_to_one,
    overlapping,
)
from pytest_modelbench.kpis.detection.detected import detected
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Counted, by_kind, pooled_evidence, worst_first
from pytest_modelbench.results import Evidence

DEFAULT_SCORE = 0.5


@dataclass(frozen=True, kw_only=True)
class Both:
    """The detections of both models, and which of them belong together."""

    student: Boxes
    teacher: Boxes
    pairs: Pairs

    @property
    def note(self) -> tuple[str, ...]:
        """Say how many images have no detection of either."""
        empty = int((self.student.count() + self.teacher.count() == 0).sum())
        return (f"neither model detects anything in {empty:,} of {self.student.images:,} images",) * bool(empty)


def detection_agreement(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the F1 score of the student's detections, with the teacher's in the place of targets."""
    answers = detected(question, measurements, both=True)
    both = matched(question, answers)
    partnered = (
        (np.isin(np.arange(len(both.student)), both.pairs.first), both.student),
        (
            np.isin(np.arange(len(both.teacher)), both.pairs.second),
            both.teacher,
        ),
    )
    counted = counted_boxes(*partnered[0]) + counted_boxes(*partnered[1])
    yield _evidence(question, answers, both, counted, "boxes of both models that have a partner")


def box_iou(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean intersection over union of the boxes that both models detect."""
    answers = detected(question, measurements, both=True)
    both = matched(question, answers)
    counted = counted_boxes(both.pairs.overlap, both.student, both.pairs.first)
    yield _evidence(question, answers, both, counted, "mean overlap of boxes that both models detect", drift=True)


def matched(question: Question, answers: Answered[DetectionData]) -> Both:
    """Return the detections of both models that the question is about, and their pairs.

    Raises:
        MeasurementError: the teacher detects nothing that counts.
    """
    score = least_score(question, answers.data)
    student, teacher = (detections(answers.answers[role], score) for role in ("student", "teacher"))
    if not len(teacher):
        raise MeasurementError(
            f"{question.kpi.name} compares nothing: the teacher has no detection with a score of at least {score:g}. "
            "State a smaller min_score="
        )
    pairs = overlapping(student, teacher, question.options["iou"], alike=True)
    return Both(student=student, teacher=teacher, pairs=one_to_one(pairs, student))


def least_score(question: Question, data: DetectionData) -> float:
    """Return the least score of a detection that counts: as stated, else the data's threshold, else 0.5."""
    scores = (question.options["min_score"], data.own["score_threshold"], DEFAULT_SCORE)
    return next(float(score) for score in scores if score is not None)


def counted_boxes(value: FloatArray | np.ndarray, boxes: Boxes, index: np.ndarray | None = None) -> Counted:
    """Return boxes with how much each counts, of all or of those at some positions."""
    at = slice(None) if index is None else index
    return Counted(
        sample=boxes.image[at], kind=boxes.labels[at], value=value.astype(np.float64), samples=boxes.images
    )


def _evidence(
    question: Question,
    answers: Answered[DetectionData],
    both: Both,
    counted: Counted,
    method: str,
    *,
    drift: bool = False,
) -> Evidence:
    things, iou = {"student": counted}, question.options["iou"]
    evidence = pooled_evidence(
        question,
        answers.data,
        things,
        f"{method}, at a score of {least_score(question, answers.data):g} and an overlap of {iou:g} or more",
        nothing=f"no box of the student overlaps one of the teacher's class by {iou:g}",
        least=iou if drift else 0.0,
    )
    return replace(
        evidence,
        notes=(*evidence.notes, *both.note),
        worst_samples=answers.worst(worst_first(things, "higher")),
        breakdown=(*evidence.breakdown, *by_kind(things, answers.data.names)),
    )
