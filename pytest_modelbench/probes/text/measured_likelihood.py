"""What is measured of how likely a model finds stated texts, as values that can travel as arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What every measurement of likelihoods has.

    Attributes:
        model: its name.
        vocabulary: equal for equal tokenisers, "" where none is known.
        how: how the tokens were given to the model, in words.
    """

    model: str
    vocabulary: str
    how: str

    def packed(self) -> Arrays:
        """Return the measurement as arrays; what is not one is in a JSON text."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        rest = {name: value for name, value in values.items() if name not in arrays}
        return {**arrays, "text": np.array(json.dumps(rest))}

    @classmethod
    def unpacked(cls, arrays: Mapping[str, Any]) -> Self:
        """Return what `packed` packed."""
        rest = json.loads(str(arrays["text"]))
        return cls(**{name: array for name, array in arrays.items() if name != "text"}, **rest)

    def same_tokens(self, other: Measured) -> bool:
        """Whether both models have the same tokeniser, as far as that is known."""
        return bool(self.vocabulary) and self.vocabulary == other.vocabulary


@dataclass(frozen=True, kw_only=True)
class Likelihoods(Measured):
    """How likely a model finds each document.

    Attributes:
        nats: the sum of the negative log-likelihoods of the scored tokens, in nat, (documents,).
        tokens: how many tokens are scored, (documents,).
        utf8_bytes: of the text that they are, (documents,).
        window: the most tokens that the model saw at once.
        altered: how many documents the tokens do not give back.
    """

    nats: FloatArray
    tokens: IntArray
    utf8_bytes: IntArray
    window: int
    altered: int = 0


@dataclass(frozen=True, kw_only=True)
class ChoiceScores(Measured):
    """How likely a model finds each choice after its prompt; the choices of all prompts in a row.

    Attributes:
        nats: the log-likelihood of each choice, (choices of all prompts,).
        tokens: how many tokens that is of, (choices of all prompts,).
        sizes: how many choices each prompt has, (prompts,).
        glued: of how many prompts the last word and the first of a choice became one.
    """

    nats: FloatArray
    tokens: IntArray
    sizes: IntArray
    glued: int = 0


@dataclass(frozen=True, kw_only=True)
class Forced(Measured):
    """A student beside its teacher, token by token of stated texts; the tokens of all texts in a row.

    Attributes:
        divergences: of the student's distribution from the teacher's, in nat, (tokens,) in float32.
        agrees: whether both find the same token most likely, (tokens,).
        sizes: how many tokens each text has, (texts,).
        of_prompts: whether the texts are the teacher's answers to the prompts.
        rest: the share of the teacher's probability that tokens have which count as one, from 0 to 1.
    """

    divergences: npt.NDArray[np.float32]
    agrees: npt.NDArray[np.bool_]
    sizes: IntArray
    of_prompts: bool = False
    rest: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TopTokens(Measured):
    """A teacher's distribution at each token of stated texts, cut to the likeliest tokens and the rest as one.

    Attributes:
        ids: of the tokens of all texts in a row, scored or not, (tokens,) in int32.
        sizes: how many of them each text has, (texts,).
        likeliest: the ids of the likeliest tokens at each scored place, the first one first, (scored, k) in int32.
        logs: their log-probabilities, and that of all others together, (scored, k + 1) in float32.
        size: the most tokens of a window, None for whole texts.
        stride: by how many tokens the next window begins later.
        first: the token that each window begins with; None for none.
        of_prompts: whether the texts are the teacher's answers to the prompts.
    """

    ids: npt.NDArray[np.int32]
    sizes: IntArray
    likeliest: npt.NDArray[np.int32]
    logs: npt.NDArray[np.float32]
    size: int | None = None
    stride: int = 1
    first: int | None = None
    of_prompts: bool = False


def pack(measured: Measured) -> Arrays:
    """Return a measurement as arrays."""
    return measured.packed()


unpack_likelihoods, unpack_choices = Likelihoods.unpacked, ChoiceScores.unpacked
unpack_forcing, unpack_top_tokens = Forced.unpacked, TopTokens.unpacked
