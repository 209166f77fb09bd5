"""A language model on a scripted clock: every token comes when the script says, through the reader of real streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_modelbench import FakeClock
from pytest_modelbench.data.prompts import GenerationSettings
from pytest_modelbench.data.text_data import TextData
from pytest_modelbench.models.adapters.event_stream import read_answer
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.models.text import TextModel

MS = 1_000_000
WORD = "abcd "
PROMPTS = [f"{'x' * (10 + 3 * n)} {n}" for n in range(40)]


def event(choice: Any, **fields: Any) -> bytes:
    return b"data: " + json.dumps({"choices": choice, **fields}).encode() + b"\n\n"


def delta(**fields: Any) -> bytes:
    return event([{"index": 0, "delta": fields}])


class StreamingModel(TextModel):
    """A model that streams tokens of five characters.

    Args:
        clock: that its tokens move.
        prefill_ms: the time to the first token, or what it is of a prompt.
        token_ms: of each further token.
        length: of an answer in tokens, or what it is of a prompt; the settings may force another one.
        chunk: tokens in one event.
        role_ms: when an empty event with the role comes; None for none.
        reasoning: how many tokens of an answer come before it.
        usage: whether tokens are counted.
        whole: whether each text is returned as a whole.
        vocabulary: equal for equal tokenisers.
        obeys: whether a forced length is kept.
        runs_at: where it runs, if not here.
    """

    kind = "streaming"

    def __init__(
        self,
        clock: FakeClock,
        *,
        prefill_ms: float | Callable[[str], float] = 50.0,
        token_ms: float = 10.0,
        length: int | Callable[[str], int] = 24,
        chunk: int = 1,
        role_ms: float | None = 1.0,
        reasoning: int = 0,
        usage: bool = True,
        whole: bool = False,
        vocabulary: str = "words",
        obeys: bool = True,
        runs_at: str = "",
        name: str = "streaming",
    ) -> None:
        super().__init__(name)
        self.clock = self.clock_ns = clock
        self.script: dict[str, Any] = locals()
        self.runs_at = runs_at
        self.asked: list[tuple[Any, GenerationSettings]] = []
        self.shared_log: list[tuple[str, Any]] = []

    def vocabulary(self) -> str:
        return str(self.script["vocabulary"])

    def generating(self, prompts: Sequence[Any], settings: GenerationSettings) -> Callable[[], Sequence[Generation]]:
        return lambda: self._batch(prompts, settings)

    def _batch(self, prompts: Sequence[str], settings: GenerationSettings) -> list[Generation]:
        """Answer the rows of a batch together: a step makes a token of each row that has not ended."""
        start_ns = self.clock()
        self.asked += [(prompt, settings) for prompt in prompts]
        self.shared_log += [(self.name, prompt) for prompt in prompts]
        prefill = max(self._of("prefill_ms", prompt) for prompt in prompts)
        lengths = [self._length(prompt, settings) for prompt in prompts]
        answers = [self._answer(start_ns, prefill, count) for count in lengths]
        self.clock.advance((prefill + self.script["token_ms"] * max(0, max(lengths) - 1)) * MS)
        return answers

    def _length(self, prompt: str, settings: GenerationSettings) -> int:
        forced = settings.exactly and self.script["obeys"]
        return settings.max_new_tokens if forced else min(int(self._of("length", prompt)), settings.max_new_tokens)

    def _of(self, name: str, prompt: str) -> float:
        value = self.script[name]
        return float(value(prompt) if callable(value) else value)

    def _answer(self, start_ns: int, prefill: float, count: int) -> Generation:
        script, chunk = self.script, self.script["chunk"]
        parts = [] if script["role_ms"] is None else [(script["role_ms"], delta(role="assistant", content=""))]
        for first in range(0, count, chunk):
            last = min(first + chunk, count) - 1
            field = "reasoning_content" if first < script["reasoning"] else "content"
            at_ms = prefill + script["token_ms"] * last
            parts.append((at_ms, delta(**{field: WORD * (last - first + 1)})))
        usage = {"prompt_tokens": 7, "completion_tokens": count} if script["usage"] else None
        end_ms = prefill + script["token_ms"] * max(0, count - 1)
        parts += [(end_ms, event([], usage=usage)), (end_ms, b"data: [DONE]\n\n")]
        answer = read_answer([(start_ns + round(ms * MS), part) for ms, part in parts], start_ns)
        return Generation(**{**vars(answer), "whole": script["whole"]})

    def replicate(self) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "script": self.name}


def text_data(prompts: Sequence[Any] = PROMPTS, **options: Any) -> TextData:
    return TextData(prompts, **options)


def pair(teacher: Mapping[str, Any] | None = None, **student: Any) -> dict[str, StreamingModel]:
    """Return a student and a teacher on one clock, which log requests together."""
    clock = FakeClock()
    models = {
        "student": StreamingModel(clock, name="student", **student),
        "teacher": StreamingModel(clock, name="teacher", **(teacher or {})),
    }
    models["teacher"].shared_log = models["student"].shared_log
    return models
