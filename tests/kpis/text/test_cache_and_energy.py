"""The cache's bytes for each token, and the energy of output tokens, on fakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import tiny_text
from streaming import StreamingModel, text_data

from pytest_modelbench import FakeClock
from pytest_modelbench.bench import session as bench
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import MeasurementError, UsageMistake
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.models.text import CacheSize, LikelihoodModel
from pytest_modelbench.probes.cost.energy_source import Component
from pytest_modelbench.probes.text.token_energy import counting_tokens
from pytest_modelbench.results import Evidence, GateResult
from pytest_modelbench.settings import Settings


class CachingModel(StreamingModel, LikelihoodModel):
    """A model whose cache takes some bytes for each token, up to a window, and some for none."""

    def __init__(self, each: int, expected: int | None, window: int = 10**6, context: int | None = 1024) -> None:
        super().__init__(FakeClock(), name="cached")
        self.each, self.expected, self.window, self.context = each, expected, window, context

    def prompt_ids(self, prompt: Any, settings: Any) -> list[int]:
        return list(range(len(str(prompt))))

    def text_ids(self, text: str) -> list[int]:
        return list(range(len(text)))

    def text_of(self, ids: Sequence[int]) -> str:
        return "x" * len(ids)

    def forced(self, before: Sequence[int], ids: Sequence[int]) -> Any:
        return np.zeros((len(ids), 2), dtype=np.float32)

    def cache_after(self, tokens: int) -> CacheSize:
        assert self.context is None or tokens < self.context  # there is a token to come
        counted = 100 + self.each * min(tokens, self.window)
        expected = None if self.expected is None else self.expected * tokens
        return CacheSize(tokens=tokens, counted_bytes=counted, expected_bytes=expected)


class Models:
    """Where the models of a notebook come from."""

    def __init__(self, **models: Any) -> None:
        self._models = models

    def candidate(self, role: str) -> Any:
        return self._models[role]

    def has(self, role: str) -> bool:
        return role in self._models

    def data(self) -> Any:
        return text_data()

    def recorded(self, kpi: str) -> Mapping[str, float]:
        return {}

    def own_rounds(self) -> Any:
        raise AssertionError


def judged(
    session: BenchSession, kpi: str, *limits: str, models: Mapping[str, Any], **options: Any
) -> tuple[GateResult, Evidence | None]:
    gate = assigned(read_gate((kpi, *limits), options))
    settings = Settings(enabled=True, budget_s=5.0, energy_window_s=0.02)
    plan = ItemPlan(nodeid="n", student="student", gates=(gate,), settings=settings)
    session.plan([plan])
    result, judgement = session.judge(plan, gate, Models(**models))
    return result, judgement.evidence if judgement else None


@pytest.mark.parametrize(
    ("model", "options", "value", "note"),
    [
        (CachingModel(6144, 6144), {}, 6144, ""),
        (CachingModel(6144, 12288), {}, 6144, "give 12,288 B for each token, and 6,144 B were counted"),
        (CachingModel(6144, None), {"context": 512}, 6144, ""),
        (CachingModel(6144, None, window=64), {}, 0, "the same size after 128 and after 256 tokens"),
        (CachingModel(512, 512, context=20), {}, 512, ""),
    ],
)
def test_bytes_of_a_token(model: CachingModel, options: Mapping[str, Any], value: float, note: str) -> None:
    """What does not grow with the prompt is not counted; a formula that gives another number is stated."""
    result, evidence = judged(
        BenchSession(), "cache_bytes_per_token", "<= 7 KB", models={"student": model}, **options
    )
    assert result.verdict.value == "pass"
    assert evidence is not None
    assert evidence.student.value == value
    assert note in " ".join(evidence.notes)
    assert bool(note) == bool(evidence.notes)


def test_a_prompt_may_fill_the_context() -> None:
    """As that of a small model does where context= is not stated; the answer has a token, too."""
    small: Any = (tiny_text.module("gpt2"), tiny_text.tokenizer())
    result, evidence = judged(BenchSession(), "cache_bytes_per_token", models={"student": small})
    assert evidence is not None, result.reason
    assert evidence.student.value == 2 * 2 * 32 * 4
    assert "after 63 tokens" in evidence.student.method


def test_a_cache_that_cannot_be_seen() -> None:
    """Of a server, of another kind of model, and past the context."""
    served = StreamingModel(FakeClock(), runs_at="openai://host/v1#tiny")
    for model, options, reason in (
        (served, {}, "runs at openai://host/v1#tiny: its cache of keys and values cannot be seen"),
        (StreamingModel(FakeClock()), {}, "is a streaming: its cache"),
        (CachingModel(1, 1), {"context": 1024}, "at most 1023 tokens before an answer. Write context=1023"),
    ):
        result, _ = judged(BenchSession(), "cache_bytes_per_token", models={"student": model}, **options)
        assert result.verdict.value == "not_applicable"
        assert reason in result.reason
    with pytest.raises(UsageMistake, match="context=1"):
        read_gate(("cache_bytes_per_token",), {"context": 1})


class Watts:
    """A machine that draws 10 W when idle, and some joules for each token of a model."""

    components = (Component("CPU", "measured", "a counter"),)
    models: ClassVar[Mapping[str, StreamingModel]] = {}

    def start(self) -> None:
        for model in self.models.values():
            model.asked.clear()

    def stop(self, seconds: float) -> dict[str, float]:
        joules = sum(
            model.script["joules"] * model._length(prompt, settings)
            for model in self.models.values()
            for prompt, settings in model.asked
        )
        return {"CPU": 10.0 * seconds + joules}


def streaming(clock: FakeClock, joules: float, **script: Any) -> StreamingModel:
    model = StreamingModel(clock, **script)
    model.script["joules"] = joules
    return model


@pytest.mark.parametrize(
    ("vocabulary", "verdicts"), [("words", ["pass", "pass"]), ("bytes", ["pass", "not_applicable"])]
)
def test_energy_of_output_tokens(monkeypatch: pytest.MonkeyPatch, vocabulary: str, verdicts: list[str]) -> None:
    """0.36 J a token are 0.1 Wh for 1,000, in batches whose rows end early, too; other tokenisers' are not compared."""
    clock = FakeClock()
    lengths: Any = lambda prompt: 1 + int(prompt.split()[1])  # noqa: E731
    models = {
        "student": streaming(clock, 0.36, length=lengths, vocabulary=vocabulary),
        "teacher": streaming(clock, 3.6, length=lengths),
    }
    monkeypatch.setattr(Watts, "models", models)
    monkeypatch.setattr(bench, "CodeCarbonSource", Watts)
    result, evidence = judged(
        BenchSession(), "energy_per_1k_tokens", "<= 0.11 Wh", "reduction >= 85%", models=models, batch_size=4
    )
    assert [limit.verdict.value for limit in result.limits] == verdicts, result.reason
    assert evidence is not None
    assert evidence.student.value == pytest.approx(0.1)
    assert evidence.teacher is not None
    assert evidence.teacher.value == pytest.approx(1.0)
    assert "batch size 4" in evidence.student.method
    assert "per output token" in evidence.student.method
    assert not any("assumed" in note for note in evidence.notes)


