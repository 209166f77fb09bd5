"""Answers read from scripted streams: nothing waits, the times are those of the script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pytest_modelbench.models.adapters.event_stream import Events, read_answer
from pytest_modelbench.models.adapters.http_calls import CallError
from pytest_modelbench.models.generation import Generation

MS = 1_000_000
FIRST_MS, STEP_MS = 50, 10
"""When the server has its first token, and the time for each further one."""
Script = list[tuple[float, bytes]]
"""What a server sends, each with the milliseconds since the request."""
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 25}
ROLE = {"delta": {"role": "assistant", "content": ""}}


def chunk(choice: Any = None, **fields: Any) -> bytes:
    choices = [] if choice is None else [{"index": 0, **choice}]
    return b"data: " + json.dumps({"choices": choices, **fields}, ensure_ascii=False).encode() + b"\n\n"


def text(content: str, **fields: Any) -> bytes:
    return chunk({"delta": {"content": content}}, **fields)


def at(token: int) -> float:
    """Return when the server has made a token, counted from 0, in milliseconds."""
    return FIRST_MS + STEP_MS * token


def tokens(count: int = 24, each: int = 1, **fields: Any) -> Script:
    """Return the texts of tokens, so many in each event, sent when the last of an event was made."""
    ends = range(each - 1, count, each)
    return [(at(end), text("".join(f"t{n} " for n in range(end - each + 1, end + 1)), **fields)) for end in ends]


def end(usage: Any = USAGE, finish: str = "stop", token: int = 24) -> Script:
    """Return the end: the end token is a step of its own, and counted."""
    final = chunk({"delta": {}, "finish_reason": finish})
    return [(at(token), final), (at(token), chunk(usage=usage) + DONE if usage else DONE)]


def read(script: Sequence[tuple[float, bytes]], **options: Any) -> Generation:
    return read_answer([(round(ms * MS), part) for ms, part in script], 0, **options)


KEY = "sk-123"


def words(answer: str) -> int:
    return len(answer.split())


def reasoning(count: int) -> Script:
    return [(at(n), chunk({"delta": {"reasoning_content": f"r{n} "}})) for n in range(count)]


def counted(each: int) -> Script:
    """Return 24 tokens, each event with the total so far, as vLLM does with continuous_usage_stats."""
    return [
        (ms, part.replace(b"}]}", b'}], "usage": {"completion_tokens": %d}}' % (each * (n + 1))))
        for n, (ms, part) in enumerate(tokens(24, each))
    ]


def pieces_of(whole: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


PLAIN = [(1, chunk(ROLE)), *tokens(), *end()]
LLAMA_CPP = [*tokens(), (at(24), chunk({"delta": {}, "finish_reason": "stop"}, usage=USAGE) + DONE)]
COMPLETIONS = [(at(n), chunk({"text": f"t{n} "})) for n in range(24)] + end()
SPECIAL = [(1, chunk(ROLE)), (at(0), text("")), *tokens()[1:], *end()]


@pytest.mark.parametrize(
    ("script", "options", "first", "answer", "step"),
    [
        pytest.param(PLAIN, {}, 50, 50, 10, id="role chunk at once"),
        pytest.param([*tokens(), *end()], {}, 50, 50, 10, id="no role chunk"),
        pytest.param(COMPLETIONS, {}, 50, 50, 10, id="completions"),
        pytest.param(SPECIAL, {}, 60, 60, 10, id="first token has no text"),
        pytest.param([*counted(4), *end()], {}, 80, 80, 10, id="4 tokens a chunk, each counted"),
        pytest.param(
            [*tokens(24, 4), *end(None)], {"tokenizer": words}, 80, 80, 10, id="4 tokens a chunk, tokenizer"
        ),
        pytest.param([*tokens(24, 4), *end()], {}, 80, 80, 10, id="4 tokens a chunk, total only"),
        pytest.param(LLAMA_CPP, {}, 50, 50, 10, id="usage in a chunk with choices"),
        pytest.param([*reasoning(8), *tokens(24)[8:], *end()], {}, 50, 130, 10, id="reasoning first"),
    ],
)
def test_times(script: Script, options: dict[str, Any], first: float, answer: float, step: float) -> None:
    """Against the server's own: the first piece with text, the first of the answer, the time of a further token."""
    generation = read(script, **options)
    assert generation.time_to_first_token.ms == first
    assert generation.time_to_first_answer.ms == answer
    assert generation.time_per_output_token.ms == pytest.approx(step, rel=0.05)
    assert generation.finish == "stop"
    assert generation.total.ms == at(24)


def test_texts_and_counts() -> None:
    """The answer has no reasoning in it; the server's counts are kept, and those of each event where it states them."""
    generation = read([*reasoning(2), (at(2), text("a ")), (at(3), text("b")), *end()])
    assert (generation.text, generation.reasoning) == ("a b", "r0 r1 ")
    assert generation.usage == USAGE
    assert generation.tokens == 25
    assert [piece.tokens for piece in generation.pieces] == [None] * 4
    assert [piece.tokens for piece in read([*counted(4), *end()]).pieces] == [4] * 6


