"""Models of text whose calls return how many tokens they generated, for windows of energy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from pytest_modelbench.data.prompts import settings_of
from pytest_modelbench.errors import MeasurementError, ModelError
from pytest_modelbench.models.adapters.text_function import text_model
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.models.text import TextModel

NO_COUNT = "neither the server's usage nor a tokenizer does"
OTHER_TOKENS = "the models have different tokenisers, so that a token of one is not one of the other"
ASSUMED = "that both models count tokens alike is assumed: no tokeniser is known"


class TokenCounting(Model):
    """A model of text as one whose call returns the number of output tokens of all rows of a batch."""

    kind = "token counting"

    def __init__(self, model: TextModel) -> None:
        super().__init__(model.name)
        self.clock_ns, self.runs_at, self.serial = model.clock_ns, model.runs_at, model.serial
        self.text_model = model

    def running(self) -> contextlib.AbstractContextManager[None]:
        """As of the model."""
        return self.text_model.running()

    def bind(self, inputs: Any) -> Callable[[], int]:
        """Return a call that generates the answers and returns how many tokens they have.

        Raises:
            MeasurementError: when it is called, if nothing counts the tokens of an answer.
        """
        generate = self.text_model.generating(list(inputs), settings_of(inputs))
        return lambda: sum(map(self._tokens, generate()))

    def _tokens(self, answer: Generation) -> int:
        tokens = answer.own_tokens
        if tokens is None:
            raise MeasurementError(f"nothing counts the tokens of {self.name}'s answers: {NO_COUNT}")
        return tokens

    def failure(self, inputs: Any, error: BaseException) -> ModelError:
        """As of the model."""
        return self.text_model.failure(inputs, error)

    def fingerprint(self) -> str:
        """As of the model."""
        return self.text_model.fingerprint()


def counting_tokens(models: Mapping[str, Model]) -> dict[str, Model]:
    """Return models of text as such whose calls count tokens.

    Raises:
        ModelError: one of them does not generate text.
    """
    return {role: TokenCounting(text_model(model)) for role, model in models.items()}


def vocabularies_of(models: Mapping[str, Model]) -> dict[str, str]:
    """Return the vocabularies of models that count tokens, by role; nothing of others."""
    return {role: model.text_model.vocabulary() for role, model in models.items() if isinstance(model, TokenCounting)}
