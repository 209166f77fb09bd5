"""Models behind TorchServe: one sample a request, the default handlers' answers, health and management."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from servers import served

from pytest_modelbench import RestEndpoint
from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.torchserve import TorchServeModel
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

ROWS = np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)
MANAGED = [
    {"modelName": "m", "modelVersion": "2.0", "batchSize": 4, "maxBatchDelay": 50, "workers": [{"id": "9000"}]}
]
Predict = Callable[[bytes, str], Any]
"""Makes the response to a sample: bytes, or what JSON holds; gets the body and the content type."""


class TorchServe:
    """The inference and management APIs as an ASGI application."""

    def __init__(self, predict: Predict, health: bytes = b'{"status": "Healthy"}') -> None:
        self.predict, self.health = predict, health
        self.asked: list[tuple[str, str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive()).get("body", b"")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["method"], scope["path"], headers.get("authorization", "")))
        status, answer = self.answer(scope["path"], body, headers.get("content-type", ""))
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        length = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": length})
        await send({"type": "http.response.body", "body": content})

    def answer(self, path: str, body: bytes, kind: str) -> tuple[int, Any]:
        """Return status and body."""
        if path == "/ping":
            return 200 if b"Healthy" in self.health else 500, self.health
        if path.startswith("/models/"):
            return 200, MANAGED
        if path.startswith("/predictions/m"):
            return 200, self.predict(body, kind)
        return 404, {"code": 404, "type": "ModelNotFoundException", "message": f"Model not found: {path}"}


@contextlib.contextmanager
def torchserve(predict: Predict, **options: Any) -> Iterator[tuple[str, TorchServe]]:
    application = TorchServe(predict, **options)
    with served(application) as place:
        yield place, application


def load(candidate: Any) -> TorchServeModel:
    model = adapt(candidate, Loading(name="student"))
    assert isinstance(model, TorchServeModel)
    return model


def doubled(body: bytes, kind: str) -> Any:
    assert kind == "application/json"
    return [2 * value for value in json.loads(body)]


def test_each_sample_is_a_request() -> None:
    """A nested list as JSON each, over one connection; the outputs are joined in their order."""
    with torchserve(doubled) as (place, server):
        model = load(f"torchserve://{place}/m/2.0")
        np.testing.assert_allclose(model(ROWS), 2 * ROWS, rtol=1e-6)
        opened = model.connection._socket
        call = model.bind(ROWS[:1])
        assert np.shape(call()) == (1, 2)
        assert model.connection._socket is opened
        assert server.asked == [("GET", "/ping", ""), *[("POST", "/predictions/m/2.0", "")] * 4]
        copy = model.replicate()
        np.testing.assert_allclose(copy(ROWS), 2 * ROWS, rtol=1e-6)
    described = model.describe()
    assert (described["health"], described["serving"]) == ("Healthy", {})
    assert not model.computes_here


def test_description_by_the_management_api() -> None:
    """Of the port that the SPEC states; one that cannot be reached is not required."""
    with torchserve(doubled) as (place, server):
        port = place.split(":")[1]
        model = load(f"torchserve://{place}/m?management={port}")
        assert model.describe()["serving"] == {
            "modelVersion": "2.0", "batchSize": 4, "maxBatchDelay": 50, "workers": 1
        }  # fmt: skip
        assert model.fingerprint() == load(f"torchserve://{place}/m?management={port}").fingerprint()
        assert load(f"torchserve://{place}/m?management=1").describe()["serving"] == {}
        assert ("GET", "/models/m", "") in server.asked
    with pytest.raises(ModelError, match="management=http, expected a port"):
        load(f"torchserve://{place}/m?management=http")


@pytest.mark.parametrize(
    ("sample", "sent"),
    [
        (np.array(["good", "bad"], dtype=object), '"good"'),
        (["good", "bad"], '"good"'),
        ([[1, 2], [3, 4]], "[1, 2]"),
        ({"a": np.array([1.5, 2]), "b": ["x", "y"]}, '{"a": 1.5, "b": "x"}'),
        ([b"\x89PNG", b"\x89PNG"], "binary"),
    ],
)
def test_what_is_sent(sample: Any, sent: str) -> None:
    """Strings, lists and objects as JSON, bytes as they are with the content type for them."""
    bodies = []

    def predict(body: bytes, kind: str) -> Any:
        bodies.append("binary" if (body, kind) == (b"\x89PNG", "application/octet-stream") else body.decode())
        return 1

    with torchserve(predict) as (place, _):
        assert load(f"torchserve://{place}/m")(sample).tolist() == [1, 1]
    assert bodies[0] == sent


@pytest.mark.parametrize(
    ("answer", "outputs"),
    [
        ([0.5, None], [[0.5, np.nan]] * 3),
        (3, [3] * 3),
        ("cat", ["cat"] * 3),
        ({"tabby": 0.3, "tiger": 0.6}, ["tiger"] * 3),
        ({"logits": [1, 2], "label": 4}, {"logits": [[1, 2]] * 3, "label": [4] * 3}),
    ],
    ids=["list", "number", "label", "labels with scores", "names"],
)
def test_how_answers_are_read(answer: Any, outputs: Any) -> None:
    """Lists, numbers and labels are rows; scores by label give the best one; other objects are outputs by name."""
    with torchserve(lambda *_: answer) as (place, _):
        read = load(f"torchserve://{place}/m")(ROWS)
    for name, expected in outputs.items() if isinstance(outputs, dict) else [("", outputs)]:
        np.testing.assert_array_equal(read[name] if name else read, expected)


def test_functions_and_key_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """`encode` gets one sample, `decode` one response; the key is the environment's."""
    monkeypatch.setenv("SERVER_KEY", "abc")
    with torchserve(lambda body, _: {"score": json.loads(body)["x"]}) as (place, server):
        endpoint = RestEndpoint(
            url=f"torchserve://{place}/m",
            encode=lambda sample: {"x": sample.tolist()},
            decode=lambda body: np.asarray(json.loads(body)["score"]),
            key_env="SERVER_KEY",
        )
        np.testing.assert_allclose(load(endpoint)(ROWS), ROWS)
        assert {key for _, _, key in server.asked} == {"Bearer abc"}
        wrong = RestEndpoint(url=f"torchserve://{place}/m", encode=lambda sample: sample["x"])
        with pytest.raises(ModelError, match="encode= cannot read a sample: IndexError"):
            load(wrong)(ROWS)


