"""Functions from a prompt to its answer as models that generate text; the clock is scripted, and nothing waits."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pytest_modelbench import FakeClock, TextFunction
from pytest_modelbench.data.prompts import GenerationSettings, Prompt, Prompts
from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.models.adapters.text_function import PIECES_PER_TOKEN, TextFunctionModel, text_model
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.text import TextModel
from pytest_modelbench.probes.timing.watchdog import Watchdog

CHAT = [{"role": "user", "content": "2 + 2 ="}]
MS = 1_000_000


def load(candidate: Any) -> TextModel:
    return text_model(adapt(candidate, Loading(name="student")))


def answer(function: Any, prompt: Prompt = "2 + 2 =", tokenizer: Any = None, **settings: Any) -> Generation:
    model = load(function if tokenizer is None else TextFunction(function, tokenizer))
    (generation,) = model.generating([prompt], GenerationSettings(**settings))()
    return generation


def words(text: str) -> int:
    return len(text.split())


def in_pieces(prompt: Any) -> Iterator[str]:
    yield from ("4 ", "is ", "", "right")


def with_tokens(prompt: Any) -> Iterator[tuple[str, int]]:
    yield from (("4 ", 1), ("", 1), ("is right", 2), ("", 1))


class Oracle:
    """An object that answers, and one that streams without being an iterator."""

    def __call__(self, prompt: str) -> str:
        return "4"

    def stream(self, prompt: str) -> Any:
        return Pieces()

    def said(self, prompt: str, word: str) -> str:
        return word


class Pieces:
    def __iter__(self) -> Iterator[str]:
        return iter(["4 ", "is"])


@pytest.mark.parametrize(
    ("function", "text", "pieces", "whole"),
    [
        (lambda prompt: "4", "4", 1, True),
        (lambda prompt: "", "", 0, True),
        (in_pieces, "4 is right", 3, False),
        (lambda prompt: iter(["4 ", "is"]), "4 is", 2, False),
        (lambda prompt: iter(()), "", 0, False),
        (with_tokens, "4 is right", 2, False),
        (Oracle(), "4", 1, True),
        (Oracle().stream, "4 is", 2, False),
        (functools.partial(Oracle().said, word="four"), "four", 1, True),
        (TextFunction(in_pieces), "4 is right", 3, False),
    ],
    ids=["string", "empty", "generator", "iterator", "nothing", "tokens", "object", "iterable", "partial", "value"],
)
def test_what_answers(function: Any, text: str, pieces: int, whole: bool) -> None:
    """Whole strings, whose tokens have no times, and streams of pieces."""
    generation = answer(function)
    assert (generation.text, len(generation.pieces), generation.whole) == (text, pieces, whole)


def test_times_of_pieces() -> None:
    """Each has the time at which it was yielded; empty ones have none, and count where they state tokens."""
    clock = FakeClock()

    def function(prompt: str) -> Iterator[tuple[str, int]]:
        for milliseconds, piece in ((50, ("4 ", 1)), (10, ("", 1)), (10, ("is right", 2))):
            clock.advance(milliseconds * MS)
            yield piece

    model = adapt(function, Loading(name="student"))
    model.clock_ns = clock
    (generation,) = text_model(model).generating(["x"], GenerationSettings())()
    assert [piece.tokens for piece in generation.pieces] == [1, 3]
    assert (generation.tokens, generation.total.ms) == (4, 70)
    assert generation.time_to_first_token.ms == 50
    assert generation.time_per_output_token.ms == pytest.approx(20 / 3)


def test_prompts_are_given_as_they_are() -> None:
    """Strings and messages; a salt is the first line of the text, and the data keep theirs."""
    given: list[Any] = []

    def answering(prompt: Any) -> str:
        given.append(prompt)
        return "4"

    model = load(answering)
    model.generating(["2 + 2 =", CHAT], GenerationSettings(system="short"))()
    assert given == ["2 + 2 =", CHAT]
    model.generating(["2 + 2 =", CHAT], GenerationSettings(salt="81f3"))()
    assert given[2:] == ["81f3\n2 + 2 =", [{"role": "user", "content": "81f3\n2 + 2 ="}]]
    assert CHAT[0]["content"] == "2 + 2 ="


def test_tokens_are_counted_by_the_tokenizer() -> None:
    """Of the first piece and of all; without one their number is unknown."""
    assert answer(in_pieces).tokens is None
    assert answer(in_pieces, tokenizer=words).counted == (1, 3)
    model, other = load(TextFunction(in_pieces, words)), load(TextFunction(Oracle(), words))
    assert model.token_count("a b") == 2
    assert model.vocabulary() == other.vocabulary() != ""
    assert load(in_pieces).vocabulary() == load(TextFunction(in_pieces)).vocabulary() == ""
    assert load(in_pieces).token_count("a b") is None


def test_tokenizers_of_libraries() -> None:
    """By their encode(), without the tokens that they add; equal vocabularies are equal, whatever object has them."""
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {"[CLS]": 0, "[UNK]": 1, "4": 2, "is": 3, "right": 4}

    def made(words: dict[str, int]) -> Any:
        made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))  # noqa: S106
        made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        made.post_processor = tokenizers.processors.TemplateProcessing(
            single="[CLS] $A", special_tokens=[("[CLS]", 0)]
        )
        return made

    class Plain:
        """As of sentencepiece: no argument for special tokens."""

        def encode(self, text: str) -> list[int]:
            return [vocabulary.get(word, 1) for word in text.split()]

    assert answer(in_pieces, tokenizer=made(vocabulary)).counted == (1, 3)
    assert answer(in_pieces, tokenizer=Plain()).counted == (1, 3)
    one, same, other = made(vocabulary), made(dict(vocabulary)), made({**vocabulary, "wrong": 5})
    names = [load(TextFunction(in_pieces, tokenizer)).vocabulary() for tokenizer in (one, same, other)]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("function", "stop", "text", "asked"),
    [
        (lambda prompt: "4. Next: 5", "Next", "4. ", 1),
        (lambda prompt: iter(["4. N", "ex", "t: 5", " more"]), "Next", "4. ", 3),
        (lambda prompt: iter(["4", "."]), "Next", "4.", 2),
    ],
)
def test_stop_texts_are_applied(function: Any, stop: str, text: str, asked: int) -> None:
    """The answer is cut before them, and no further piece is asked for."""
    seen: list[Any] = []

    def noted(piece: str) -> str:
        seen.append(piece)
        return piece

    def watched(prompt: str) -> Any:
        pieces = function(prompt)
        return pieces if isinstance(pieces, str) else map(noted, pieces)

    generation = answer(watched, stop=(stop,))
    assert generation.text == text
    assert generation.finish == ("stop" if text != "4." else None)
    assert len(seen) == (asked if seen else 0)
    assert answer(function, stop=(stop,), exactly=True).text == "".join(function(""))


def test_the_greatest_length_is_applied_to_stated_tokens() -> None:
    """An endless generator then ends there, and is closed."""
    closed: list[str] = []

    def endless(prompt: str) -> Iterator[tuple[str, int]]:
        try:
            yield from itertools.repeat(("la ", 1))
        finally:
            closed.append(prompt)

    generation = answer(endless, max_new_tokens=5)
    assert (generation.text, generation.tokens, generation.finish) == ("la " * 5, 5, "length")
    assert closed == ["2 + 2 ="]


def test_an_endless_generator_is_an_error() -> None:
    """Where its tokens are not known, after many more pieces than tokens."""
    message = f"student yielded {3 * PIECES_PER_TOKEN} pieces .* max_new_tokens=3. Let it end, or yield pairs"
    with pytest.raises(ModelError, match=message):
        answer(lambda prompt: itertools.repeat("la "), max_new_tokens=3)


def test_a_generator_that_yields_nothing_for_ever_is_ended() -> None:
    """By the watchdog of the pass, as a call that does not return."""

    def silent(prompt: str) -> Iterator[str]:
        yield "4"
        threading.Event().wait(60)

    with (
        pytest.raises(MeasurementError, match=r"student did not return from a call within 0.1 s"),
        Watchdog(0.1, "student"),
    ):
        answer(silent)


def test_each_piece_shows_that_the_model_goes_on() -> None:
    """So that the watchdog does not end a long answer, nor a large batch of prompts."""
    beats: list[int] = []
    for function, count in ((in_pieces, 4 + 1), (lambda prompt: "4", 1)):
        model = load(function)
        model.beat = lambda: beats.append(1)
        model.generating(["x"], GenerationSettings())()
        assert len(beats) == count
        beats.clear()


async def waited(prompt: str) -> str:
    return "4"


async def streamed(prompt: str) -> AsyncIterator[str]:
    yield "4"


def breaks(prompt: str) -> Iterator[str]:
    yield from "ab"
    raise ValueError("out of memory")


STRINGS = "expected a string, or a generator of strings or of pairs"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda prompt: None, rf"student returned None for a prompt, {STRINGS}.*Write 'return' before the answer"),
        (lambda prompt: b"4", r"student returned b'4' for a prompt, .*Write answer.decode\(\)"),
        (lambda prompt: 4, r"student returned 4 for a prompt, .*Write lambda prompt: str\(answer\(prompt\)\)"),
        (
            lambda prompts: [p.upper() for p in prompts],
            r"\['2', ' ', .*one prompt, not a batch.*answers\(\[prompt\]\)",
        ),
        (lambda prompt: {"text": "4"}, r"student returned {'text': '4'} for a prompt"),
        (
            waited,
            r"student is an async function, .* a coroutine.*Write lambda prompt: asyncio.run\(answer\(prompt\)\)",
        ),
        (streamed, r"student is an async generator function, .*loop.run_until_complete\(anext\(stream\)\)"),
        (
            lambda prompt: iter(["4", None]),
            "student yielded None as piece 2 of an answer, expected strings, or pairs",
        ),
        (lambda prompt: iter([b"4"]), "student yielded b'4' as piece 1"),
        (lambda prompt: iter([4.0]), "student yielded 4.0 as piece 1"),
        (lambda prompt: iter([("4", -1)]), r"student yielded \('4', -1\) as piece 1"),
        (lambda prompt: iter([("4", True)]), r"student yielded \('4', True\) as piece 1"),
        (breaks, "student raised ValueError: out of memory after 2 pieces of its answer, for the prompt '2 . 2 ='"),
        (lambda prompt: prompt.missing, "student raised AttributeError: .*missing'?, for the prompt"),
    ],
)
def test_what_does_not_answer(function: Callable[[Any], Any], message: str) -> None:
    """Each is one message: what came, what is expected, what to write."""
    with pytest.raises(ModelError, match=message) as error:
        answer(function)
    assert error.value.blames == "student"


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (Oracle, r"student is the class Oracle, not a model. Return Oracle\(\.\.\.\)"),
        (TextFunction(Oracle), r"student is TextFunction\(.*Oracle.*\), expected a function from a prompt"),  # type: ignore[arg-type]
        (TextFunction("4"), r"student is TextFunction\('4'\), expected a function"),  # type: ignore[arg-type]
        (TextFunction(in_pieces, tokenizer=4), "student: tokenizer=4, expected a tokenizer with encode"),
    ],
)
def test_what_is_not_a_function(candidate: Any, message: str) -> None:
    """The message says what to return instead."""
    with pytest.raises(ModelError, match=message):
        adapt(candidate, Loading(name="student"))


def test_timed_gates_treat_it_as_a_function() -> None:
    """Objects are copied to other addresses, functions cannot be; batches are bound to their settings."""
    model = load(TextFunction(Oracle(), words))
    copy = model.replicate()
    assert isinstance(copy, TextFunctionModel)
    assert copy._function is not model._function  # type: ignore[attr-defined]
    assert copy.token_count("a b") == 2
    assert load(TextFunction(in_pieces)).replicate() is None
    for candidate in (TextFunction(in_pieces, words), in_pieces):
        bound = adapt(candidate, Loading(name="student")).bind(
            Prompts(["x", "y"], GenerationSettings(stop=("right",)))
        )
        assert bound().tolist() == ["4 is ", "4 is "]
    described = model.describe()
    assert (described["kind"], described["tokenizer"]) == ("text function", "function")
    assert described["class"].endswith(".Oracle")


def test_special_tokens_are_part_of_a_vocabulary() -> None:
    """Tokenizers that end answers by another token are not equal; the one for padding does not matter."""

    class Special:
        def __init__(self, special: dict[str, str]) -> None:
            self.special_tokens_map = special

        def get_vocab(self) -> dict[str, int]:
            return {"a": 0, "</s>": 1}

        def encode(self, text: str) -> list[int]:
            return [0] * len(text)

    one, padded = Special({"eos_token": "</s>"}), Special({"eos_token": "</s>", "pad_token": "a"})
    other = Special({"eos_token": "a"})
    names = [load(TextFunction(in_pieces, tokenizer)).vocabulary() for tokenizer in (one, padded, other)]
    assert names[0] == names[1] != names[2]
