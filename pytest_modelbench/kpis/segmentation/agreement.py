"""How like the teacher's masks those of the student are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pytest_modelbench.data.tasks.segmentation import SegmentationData
from pytest_modelbench.data.tasks.task_data import Array
from pytest_modelbench.kpis.by_jackknife import jackknife_evidence
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Tallied, pooled_evidence, worst_first
from pytest_modelbench.kpis.segmentation.confusion import areas_of, iou_of, masks_of, split
from pytest_modelbench.kpis.segmentation.overlap import nan_mean, notes_of, worst_images
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray


def mask_agreement(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of pixels for which both models have the same class."""
    answers = answered(question, measurements, SegmentationData, both=True)
    same = np.array([((student == teacher).sum(), student.size) for student, teacher, _ in _counted(answers)])
    yield _pooled(question, answers, same, "pixels alike in both models", "higher")


def lost_pixels(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of pixels that the teacher has right and the student wrong."""
    answers = answered(question, measurements, SegmentationData, both=True)
    lost = np.array(
        [
            (((teacher == target) & (student != target)).sum(), target.size)
            for student, teacher, target in _counted(answers)
        ]
    )
    yield _pooled(question, answers, lost, "pixels that only the teacher has right", "lower")


def mask_iou(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean over the teacher's classes of intersection over union with the teacher's masks."""
    answers = answered(question, measurements, SegmentationData, both=True)
    areas_of(answers, "student")  # refuses targets of which no pixel counts
    rows = [_areas(student, teacher) for student, teacher, _ in _counted(answers)]
    most = max(len(row[0]) for row in rows)
    table = np.stack([np.pad(row, ((0, 0), (0, most - row.shape[1]))) for row in rows]).reshape(len(rows), -1)
    tables: dict[str, FloatArray] = {"student": table.astype(np.float64)}
    classes = int((split(tables["student"].sum(axis=0))[1] > 0).sum())
    evidence = jackknife_evidence(
        question, answers.data, tables, lambda sums: 100 * nan_mean(iou_of(sums)), f"mean over {classes} classes"
    )
    yield replace(
        evidence,
        notes=(*evidence.notes, *notes_of(answers)),
        worst_samples=answers.worst(worst_images(tables, iou_of)),
    )


def _counted(answers: Answered[SegmentationData]) -> Iterator[tuple[Array, Array, Array]]:
    """Yield the pixels that count of each image: of the student, the teacher and the target, (pixels,) each."""
    ignored = answers.data.ignore_index
    both = zip(*(masks_of(answers.answers[role]) for role in ("student", "teacher")), strict=True)
    for (student, target), (teacher, _) in both:
        counts = np.ones(target.shape, dtype=bool) if ignored is None else target != ignored
        yield student[counts], teacher[counts], target[counts]


def _areas(student: Array, teacher: Array) -> Array:
    """Return the pixels of both, of the teacher and of the student by class, (3, classes)."""
    most = 1 + max(int(mask.max(initial=0)) for mask in (student, teacher))
    known = (student >= 0) & (teacher >= 0)
    parts = (student[known & (student == teacher)], teacher[teacher >= 0], student[student >= 0])
    return np.stack([np.bincount(part.astype(np.intp), minlength=most) for part in parts])


def _pooled(
    question: Question, answers: Answered[SegmentationData], counts: Array, method: str, better: str
) -> Evidence:
    tallied = {"student": Tallied(parts=counts[:, 0].astype(np.float64), wholes=counts[:, 1].astype(np.float64))}
    evidence = pooled_evidence(question, answers.data, tallied, method, nothing="no pixel counts")
    return replace(
        evidence,
        notes=(*evidence.notes, *notes_of(answers)),
        worst_samples=answers.worst(worst_first(tallied, better)),
    )
