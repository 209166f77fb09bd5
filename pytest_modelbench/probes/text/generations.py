"""One answer of a model to each prompt of the evaluation data."""

from __future__ import annotations

from typing import Any

from pytest_modelbench.data.text_data import text_data
from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.text_function import text_model
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.text.measured import Generations


def take(taking: Taking) -> Generations:
    """Ask a model for an answer to each prompt, in batches of the data's size, once for all KPIs.

    Raises:
        DoesNotFit: the data have no prompts.
        ModelError: the model raised or a request failed, or it does not generate text.
    """
    data, model = text_data(taking.data), text_model(taking.model)
    settings, model.beat = data.prompts.settings, taking.beat
    answers: list[Generation] = []
    ids: list[Any] = []
    with model.running():
        for batch in data.batches():
            try:
                answers.extend(model.generating(list(batch.inputs), settings)())
            except ModelError:  # it names the model and has the server's words
                raise
            except BaseException as error:
                raise model.failure(batch.inputs, error) from error
            ids.extend(batch.ids)
            taking.beat()
    return Generations(
        model=model.name,
        answers=tuple(answers),
        ids=ids,
        settings=settings,
        vocabulary=model.vocabulary(),
        sent=dict(model.sent),
    )
