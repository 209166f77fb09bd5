"""Two models that answer prompts from tables, and their gates judged outside of pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from given import GivenSources, judged_by

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.prompts import GenerationSettings, Prompt
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.models.base import identity
from pytest_modelbench.models.generation import Generation, Piece
from pytest_modelbench.models.text import LikelihoodModel, TextModel
from pytest_modelbench.results import Evidence

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
    return judged_by(GivenSources(student, teacher, data), kpi, *limits, **options)
