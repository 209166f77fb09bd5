"""How likely a model finds each choice after its prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_modelbench.data.prompts import GenerationSettings, Prompt
from pytest_modelbench.data.text_data import text_data
from pytest_modelbench.errors import DataError, DoesNotFit
from pytest_modelbench.models.text import LikelihoodModel
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.text.measured_likelihood import ChoiceScores
from pytest_modelbench.probes.text.windows import Part, likelihood_model, log_probabilities, picked

HOW = (
    "prompt and choice are tokenised together, and what is scored begins at the same token for all choices of a "
    "prompt: the first that some choice changes; after a chat template the choice is tokenised by itself"
)


def take(taking: Taking) -> ChoiceScores:
    """Score every choice after its prompt.

    Raises:
        DoesNotFit: the data have no prompts with choices.
        NotApplicable: the model gives no likelihoods.
        ModelError: the model raised, or a prompt is longer than its context.
    """
    data = text_data(taking.data)
    prompts, choices = data.prompts, data.choices
    if choices is None:
        raise DoesNotFit(
            "it needs choices, and the evaluation data have none. Write EvalData(prompts=..., choices=..., "
            "answers=...)"
        )
    model = likelihood_model(taking.model, "the likelihood of choices")
    nats: list[float] = []
    tokens: list[int] = []
    with model.running():
        for prompt, listed in zip(prompts, choices, strict=True):
            for before, ids in parts_of(model, prompt, listed, prompts.settings):
                nats.append(picked(log_probabilities(model, before, ids), ids))
                tokens.append(len(ids))
                taking.beat()
    return ChoiceScores(
        model=model.name,
        vocabulary=model.vocabulary(),
        how=HOW,
        nats=np.array(nats),
        tokens=np.array(tokens, dtype=np.intp),
        sizes=np.array([len(listed) for listed in choices], dtype=np.intp),
        glued=sum(map(_glued, prompts, choices)),
    )


def parts_of(
    model: LikelihoodModel, prompt: Prompt, choices: Sequence[str], settings: GenerationSettings
) -> list[Part]:
    """Return the tokens before each choice and those that are scored for it.

    A tokeniser may merge the end of a prompt with the start of a choice. The scored tokens then begin before the
    choice, and at the same place for all choices of the prompt: else they would be likelihoods of unlike texts.

    Raises:
        DataError: a choice has no token.
    """
    given = model.prompt_ids(prompt, settings)
    own = model.text_ids(prompt) if isinstance(prompt, str) else []
    start = given[: len(given) - len(own)]
    if model.encodes or not own or [*start, *own] != given:  # the prompt is not the end of what the model gets
        return [(given, _some(model.text_ids(choice), choice)) for choice in choices]
    whole = [model.text_ids(f"{prompt}{choice}") for choice in choices]
    common = min(in_common(own, ids) for ids in whole)
    if not start and not common:
        raise DataError(f"the prompt {prompt!r} leaves no token before its choices. Write a longer prompt")
    return [
        ([*start, *own[:common]], _some(ids[common:], choice)) for ids, choice in zip(whole, choices, strict=True)
    ]


def _some(ids: list[int], choice: str) -> list[int]:
    if not ids:
        raise DataError(f"choices: found {choice!r}, which has no token. Write what the model may answer")
    return ids


def in_common(first: Sequence[object], second: Sequence[object]) -> int:
    """Return how many tokens at their start are equal."""
    unlike = (at for at, (left, right) in enumerate(zip(first, second, strict=False)) if left != right)
    return next(unlike, min(len(first), len(second)))


def _glued(prompt: Prompt, choices: Sequence[str]) -> bool:
    """Whether a word of the prompt goes on in some choice, as where a space was forgotten."""
    return isinstance(prompt, str) and prompt[-1:].isalnum() and any(choice[:1].isalnum() for choice in choices)
