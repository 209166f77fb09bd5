"""Adapter for a function of the user's that answers one prompt: with a text, or with the pieces of one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import replace
from typing import Any

from pytest_modelbench.data.prompts import GenerationSettings, Prompt, salted
from pytest_modelbench.errors import ModelError, cause_of, shown
from pytest_modelbench.models.base import Model, keep_interrupt
from pytest_modelbench.models.generation import Generation, Piece, counted, cut, end_of
from pytest_modelbench.models.text import TextModel
from pytest_modelbench.models.tokenizers import counter, vocabulary_of

PIECES_PER_TOKEN = 32
"""How many pieces a token may have, on average, in an answer of the greatest length, before it counts as endless."""
EXPECTED = "a string, or a generator of strings or of pairs (string, number of its tokens)"


class TextFunctionModel(TextModel):
    """A callable: a prompt in, its answer out, as a string or as an iterable of its pieces.

    The function has its own decoding, chat template and system message. Texts that end an answer are applied here,
    and so is the greatest number of tokens if the function states the tokens of each piece.

    Args:
        model: the function as a model of batches, whose identity and copies are this one's.
        function: takes a prompt.
        tokenizer: counts the tokens of answers, see `TextFunction`.

    Raises:
        ModelError: the tokenizer is not one.
    """

    kind = "text function"

    def __init__(self, model: Model, function: Callable[[Any], Any], tokenizer: Any = None) -> None:
        super().__init__(model.name)
        self.clock_ns = model.clock_ns
        self._model = model
        self._function = function
        self._tokenizer = tokenizer
        self._count = counter(model.name, tokenizer)
        self.serial = model.serial

    def generating(
        self, prompts: Sequence[Prompt], settings: GenerationSettings
    ) -> Callable[[], Sequence[Generation]]:
        """Return a call that asks the function for one prompt after the other.

        Raises:
            ModelError: by the call: the function raised, is asynchronous, answered with something else than texts, or
                did not end.
        """
        asked = [salted(prompt, settings.salt) for prompt in prompts]
        return lambda: tuple(self._answer(prompt, settings) for prompt in asked)

    def _answer(self, prompt: Prompt, settings: GenerationSettings) -> Generation:
        pieces: list[Piece] = []
        start_ns = self.clock_ns()
        try:
            answer = self._function(prompt)
            if isinstance(answer, str):
                pieces += [Piece(text=answer, at_ns=self.clock_ns())] * bool(answer)
                whole = Generation(start_ns=start_ns, end_ns=self.clock_ns(), pieces=tuple(pieces), whole=True)
            else:
                finish = _Reading(self, settings, pieces).read(self._stream(answer))
                whole = Generation(start_ns=start_ns, end_ns=self.clock_ns(), pieces=tuple(pieces), finish=finish)
        except ModelError:
            raise
        except Exception as error:
            keep_interrupt(error)
            after = f" after {len(pieces)} pieces of its answer" if pieces else ""
            raise self._blamed(
                f"{self.name} raised {cause_of(error)}{after}, for the prompt {shown(prompt)}"
            ) from error
        self.beat()
        return counted(cut(_with_tokens(whole), _stops(settings)), self._count)

    def _stream(self, answer: Any) -> Iterator[Any]:
        """Return an answer as an iterator of its pieces."""
        if inspect.iscoroutine(answer):
            answer.close()  # it would be reported as never awaited
            raise self._blamed(
                f"{self.name} is an async function, and its call returns a coroutine instead of an answer. Write "
                "lambda prompt: asyncio.run(answer(prompt))"
            )
        if hasattr(answer, "__aiter__"):
            raise self._blamed(
                f"{self.name} is an async generator function, expected {EXPECTED}. Write a generator function that "
                "yields loop.run_until_complete(anext(stream)) until StopAsyncIteration"
            )
        if not isinstance(answer, Iterable) or isinstance(answer, Sized):
            raise self._blamed(
                f"{self.name} returned {shown(answer)} for a prompt, expected {EXPECTED}. {_advice(answer)}"
            )
        return iter(answer)

    def replicate(self) -> Model | None:
        """Copy the function's object where it allows that, as for functions of batches."""
        copied: Any = self._model.replicate()
        return None if copied is None else type(self)(copied, copied.function, self._tokenizer)

    def vocabulary(self) -> str:
        """Return what is equal for equal tokenizers."""
        return vocabulary_of(self._tokenizer)

    def token_count(self, text: str) -> int | None:
        """Return the number of tokens by the tokenizer; None without one."""
        return None if self._count is None else self._count(text)

    def fingerprint(self) -> str:
        """As of the function."""
        return self._model.fingerprint()

    def describe(self) -> dict[str, Any]:
        """As of the function, with what counts its tokens."""
        counted_by = {} if self._tokenizer is None else {"tokenizer": type(self._tokenizer).__name__}
        return {**self._model.describe(), "kind": self.kind, **counted_by}


