"""Endpoints that misbehave: each fault is an error of the call, with the server's text, and is never sent again."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.errors import ModelError, NotApplicable, UsageMistake
from pytest_modelbench.models.adapters.endpoint import KServeModel
from pytest_modelbench.models.endpoints import RestEndpoint, refuse_host
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

INPUTS = np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)
METADATA = {
    "name": "digits",
    "versions": ["3"],
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 8]}],
    "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 3]}],
}
Fault = Callable[[socket.socket, str], None]
"""Answers one request for an inference; it gets the connection and the request's id."""


def http(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def answer(number: str, **changes: Any) -> bytes:
    output = {"name": "logits", "datatype": "FP32", "shape": [2, 3], "data": [0.5] * 6, **changes.pop("output", {})}
    return json.dumps({"model_name": "digits", "id": number, "outputs": [output], **changes}).encode()


class FaultServer:
    """The Open Inference Protocol with JSON on plain sockets, whose inferences go wrong as asked."""

    def __init__(self, fault: Fault, metadata: Mapping[str, Any] = METADATA) -> None:
        self.fault, self.metadata = fault, metadata
        self.inferences = self.connections = 0
        self.rest = b""
        """The whole response to every request but inferences, if it is not the protocol's."""
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listening.getsockname()[1]}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the test closes the socket at its end
            while True:
                connection, _ = self.listening.accept()
                self.connections += 1
                threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                size = 0
                while (header := reader.readline().strip()) != b"":
                    if header.lower().startswith(b"content-length"):
                        size = int(header.split(b":")[1])
                body, path = reader.read(size), line.split()[1]
                if path.endswith(b"/infer"):
                    self.inferences += 1
                    self.fault(connection, json.loads(body)["id"])
                else:
                    if self.rest:
                        connection.sendall(self.rest)
                        continue
                    told = {b"/v2": {"name": "faulty", "version": "1"}, b"/v2/models/digits": self.metadata}
                    connection.sendall(http(json.dumps(told.get(path, {})).encode()))


@contextlib.contextmanager
def faulty(fault: Fault, metadata: Mapping[str, Any] = METADATA) -> Iterator[FaultServer]:
    server = FaultServer(fault, metadata)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.listening.close()


def load(server: FaultServer, *, timeout: str = "5") -> KServeModel:
    model = adapt(f"kserve://{server.address}/digits?timeout={timeout}", Loading(name="student"))
    assert isinstance(model, KServeModel)
    return model


def sends(make: Callable[[str], bytes]) -> Fault:
    return lambda connection, number: connection.sendall(make(number))


def resets(connection: socket.socket, _: str) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    raise OSError


def cuts_off(connection: socket.socket, number: str) -> None:
    body = answer(number)
    connection.sendall(http(body[:20], length=len(body)))
    raise OSError


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(sends(lambda _: http(b"slow down", "429 Too Many Requests")), "429 .*slow down", id="429"),
        pytest.param(sends(lambda _: http(b"warming up", "503 Unavailable")), "503 .*warming up", id="503"),
        pytest.param(sends(lambda _: http(b"<html>login</html>")), "not JSON.*<html>login", id="html"),
        pytest.param(sends(lambda _: http(answer("0" * 16))), "response is that of request", id="another request"),
        pytest.param(sends(lambda n: http(answer(n, id=["a"]))), "response is that of request", id="no id at all"),
        pytest.param(sends(lambda n: http(answer(n, model_name="cats"))), "model 'cats'", id="another model"),
        pytest.param(sends(lambda n: http(answer(n, output={"name": "boxes"}))), "outputs boxes", id="other output"),
        pytest.param(sends(lambda n: http(answer(n, outputs=[]))), "outputs none", id="no output"),
        pytest.param(sends(lambda n: http(answer(n, output={"shape": [3, 2]}))), r"shape \(3, 2\)", id="shape"),
        pytest.param(sends(lambda n: http(answer(n, output={"shape": [4, 3]}))), "not that of the Open", id="sizes"),
        pytest.param(sends(lambda n: http(answer(n, output={"datatype": "FP64"}))), "float64", id="type"),
        pytest.param(sends(lambda n: http(answer(n, error="out of memory"))), "out of memory", id="error in a 200"),
        pytest.param(resets, "connection broke", id="reset"),
        pytest.param(cuts_off, "cut off after 20 bytes", id="cut off"),
    ],
)
def test_fault(fault: Fault, words: str) -> None:
    """The error names the model, its URL and what came; one request was sent."""
    with faulty(fault) as server:
        model = load(server)
        with pytest.raises(ModelError, match=words) as error:
            model(INPUTS)
        assert server.address in str(error.value)
        assert str(error.value).startswith("student")
        assert server.inferences == 1