def test_that_tokens_are_alike_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of models without a known tokeniser; a note says so."""
    clock = FakeClock()
    models = {role: streaming(clock, 0.36, vocabulary="") for role in ("student", "teacher")}
    monkeypatch.setattr(Watts, "models", models)
    monkeypatch.setattr(bench, "CodeCarbonSource", Watts)
    _, evidence = judged(BenchSession(), "energy_per_1k_tokens", "ratio <= 2", models=models)
    assert evidence is not None
    assert any("both models count tokens alike is assumed" in note for note in evidence.notes)


def test_output_tokens_of_all_rows_count() -> None:
    """Of a batch whose rows end early, each row's own tokens; a text without a count is refused."""
    model = StreamingModel(FakeClock(), length=len)
    (counting,) = counting_tokens({"student": model}).values()
    assert counting.bind(["a" * 3, "b" * 9])() == 12
    (unknown,) = counting_tokens({"student": StreamingModel(FakeClock(), usage=False)}).values()
    with pytest.raises(MeasurementError, match="nothing counts the tokens of streaming's answers"):
        unknown.bind(["a"])()


def test_the_energy_of_a_server_is_not_measured() -> None:
    """Its machine is another one."""
    served = StreamingModel(FakeClock(), runs_at="openai://host/v1#tiny")
    result, _ = judged(BenchSession(), "energy_per_1k_tokens", models={"student": served})
    assert result.verdict.value == "not_applicable"
    assert "its energy cannot be measured from here" in result.reason
