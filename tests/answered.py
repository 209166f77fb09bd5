"""Measurements of two models whose right answers under corruptions are given as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.data.corruptions.names import Cell, Corruption
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.kpis.kpi import evidence_for
from pytest_modelbench.probes.answers.corrupted import CorruptedAnswers, CorruptedPasses
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.results import Evidence

Tables = Mapping[str, Any]


def predictions(model: str, labels: Any, targets: Any, task: str = "multiclass") -> Predictions:
    labels = np.asarray(labels)
    n = len(labels)
    outputs = Outputs(
        model=model, array=labels, targets=targets, ids=range(n), nonfinite=np.zeros(n, dtype=np.int32),
        input_finite=np.ones(n, dtype=bool), classes=None, calls=1,
    )  # fmt: skip
    meaning = "values" if task == "regression" else "labels"
    return Predictions(outputs=outputs, task=task, meaning=meaning, labels=labels, targets=np.asarray(targets))


class Answered:
    """Stands for a session: `right[role]` is (samples, cells), `clean[role]` (samples,), `silent` likewise."""

    def __init__(
        self, right: Tables, cells: Sequence[Cell], clean: Tables, silent: Tables, checksums: Mapping[str, int]
    ) -> None:
        self.cells, self.right, self.clean, self.silent, self.checksums = cells, right, clean, silent, checksums
        self.n = len(next(iter(right.values())))

    def has(self, role: str) -> bool:
        return role in self.right

    def merged(self, _: object) -> None:
        return None

    def predictions(self, role: str) -> Predictions:
        clean = np.asarray(self.clean.get(role, np.ones(self.n, dtype=bool)))
        targets = np.arange(self.n) % 2  # a teacher that is right is better than a constant
        return predictions(role, np.where(clean, targets, 1 - targets), targets)

    def of(self, _: object, role: str) -> CorruptedPasses:
        targets = np.arange(self.n) % 2
        right = np.asarray(self.right[role], dtype=bool)
        silent = np.asarray(self.silent.get(role, np.zeros(right.shape, dtype=bool)))
        answers = tuple(
            CorruptedAnswers(
                labels=np.where(right[:, at], targets, 1 - targets),
                answered=~silent[:, at],
                checksums=(self.checksums.get(role, 0), at),
                calls=1,
                failure=f"{role} raised ValueError" if silent[:, at].any() else "",
            )
            for at in range(right.shape[1])
        )
        return CorruptedPasses(cells=tuple(self.cells), answers=answers, chosen=np.arange(self.n))


def cells(*names: str) -> list[Cell]:
    """Return cells for names such as 'fog:3'."""
    split = [name.split(":") for name in names]
    return [Cell(corruption=Corruption(name=name), severity=int(severity)) for name, severity in split]


def read(
    kpi: str,
    names: Sequence[str],
    student: Any,
    teacher: Any = None,
    *,
    clean: Tables | None = None,
    silent: Tables | None = None,
    checksums: Mapping[str, int] | None = None,
    with_teacher: bool = True,
    **options: Any,
) -> Evidence:
    """Return the evidence of a KPI for tables of right answers, samples in rows and cells in columns."""
    right = {"student": student} | ({} if teacher is None else {"teacher": teacher})
    measurements = Answered(right, cells(*names), clean or {}, silent or {}, checksums or {})
    gate = read_gate((kpi,), options)
    question = replace(gate.question(with_teacher=with_teacher and teacher is not None, seed=0), anchored=False)
    (found,) = evidence_for(question, measurements)  # type: ignore[arg-type]
    return found


def wrong(n: int, counts: Sequence[int]) -> Any:
    """Return a table in which the first `counts[j]` samples are wrong in column j."""
    return np.arange(n)[:, None] >= np.asarray(counts)