def test_one_chunk_of_4_tokens_is_not_one_token() -> None:
    """The formula with n - 1 would say 8.7 ms."""
    generation = read([*counted(4), *end()])
    span = at(23) - at(3)
    assert generation.time_per_output_token.ms == pytest.approx(span / 20)
    assert span / 23 < 9


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param([(at(23), text("all of it")), *end()], "all 25 tokens arrived at once", id="one chunk"),
        pytest.param(
            [(at(23), b"".join(part for _, part in tokens())), *end()], "all 25 tokens arrived at once", id="one part"
        ),
        pytest.param([*tokens(), *end(None)], "neither the server's usage nor a tokenizer", id="no usage"),
        pytest.param([*tokens(1), *end({"completion_tokens": 1})], "the answer has 1 token", id="one token"),
        pytest.param([(1, chunk(ROLE)), *end()], r"no text \(finish reason stop\)", id="no text"),
    ],
)
def test_time_of_a_further_token_is_undefined(script: Script, reason: str) -> None:
    """It is None with the reason, and never 0."""
    figure = read(script).time_per_output_token
    assert figure.ms is None
    assert reason.replace("\\", "") in figure.reason


def test_answers_without_text_have_no_first_token() -> None:
    """Nor a first answer; reasoning alone has a first token."""
    empty, thoughts = read([(1, chunk(ROLE)), *end()]), read([*reasoning(3), *end()])
    assert (empty.text, empty.time_to_first_token.ms, empty.time_to_first_answer.ms) == ("", None, None)
    assert (thoughts.time_to_first_token.ms, thoughts.time_to_first_answer.ms) == (50, None)
    assert "reasoning only" in thoughts.time_to_first_answer.reason


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_events_cut_anywhere(size: int, line_end: bytes) -> None:
    """Over TCP, within characters too; comments, pings, other fields and a byte order mark are left out."""
    whole = b"\xef\xbb\xbf: ping\n\n" + b"id: 1\nretry: 5\n" + text("größe ") + b"event: ping\ndata: {}\n\n"
    whole += text("日本") + b"data:" + b'{"choices":\ndata: []}\n\n' + DONE
    answer = read([(1, part) for part in pieces_of(whole.replace(b"\n", line_end), size)])
    assert answer.text == "größe 日本"


def test_pieces_have_the_time_of_their_last_byte() -> None:
    """A first half that waits for its second is not there yet."""
    half = text("late")
    assert read([(5, half[:9]), (80, half[9:]), (90, DONE)]).time_to_first_token.ms == 80


@pytest.mark.parametrize(
    ("script", "message"),
    [
        pytest.param(
            [*tokens(5), (at(5), b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'), (at(6), DONE)],
            "the server reports an error in the stream: .*out of memory.*after 5 pieces",
            id="fails after 5",
        ),
        pytest.param([(1, b'error: {"error": "slot lost"}\n\n')], "reports an error.*slot lost", id="error field"),
        pytest.param(tokens(5), r"ended without \[DONE\] \(after 5 pieces", id="no done"),
        pytest.param([*tokens(3), (at(4), b"data: {broken\n\n")], "not JSON: {broken .after 3", id="broken"),
        pytest.param([(1, b'data: {"object": "error"}\n\n')], 'no choices: {"object": "error"}', id="no choices"),
        pytest.param([(1, b"data: \xff\n\n")], "not UTF-8", id="not UTF-8"),
        pytest.param(
            [(9, b'{"choices": [{"message": {"content": "hi"}}]}')],
            r'not a stream of events that ends with \[DONE\]: {"choices"',
            id="not streamed",
        ),
        pytest.param([(9, b"<html>log in</html>")], "not a stream of events.*<html>log in", id="html"),
        pytest.param([], "not a stream of events.*nothing", id="empty"),
    ],
)
def test_streams_that_are_none(script: Script, message: str) -> None:
    """Each is an error with the server's words, and never a part of an answer."""
    with pytest.raises(CallError, match=message):
        read(script)


def test_done_needs_no_empty_line() -> None:
    """Some proxies cut it off."""
    assert read([*tokens(2), (80, b"data: [DONE]")]).text == "t0 t1 "
    assert read([*tokens(2), (80, b"data: [DONE]\n")]).text == "t0 t1 "


def test_a_finish_reason_ends_a_stream_without_done() -> None:
    """As `transformers serve` sends it; the body itself must be whole."""
    answer = read([*tokens(2), (70, chunk({"delta": {}, "finish_reason": "length"}, usage={"completion_tokens": 2}))])
    assert (answer.text, answer.finish, answer.tokens) == ("t0 t1 ", "length", 2)


def test_a_key_that_the_server_repeats_is_hidden() -> None:
    """In an event, and in what is not a stream; an answer with these letters is left as it is."""
    for part in (b'data: {"error": "bad key sk-123"}\n\n', b"bad key sk-123"):
        with pytest.raises(CallError, match=r"bad key \*\*\*"):
            read([(1, part)], secret=KEY)
    assert read([(1, text("sk-123") + DONE)], secret=KEY).text == "sk-123"


def test_one_choice_is_read() -> None:
    """Others that a request may ask for are no part of the answer."""
    other = b'data: {"choices": [{"index": 1, "delta": {"content": "no"}}]}\n\n'
    assert read([(1, text("yes")), (2, other), (3, DONE)]).text == "yes"


def test_an_event_is_given_when_it_is_complete() -> None:
    """Not before its empty line."""
    events = Events()
    assert list(events.feed(b"data: a\n")) == []
    assert list(events.feed(b"\ndata: b\n\ndata: c")) == ["a", "b"]
