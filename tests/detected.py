"""Detections of two models as they are measured, and the evidence of a KPI on them, without any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench import EvalData
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.probes.tasks.measured import Ragged, TaskAnswers
from pytest_modelbench.results import Evidence

Box = tuple[float, ...]
"""x1, y1, x2, y2, class, and of a detection its score; of a target 1 for a crowd."""
Images = Sequence[Sequence[Box]]


class Measured:
    """What a session would hand to a KPI."""

    def __init__(self, data: EvalData, answers: Mapping[str, TaskAnswers]) -> None:
        self._data, self._answers = data, answers

    def data(self) -> EvalData:
        return self._data

    def of(self, kind: object, role: str) -> TaskAnswers:
        return self._answers[role]


def measured(detections: Images, targets: Images) -> TaskAnswers:
    """Return detections beside targets, in the form of the one pass."""
    found = [np.array(image, dtype=np.float32).reshape(-1, 6) for image in detections]
    objects = [np.array([(*box, 0)[:6] for box in image], dtype=np.float32).reshape(-1, 6) for image in targets]
    return TaskAnswers(
        model="model",
        task="detection",
        answers={
            "boxes": Ragged.of([image[:, :4] for image in found]),
            "labels": Ragged.of([image[:, 4].astype(np.int64) for image in found]),
            "scores": Ragged.of([image[:, 5] for image in found]),
        },
        targets={
            "boxes": Ragged.of([image[:, :4] for image in objects]),
            "labels": Ragged.of([image[:, 4].astype(np.int64) for image in objects]),
            "crowd": Ragged.of([image[:, 5].astype(bool) for image in objects]),
            "area": Ragged.of([np.prod(image[:, 2:4] - image[:, :2], axis=1) for image in objects]),
        },
        ids=range(len(found)),
        nonfinite=np.zeros(len(found), dtype=np.int64),
    )


def evidence(
    kpi: str,
    student: Images,
    teacher: Images | None = None,
    targets: Images | None = None,
    *,
    data: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    **options: Any,
) -> Evidence:
    """Return the evidence of a KPI on detections; `data` are words of `EvalData`."""
    images: Images = [[]] * len(student) if targets is None else targets
    form = [{"boxes": np.empty((0, 4)), "labels": np.empty(0, dtype=np.int64)} for _ in student]
    eval_data = EvalData(np.zeros((len(student), 1)), form, task="detection", **(data or {}))
    row = CATALOGUE[kpi]
    question = Question(
        kpi=row,
        options={**row.options, **options},
        confidence=confidence,
        asked=True,
        with_teacher=teacher is not None,
    )
    answers = {"student": measured(student, images)}
    if teacher is not None:
        answers["teacher"] = measured(teacher, images)
    (made,) = evidence_for(question, Measured(eval_data, answers))  # type: ignore[arg-type]
    return made