@pytest.mark.parametrize("written", ["NaN", "null"])
@pytest.mark.parametrize("scheme", ["kserve", "rest"])
def test_nan_is_an_output(scheme: str, written: str) -> None:
    """A model whose outputs are not finite reaches `nonfinite_outputs`, however its server writes NaN."""
    data = [[1.0, float("nan"), float("inf")]] * 2

    def text(body: Any) -> bytes:
        return json.dumps(body).replace("NaN", written).encode()

    def fault(connection: socket.socket, number: str) -> None:
        connection.sendall(http(text(json.loads(answer(number, output={"data": data[0] * 2})))))

    server = faulty(fault) if scheme == "kserve" else answering(http(text({"outputs": data})))
    with server as served:
        model = adapt(f"{scheme}://{served.address}/digits", Loading(name="student"))
        outputs = model(INPUTS)
    array = outputs["logits"] if scheme == "kserve" else outputs
    np.testing.assert_array_equal(array, data)
    assert array.dtype.kind == "f"


@contextlib.contextmanager
def answering(whole: bytes) -> Iterator[FaultServer]:
    """Send one response, as it is, to each request."""
    server = FaultServer(lambda *_: None)
    server.rest = whole
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.listening.close()


@pytest.mark.parametrize(
    ("whole", "words"),
    [
        pytest.param(
            http(b"<html>log in</html>", "200 OK\r\nContent-Type: text/html"),
            "the response is not JSON.*status 200, content type text/html, body <html>log in",
            id="html",
        ),
        pytest.param(http(b""), "the response is empty.*status 200, content type none, body nothing", id="empty"),
        pytest.param(
            http(b"<a>", "302 Found\r\nLocation: /login\r\nContent-Type: text/html"),
            r"status 302 Found \(content type text/html, redirected to /login, not followed\): <a>",
            id="redirect",
        ),
        pytest.param(
            http(b'{"scores": [1]}'), r'has no "outputs".*RestEndpoint\(decode=.*{"scores": \[1\]}', id="key"
        ),
        pytest.param(http(b"[1, 2]"), r'has no "outputs".*\[1, 2\]', id="list"),
        pytest.param(http(b'{"outputs": [[1, 2], [3]]}'), r"not arrays of numbers.*\[3\]", id="ragged"),
        pytest.param(http(b'{"outputs": [{"label": "a"}]}'), "not arrays of numbers.*label", id="objects"),
        pytest.param(http(b'{"outputs": 3}'), "not arrays of numbers.*status 200", id="number"),
        pytest.param(http(b'{"outputs": {}}'), "not arrays of numbers.*status 200", id="nothing"),
    ],
)
def test_a_plain_endpoint_says_what_came(whole: bytes, words: str) -> None:
    """The message names the URL, the status, the content type and how the body starts; the user wrote no decode=."""
    with answering(whole) as server:
        model = adapt(f"rest://{server.address}/digits", Loading(name="student"))
        with pytest.raises(ModelError, match=words) as error:
            model(INPUTS)
    assert f"student at http://{server.address}/digits: " in str(error.value)
    assert "decode= cannot" not in str(error.value)


def test_functions_of_the_user_are_named_with_what_came() -> None:
    """A `decode` that raises gets the blame with status and content type; inputs that JSON cannot hold are encode's."""
    with answering(http(b"{}", "200 OK\r\nContent-Type: text/json")) as server:
        url = f"http://{server.address}/digits"
        endpoint = RestEndpoint(url=url, decode=lambda body: json.loads(body)["scores"])
        words = r"decode= cannot read the response '{}' \(status 200, content type text/json\): KeyError"
        with pytest.raises(ModelError, match=words):
            adapt(endpoint, Loading(name="student"))(INPUTS)
        with pytest.raises(ModelError, match=f"{url}: encode= cannot read the inputs: ValueError.*JSON"):
            adapt(RestEndpoint(url=url), Loading(name="student"))(np.full((2, 8), np.nan))


def test_silence_and_dripping_end_at_the_timeout() -> None:
    """A server that says nothing, and one that sends a byte now and then, take as long as allowed and no longer."""
    over = threading.Event()

    def drips(connection: socket.socket, number: str) -> None:
        for at in range(60):
            connection.sendall(http(answer(number))[at : at + 1])
            if over.wait(0.05):
                return

    def silent(*_: Any) -> None:
        over.wait(3)

    for fault in (silent, drips):
        with faulty(fault) as server:
            model = load(server, timeout="0.4")
            start = time.monotonic()
            with pytest.raises(ModelError, match=r"no response within 0.4 s"):
                model(INPUTS)
            assert time.monotonic() - start < 2
    over.set()


