"""Language models behind an OpenAI-compatible server on this machine: requests, connections, faults, keys."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from text_servers import chunked, echo, event, plain, serving, streams

from pytest_modelbench import OpenAIEndpoint
from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.openai_text import OpenAIModel
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading


def load(candidate: Any) -> OpenAIModel:
    model = adapt(candidate, Loading(name="student"))
    assert isinstance(model, OpenAIModel)
    return model


def test_prompts_in_texts_out() -> None:
    """Strings and messages; each is a request over one connection, and has a record of its own."""
    with serving(echo) as server:
        model = load(f"openai://{server.place}/v1#org/tiny:1b?max_tokens=9&timeout=5")
        prompts = ["one", [{"role": "system", "content": "short"}, {"role": "user", "content": "two"}]]
        assert model(prompts).tolist() == ["one", "two"]
        assert model(np.array(["three"], dtype=object)).tolist() == ["three"]
        assert server.connections == 1
    first = server.asked[0]
    assert server.heads[0].startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert first["messages"] == [{"role": "user", "content": "one"}]
    assert server.asked[1]["messages"] == prompts[1]
    assert (first["model"], first["max_tokens"], first["temperature"], first["seed"]) == ("org/tiny:1b", 9, 0, 0)
    assert first["stream"] is True
    assert first["stream_options"]["include_usage"] is True
    (answer,) = model.generations
    assert (answer.text, answer.tokens, answer.finish) == (" three\n", 3, "stop")
    assert 0 < (answer.time_to_first_token.ms or 0) <= (answer.total.ms or 0)
    described = model.describe()
    assert described["calls"]["finish_reasons"] == {"stop": 3}
    assert described["request"]["max_tokens"] == 9
    assert not model.computes_here


def test_completions_and_fields_of_the_user() -> None:
    """`api`, `request` with None for a field that is left out, and `decode` for labels or numbers."""
    with serving(echo) as server:
        model = load(
            OpenAIEndpoint(
                url=f"openai://{server.place}/v1#m",
                api="completions",
                request={"seed": None, "stop": ["\n\n"]},
                decode=float,
            )
        )
        assert model(["1", "2.5"]).tolist() == [1.0, 2.5]
        assert model(["1"]).dtype == np.float64
        with pytest.raises(ModelError, match="decode= cannot read the answer ' many.n': ValueError"):
            model(["many"])
    assert server.heads[0].startswith("POST /v1/completions ")
    assert "seed" not in server.asked[0]
    assert server.asked[0]["stop"] == ["\n\n"]
    assert server.asked[0]["prompt"] == "1"


def test_chunks_that_were_received_at_once_have_one_time() -> None:
    """Reading them one after the other takes microseconds, which are not the server's time for a token."""
    with serving(lambda _: [b"".join(streams("a", "b", "c"))]) as server:
        model = load(f"openai://{server.place}/v1#m")
        assert model(["x"]).tolist() == ["abc"]
    (answer,) = model.generations
    assert len(answer.pieces) == 3
    assert answer.time_per_output_token.ms is None
    assert "arrived at once" in answer.time_per_output_token.reason


