"""Stated texts given to a model: cut into windows that fit its context, each token scored once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import MeasurementError, ModelError, NotApplicable
from pytest_modelbench.models.adapters.text_function import text_model
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.text import LikelihoodModel

Part = tuple[list[int], list[int]]
"""Tokens that the model sees before, and those that are scored."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How the tokens of a document are cut.

    Attributes:
        size: the most tokens of a window; None for whole documents.
        stride: by how many tokens the next window begins later.
        first: the token that each window begins with; None for none: a document's own first token is not scored.
    """

    size: int | None = None
    stride: int = 1
    first: int | None = None

    def parts(self, ids: Sequence[int]) -> Iterator[Part]:
        """Yield each window of a document: every token is scored once, with at least `size - stride` before it.

        Source: huggingface.co/docs/transformers/perplexity, "Example: Calculating perplexity with GPT-2".
        """
        first = [] if self.first is None else [self.first]
        width = len(ids) if self.size is None else self.size - len(first)
        begin, scored = 0, 0 if first else 1
        while scored < len(ids):
            end = min(begin + width, len(ids))
            yield [*first, *ids[begin:scored]], list(ids[scored:end])
            begin, scored = begin + self.stride, end

    @property
    def told(self) -> str:
        """How documents are cut, in words."""
        start = "each window begins with the first token (BOS)"
        if self.first is None:
            start = "without BOS, so that the first token of each document is not scored"
        size = "whole documents" if self.size is None else f"window {self.size:,} tokens, stride {self.stride:,}"
        return f"{size}, {start}"


def windows_for(model: LikelihoodModel, options: Mapping[str, Any], context: int | None) -> Windows:
    """Return how documents are cut for a model.

    Args:
        model: whose first token is used, unless the option `bos` is False.
        options: of the gate: `window`, by default the context, and `stride`, by default half of the window.
        context: the most tokens that fit; None where nothing states it.

    Raises:
        MeasurementError: the window is larger than the context, or the stride leaves nothing before a token.
    """
    size = options.get("window") or context
    if size is not None and context is not None and size > context:
        whose = model.name if model.context == context else "the other model"
        raise MeasurementError(
            f"window={size}: the context of {whose} is {context:,} tokens. Write window={context}, or less"
        )
    stride = options.get("stride") or (1 if size is None else size // 2)
    if size is not None and stride >= size:
        raise MeasurementError(
            f"stride={stride}, expected less than the window of {size:,} tokens: some tokens would have nothing "
            f"before them. Write stride={size // 2}"
        )
    return Windows(size=size, stride=stride, first=model.first_token if options.get("bos", True) else None)


def likelihood_model(model: Model, what: str, *, of_texts: bool = False) -> LikelihoodModel:
    """Return a model as one that gives likelihoods.

    Args:
        model: as the session adapted it.
        what: is measured, for the message.
        of_texts: whether texts without prompts are scored, which an encoder-decoder cannot do.

    Raises:
        NotApplicable: it gives none.
        ModelError: it does not even answer prompts.
    """
    model = text_model(model)
    if not isinstance(model, LikelihoodModel):
        raise NotApplicable(
            f"{what} needs the probabilities of stated tokens, which {model.name} does not give: it is a "
            f"{model.kind}. Return (module, tokenizer), or the folder of both"
        )
    if of_texts and model.encodes:
        raise NotApplicable(
            f"{what} is for models that continue a text, and {model.name} has an encoder for what comes before"
        )
    return model


def log_probabilities(model: LikelihoodModel, before: Sequence[int], ids: Sequence[int]) -> npt.NDArray[np.float32]:
    """Return the log-probabilities of every next token, (len(ids), vocabulary).

    Raises:
        ModelError: the model raised, or returned another shape, or NaN.
    """
    try:
        rows = model.forced(before, ids)
    except ModelError:
        raise
    except BaseException as error:
        raise model.failure(list(ids), error) from error
    if rows.ndim != 2 or len(rows) != len(ids) or max(ids) >= rows.shape[1]:
        raise ModelError(
            f"{model.name} returned log-probabilities of shape {rows.shape} for {len(ids)} tokens up to number "
            f"{max(ids)}; expected (tokens, vocabulary)"
        )
    if np.isnan(rows.max(axis=1)).any():
        raise ModelError(
            f"{model.name} gives NaN for the probabilities of a text of {len(ids):,} tokens. Look for overflows of "
            "half precision"
        )
    return rows


def picked(rows: npt.NDArray[np.float32], ids: Sequence[int]) -> float:
    """Return the sum of the log-probabilities of stated tokens, one for each row."""
    return float(rows[np.arange(len(ids)), np.asarray(ids)].astype(np.float64).sum())
