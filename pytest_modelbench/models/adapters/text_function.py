"""Adapter for a function of the user's that answers one prompt: with a text, or with the pieces of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pytest_modelbench.data.prompts import GenerationSettings, Prompt
from pytest_modelbench.errors import ModelError, shown
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.generation import Generation, Piece
from pytest_modelbench.models.text import TextModel


class TextFunctionModel(TextModel):
    """A callable: a prompt in, its answer out, as a string or as an iterable of its pieces."""

    kind = "text function"

    def __init__(self, model: Model, function: Callable[[Any], Any]) -> None:
        super().__init__(model.name)
        self.clock_ns = model.clock_ns
        self._model = model
        self._function = function
        self.serial = model.serial

    def generating(
        self,
        prompts: Sequence[Prompt],
        settings: GenerationSettings,  # noqa: ARG002 - the function has its own
    ) -> Callable[[], Sequence[Generation]]:
        """Return a call that asks the function for one prompt after the other."""
        return lambda: tuple(self._answer(prompt) for prompt in prompts)

    def _answer(self, prompt: Prompt) -> Generation:
        start_ns = self.clock_ns()
        answer = self._function(prompt)
        if isinstance(answer, str):
            end_ns = self.clock_ns()
            whole = (Piece(text=answer, at_ns=end_ns),) * bool(answer)
            return Generation(start_ns=start_ns, end_ns=end_ns, pieces=whole, whole=True)
        if isinstance(answer, bytes) or not isinstance(answer, Iterable):
            raise ModelError(
                f"{self.name} returned {shown(answer)} for a prompt; expected a string, or a generator of strings"
            )
        pieces = tuple(self._pieces(answer))
        return Generation(start_ns=start_ns, end_ns=self.clock_ns(), pieces=pieces)

    def _pieces(self, answer: Iterable[Any]) -> Iterator[Piece]:
        for text in answer:
            if not isinstance(text, str):
                raise ModelError(f"{self.name} yielded {shown(text)} for a prompt; expected strings")
            if text:
                yield Piece(text=text, at_ns=self.clock_ns())

    def fingerprint(self) -> str:
        """As of the function."""
        return self._model.fingerprint()

    def describe(self) -> dict[str, Any]:
        """As of the function."""
        return {**self._model.describe(), "kind": self.kind}


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