def test_replicas_have_connections_of_their_own() -> None:
    """So that several threads can ask at once."""
    with serving(echo) as server:
        model = load(f"openai://{server.place}/v1#m")
        copy = model.replicate()
        assert model(["a"]).tolist() == copy(["a"]).tolist() == ["a"]
        assert server.connections == 2


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (plain(b"slow down", "429 Too Many Requests"), "status 429 Too Many Requests: slow down"),
        (plain(b'{"error": "loading"}', "503 Service Unavailable"), 'status 503 .*: {"error": "loading"}'),
        (plain(b'{"choices": []}'), r"not a stream of events that ends with \[DONE\]: {"),
        ([*streams("a", "b")[:3], b""], r"the body was cut off \(after 2 pieces of the answer\)"),
        ([*streams("a", "b")[:2], b"20\r\ndata", b""], r"the body was cut off.*\(after 1 pieces"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ndata: ", b""], "the body was cut off"),
        ([b"HTTP/1.1 200 OK\r\n\r\n: ping\n\n", b""], r"not a stream of events that ends with \[DONE\]: : ping"),
        (chunked(event({"error": "out of memory"}), b"data: [DONE]\n\n"), "out of memory"),
        ([b""], "the connection broke: RemoteDisconnected"),
        (streams("a")[:2], r"no response within 0.4 s \(after 1 pieces"),
    ],
    ids=["429", "503", "not streamed", "cut", "cut in a chunk", "short", "closed", "error", "reset", "stalls"],
)
def test_faults(parts: Sequence[bytes], message: str) -> None:
    """Each is the error of the call with the URL and the server's words; the next call is not disturbed by it."""
    answers = [parts, streams("fine")]
    with serving(lambda _: answers.pop(0)) as server:
        model = load(f"openai://{server.place}/v1#m?timeout=0.4")
        call = model.bind(["x"])
        with pytest.raises(ModelError, match=message) as error:
            call()
        assert f"student at openai://{server.place}/v1#m: " in str(error.value)
        assert call().tolist() == ["fine"]
        assert len(server.asked) == 2


def test_the_key_is_in_the_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a message, though the server repeats it where a message is cut, nor in a report or a repr."""
    key = "sk" + f"-{10**15}"  # which the source of this test does not show
    monkeypatch.setenv("SERVER_KEY", key)
    body = b"x" * 184 + f"bad key {key}".encode()
    with serving(lambda _: plain(body, "401 Unauthorized")) as server:
        endpoint = OpenAIEndpoint(url=f"openai://{server.place}/v1#m", key_env="SERVER_KEY", headers={"X-Key": key})
        model = load(endpoint)
        with pytest.raises(ModelError) as error:
            model(["x"])
        request = model._request("x")
    assert f"Authorization: Bearer {key}\r\n" in server.heads[0]
    texts = (str(error.value), json.dumps(model.describe()), repr(endpoint), repr(model), repr(request))
    assert not [text for text in texts if key[:4] in text]
    assert key not in str(error.getrepr(style="long", showlocals=False))


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ("openai://127.0.0.1:1/v1", "names no model. Write openai://host:port/v1#MODEL"),
        ("openai://127.0.0.1:1/v1#m?api=chats", "api='chats', expected 'chat' or 'completions'"),
        ("openai://127.0.0.1:1/v1#m?max_tokens=few", "max_tokens='few', expected a whole number above 0"),
        (OpenAIEndpoint(url="openai://127.0.0.1:1/v1#m", max_tokens=0), "max_tokens=0, expected"),
        ("openai://127.0.0.1:1/v1#m?timeout=0", "timeout=0, expected seconds above 0"),
        (
            "openai://127.0.0.1:1/v1#m?key_env=NO_SUCH_KEY",
            "key_env='NO_SUCH_KEY': the environment variable is not set",
        ),
        ("openai://127.0.0.1:1/v1#m?keys=1", r"takes the options timeout=\.\.\. and api="),
        ("openai://me:secret@127.0.0.1:1/v1#m", "at 127.0.0.1 has a user or a password in its URL"),
    ],
)
def test_mistakes_in_a_spec(candidate: Any, message: str) -> None:
    """Each is one message, and nothing is sent."""
    with pytest.raises(ModelError, match=message) as error:
        load(candidate)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ([3], "", "prompt 0 of the batch is 3; expected a string, or a list such as"),
        (["a", [{"role": "user"}]], "", "prompt 1 of the batch is .*; expected a string, or a list"),
        ([[{"role": "user", "content": "a"}]], "?api=completions", "expected a string$"),
        ({"a": ["x"], "b": ["y"]}, "", "takes one prompt for each sample, found 2 inputs"),
    ],
)
def test_inputs_that_are_no_prompts(inputs: Any, options: str, message: str) -> None:
    """The message says which one, and what is expected."""
    with pytest.raises(ModelError, match=message):
        load(f"openai://127.0.0.1:1/v1#m{options}")(inputs)


def test_a_server_that_is_not_there() -> None:
    """The first call says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ModelError, match=f"cannot connect to {place}"):
        load(f"openai://{place}/v1#m")(["x"])