class _Reading:
    """Reads the pieces of one answer until it ends or has to."""

    def __init__(self, model: TextFunctionModel, settings: GenerationSettings, pieces: list[Piece]) -> None:
        self.model, self.settings, self.pieces = model, settings, pieces
        self._most = PIECES_PER_TOKEN * settings.max_new_tokens
        self._stops = _stops(settings)
        self._kept = max(map(len, self._stops), default=0)
        self._tail, self._waiting, self._tokens = "", 0, 0

    def read(self, stream: Iterator[Any]) -> str | None:
        """Add the pieces of an answer to the list, and return why it ended; None if by itself."""
        for number, piece in enumerate(stream, 1):
            self._take(piece, number)
            self.model.beat()
            reason = self._reason()
            if reason is not None:
                getattr(stream, "close", int)()
                return reason
            if number >= self._most:
                raise self.model._blamed(  # noqa: SLF001 - of this file
                    f"{self.model.name} yielded {number:,} pieces for a prompt and did not end; expected at most "
                    f"{PIECES_PER_TOKEN} for each of max_new_tokens={self.settings.max_new_tokens}. Let it end, or "
                    "yield pairs (string, number of its tokens), which are cut at max_new_tokens"
                )
        return None

    def _take(self, piece: Any, number: int) -> None:
        paired = isinstance(piece, tuple) and len(piece) == 2
        text, tokens = piece if paired else (piece, None)
        if not isinstance(text, str) or (paired and (type(tokens) is not int or tokens < 0)):
            raise self.model._blamed(  # noqa: SLF001 - of this file
                f"{self.model.name} yielded {shown(piece)} as piece {number} of an answer, expected strings, or "
                "pairs (string, number of its tokens)"
            )
        self._waiting += tokens or 0
        self._tokens += tokens or 0
        self._tail = (self._tail[-self._kept :] if self._kept else "") + text
        if text:
            stated = self._waiting if paired else None
            self.pieces.append(Piece(text=text, at_ns=self.model.clock_ns(), tokens=stated))
            self._waiting = 0

    def _reason(self) -> str | None:
        if end_of(self._tail, self._stops) is not None:
            return "stop"
        return "length" if self._tokens >= self.settings.max_new_tokens else None


def _stops(settings: GenerationSettings) -> tuple[str, ...]:
    """Return the texts that end an answer: none where all answers have the same number of tokens."""
    return () if settings.exactly else settings.stop


def _with_tokens(answer: Generation) -> Generation:
    """Return an answer with the number of its tokens, if each piece states its own."""
    tokens = [piece.tokens for piece in answer.pieces if piece.tokens is not None]
    if not tokens or len(tokens) < len(answer.pieces):
        return answer
    return replace(answer, usage={"completion_tokens": sum(tokens)})


def _advice(answer: Any) -> str:
    """Say what to write instead of a function that returns something else than an answer."""
    if answer is None:
        return "Write 'return' before the answer"
    if isinstance(answer, bytes | bytearray):
        return "Write answer.decode()"
    if isinstance(answer, Sequence):
        return "The function gets one prompt, not a batch of them. Write lambda prompt: answers([prompt])[0]"
    return "Write lambda prompt: str(answer(prompt))"


def text_model(model: Model) -> TextModel:
    """Return a model as one that generates text.

    Raises:
        ModelError: it is of a kind that does not.
    """
    if isinstance(model, TextModel):
        return model
    function = getattr(model, "function", None)
    if model.kind == "callable" and callable(function):
        return TextFunctionModel(model, function)
    raise ModelError(
        f"{model.name} is a {model.kind}, which answers no prompts. Return (module, tokenizer), a pipeline, a "
        "function from a prompt to its answer, or openai://host:port/v1#MODEL"
    )
