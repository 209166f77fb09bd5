"""Adapters for Keras 3 models on the backends TensorFlow and JAX."""

from __future__ import annotations

import contextlib
import functools
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pytest_modelbench.data.arrays import map_tree, select_output
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.adapters.backend_arrays import cast_floats, torch_tensor
from pytest_modelbench.models.adapters.jax_runtime import JaxRuntime
from pytest_modelbench.models.adapters.keras_content import KerasContent, of_keras, quiet
from pytest_modelbench.models.adapters.runtime import threads_for
from pytest_modelbench.models.adapters.tensorflow_runtime import TensorFlowRuntime
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.saved import Loading

Array = npt.NDArray[Any]


class KerasArrays(KerasContent):
    """A Keras model that runs as `model.predict()` runs it: compiled, unless the model says `run_eagerly`.

    Inputs are moved to the backend outside of the timed path; outputs are the backend's, and numpy reads them where
    they are.

    Args:
        module: the model, a `keras.Model`.
        loading: its name, device and threads.
        file: the `.keras` file it came from, if any.

    Attributes:
        runtime: of the backend.
        casts: types of floats in the inputs that were cast.

    Raises:
        ModelError: the backend does not find the device, or the weights are on another one.
    """

    runtime: TensorFlowRuntime | JaxRuntime

    def __init__(self, module: Any, loading: Loading, file: Path | None = None) -> None:
        super().__init__(loading.name)
        self.module, self.loading, self.file = module, loading, file
        self.runtime = self.started(threads_for(loading))
        self.computes_here = self.runtime.on_cpu
        self.casts: set[str] = set()
        self._eager = bool(getattr(module, "run_eagerly", False))
        self._function: Callable[[Any], Any] | None = None

    @abstractmethod
    def started(self, threads: int) -> TensorFlowRuntime | JaxRuntime:
        """Return the runtime of the backend."""

    @abstractmethod
    def inference(self) -> Callable[[Any], Any]:
        """Return the model in inference mode as a compiled function of one batch."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Calls in this context run on the model's device; each of them is one for inference."""
        with self.runtime.scope():
            yield

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Move a batch to the backend, in the model's form; the first call of a shape compiles the model."""
        return self.runtime.finishing(self._applied(self._prepared(inputs)))

    def _prepared(self, inputs: Any) -> Any:
        floats = sys.modules["keras"].config.floatx()
        return self.nested(map_tree(self.runtime.tensor, cast_floats(inputs, floats, self.casts)))

    def _applied(self, prepared: Any) -> Callable[[], Any]:
        if self._eager:
            return lambda: of_keras(self.module(prepared, training=False))
        if not self.is_built():
            self.module(prepared, training=False)  # what is compiled cannot make weights
        if self._function is None:
            self._function = self.inference()
        return functools.partial(self._function, prepared)

    def pull_back(
        self, inputs: Any, select: str | int | None, weights: Callable[[Array], Array]
    ) -> npt.NDArray[np.float64] | None:
        """Return the gradient by the inputs; None where none comes back."""
        with self.running():
            return self.runtime.gradient(
                lambda prepared: select_output(self._applied(prepared)(), select, self.name),
                self._prepared(inputs),
                weights,
            )

    def compiled(self) -> Model:
        """Refuse to compile what is compiled already."""
        raise NotApplicable(
            f"{self.name} is a Keras model on {self.backend}, which runs by {self.runtime.way} already, as "
            "model.predict() does"
        )

    def replicate(self) -> Model | None:
        """Return a model of the same configuration and weights at other addresses; None where none can be."""
        keras = sys.modules["keras"]
        try:
            with self.runtime.scope(), quiet():
                copied = keras.models.clone_model(self.module)
                copied.set_weights(self.module.get_weights())
        except Exception:  # noqa: BLE001 - get_config() is the user's code, or missing
            return None
        if type(copied) is not type(self.module):
            return None
        copied.run_eagerly = self._eager
        return type(self)(copied, self.loading, self.file)

    def weight_tensor(self, weight: Any) -> torch.Tensor:
        """Return a weight's numbers as a tensor of torch, by way of numpy."""
        return torch_tensor(np.asarray(weight.value))

    def weight_bytes(self, device: str = "cpu") -> int:
        """Return the bytes of the weights, where they are in a kind of device's memory."""
        here = "cpu" if self.runtime.on_cpu else "cuda"
        return sum(self.weight_tensor(weight).nbytes for weight in self.variables()) if device == here else 0

    def describe(self) -> dict[str, Any]:
        """Return class, device, threads, how it is run and which inputs are cast."""
        kind = type(self.module)
        casts = f"{' and '.join(sorted(self.casts))} cast to {sys.modules['keras'].config.floatx()}"
        return {
            **super().describe(),
            "class": f"{kind.__module__}.{kind.__qualname__}",
            **self.runtime.describe(),
            "runs": "operator by operator (run_eagerly)"
            if self._eager
            else f"{self.runtime.way}, as model.predict()",
            **({"inputs": casts} if self.casts else {}),
        }


class KerasOnTensorFlow(KerasArrays):
    """A Keras model on the TensorFlow backend."""

    backend = "tensorflow"
    libraries = ("tensorflow", "keras")

    def started(self, threads: int) -> TensorFlowRuntime:
        """Return TensorFlow where the model's weights are."""
        there = next((str(weight.value.device) for weight in self.variables()), "")
        return TensorFlowRuntime(self.name, self.loading.device, threads, there)

    def inference(self) -> Callable[[Any], Any]:
        """Return a graph of the model, which reads its variables at each call."""
        return self.runtime.compiled(lambda batch: of_keras(self.module(batch, training=False)))


class KerasOnJax(KerasArrays):
    """A Keras model on the JAX backend."""

    backend = "jax"
    libraries = ("jax", "keras")

    def started(self, threads: int) -> JaxRuntime:
        """Return JAX where the model's weights are."""
        there = next((next(iter(weight.value.devices())) for weight in self.variables()), None)
        return JaxRuntime(self.name, self.loading.device, threads, there)

    def inference(self) -> Callable[[Any], Any]:
        """Return the compiled model, which gets its variables at each call."""
        module, scope = self.module, sys.modules["keras"].StatelessScope

        def run(values: Any, batch: Any) -> Any:
            with scope(state_mapping=list(zip(module.variables, values, strict=True))):
                return of_keras(module(batch, training=False))

        compiled = self.runtime.compiled(run)
        return lambda batch: compiled([variable.value for variable in module.variables], batch)
