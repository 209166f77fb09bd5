"""Adapter for any callable that takes a batch."""

from __future__ import annotations

import copy
import functools
import sys
import types
from collections.abc import Callable
from typing import Any

from pytest_modelbench.data.prompts import Prompts
from pytest_modelbench.errors import ModelError, shown
from pytest_modelbench.models.adapters.text_function import TextFunctionModel, text_model
from pytest_modelbench.models.base import Model, keep_interrupt
from pytest_modelbench.models.functions import TextFunction

_UNCOPYABLE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial, type)


class CallableModel(Model):
    """A plain function, or an object with `__call__`, that maps a batch to outputs.

    Functions cannot be copied to other addresses, so timed comparisons of them state a resolution floor; objects
    are deep-copied where they allow it. Two callables are never taken for the same model.
    """

    kind = "callable"

    def __init__(self, function: Callable[[Any], Any], name: str) -> None:
        super().__init__(name)
        self.function = function

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Return the function applied to the batch as it is; of prompts, to one after the other.

        Where JAX is loaded, the call waits for arrays of JAX among the outputs, which come before they are computed.
        """
        if isinstance(inputs, Prompts):
            return text_model(self).bind(inputs)
        call = functools.partial(self.function, inputs)
        return call if "jax" not in sys.modules else _awaited(call)

    def replicate(self) -> Model | None:
        """Return a deep copy of a callable object; None for functions and objects that refuse to be copied."""
        if isinstance(self.function, _UNCOPYABLE):
            return None
        try:
            copied = copy.deepcopy(self.function)
        except BaseException as error:  # noqa: BLE001 - whatever a user's __deepcopy__ raises means: not copyable
            keep_interrupt(error)
            return None
        return CallableModel(copied, self.name) if type(copied) is type(self.function) else None

    def lasting_hash(self) -> str | None:
        """Hash the code, and the attributes of an object; None where one of them has no content to hash."""
        from pytest_modelbench.models.content import lasting_content

        return lasting_content(self.function)

    def describe(self) -> dict[str, Any]:
        """Return the callable's qualified name."""
        named = self.function if hasattr(self.function, "__qualname__") else type(self.function)
        module = getattr(named, "__module__", "builtins")  # str.upper has none
        return {**super().describe(), "class": f"{module}.{getattr(named, '__qualname__', '?')}"}


def _awaited(call: Callable[[], Any]) -> Callable[[], Any]:
    wait = sys.modules["jax"].block_until_ready
    return lambda: wait(call())


def from_text_function(candidate: TextFunction, name: str) -> Model:
    """Return the model of a `TextFunction`.

    Raises:
        ModelError: its function or its tokenizer is not one.
    """
    function: Any = candidate.function
    if not callable(function) or isinstance(function, type):
        raise ModelError(
            f"{name} is TextFunction({shown(function)}), expected a function from a prompt to its answer. "
            "Write TextFunction(answer, tokenizer=...)"
        )
    return TextFunctionModel(CallableModel(function, name), function, candidate.tokenizer)
