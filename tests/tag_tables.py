"""Two taggers that answer from tables, and their gates judged outside of pytest."""

from __future__ import annotations

from typing import Any

import numpy as np
from tables import FixedSources

from pytest_modelbench import EvalData, FakeModel
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.results import Evidence
from pytest_modelbench.settings import Settings

CLASSES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


class Taggers(FixedSources):
    """Two models: answers for each sentence, whose inputs are the sentences' numbers, or modules as they are."""

    @staticmethod
    def _model(outputs: Any) -> Any:
        if callable(outputs):
            return outputs
        return FakeModel(lambda batch: [outputs[int(row)] for row in np.asarray(batch)[:, 0]])


def tag_evidence(
    kpi: str,
    *limits: str,
    student: Any,
    targets: Any,
    teacher: Any = None,
    data: Any = None,
    inputs: Any = None,
    **options: Any,
) -> Evidence:
    """Return the evidence of one gate; `data` are EvalData's words."""
    numbers = np.arange(len(targets), dtype=float).reshape(-1, 1)
    eval_data = EvalData(numbers if inputs is None else inputs, targets, **{"task": "tagging", **(data or {})})
    gate = assigned(read_gate((kpi, *limits), options))
    plan = ItemPlan(nodeid="notebook", student="student", gates=(gate,), settings=Settings(enabled=True))
    session = BenchSession()
    session.plan([plan])
    sources = Taggers(student, targets if teacher is None else teacher, eval_data)
    result, judgement = session.judge(plan, gate, sources)
    if judgement is None:
        raise MeasurementError(result.reason)
    return judgement.evidence


def random_tags(
    rng: np.random.Generator, sentences: int, tags: tuple[str, ...] = CLASSES, most: int = 12
) -> list[list[str]]:
    """Return sentences of 1 to `most` random tags."""
    return [rng.choice(tags, rng.integers(1, most + 1)).tolist() for _ in range(sentences)]


def changed(
    rng: np.random.Generator, sentences: list[list[str]], share: float, tags: tuple[str, ...] = CLASSES
) -> list[list[str]]:
    """Return sentences a share of whose tags is drawn again."""
    return [[str(rng.choice(tags)) if rng.random() < share else tag for tag in tags_] for tags_ in sentences]
