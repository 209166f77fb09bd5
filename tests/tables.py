"""Two models that answer from tables, and their gates judged outside of pytest, as a notebook would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from given import GivenSources, judged_by

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.results import Evidence

RNG = np.random.default_rng(0)
ROWS, CLASSES = 300, 7
TARGETS = RNG.integers(0, CLASSES, ROWS)
STUDENT = RNG.normal(size=(ROWS, CLASSES)) + 2.0 * np.eye(CLASSES)[TARGETS]
TEACHER = RNG.normal(size=(ROWS, CLASSES)) + 3.0 * np.eye(CLASSES)[TARGETS]
CHANCES = np.exp(STUDENT) / np.exp(STUDENT).sum(axis=1, keepdims=True)
GUESS = STUDENT.argmax(axis=1)


class FixedSources(GivenSources):
    """Two models that answer from tables."""

    def __init__(self, student: Any, teacher: Any, data: EvalData) -> None:
        super().__init__(self._model(student), self._model(teacher), data)

    @staticmethod
    def _model(outputs: Any) -> FakeModel:
        return FakeModel(lambda batch: np.asarray(outputs)[np.asarray(batch)[:, 0].astype(int)])


def evidence(
    kpi: str,
    *limits: str,
    student: Any = STUDENT,
    teacher: Any = TEACHER,
    targets: Any = TARGETS,
    data: Mapping[str, Any] | None = None,
    **options: Any,
) -> Evidence:
    """Return the evidence of one gate outside of pytest, as a notebook would get it; `data` are EvalData's words."""
    inputs = np.arange(len(student), dtype=float).reshape(-1, 1)
    eval_data = EvalData(inputs, targets, **(data or {}))
    return judged_by(FixedSources(student, teacher, eval_data), kpi, *limits, **options)
