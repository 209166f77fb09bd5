"""The memory of a model's cache of keys and values, after prompts of two lengths."""

from __future__ import annotations

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.adapters.text_function import text_model
from pytest_modelbench.models.text import CacheSize, LikelihoodModel
from pytest_modelbench.probes.kinds import Taking

CONTEXT = 256
"""The longer prompt where `context=` does not state it, if the model takes as many tokens."""


def take(taking: Taking) -> tuple[CacheSize, CacheSize]:
    """Return the size of the cache after `context=` tokens and after half of them.

    Raises:
        NotApplicable: the model has no cache that can be counted, or takes fewer tokens.
        ModelError: the model raised, or does not generate text.
    """
    model, asked = text_model(taking.model), taking.options["context"]
    if not isinstance(model, LikelihoodModel):
        where = f"runs at {model.runs_at}" if model.runs_at else f"is a {model.kind}"
        raise NotApplicable(f"{model.name} {where}: its cache of keys and values cannot be seen")
    most = None if model.context is None else model.context - 1  # the answer has a token, too
    if asked is not None and most is not None and asked > most:
        raise NotApplicable(
            f"context={asked}, and {model.name} takes at most {most} tokens before an answer. Write context={most}"
        )
    longer = asked or min(CONTEXT, most or CONTEXT)
    with model.running():
        return model.cache_after(longer // 2), model.cache_after(longer)
