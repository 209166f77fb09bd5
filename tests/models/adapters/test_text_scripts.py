"""Fifteen ways in which servers stream an answer or fail, each over a real connection."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from text_servers import SCRIPTS, TOKENS, Script, chunked, delta, ending, serving, streams, texts

from pytest_modelbench import OpenAIEndpoint
from pytest_modelbench.data.prompts import GenerationSettings, Prompts
from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.openai_text import OpenAIModel
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

SETTINGS = GenerationSettings(max_new_tokens=64)


def load(place: str, **options: Any) -> OpenAIModel:
    model = adapt(
        OpenAIEndpoint(url=f"openai://{place}/v1#m", **{"timeout_s": 5, **options}), Loading(name="student")
    )
    assert isinstance(model, OpenAIModel)
    return model


def answer(parts: Sequence[bytes], settings: GenerationSettings = SETTINGS, **options: Any) -> Generation:
    with serving(lambda _: parts) as server:
        (generation,) = load(server.place, **options).generating(["x"], settings)()
    return generation


def sent(settings: GenerationSettings, prompt: Any = "x", **options: Any) -> dict[str, Any]:
    """Return the request for a prompt."""
    with serving(lambda _: streams("yes")) as server:
        load(server.place, **options).generating([prompt], settings)()
    return server.asked[0]


def test_there_are_fifteen() -> None:
    """As many as the ways in which servers were seen to answer."""
    assert len(SCRIPTS) == 15


@pytest.mark.parametrize("script", [pytest.param(script, id=name) for name, script in SCRIPTS.items()])
def test_an_answer_or_an_error(script: Script) -> None:
    """Text, number of pieces and tokens, and why there is no time per token; or the server's words, never 0 ms."""
    if script.error:
        with pytest.raises(ModelError, match=script.error):
            answer(script.parts)
        return
    generation = answer(script.parts)
    assert (generation.text, len(generation.pieces)) == (script.text, script.pieces)
    assert (generation.tokens, generation.finish) == (script.tokens, script.finish)
    step = generation.time_per_output_token
    assert step.ms is None or step.ms > 0
    assert script.step in step.reason
    assert step.ms is None or not script.step
    first = generation.time_to_first_token
    assert (first.ms is None) == (script.pieces == 0)


def test_no_call_waits_for_the_end_of_its_stream() -> None:
    """The server keeps each stream open after [DONE]: the answer is there while it does, and the next one, too."""
    over = threading.Event()

    def held(_: dict[str, Any]) -> Any:
        yield from streams("fine")[:-1]
        over.wait(20)

    with serving(held) as server:
        model = load(server.place)
        call = model.bind(["x"])
        assert call().tolist() == ["fine"]
        first = server.connections
        start = time.monotonic()
        answers = [call().tolist() for _ in range(20)]
        copied = model.replicate()
        assert isinstance(copied, OpenAIModel)
        assert copied.connection.lingers
        took_s = time.monotonic() - start
        over.set()
    assert answers == [["fine"]] * 20
    assert (first, server.connections) == (1, 21)
    assert took_s < 2  # 20 waits for the end would be as many times GRACE_S
    assert model.describe()["calls"]["reopened_connections"] == 20


def test_the_rest_of_a_stream_is_read_before_the_next_request() -> None:
    """So that the connection stays open, and the rest is not taken for the next answer."""
    pause = threading.Event()

    def late(_: dict[str, Any]) -> Any:
        yield from streams("fine")[:-1]
        pause.wait(0.02)
        yield b"0\r\n\r\n"

    with serving(late) as server:
        model = load(server.place)
        assert [*model(["x"]), *model(["x"]), *model(["x"])] == ["fine"] * 3
        assert server.connections == 1
    assert model.describe()["calls"]["reopened_connections"] == 0


