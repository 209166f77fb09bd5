"""Answers of an OpenAI-compatible endpoint, read from a stream of server-sent events as its bytes arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html describes the stream, and
https://platform.openai.com/docs/api-reference/chat-streaming its content. Nothing here reads a clock or a socket.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_modelbench.models.adapters.http_calls import CallError, as_text
from pytest_modelbench.models.generation import Generation, Piece, counted

DONE = "[DONE]"
_MARK = b"\xef\xbb\xbf"
_REASONING = ("reasoning_content", "reasoning")
"""The fields for reasoning: of vLLM, SGLang and llama.cpp; and of OpenRouter, Ollama and newer vLLM."""


class Events:
    """Takes the bytes of a stream in any parts, and gives the data of each event when its last line has come."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._kind = ""
        self._after_return = False
        self.start = b""
        """The first bytes, for messages."""

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the data of the events that end in a part; comments, pings, and events without data are left out.

        Raises:
            CallError: a line is not UTF-8.
        """
        self.start = self.start or part
        if self._after_return:  # "\r" ended a line, and "\n" may belong to it
            part = part.removeprefix(b"\n")
        *lines, self._rest = [*(self._rest + part).splitlines(keepends=True), b""]
        if lines and not lines[-1].endswith((b"\n", b"\r")):
            self._rest = lines.pop()
        self._after_return = bool(lines) and not self._rest and lines[-1].endswith(b"\r")
        for line in lines:
            yield from self._line(line.removeprefix(_MARK).rstrip(b"\r\n"))

    def ends_with_done(self) -> bool:
        """Whether the last event is `[DONE]` without an empty line after it."""
        return [*self._data, self._rest.decode("utf-8", "replace").removeprefix("data:").strip()][0] == DONE

    def _line(self, line: bytes) -> Iterator[str]:
        if not line:
            data, kind, self._data, self._kind = "\n".join(self._data), self._kind, [], ""
            if data and kind != "ping":
                yield data
            return
        try:
            name, _, value = line.decode().partition(":")
        except UnicodeDecodeError as error:
            raise CallError(f"the stream is not UTF-8: {as_text(line)}") from error
        if name in {"data", "error"}:  # llama.cpp has sent "error: {...}"
            self._data.append(value.removeprefix(" "))
        if name == "event":
            self._kind = value.strip()


class Answer:
    """Gathers the answer to one prompt from the chunks of its stream.

    Args:
        start_ns: when the request was sent.
        secret: what no message shows.
    """

    def __init__(self, start_ns: int, secret: str = "") -> None:
        self._secret = secret
        self._so_far = Generation(start_ns=start_ns, end_ns=start_ns)
        self._pieces: list[Piece] = []
        self._totals: list[int | None] = []

    def take(self, data: str, at_ns: int) -> None:
        """Read one chunk, which came at a time.

        Raises:
            CallError: it is an error of the server, or not a chunk.
        """
        chunk = chunk_of(data, self._secret)
        usage = chunk.get("usage")
        counts = {name: n for name, n in usage.items() if type(n) is int} if isinstance(usage, Mapping) else {}
        self._so_far = replace(self._so_far, usage={**self._so_far.usage, **counts})
        for choice in chunk["choices"]:
            if choice.get("index", 0) == 0:
                self._choose(choice, at_ns, counts.get("completion_tokens"))

    def _choose(self, choice: Mapping[str, Any], at_ns: int, total: int | None) -> None:
        reason = choice.get("finish_reason")
        if reason is not None:
            self._so_far = replace(self._so_far, finish=str(reason), end_ns=at_ns)
        for text, reasoning in texts_of(choice):
            self._pieces.append(Piece(text=text, at_ns=at_ns, reasoning=reasoning))
            self._totals.append(total)
            self._so_far = replace(self._so_far, end_ns=at_ns)

    @property
    def finished(self) -> bool:
        """Whether the server has stated why the answer ended."""
        return self._so_far.finish is not None

    def __len__(self) -> int:
        """Return the number of pieces so far."""
        return len(self._pieces)

    def generation(self, tokenizer: Callable[[str], int] | None = None) -> Generation:
        """Return the answer."""
        tokens = _differences(self._totals)
        pieces = tuple(replace(piece, tokens=n) for piece, n in zip(self._pieces, tokens, strict=True))
        return counted(replace(self._so_far, pieces=pieces), tokenizer)


def read_answer(
    parts: Iterable[tuple[int, bytes]], start_ns: int, tokenizer: Callable[[str], int] | None = None, secret: str = ""
) -> Generation:
    """Read a stream until its `[DONE]`; one that states why the answer ended, such as transformers', needs none.

    Args:
        parts: of the stream, each with the time at which it arrived, in nanoseconds.
        start_ns: when the request was sent.
        tokenizer: returns how many tokens a text has.
        secret: what no message shows.

    Raises:
        CallError: the stream is not one, holds an error, or ends before the answer; the text says how far it came.
    """
    events, answer = Events(), Answer(start_ns, secret)
    try:
        for at_ns, part in parts:
            for data in events.feed(part):
                if data.strip() == DONE:
                    return answer.generation(tokenizer)
                answer.take(data, at_ns)
    except CallError as error:
        raise CallError(f"{error}{_after(len(answer))}") from error
    if events.ends_with_done() or answer.finished:
        return answer.generation(tokenizer)
    if not len(answer):
        raise CallError(
            f"the response is not a stream of events that ends with {DONE}: {as_text(events.start, secret)}"
        )
    raise CallError(f"the stream ended without {DONE}{_after(len(answer))}")


def _after(pieces: int) -> str:
    return f" (after {pieces} pieces of the answer)" if pieces else ""


def chunk_of(data: str, secret: str = "") -> Mapping[str, Any]:
    """Return the object of an event, with its list of choices.

    Raises:
        CallError: it is an error of the server, or something else.
    """
    shown = as_text(data.encode(), secret)
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CallError(f"an event of the stream is not JSON: {shown}") from error
    chunk: dict[str, Any] = content if isinstance(content, dict) else {}
    if chunk.get("error"):
        raise CallError(f"the server reports an error in the stream: {shown}")
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
        raise CallError(f"an event of the stream has no choices: {shown}")
    return chunk


def texts_of(choice: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the texts of a choice that are not empty, and whether each is reasoning; the role has none."""
    delta = choice.get("delta")
    if not isinstance(delta, Mapping):
        delta = {"content": choice.get("text")}  # of /completions
    reasoning = next((delta[name] for name in _REASONING if delta.get(name)), None)
    for text, before in ((reasoning, True), (delta.get("content"), False)):
        if isinstance(text, str) and text:
            yield text, before


def _differences(totals: Sequence[int | None]) -> list[int | None]:
    """Return the tokens of each piece from the totals so far; None for all if they are not stated for each one."""
    stated = [total for total in totals if total is not None]
    grows = sorted(stated) == stated and bool(stated) and stated[0] > 0
    if len(stated) < len(totals) or not grows or (len(stated) > 1 and stated[0] == stated[-1]):
        return [None] * len(totals)
    return [total - before for total, before in zip(stated, [0, *stated], strict=False)]
