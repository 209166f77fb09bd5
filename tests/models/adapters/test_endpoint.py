"""Models behind endpoints: a real server on this machine, and servers that misbehave."""

from __future__ import annotations

import fcntl
import json
import socket
import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from servers import InferenceServer, reply, scripted, served

from pytest_modelbench import RestEndpoint
from pytest_modelbench.errors import ModelError, UsageMistake
from pytest_modelbench.models.adapters import http_calls
from pytest_modelbench.models.adapters.endpoint import KServeModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.endpoints import refuse_host
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

WEIGHTS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
ROWS = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
READY = (
    reply(b""),
    reply(
        json.dumps(
            {
                "name": "digits",
                "versions": ["3"],
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
                "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}],
            }
        ).encode()
    ),
    reply(b'{"name": "scripted", "version": "1", "extensions": []}'),
)


def product(rows: Any) -> Any:
    return np.asarray(rows @ WEIGHTS, dtype=np.float32)


def load(candidate: Any, **loading: Any) -> Model:
    return adapt(candidate, Loading(name="student", **loading))


def answer(number: int, outputs: object = None) -> bytes:
    """Return the response to the request of a number."""
    told = outputs or [{"name": "logits", "datatype": "FP32", "shape": [2, 3], "data": [0.0] * 6}]
    return reply(json.dumps({"id": f"{number:016x}", "outputs": told}).encode())


@pytest.fixture(scope="module", params=[True, False], ids=["binary", "json"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, bool]]:
    with served(InferenceServer(product, 4, binary=request.param)) as place:
        yield place, request.param


def test_a_real_server(server: tuple[str, bool]) -> None:
    """Outputs by name, metadata, the way tensors travel, and the server's own times."""
    place, binary = server
    model = load(f"kserve://{place}/digits")
    with model.running():
        for _ in range(3):
            assert np.allclose(model(ROWS)["logits"], product(ROWS), atol=1e-6)
    told = model.describe()
    assert told["tensors"] == ("binary" if binary else "JSON")
    assert (told["server"], told["versions"]) == ("testing 1.0", ["3"])
    assert told["calls"]["server_queue_ms"] == 0.001
    assert told["calls"]["server_compute_ms"] > 0
    assert told["calls"]["encode_ms"] > 0
    assert not model.computes_here
    assert model.fingerprint() == load(f"kserve://{place}/digits").fingerprint()
    copied = model.replicate()
    assert copied is not None
    assert np.allclose(copied({"x": ROWS.astype(np.float64)})["logits"], product(ROWS), atol=1e-6)
    assert copied.describe()["casts"] == {"x": "float64 -> float32"}


def test_calls_share_one_connection(server: tuple[str, bool]) -> None:
    """And outputs are arrays of the caller's own."""
    model = load(f"kserve://{server[0]}/digits")
    assert isinstance(model, KServeModel)
    call = model.bind(ROWS)
    first = call()["logits"]
    opened = model.connection._socket
    first[:] = 7
    assert np.allclose(call()["logits"], product(ROWS), atol=1e-6)
    assert model.connection._socket is opened


def test_plain_json(server: tuple[str, bool]) -> None:
    """By default, and with functions of the user's."""
    place, _ = server
    assert np.allclose(load(f"rest://{place}/plain")(ROWS), product(ROWS), atol=1e-6)
    endpoint = RestEndpoint(
        url=f"http://{place}/plain",
        encode=lambda rows: json.dumps({"inputs": (2 * rows).tolist()}),
        decode=lambda body: {"logits": np.asarray(json.loads(body)["outputs"])},
    )
    assert np.allclose(load(endpoint)(ROWS)["logits"], product(2 * ROWS), atol=1e-6)
    wrong = RestEndpoint(url=f"http://{place}/plain", decode=lambda body: json.loads(body)["logits"])
    with pytest.raises(ModelError, match="decode= cannot read the response '{\"outputs\":.*KeyError: 'logits'"):
        load(wrong)(ROWS)


