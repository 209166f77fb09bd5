"""Two models that answer prompts from tables, and their gates judged outside of pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.prompts import GenerationSettings, Prompt
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.models.base import identity
from pytest_modelbench.models.generation import Generation, Piece
from pytest_modelbench.models.text import LikelihoodModel, TextModel
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.results import Evidence
from pytest_modelbench.settings import Settings

Answer = str | Generation


def generation(
    text: str, finish: str | None = None, ids: Sequence[int] | None = None, before: str = ""
) -> Generation:
    """Return an answer with a reason for its end, its tokens, and reasoning before it."""
    pieces = [Piece(text=before, at_ns=1, reasoning=True)] * bool(before) + [Piece(text=text, at_ns=2)] * bool(text)
    token_ids = None if ids is None else tuple(ids)
    return Generation(start_ns=0, end_ns=3, pieces=tuple(pieces), finish=finish, token_ids=token_ids, whole=True)


class TableModel(TextModel):
    """A model that looks the answer to a prompt up."""

    kind = "table"

    def __init__(self, name: str, table: Mapping[str, Answer], words: str = "") -> None:
        super().__init__(name)
        self._table, self._words = table, words

    def generating(
        self, prompts: Sequence[Prompt], settings: GenerationSettings
    ) -> Callable[[], Sequence[Generation]]:
        answers = [self._table[prompt if isinstance(prompt, str) else prompt[-1]["content"]] for prompt in prompts]
        return lambda: [generation(answer) if isinstance(answer, str) else answer for answer in answers]

    def vocabulary(self) -> str:
        return self._words

    def fingerprint(self) -> str:
        return identity(self)


class TokenModel(TableModel, LikelihoodModel):
    """A model whose tokens are characters, and whose log-probabilities after some prompts are not finite."""

    kind = "token table"

    def __init__(self, name: str, bad: Mapping[str, float] | None = None) -> None:
        super().__init__(name, {})
        self._bad = bad or {}

    def prompt_ids(self, prompt: Prompt, settings: GenerationSettings) -> list[int]:
        return list(map(ord, str(prompt)))

    def text_ids(self, text: str) -> list[int]:
        return list(map(ord, text))

    def text_of(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def forced(self, before: Sequence[int], ids: Sequence[int]) -> npt.NDArray[np.float32]:
        rows = np.full((len(ids), 10), -np.log(10), dtype=np.float32)
        rows[:, 3] = self._bad.get(self.text_of(before), -1.0)
        return rows


class TextSources:
    """The models of an item."""

    def __init__(self, student: TextModel, teacher: TextModel | None, data: EvalData) -> None:
        self._models = {"student": student, "teacher": teacher}
        self._data = data

    def candidate(self, role: str) -> Any:
        return self._models[role]

    def has(self, role: str) -> bool:
        return self._models[role] is not None

    def data(self) -> Any:
        return self._data

    def recorded(self, kpi: str) -> Mapping[str, float]:
        return {}

    def own_rounds(self) -> OwnRounds:
        return OwnRounds(seconds=None, iterations=1, enabled=False)


def text_evidence(
    kpi: str,
    *limits: str,
    student: Sequence[Answer],
    teacher: Sequence[Answer] | None = None,
    references: Sequence[str | Sequence[str]] | None = None,
    prompts: Sequence[Prompt] | None = None,
    words: tuple[str, str] = ("", ""),
    data: Mapping[str, Any] | None = None,
    **options: Any,
) -> Evidence:
    """Return the evidence of one gate; `words` are the vocabularies of student and teacher."""
    asked = list(prompts or (f"prompt {at}" for at in range(len(student))))
    keys = [prompt if isinstance(prompt, str) else prompt[-1]["content"] for prompt in asked]
    eval_data = TextData(asked, references, **(data or {}))
    models = [
        TableModel(name, dict(zip(keys, answers, strict=True)), vocabulary) if answers is not None else None
        for name, answers, vocabulary in zip(("student", "teacher"), (student, teacher), words, strict=True)
    ]
    return evidence_of(kpi, *limits, student=models[0], teacher=models[1], data=eval_data, **options)


def evidence_of(
    kpi: str, *limits: str, student: TextModel | None, teacher: TextModel | None, data: EvalData, **options: Any
) -> Evidence:
    """Return the evidence of one gate on models and data."""
    assert student is not None
    gate = assigned(read_gate((kpi, *limits), options))
    plan = ItemPlan(nodeid="notebook", student="student", gates=(gate,), settings=Settings(enabled=True))
    session = BenchSession()
    session.plan([plan])
    answer, judgement = session.judge(plan, gate, TextSources(student, teacher, data))
    if judgement is None:
        raise MeasurementError(answer.reason)
    return judgement.evidence
