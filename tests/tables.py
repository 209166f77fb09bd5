"""Two models that answer from tables, and their gates judged outside of pytest, as a notebook would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.gate import read_gate
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.results import Evidence
from pytest_modelbench.settings import Settings

RNG = np.random.default_rng(0)
ROWS, CLASSES = 300, 7
TARGETS = RNG.integers(0, CLASSES, ROWS)
STUDENT = RNG.normal(size=(ROWS, CLASSES)) + 2.0 * np.eye(CLASSES)[TARGETS]
TEACHER = RNG.normal(size=(ROWS, CLASSES)) + 3.0 * np.eye(CLASSES)[TARGETS]
CHANCES = np.exp(STUDENT) / np.exp(STUDENT).sum(axis=1, keepdims=True)
GUESS = STUDENT.argmax(axis=1)


class FixedSources:
    """Two models that answer from tables."""

    def __init__(self, student: Any, teacher: Any, data: EvalData) -> None:
        self._models = {"student": self._model(student), "teacher": self._model(teacher)}
        self._data = data

    @staticmethod
    def _model(outputs: Any) -> FakeModel:
        return FakeModel(lambda batch: np.asarray(outputs)[np.asarray(batch)[:, 0].astype(int)])

    def candidate(self, role: str) -> Any:
        return self._models[role]

    def has(self, role: str) -> bool:
        return role == "teacher"

    def data(self) -> Any:
        return self._data

    def recorded(self, kpi: str) -> Mapping[str, float]:
        return {}

    def own_rounds(self) -> OwnRounds:
        return OwnRounds(seconds=None, iterations=1, enabled=False)


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
    gate = read_gate((kpi, *limits), options)
    plan = ItemPlan(nodeid="notebook", student="student", gates=(gate,), settings=Settings(enabled=True))
    session = BenchSession()
    session.plan([plan])
    result, judgement = session.judge(plan, gate, FixedSources(student, teacher, eval_data))
    if judgement is None:
        raise MeasurementError(result.reason)
    return judgement.evidence
