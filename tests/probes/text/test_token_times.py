"""How answers are timed: in which order, for how long, with which settings, on a scripted clock."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from streaming import PROMPTS, StreamingModel, pair, text_data

from pytest_modelbench import FakeClock
from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.probes.text.measured_times import TokenSetup, TokenTimes
from pytest_modelbench.probes.text.times_wire import pack_token_times, unpack_token_times
from pytest_modelbench.probes.text.token_times import Given, measure_token_times

ANSWER_S = 0.05 + 23 * 0.01


def measured(models: dict[str, StreamingModel], *, setup: Any = None, data: Any = None, **given: Any) -> TokenTimes:
    return measure_token_times(
        Given(models=models, data=data or text_data(), setup=TokenSetup(**(setup or {})), **given)
    )


def test_prompts_are_asked_of_both_models_in_turn() -> None:
    """Each prompt of both, one right after the other, either of them first about as often; each once in a round."""
    models = pair()
    measurement = measured(models, budget_s=80 * 2 * ANSWER_S)
    log = models["student"].shared_log[2:]
    assert all(one[1] == other[1] and one[0] != other[0] for one, other in zip(log[::2], log[1::2], strict=True))
    firsts = [name for name, _ in log[::2]]
    assert 0.3 < firsts.count("student") / len(firsts) < 0.7
    rounds = [[prompt for _, prompt in log[::2][start : start + len(PROMPTS)]] for start in (0, len(PROMPTS))]
    assert [sorted(prompts) for prompts in rounds] == [sorted(PROMPTS)] * 2
    assert rounds[0] != rounds[1]
    assert models["student"].shared_log[0][1] == rounds[0][-1]  # the warm-up's comes last
    assert [visit.unit for visit in measurement.visits[: len(PROMPTS)]] == [*range(1, len(PROMPTS)), 0]


@pytest.mark.parametrize("budget_s", [1.0, 3.0, 30.0])
def test_the_budget_is_kept(budget_s: float) -> None:
    """The measurement ends within it, and limits are judged after shares of it."""
    models = pair(prefill_ms=lambda prompt: 5.0 * len(prompt))
    measurement = measured(models, budget_s=budget_s)
    warm_up_s = measurement.visits[0].first_ns("student") / 1e9
    assert models["student"].clock() / 1e9 <= budget_s + 2 * warm_up_s
    assert measurement.elapsed_s[-1] <= budget_s
    assert measurement.numbers[-1] == 2
    assert sum(measurement.alpha_at(0.05, look) for look in range(len(measurement.looks))) <= 0.05 + 1e-12
    assert all(before < after for before, after in pairwise(measurement.looks))


def test_one_visit_is_made_under_any_budget_and_a_decision_ends_it() -> None:
    """Nothing is measured after a look that decides all."""
    assert len(measured(pair(), budget_s=0.001).visits) == 1
    measurement = measured(pair(), budget_s=60.0, decided=lambda _: True)
    assert measurement.looks == (len(measurement.visits),)
    assert 5.0 < measurement.elapsed_s[0] <= 6.0


def test_a_cold_cache_has_a_line_of_its_own_for_each_request() -> None:
    """Also for two models at one server; by default where a model runs elsewhere, and not on this machine."""
    for place, setup in (("openai://host", {}), ("", {"cache": "cold"})):
        models = pair(runs_at=place)
        assert measured(models, setup=setup, budget_s=5.0).setup.cache == "cold"
        salts = [settings.salt for model in models.values() for _, settings in model.asked]
        assert len(set(salts)) == len(salts) > 10
        assert len(set(map(len, salts))) == 1
    here = pair()
    assert measured(here, budget_s=5.0).setup.cache is None
    assert {settings.salt for _, settings in here["student"].asked} == {""}


def test_a_warm_cache_has_seen_the_prompt() -> None:
    """Each prompt is asked twice, and the second answer is timed."""
    models = pair()
    measurement = measured(models, setup={"cache": "warm"}, budget_s=5.0)
    asked = [prompt for prompt, _ in models["student"].asked]
    assert asked[::2] == asked[1::2]
    assert len(asked) == 2 * (1 + len(measurement.visits))
    assert {settings.salt for _, settings in models["student"].asked} == {""}


def test_a_forced_length() -> None:
    """Both models are asked for exactly so many tokens, and no text ends an answer; one that gives others is refused."""
    models = pair(length=8)
    measurement = measured(models, setup={"tokens": 12}, data=text_data(stop=["b"]), budget_s=5.0)
    assert {answer.tokens for visit in measurement.visits for answer in visit.answers["student"]} == {12}
    assert {(s.exactly, s.max_new_tokens, s.stop) for _, s in models["student"].asked} == {(True, 12, ())}
    with pytest.raises(MeasurementError, match="student gave an answer of 8 tokens, and tokens=12 asks for exactly"):
        measured(pair(length=8, obeys=False), setup={"tokens": 12})
    with pytest.raises(MeasurementError, match="an unknown number of tokens"):
        measured(pair(usage=False), setup={"tokens": 12})


def test_batches_are_full_and_of_one_call() -> None:
    """Prompts that fill no batch are left out; a model that answers one after the other has no batch."""
    measurement = measured(pair(), setup={"batch_size": 16}, budget_s=20.0)
    assert [len(unit) for unit in measurement.units] == [16, 16]
    assert [len(unit) for unit in measured(pair(), setup={"batch_size": 64}, budget_s=1.0).units] == [40]

    class OneByOne(StreamingModel):
        def _batch(self, prompts: Any, settings: Any) -> list[Any]:
            return [answer for prompt in prompts for answer in super(OneByOne, self)._batch([prompt], settings)]

    with pytest.raises(MeasurementError, match=r"one after the other, .* Write batch_size=1"):
        measured({"student": OneByOne(FakeClock(), name="student")}, setup={"batch_size": 2})


def test_a_failed_request_is_the_models() -> None:
    """It ends the measurement with the model's name; nothing is averaged over the others."""

    def prefill(prompt: str) -> float:
        if prompt.endswith(" 7"):
            raise RuntimeError("429: slow down")
        return 50.0

    with pytest.raises(ModelError, match="student raised RuntimeError.*429: slow down") as caught:
        measured(pair(prefill_ms=prefill))
    assert caught.value.blames == "student"


