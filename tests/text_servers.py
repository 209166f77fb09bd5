"""Servers on this machine that stream texts as an OpenAI-compatible server does, part by part as a test says."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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


TOKENS = [f"t{n} " for n in range(24)]
USAGE = {"prompt_tokens": 7, "completion_tokens": 25}
"""Of 24 tokens with text and the end token."""
DONE = b"data: [DONE]\n\n"


def delta(finish: str | None = None, usage: Mapping[str, int] | None = None, **fields: Any) -> bytes:
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return event({"choices": [choice]} if usage is None else {"choices": [choice], "usage": usage})


def texts(tokens: Sequence[str], each: int = 1) -> list[bytes]:
    return [delta(content="".join(tokens[at : at + each])) for at in range(0, len(tokens), each)]


def ending(usage: Mapping[str, int] | None = USAGE, finish: str = "stop") -> list[bytes]:
    return [delta(finish), *([event({"choices": [], "usage": usage})] * (usage is not None)), DONE]


@dataclass(frozen=True, kw_only=True)
class Script:
    """What a server sends as its answer, and what a client has to make of it: an answer, or an error.

    Attributes:
        parts: of the response.
        text: of the answer.
        pieces: how many parts with text the answer has.
        tokens: the server's number.
        finish: why it ended.
        step: why no time per output token can be stated; "" where one is, if the parts come apart.
        error: what the message says.
    """

    parts: Sequence[bytes]
    text: str = "".join(TOKENS)
    pieces: int = 24
    tokens: int | None = 25
    finish: str = "stop"
    step: str = ""
    error: str = ""


ROLE = delta(role="assistant", content="")
THOUGHTS = [delta(reasoning_content=f"r{n} ") for n in range(8)]
SPLIT = b": ping\n\n" + b"".join(texts(["größe ", "日本"])) + b"event: ping\ndata: {}\n\n"
SCRIPTS: Mapping[str, Script] = {
    "role chunk at once": Script(parts=chunked(ROLE, *texts(TOKENS), *ending())),
    "no role chunk": Script(parts=chunked(*texts(TOKENS), *ending())),
    "4 tokens a chunk": Script(parts=chunked(ROLE, *texts(TOKENS, 4), *ending()), pieces=6),
    "all in one chunk": Script(
        parts=chunked(ROLE, *texts(TOKENS, 24), *ending()), pieces=1, step="all 25 tokens arrived at once"
    ),
    "pings and split characters": Script(
        parts=chunked(*(SPLIT[at : at + 3] for at in range(0, len(SPLIT), 3)), *ending({"completion_tokens": 3})),
        text="größe 日本",
        pieces=2,
        tokens=3,
    ),
    "reasoning first": Script(
        parts=chunked(*THOUGHTS, *texts(TOKENS[8:]), *ending()), text="".join(TOKENS[8:]), pieces=24
    ),
    "no usage and no tokenizer": Script(
        parts=chunked(*texts(TOKENS), *ending(None)), tokens=None, step="neither the server's usage nor a tokenizer"
    ),
    "one token": Script(
        parts=chunked(*texts(["yes"]), *ending({"completion_tokens": 1})),
        text="yes",
        pieces=1,
        tokens=1,
        step="the answer has 1 token(s)",
    ),
    "cut by max_tokens": Script(
        parts=chunked(*texts(TOKENS), *ending({"completion_tokens": 24}, "length")), tokens=24, finish="length"
    ),
    "usage in a chunk with choices": Script(parts=chunked(*texts(TOKENS), delta("stop", USAGE), DONE)),
    "no token": Script(
        parts=chunked(ROLE, *ending({"completion_tokens": 1})),
        text="",
        pieces=0,
        tokens=1,
        step="the answer has no text",
    ),
    "fails after 5": Script(
        parts=chunked(*texts(TOKENS[:5]), event({"error": {"message": "slot lost", "code": 500}}), DONE),
        error="the server reports an error in the stream: .*slot lost.* .after 5 pieces of the answer",
    ),
    "429": Script(
        parts=plain(b"slow down", "429 Too Many Requests"), error="status 429 Too Many Requests: slow down"
    ),
    "not streamed": Script(
        parts=plain(b'{"choices": [{"message": {"content": "hi"}}]}'), error="not a stream of events that ends"
    ),
    "stream cut off": Script(
        parts=[*chunked(*texts(TOKENS[:5]))[:6], b""], error="the body was cut off .after 5 pieces of the answer"
    ),
}
"""Fifteen ways in which servers send 24 tokens, or do not."""
