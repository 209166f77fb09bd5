"""Readings of detections at one threshold: which targets a model finds, and which of its detections are right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pytest_modelbench.data.tasks.detection import DetectionData
from pytest_modelbench.kpis.by_task import Answered
from pytest_modelbench.kpis.detection.agreement import counted_boxes, least_score
from pytest_modelbench.kpis.detection.agreement_pairs import (
    Boxes,
    Mask,
    by_score,
    detections,
    overlapping,
    targets,
)
from pytest_modelbench.kpis.detection.detected import detected
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Counted, by_kind, pooled_evidence, worst_first
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.results import Evidence


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A model's detections beside the targets.

    Attributes:
        detections: those that count: none that only lies on a crowd.
        right: which of them match a target.
        targets: single objects.
        hit: which of them a detection matches.
    """

    detections: Boxes
    right: Mask
    targets: Boxes
    hit: Mask


def judged(measured: TaskAnswers, min_score: float, iou: float) -> Judged:
    """Match a model's detections with targets as COCO does: by score, one to one, and crowds with any number.

    Args:
        measured: the answers, with the targets.
        min_score: the least score of a detection.
        iou: the least overlap with a target, or share of a detection that lies on a crowd.
    """
    boxes = detections(measured, min_score)
    single, crowd = targets(measured)
    pairs = by_score(overlapping(boxes, single, iou), boxes)
    right, on_crowd = np.zeros(len(boxes), dtype=bool), np.zeros(len(boxes), dtype=bool)
    right[pairs.first] = True
    on_crowd[overlapping(boxes, crowd, iou, crowd=True).first] = True
    hit = np.zeros(len(single), dtype=bool)
    hit[pairs.second] = True
    kept = right | ~on_crowd
    return Judged(detections=boxes.only(kept), right=right[kept], targets=single, hit=hit)


def detection_precision(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of detections that match a target."""
    answers, judgements = judgements_of(question, measurements)
    counted = {role: counted_boxes(judged.right, judged.detections) for role, judged in judgements.items()}
    yield _evidence(question, answers, counted, "right detections", "it has no detection of that score")


def detection_recall(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of targets that a detection matches."""
    answers, judgements = judgements_of(question, measurements)
    counted = {role: counted_boxes(judged.hit, judged.targets) for role, judged in judgements.items()}
    yield _evidence(question, answers, counted, "found targets", "there are no targets but crowds")


def detection_f1(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the harmonic mean of precision and recall: of detections and targets together, the share with a match."""
    answers, judgements = judgements_of(question, measurements)
    counted = {
        role: counted_boxes(judged.right, judged.detections) + counted_boxes(judged.hit, judged.targets)
        for role, judged in judgements.items()
    }
    yield _evidence(question, answers, counted, "detections and targets that match", "there are neither")


def lost_detections(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of the targets found by the teacher that the student does not find."""
    answers, judgements = judgements_of(question, measurements, both=True)
    student, teacher = judgements["student"], judgements["teacher"]
    counted = {"student": counted_boxes(~student.hit[teacher.hit], student.targets.only(teacher.hit))}
    evidence = _evidence(question, answers, counted, "targets lost of those found", "the teacher finds no target")
    gained = int((student.hit & ~teacher.hit).sum())
    yield replace(evidence, notes=(*evidence.notes, f"the student finds {gained:,} targets that the teacher misses"))


def judgements_of(
    question: Question, measurements: Measurements, *, both: bool = False
) -> tuple[Answered[DetectionData], dict[str, Judged]]:
    """Return the answers that a KPI is about, and how each model's match the targets."""
    answers = detected(question, measurements, both=both)
    score, iou = least_score(question, answers.data), question.options["iou"]
    return answers, {role: judged(measured, score, iou) for role, measured in answers.answers.items()}


def _evidence(
    question: Question, answers: Answered[DetectionData], counted: Mapping[str, Counted], method: str, nothing: str
) -> Evidence:
    score, iou = least_score(question, answers.data), question.options["iou"]
    evidence = pooled_evidence(
        question,
        answers.data,
        counted,
        f"{method}, at a score of {score:g} and an overlap of {iou:g} or more",
        nothing=f"{nothing} (min_score={score:g}, iou={iou:g})",
    )
    return replace(
        evidence,
        worst_samples=answers.worst(worst_first(counted, question.kpi.better)),
        breakdown=(*evidence.breakdown, *by_kind(counted, answers.data.names)),
    )