def test_a_plain_endpoint_has_a_timeout_too() -> None:
    """The option of the SPEC counts for both protocols."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        model = adapt(f"rest://127.0.0.1:{silent.getsockname()[1]}/predict?timeout=0.4", Loading(name="student"))
        with pytest.raises(ModelError, match=r"no response within 0.4 s"):
            model(INPUTS)
    with pytest.raises(ModelError, match=r"\?timeout=soon, expected seconds above 0"):
        adapt("rest://127.0.0.1:1/predict?timeout=soon", Loading(name="student"))


def test_answers_after_a_late_response_are_their_own() -> None:
    """The response to a call that timed out never becomes that of the next call."""
    late = [0.6]

    def fault(connection: socket.socket, number: str) -> None:
        time.sleep(late.pop() if late else 0)
        connection.sendall(http(answer(number, output={"data": [float(len(late))] * 6})))

    with faulty(fault) as server:
        model = load(server, timeout="0.3")
        with pytest.raises(ModelError, match="no response"):
            model(INPUTS)
        np.testing.assert_array_equal(model(INPUTS)["logits"], np.zeros((2, 3)))
        assert server.connections == 2


def test_closed_between_calls_is_reopened_and_stated() -> None:
    """A connection that the server closed after a whole response is opened again before anything is sent."""

    def fault(connection: socket.socket, number: str) -> None:
        connection.sendall(http(answer(number)))
        raise OSError

    with faulty(fault) as server:
        model = load(server)
        for _ in range(3):
            call = model.bind(INPUTS)
            call()
            time.sleep(0.1)  # until the end of the connection has come
        assert model.describe()["calls"]["reopened_connections"] == 2
        assert server.inferences == 3


def test_inputs_are_checked_before_a_request() -> None:
    """A shape that the metadata do not state is refused here."""
    with faulty(sends(lambda n: http(answer(n)))) as server:
        with pytest.raises(ModelError, match=r"shape \(2, 7\).*x \(float32, \?x8\)"):
            load(server)(INPUTS[:, :7])
        with pytest.raises(ModelError, match="JSON cannot hold"):
            load(server)(np.full((2, 8), np.nan, dtype=np.float32))
        assert server.inferences == 0


def test_unknown_type_is_named() -> None:
    """BF16 has no numpy type."""
    metadata = {**METADATA, "inputs": [{"name": "x", "datatype": "BF16", "shape": [-1, 8]}]}
    with faulty(sends(lambda n: http(answer(n))), metadata) as server, pytest.raises(ModelError, match="'x'.*BF16"):
        load(server)


def test_nobody_listens() -> None:
    """A port that is closed is an error at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ModelError, match=f"cannot connect to 127.0.0.1:{port}"):
        adapt(f"kserve://127.0.0.1:{port}/digits", Loading(name="student"))


def test_what_lies_on_the_server_is_not_applicable() -> None:
    """Parameters and files say where they are."""
    with faulty(sends(lambda n: http(answer(n)))) as server:
        model = load(server)
        for ask in (model.count_parameters, model.artefact):
            with pytest.raises(NotApplicable, match="on the server"):
                ask()
        assert not model.computes_here
        assert model.describe()["tensors"] == "JSON"
        assert model.fingerprint() == load(server).fingerprint()


@pytest.mark.parametrize(
    "host", ["models.example.com", "10.0.0.1", "192.168.0.1", "127.0.0.1.example.com", "[2001:db8::1]"]
)
def test_no_packet_goes_to_a_host_that_nobody_allowed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a connection nor a look-up of the name is tried."""

    def tried(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was used")

    for name in ("socket", "create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, tried)
    for candidate in (f"kserve://{host}:80/digits", f"rest://{host}/predict", RestEndpoint(url=f"http://{host}/p")):
        with pytest.raises(ModelError, match="--modelbench-endpoint-allow="):
            adapt(candidate, Loading(name="student"))
    with pytest.raises(UsageMistake, match="is not this machine"):
        refuse_host(f"kserve://{host}/digits", ["elsewhere.example.com"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "[::1]"])
def test_this_machine_is_allowed(host: str) -> None:
    """Loopback addresses need no option."""
    refuse_host(f"kserve://{host}:8000/digits", [])
