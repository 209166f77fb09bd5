"""Language models whose every probability is in a table, and their gates judged outside of pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.data.prompts import GenerationSettings, Prompt
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.models.generation import Generation, Piece
from pytest_modelbench.models.text import LikelihoodModel
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.results import Evidence, GateResult
from pytest_modelbench.settings import Settings

Table = npt.NDArray[np.float64]
LETTERS = tuple("abcdefg")
FIRST = len(LETTERS)
WORDS = (*LETTERS, "<s>")


class TableModel(LikelihoodModel):
    """A model whose next token depends on the last one only.

    The tokeniser takes the longest of its words each time. A token `end` ends an answer and is never part of one.

    Args:
        table: the probability of each token after each one, (vocabulary, vocabulary).
        words: the text of each token; the last columns of the table may have none.
        context: as in `LikelihoodModel`.
        first: the token that begins a text.
        end: the token that ends one.
        template: texts before and after a message; None if there is no chat template.
    """

    kind = "table"

    def __init__(
        self,
        table: Any,
        words: Sequence[str] = WORDS,
        *,
        context: int | None = None,
        first: int | None = None,
        end: int | None = None,
        template: tuple[str, str] | None = None,
    ) -> None:
        super().__init__("table")
        self.table, self.words = np.asarray(table, dtype=np.float64), tuple(words)
        self.context, self.first_token, self.end, self.template = context, first, end, template
        self.calls: list[tuple[list[int], list[int]]] = []
        self.answered: list[list[int]] = []

    def fingerprint(self) -> str:
        return f"table:{hash((self.table.tobytes(), self.words, self.context, self.first_token))}"

    def vocabulary(self) -> str:
        return repr(self.words)

    def text_ids(self, text: str) -> list[int]:
        ids: list[int] = []
        while text:
            fitting = [word for word in self.words if word and text.startswith(word)]
            longest = max(fitting, key=len, default="")
            ids += [self.words.index(longest)] if longest else []
            text = text[len(longest) or 1 :]
        return ids

    def text_of(self, ids: Sequence[int]) -> str:
        return "".join(self.words[token] for token in ids if token not in {self.first_token, self.end})

    def prompt_ids(self, prompt: Prompt, settings: GenerationSettings) -> list[int]:
        text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        if self.template and settings.chat != "never":
            text = self.template[0] + text + self.template[1]
        return [*([] if self.first_token is None else [self.first_token]), *self.text_ids(text)]

    def forced(self, before: Sequence[int], ids: Sequence[int]) -> npt.NDArray[np.float32]:
        assert len(before) > 0
        assert len(ids) > 0
        self.calls.append((list(before), list(ids)))
        with np.errstate(divide="ignore"):
            return np.log(self.table[[before[-1], *ids[:-1]]]).astype(np.float32)

    def generating(
        self, prompts: Sequence[Prompt], settings: GenerationSettings
    ) -> Callable[[], Sequence[Generation]]:
        return lambda: [self._answer(self.prompt_ids(prompt, settings), settings) for prompt in prompts]

    def _answer(self, ids: list[int], settings: GenerationSettings) -> Generation:
        self.answered.append(ids)
        start, answer = self.clock_ns(), list[int]()
        while len(answer) < settings.max_new_tokens:
            token = int(self.table[[*ids, *answer][-1]].argmax())
            if token == self.end:
                break
            answer.append(token)
        text, now = self.text_of(answer), self.clock_ns()
        pieces = (Piece(text=text, at_ns=now),) * bool(text)
        return Generation(start_ns=start, end_ns=now, pieces=pieces, token_ids=tuple(answer), whole=True)


def uniform(count: int = len(WORDS), **rest: Any) -> TableModel:
    """Return a model to which every token is as likely."""
    return TableModel(np.full((count, count), 1 / count), **rest)


def random_table(seed: int, count: int = len(WORDS)) -> Table:
    """Return probabilities of each token after each one."""
    rows = np.random.default_rng(seed).gamma(0.7, size=(count, count)) + 0.01
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def random_texts(count: int, tokens: int = 30, seed: int = 0) -> list[str]:
    """Return texts of letters, of up to `tokens` letters each."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(LETTERS, rng.integers(2, tokens + 1))) for _ in range(count)]


class Sources:
    """A student, a teacher and a previous student or none, and data."""

    def __init__(self, student: Any, teacher: Any, previous: Any, data: TextData) -> None:
        self._models, self._data = {"student": student, "teacher": teacher, "previous": previous}, data

    def candidate(self, role: str) -> Any:
        return self._models[role]

    def has(self, role: str) -> bool:
        return self._models.get(role) is not None

    def data(self) -> Any:
        return self._data

    def recorded(self, kpi: str) -> Mapping[str, float]:
        return {}

    def own_rounds(self) -> OwnRounds:
        return OwnRounds(seconds=None, iterations=1, enabled=False)


def judged_all(
    gates: Mapping[str, tuple[str, ...]],
    student: Any,
    teacher: Any,
    data: TextData,
    previous: Any = None,
    **options: Any,
) -> dict[str, tuple[GateResult, Evidence | None]]:
    """Judge gates of one student in one session, each with these options."""
    beside = ("previous",) if previous is not None else ()
    read = [assigned(read_gate((kpi, *limits), options), beside=beside) for kpi, limits in gates.items()]
    plan = ItemPlan(nodeid="notebook", student="student", gates=tuple(read), settings=Settings(enabled=True))
    session, sources = BenchSession(), Sources(student, teacher, previous, data)
    session.plan([plan])
    judged = {gate.kpi.name: session.judge(plan, gate, sources) for gate in read}
    return {
        name: (result, None if judgement is None else judgement.evidence)
        for name, (result, judgement) in judged.items()
    }


def judged(
    kpi: str, *limits: str, student: Any, data: TextData, teacher: Any = None, **options: Any
) -> tuple[GateResult, Evidence | None]:
    """Judge one gate."""
    return judged_all({kpi: limits}, student, teacher, data, **options)[kpi]


def evidence(kpi: str, *limits: str, student: Any, data: TextData, teacher: Any = None, **options: Any) -> Evidence:
    """Return the evidence of one gate."""
    result, evidence = judged(kpi, *limits, student=student, data=data, teacher=teacher, **options)
    assert evidence is not None, result.reason
    return evidence