def test_clocks_must_be_one() -> None:
    models = {"student": StreamingModel(FakeClock()), "teacher": StreamingModel(FakeClock())}
    with pytest.raises(MeasurementError, match="different clocks"):
        measured(models)


def test_times_travel() -> None:
    """What another worker reads is what was measured."""
    measurement = measured(pair(reasoning=3, chunk=4), setup={"tokens": 20}, budget_s=3.0)
    unpacked = unpack_token_times(pack_token_times(measurement))
    assert unpacked.visits == measurement.visits
    assert vars(unpacked) | {"ids": None} == vars(measurement) | {"ids": None}
    assert json.loads(str(pack_token_times(unpacked)["text"])) == json.loads(
        str(pack_token_times(measurement)["text"])
    )


def test_lengths_of_prompts() -> None:
    """In characters, of messages together, and in tokens as the server counts them; a chat is one prompt."""
    chats = [[{"role": "system", "content": "ab"}, {"role": "user", "content": "c" * n}] for n in range(1, 4)]
    model = StreamingModel(FakeClock())
    measurement = measured({"student": model}, data=text_data(chats), budget_s=3.0)
    assert measurement.characters == (3, 4, 5)
    assert measurement.prompt_tokens["student"] == (7, 7, 7)
    assert model.asked[0][0] in chats
    assert [len(batch.inputs) for batch in text_data(chats, batch_size=2).batches()] == [2, 1]
