"""Servers on this machine that stream texts as an OpenAI-compatible server does, part by part as a test says."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Reply = Callable[[dict[str, Any]], Sequence[bytes]]
"""Makes the parts of a response from the body of a request."""


def event(content: Any) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> list[bytes]:
    """Return a response whose parts are chunks of HTTP/1.1, each sent by itself."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return [head, *(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), end]


def streams(*texts: str, end: bytes = b"0\r\n\r\n") -> list[bytes]:
    chunks = [event({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
    final = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = event({"choices": [], "usage": {"completion_tokens": len(texts) + 1}})
    return chunked(*chunks, final, usage, b"data: [DONE]\n\n", end=end)


def plain(body: bytes, status: str = "200 OK") -> list[bytes]:
    return [f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body]


class Server:
    """Answers requests as a function says; knows what it was asked, and over how many connections."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.asked: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.connections = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self.listening.getsockname()[1]}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the test closes the socket at its end
            while True:
                connection, _ = self.listening.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as reader:
            while line := reader.readline().decode():
                head = line
                while (header := reader.readline().decode()).strip():
                    head += header
                length = next(
                    int(h.split(":")[1]) for h in head.splitlines() if h.lower().startswith("content-length")
                )
                self.heads.append(head)
                self.asked.append(json.loads(reader.read(length)))
                for part in self.reply(self.asked[-1]):
                    if not part:
                        return
                    connection.sendall(part)


@contextlib.contextmanager
def serving(reply: Reply) -> Iterator[Server]:
    server = Server(reply)
    threading.Thread(target=server.serve, daemon=True).start()
    try:
        yield server
    finally:
        server.listening.close()


def echo(asked: dict[str, Any]) -> list[bytes]:
    """Return the last message or the prompt in two pieces, with white space around it."""
    prompt = asked["messages"][-1]["content"] if "messages" in asked else asked["prompt"]
    return streams(" ", f"{prompt}\n")
