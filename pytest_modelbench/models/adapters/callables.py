"""The adapter of a callable: functions that JAX compiled have one of their own."""

from __future__ import annotations

import sys
from typing import Any

from pytest_modelbench.models.adapters.function import CallableModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.saved import Loading


def from_callable(function: Any, loading: Loading) -> Model:
    """Return the model of a callable that takes a batch.

    Raises:
        ModelError: it is a function of JAX, and JAX does not find the device.
    """
    if "jax.stages" in sys.modules:
        from pytest_modelbench.models.adapters.jax_function import JaxFunctionModel, is_jax

        if is_jax(function):
            return JaxFunctionModel(function, loading)
    return CallableModel(function, loading.name)