def test_unknown_model(server: tuple[str, bool]) -> None:
    """The server's text is in the message."""
    with pytest.raises(ModelError, match='status 404 Not Found: {"error": "no such model"}'):
        load(f"kserve://{server[0]}/letters")
    with pytest.raises(ModelError, match="names no model"):
        load(f"kserve://{server[0]}")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((None,), "the connection broke: RemoteDisconnected"),
        ((reply(b"slow down", "429 Too Many Requests"),), "status 429 Too Many Requests: slow down"),
        ((reply(b"busy", "503 Service Unavailable"),), "status 503 Service Unavailable: busy"),
        (
            (reply(b"<html><p>Hello"),),
            "cannot be read, it is not JSON: status 200, content type none, body <html><p>Hello",
        ),
        ((reply(b'{"outputs": [{"data": [NaN]}]}'),), "not that of the Open Inference Protocol: status 200"),
        ((reply(b'{"error": "out of memory"}'),), "out of memory"),
        ((answer(0),), "the response is that of request '0000000000000000', and this is '0000000000000001'"),
        ((reply(b'{"id": ""}'),), "is not that of the Open Inference Protocol"),
        (
            (answer(1, [{"name": "logits", "datatype": "FP32", "shape": [2, 3], "data": [0.0] * 5}]),),
            "is not that of the Open Inference Protocol",
        ),
        ((answer(1)[:-20] + b"",), "no response within 1 s"),
        ((), "no response within 1 s"),
    ],
    ids=["reset", "429", "503", "html", "nan", "error", "late", "empty", "short", "cut", "silent"],
)
def test_servers_that_misbehave(answers: tuple[bytes | None, ...], words: str) -> None:
    """Each is the error of the call, with what the server sent; nothing is sent again."""
    with scripted(*READY, *answers) as place:
        model = load(f"kserve://{place}/digits?timeout=1")
        with pytest.raises(ModelError, match=words) as error:
            model(ROWS)
        assert "student at kserve://127.0.0.1" in str(error.value) or "student raised" in str(error.value)


def test_a_late_reply_is_never_the_next_calls() -> None:
    """After a timeout the connection is given up."""
    with scripted(*READY, b"", answer(2)) as place:
        model = load(f"kserve://{place}/digits?timeout=1")
        call = model.bind(ROWS)
        with pytest.raises(ModelError, match="no response within 1 s"):
            call()
        assert call()["logits"].shape == (2, 3)


def test_connections_that_the_server_closes_are_opened_again_and_counted() -> None:
    """Only if nothing of the request was sent."""
    closing = reply(b'{"name": "scripted", "version": "1"}', "200 OK", "Connection: close")
    with scripted(*READY[:2], closing, answer(1)) as place:
        model = load(f"kserve://{place}/digits")
        assert model(ROWS)["logits"].shape == (2, 3)


def test_servers_that_are_not_there() -> None:
    """A port that nobody listens at, and a timeout that is none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ModelError, match=f"student at kserve://{place}/digits: cannot connect to {place}"):
        load(f"kserve://{place}/digits")
    with pytest.raises(ModelError, match="timeout=soon, expected seconds above 0"):
        load(f"kserve://{place}/digits?timeout=soon")


def test_only_this_machine_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host is refused before any packet; its name is not even looked up."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a packet was sent")

    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    for url in ("kserve://models.example.com/digits", "rest://10.0.0.1:80/x"):
        with pytest.raises(ModelError, match="is not this machine, and nothing was sent to it.*endpoint-allow="):
            load(url)
    with pytest.raises(ModelError, match="is not this machine"):
        load(RestEndpoint(url="http://127.0.0.1.example.com/predict"))
    for url in ("kserve://127.0.0.1:8000/m", "rest://localhost/x", "kserve://[::1]:8000/m"):
        refuse_host(url, [])
    refuse_host("kserve://models.example.com/m", ["models.example.com"])
    for wrong in ("ftp://127.0.0.1/m", "kserve:///m", "kserve://127.0.0.1:port/m"):
        with pytest.raises(UsageMistake, match="is not an endpoint. Write kserve://host:port/MODEL"):
            refuse_host(wrong, [])


def test_json_costs_more_than_binary_data() -> None:
    """The same batch of 8 images takes longer as JSON, which is why the report states how tensors travel."""
    columns = 12288
    big = np.random.default_rng(0).normal(size=(8, columns)).astype(np.float32)

    def first(rows: Any) -> Any:
        return np.ascontiguousarray(rows[:, :3], dtype=np.float32)

    medians = []
    for binary in (True, False):
        with served(InferenceServer(first, columns, binary=binary)) as place:
            call, spent = load(f"kserve://{place}/digits").bind(big), []
            for _ in range(9):
                start = time.perf_counter()
                call()
                spent.append(time.perf_counter() - start)
        medians.append(statistics.median(spent))
    assert medians[1] > 3 * medians[0]


def test_requests_are_one_buffer() -> None:
    """Header and body in one send: apart, the second waits for the first to be acknowledged."""
    request = http_calls.request_bytes("POST", "127.0.0.1:1", "/x", b"body", {"A": "b"})
    assert request == (
        b"POST /x HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Length: 4\r\nConnection: keep-alive\r\nA: b\r\n\r\nbody"
    )


def test_a_connection_of_a_high_number_is_looked_at() -> None:
    """A process that has more than 1,024 files open asks endpoints like any other."""
    here, there = socket.socketpair()
    with here, there, socket.socket(fileno=fcntl.fcntl(here.fileno(), fcntl.F_DUPFD, 1100)) as high:
        assert not http_calls._was_closed(high)
        there.close()
        assert http_calls._was_closed(high)
