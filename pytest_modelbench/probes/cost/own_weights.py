"""What a model computes with, seen by running it where its tensors alone do not tell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import MeasurementError, ModelbenchError, ModelError, message_of
from pytest_modelbench.models.base import Model


def learn_weights(
    model: Model, data: Callable[[], EvalData], guarded: contextlib.AbstractContextManager[object]
) -> None:
    """Let a model that is not sure what its weights are look at one sample.

    Nothing happens to other models. A look that fails changes nothing where some weights are known: the count says
    how many more there may be.

    Args:
        model: whose weights are to be counted.
        data: gives the evaluation data; asked for only where they are needed.
        guarded: ends a model that never answers.

    Raises:
        MeasurementError: none of its weights is known, and there are no data that it could run.
        ModelError: none of its weights is known, and it raised.
    """
    if not model.unsure():
        return
    try:
        eval_data = data()
        with guarded:
            _look(model, eval_data)
    except ModelbenchError as error:
        if model.count_parameters().total:
            return
        if error.blames is not None:
            raise
        raise MeasurementError(
            f"{model.name} has no parameters, and whether it computes with other weights is seen by running it, "
            f"which needs evaluation data: {message_of(error)}"
        ) from error


def _look(model: Model, data: EvalData) -> None:
    try:
        model.look(next(iter(data.batches(1))).inputs)
    except ModelError:  # an exported program may take no other batch than its own
        model.look(next(iter(data.batches())).inputs)