def test_settings_of_the_data_are_in_the_request() -> None:
    """The longest answer, the texts that end it, the system message before others, and a line against caches."""
    settings = GenerationSettings(max_new_tokens=7, stop=("END", "\n"), system="short", salt="81f3")
    asked = sent(settings, max_tokens=99)
    assert (asked["max_tokens"], asked["stop"]) == (7, ["END", "\n"])
    assert asked["messages"] == [{"role": "system", "content": "short"}, {"role": "user", "content": "81f3\nx"}]
    assert "ignore_eos" not in asked
    chat = [{"role": "system", "content": "mine"}, {"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    asked = sent(settings, chat)
    assert [message["content"] for message in asked["messages"]] == ["mine", "81f3\na", "b"]
    assert chat[1]["content"] == "a"
    assert sent(GenerationSettings(salt="81f3"), api="completions")["prompt"] == "81f3\nx"


def test_answers_of_an_exact_length() -> None:
    """Servers are asked to go on after an end token, and the report counts the answers for which they did not."""
    settings = GenerationSettings(max_new_tokens=3, stop=("t1",), exactly=True)
    asked = sent(settings)
    assert (asked["max_tokens"], asked["min_tokens"], asked["ignore_eos"]) == (3, 3, True)
    assert "stop" not in asked
    lengths = [2, 3, 2]
    with serving(lambda _: chunked(*texts(TOKENS[:2]), *ending({"completion_tokens": lengths.pop()}))) as server:
        model = load(server.place)
        answers = model.generating(["a", "b", "c"], settings)()
    assert model.describe()["calls"]["tokens_instead_of_exactly"] == {"2": 2}
    assert answers[0].text == "t0 t1 "


@pytest.mark.parametrize(
    ("parts", "tokens"),
    [
        (chunked(*texts(TOKENS), *ending()), None),
        (
            chunked(
                *(delta(content=t, usage={"completion_tokens": n}) for n, t in enumerate(TOKENS, 1)), *ending(None)
            ),
            3,
        ),
    ],
    ids=["total only", "tokens of each event"],
)
def test_stop_texts_are_cut_where_the_server_goes_on(parts: Sequence[bytes], tokens: int | None) -> None:
    """Across events, too; its total is then not that of the text."""
    generation = answer(parts, GenerationSettings(stop=("5 t6", "2 t3")))
    assert (generation.text, generation.finish, generation.tokens) == ("t0 t1 t", "stop", tokens)
    assert len(generation.pieces) == 3
    assert generation.end_ns > generation.pieces[-1].at_ns - 1


def test_the_tokens_of_the_server_are_counted_again() -> None:
    """By the tokenizer, and the report has both: the server's hold the end token."""
    with serving(lambda _: chunked(*texts(TOKENS), *ending())) as server:
        model = load(server.place, tokenizer=lambda text: len(text.split()))
        (generation,) = model.generating(["x"], SETTINGS)()
    assert generation.counted is not None
    assert generation.counted[1] == 24
    assert model.describe()["calls"]["tokens"] == {"by_server": 25, "by_tokenizer": 24}
    assert model.token_count("a b") == 2
    assert model.vocabulary() == load("127.0.0.1:1", tokenizer=model.endpoint.tokenizer).vocabulary() != ""
    assert load("127.0.0.1:1").vocabulary() == ""


def test_the_report_states_what_was_sent() -> None:
    """Fields of the data and of the user as last sent, without prompt and key."""
    with serving(lambda _: streams("yes")) as server:
        model = load(server.place, request={"temperature": 0.5, "seed": None, "top_k": 1})
        described = model.describe()
        assert described["request"]["max_tokens"] == 256
        beats: list[int] = []
        model.beat = lambda: beats.append(1)
        model.bind(Prompts(["x"], GenerationSettings(max_new_tokens=7, stop=("a",))))()
    assert len(beats) == 1
    request = json.loads(json.dumps(described["request"]))
    assert request == {"api": "chat", **{k: v for k, v in server.asked[0].items() if k != "messages"}}
    assert (request["max_tokens"], request["stop"], request["temperature"], request["top_k"]) == (7, ["a"], 0.5, 1)


@pytest.mark.parametrize(
    ("settings", "api", "message"),
    [
        (
            {"chat": "never"},
            "chat",
            "chat='never', and /chat/completions puts .* Write OpenAIEndpoint.api='completions'",
        ),
        ({"chat": "always"}, "completions", "chat='always', and /completions has no chat template. Write .*chat"),
        (
            {"system": "short"},
            "completions",
            "system='short', and /completions takes no system message. Write .*chat",
        ),
    ],
)
def test_settings_that_an_api_cannot_follow(settings: dict[str, Any], api: str, message: str) -> None:
    """Each is one message before anything is sent."""
    with pytest.raises(ModelError, match=message):
        load("127.0.0.1:1", api=api).generating(["x"], GenerationSettings(**settings))


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (3, "tokenizer=3, expected a tokenizer with encode"),
        (str, "tokenizer=<class 'str'>, expected a tokenizer"),
        (str.split, r"tokenizer= returned \['fine'\] for 'fine', expected .* a function that returns how many"),
        (lambda text: text.missing, "tokenizer= cannot count 'fine': AttributeError"),
    ],
)
def test_what_is_not_a_tokenizer(tokenizer: Any, message: str) -> None:
    """The message has what it returned, and what is expected."""
    with pytest.raises(ModelError, match=f"student.*{message}"):
        answer(streams("fine"), tokenizer=tokenizer)


def test_slow_reading_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives while an earlier part is read gets its time too late."""
    pause = threading.Event()

    def halves(_: dict[str, Any]) -> Any:
        yield chunked(*texts(TOKENS[:1]))[0]
        pause.wait(0.02)
        yield from chunked(*texts(TOKENS[:1]), *ending())[1:]

    with serving(halves) as server:
        model = load(server.place)
        monkeypatch.setattr("pytest_modelbench.models.adapters.openai_text.SLOW_MS", 1e6)
        model.generating(["x"], SETTINGS)()
        assert "slowest_reading_ms" not in model.describe()["calls"]
        monkeypatch.setattr("pytest_modelbench.models.adapters.openai_text.SLOW_MS", 0)
        model.generating(["x"], SETTINGS)()
    assert 0 < model.describe()["calls"]["slowest_reading_ms"] < 1000
