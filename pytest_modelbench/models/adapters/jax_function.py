"""Adapter for functions of JAX: what `jax.jit` returns, also with its parameters bound by `functools.partial`."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from pytest_modelbench.data.arrays import as_array, map_tree, select_output
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.adapters.backend_arrays import numbers, torch_tensor
from pytest_modelbench.models.adapters.function import CallableModel
from pytest_modelbench.models.adapters.jax_runtime import JaxRuntime
from pytest_modelbench.models.adapters.runtime import threads_for
from pytest_modelbench.models.base import Model, ParameterCount
from pytest_modelbench.models.content import ContentHash
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.weights import Weights

Array = npt.NDArray[Any]


class JaxFunctionModel(CallableModel):
    """A compiled function of JAX of one batch; parameters that `functools.partial` binds are the model's.

    Batches are moved to the device outside of the timed path, and a call ends when its outputs are computed.

    Args:
        function: what `jax.jit` returned, or a partial of it.
        loading: its name, device and threads.

    Raises:
        ModelError: JAX does not find the device.
    """

    kind = "jax"
    libraries = ("jax",)

    def __init__(self, function: Callable[[Any], Any], loading: Loading) -> None:
        super().__init__(function, loading.name)
        self.loading = loading
        held = [leaf for leaf in self._bound_arrays() if hasattr(leaf, "devices")]
        there = next(iter(held[0].devices())) if held else None
        self.runtime = JaxRuntime(self.name, loading.device, threads_for(loading), there)
        self.computes_here = self.runtime.on_cpu
        self.casts: dict[str, str] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Calls in this context make their arrays on the model's device."""
        with self.runtime.scope():
            yield

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Move a batch to the device; the first call of a shape compiles the function."""
        return self.runtime.finishing(functools.partial(self.function, map_tree(self._tensor, inputs)))

    def _tensor(self, leaf: Any) -> Any:
        array = as_array(leaf)
        tensor = self.runtime.tensor(array)
        if tensor.dtype != array.dtype:  # JAX has no numbers of 64 bits, unless jax_enable_x64 is set
            self.casts[str(array.dtype)] = str(tensor.dtype)
        return tensor

    def pull_back(
        self, inputs: Any, select: str | int | None, weights: Callable[[Array], Array]
    ) -> npt.NDArray[np.float64] | None:
        """Return the gradient by the inputs."""
        with self.running():
            return self.runtime.gradient(
                lambda batch: select_output(self.function(batch), select, self.name), self._tensor(inputs), weights
            )

    def compiled(self) -> Model:
        """Refuse to compile what is compiled already."""
        raise NotApplicable(f"{self.name} is a function of jax.jit, which XLA compiled already")

    def replicate(self) -> Model | None:
        """Return the function with copies of the arrays that a partial binds; None where it binds none."""
        if not isinstance(self.function, functools.partial) or not self._bound_arrays():
            return None
        tree = sys.modules["jax"].tree_util
        args, keywords = tree.tree_map(_copied, (self.function.args, self.function.keywords))
        return JaxFunctionModel(functools.partial(self.function.func, *args, **keywords), self.loading)

    def fingerprint(self) -> str:
        """Hash the code of the function with what it closes over, and bound parameters; by identity where unknown.

        A function that JAX compiled computes from its arguments and from what it held when it was traced.
        """
        content = ContentHash(nn.Module())
        try:
            if isinstance(self.function, functools.partial):  # a tree of JAX has its keys in order
                bound, form = sys.modules["jax"].tree_util.tree_flatten((self.function.args, self.function.keywords))
                content.add(content.text_of(self.function.func), content.text_of(bound), str(form))
            else:
                content.add(content.text_of(self.function))
        except Exception:  # noqa: BLE001 - what a function closes over is the user's, and may not be readable
            return super().fingerprint()
        return super().fingerprint() if content.by_identity else f"jax:{content.hexdigest()}"

    def count_parameters(self) -> ParameterCount:
        """Count the arrays of floating-point numbers that a partial binds.

        Raises:
            NotApplicable: it binds none; what a function closes over is not known to be parameters.
        """
        arrays = [numbers(np.asarray(leaf)) for leaf in self._bound_arrays()]
        if not arrays:
            raise NotApplicable(
                f"{self.name} is a function of JAX without bound parameters. Bind them: "
                "functools.partial(jax.jit(apply), params)"
            )
        module = nn.Module()
        for i, array in enumerate(arrays):
            if array.dtype.kind == "f":
                module.register_parameter(str(i), nn.Parameter(torch_tensor(array), requires_grad=False))
        return Weights(module, self.name).count()

    def _bound_arrays(self) -> list[Any]:
        if not isinstance(self.function, functools.partial):
            return []
        bound = (self.function.args, self.function.keywords)
        return [leaf for leaf in sys.modules["jax"].tree_util.tree_leaves(bound) if _is_array(leaf)]

    def describe(self) -> dict[str, Any]:
        """Return device, threads and casts too."""
        inner = self.function.func if isinstance(self.function, functools.partial) else self.function
        named = getattr(inner, "__wrapped__", inner)
        casts = ", ".join(f"{before} -> {after}" for before, after in self.casts.items())
        return {
            **super().describe(),
            "class": f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}",
            **self.runtime.describe(),
            **({"inputs": casts} if casts else {}),
        }


def is_jax(function: Any) -> bool:
    """Whether something is a compiled function of JAX, or a partial of one; JAX is not imported for the question."""
    stages = sys.modules.get("jax.stages")
    inner = function.func if isinstance(function, functools.partial) else function
    return stages is not None and isinstance(inner, stages.Wrapped)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, sys.modules["jax"].Array | np.ndarray)


def _copied(leaf: Any) -> Any:
    return sys.modules["jax"].numpy.array(leaf, copy=True) if _is_array(leaf) else leaf