@pytest.mark.parametrize(
    ("predict", "words"),
    [
        (lambda *_: b"cat", r"the response is not JSON: status 200.*cat.*decode="),
        (lambda body, _: json.loads(body)[: 1 + (b"-0.2" in body)], "not arrays of one shape.*decode="),
        (lambda *_: {"a": float("nan"), "b": 1.0}, "scores of the labels are not finite"),
        (lambda *_: {}, "not arrays of one shape"),
    ],
    ids=["text", "ragged", "nan", "empty"],
)
def test_answers_that_cannot_be_read(predict: Predict, words: str) -> None:
    """The message has the URL and what came."""
    with torchserve(predict) as (place, _):
        model = load(f"torchserve://{place}/m")
        with pytest.raises(ModelError, match=words) as error:
            model(ROWS)
    assert f"student at torchserve://{place}/m: " in str(error.value)


def test_servers_that_are_not_ready() -> None:
    """Health is asked first; a model that is not there is the server's own words; a URL names one."""
    for health, words in (
        (b'{"status": "Unhealthy"}', 'status 500 .*"Unhealthy"'),
        (b"<p>Healthy</p>", "not healthy: st"),
    ):
        with torchserve(doubled, health=health) as (place, _), pytest.raises(ModelError, match=words):
            load(f"torchserve://{place}/m")
    with torchserve(doubled) as (place, _):
        with pytest.raises(ModelError, match="status 404 .*ModelNotFoundException"):
            load(f"torchserve://{place}/other")(ROWS)
        for path in ("", "/", "/m/1/2"):
            with pytest.raises(ModelError, match=r"names no model. Write torchserve://host:port/MODEL\[/VERSION\]"):
                load(f"torchserve://{place}{path}")


def test_rest_endpoint_takes_no_other_protocol() -> None:
    """A URL of a server that has a protocol of its own is named by itself."""
    with pytest.raises(ModelError, match=r"RestEndpoint\(url=\) takes http:// and torchserve://, not kserve://"):
        adapt(RestEndpoint(url="kserve://127.0.0.1:1/m"), Loading(name="student"))
