"""Whether what a model expects after each prompt is finite."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.data.prompts import GenerationSettings, Prompts
from pytest_modelbench.data.text_data import text_data
from pytest_modelbench.errors import DoesNotFit, ModelbenchError
from pytest_modelbench.models.adapters.text_function import text_model
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.text import LikelihoodModel
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.text.measured_next_tokens import NextTokens


def take(taking: Taking) -> NextTokens:
    """Read the log-probabilities of the token after each prompt.

    Raises:
        DoesNotFit: the data have no prompts, or the model gives texts only.
        ModelError: the model raised.
    """
    data, model = text_data(taking.data), text_model(taking.model)
    if not isinstance(model, LikelihoodModel):
        raise DoesNotFit(
            f"{model.name} is a {model.kind}, which gives texts without likelihoods of tokens: NaN cannot be seen "
            "in them. Judge empty_share and repetition_share, or give (module, tokenizer)"
        )
    settings, bad, ids = data.prompts.settings, [], list[Any]()
    for batch in data.batches():
        for prompt in batch.inputs:
            bad.append(_bad(model, model.prompt_ids(prompt, settings)))
            taking.beat()
        ids.extend(batch.ids)
    first = next((at for at, count in enumerate(bad) if count), None)
    layer = "" if first is None else _layer(taking.model, data.prompts[first : first + 1], settings)
    return NextTokens(model=model.name, ids=ids, bad=np.array(bad, dtype=np.intp), layer=layer)


def _bad(model: LikelihoodModel, prompt: Sequence[int]) -> int:
    """Return how many log-probabilities after a prompt are NaN or plus infinity, for any token that is stated."""
    after = model.forced(prompt, prompt[-1:])
    return int((np.isnan(after) | np.isposinf(after)).sum())


def _layer(model: Model, prompts: Prompts, settings: GenerationSettings) -> str:
    """Name the layer where NaN or infinity begins while one token is generated; "" where that cannot be seen."""
    from pytest_modelbench.probes.answers.layers import first_nonfinite

    with contextlib.suppress(ModelbenchError):  # not a torch module: no hook sees its layers
        return first_nonfinite(model, Prompts(prompts, replace(settings, max_new_tokens=1))) or ""
    return ""
