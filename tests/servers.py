"""Servers on this machine for tests of endpoints: a real one that runs a model, and one that misbehaves as asked."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import uvicorn

Model = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


class InferenceServer:
    """The Open Inference Protocol over one model of one input `x` and one output `logits`, as an ASGI application.

    Args:
        model: maps rows of float32 to rows of float32.
        columns: of the input.
        binary: whether tensors may be binary.
        delay_s: of each answer.
    """

    def __init__(self, model: Model, columns: int, *, binary: bool = True, delay_s: float = 0.0) -> None:
        self.model, self.columns, self.binary, self.delay_s = model, columns, binary, delay_s
        self.requests = 0
        self.queue_ns = self.compute_ns = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        status, told, answer = self.answer(scope["path"], body, headers)
        found = [(name.encode(), value.encode()) for name, value in told.items()]
        found.append((b"content-length", str(len(answer)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": found})
        await send({"type": "http.response.body", "body": answer})

    def answer(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        if path == "/v2":
            extensions = ["statistics", *(["binary_tensor_data"] if self.binary else [])]
            return 200, {}, json.dumps({"name": "testing", "version": "1.0", "extensions": extensions}).encode()
        if path == "/v2/models/digits":
            ports = [("inputs", "x", self.columns), ("outputs", "logits", -1)]
            told = {key: [{"name": n, "datatype": "FP32", "shape": [-1, size]}] for key, n, size in ports}
            return 200, {}, json.dumps({"name": "digits", "versions": ["3"], "platform": "numpy", **told}).encode()
        if path == "/v2/models/digits/ready":
            return 200, {}, b""
        if path == "/v2/models/digits/stats":
            return 200, {}, json.dumps({"model_stats": [{"inference_stats": self.statistics()}]}).encode()
        if path == "/v2/models/digits/infer":
            return self.inferred(body, headers)
        if path == "/plain":
            outputs = self.model(np.asarray(json.loads(body)["inputs"], dtype=np.float32))
            return 200, {}, json.dumps({"outputs": outputs.tolist()}).encode()
        return 404, {}, b'{"error": "no such model"}'

    def statistics(self) -> dict[str, Any]:
        """Return the server's own times, as Triton names them."""
        return {
            "success": {"count": self.requests, "ns": 0},
            "queue": {"count": self.requests, "ns": self.queue_ns},
            "compute_infer": {"count": self.requests, "ns": self.compute_ns},
        }

    def inferred(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return the response to a request of the protocol."""
        size = int(headers.get("inference-header-content-length", len(body)))
        request = json.loads(body[:size])
        (told,) = request["inputs"]
        raw = body[size:] if size < len(body) else np.asarray(told["data"], dtype="<f4").tobytes()
        start = time.perf_counter_ns()
        time.sleep(self.delay_s)
        outputs = self.model(np.frombuffer(raw, dtype="<f4").reshape(told["shape"]))
        self.compute_ns += time.perf_counter_ns() - start
        self.queue_ns += 1000
        self.requests += 1
        answer: dict[str, Any] = {"name": "logits", "datatype": "FP32", "shape": list(outputs.shape)}
        if not (self.binary and size < len(body)):
            answer["data"] = outputs.ravel().tolist()
            return 200, {}, json.dumps({"id": request["id"], "outputs": [answer]}).encode()
        answer["parameters"] = {"binary_data_size": outputs.nbytes}
        head = json.dumps({"id": request["id"], "outputs": [answer]}).encode()
        return 200, {"inference-header-content-length": str(len(head))}, head + outputs.astype("<f4").tobytes()


@contextlib.contextmanager
def served(application: Any) -> Iterator[str]:
    """Run an ASGI application in a thread of this process, and give its `host:port`."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets NODELAY by it
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off", timeout_keep_alive=60))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return a whole response of HTTP/1.1."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode() + body


@contextlib.contextmanager
def scripted(*answers: bytes | None) -> Iterator[str]:
    """Run a server that gives one answer after the other, whatever it is asked; None closes the connection.

    After the last answer it stays silent.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.1)
    over = threading.Event()

    def serve() -> None:
        left = list(answers)
        open_ones = []
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            open_ones.append(connection)
            connection.settimeout(0.1)
            while not over.is_set():
                try:
                    if not connection.recv(2**20):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
                if not left:
                    continue
                answer = left.pop(0)
                if answer is None:
                    connection.close()
                    break
                connection.sendall(answer)
        for connection in open_ones:
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        thread.join(10)
        listening.close()
