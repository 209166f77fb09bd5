"""Adapter for Keras 3 models on the torch backend."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from pytest_modelbench.models.adapters.keras_content import KerasContent, of_keras
from pytest_modelbench.models.adapters.torch_module import CompiledModel, TorchModel
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.saved import Loading


class KerasModel(KerasContent, TorchModel):
    """A Keras model on the torch backend, in inference mode.

    Keras models take one argument: an array, or a mapping, list or tuple of arrays.

    Args:
        keras: the package.
        module: the model, a `keras.Model`, which is a torch module too.
        loading: its name, and the device as torch spells it; None leaves the model where its first weight is.
        file: the `.keras` file it came from, if any.

    Raises:
        ModelError: the device does not exist here.
    """

    backend = "torch"
    libraries = ("torch", "keras")

    def __init__(self, keras: Any, module: Any, loading: Loading, file: Path | None = None) -> None:
        self._keras = keras
        TorchModel.__init__(self, module, loading.name, loading.device)
        self.file = file

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Inference mode on the model's device: Keras would put inputs on its own default device."""
        with self._keras.device(str(self.device)), super().running():
            yield

    def applied(self, prepared: Any) -> Callable[[], Any]:
        """Return the call of the model on a prepared batch, which is one argument."""
        return _call(self.module, self.nested(prepared))

    def compiled(self) -> Model:
        """Return the model compiled by torch.compile, which shares its weights."""
        return CompiledKeras(self)

    def replicate(self) -> Model | None:
        """Return a deep copy, or None for a model that cannot be copied or that memory cannot hold."""
        module = self.copied_module()
        return None if module is None else KerasModel(self._keras, module, Loading(name=self.name), self.file)

    def weight_tensor(self, weight: Any) -> torch.Tensor:
        """Return a weight's tensor."""
        tensor: torch.Tensor = weight.value.detach()
        return tensor


class CompiledKeras(CompiledModel):
    """What torch.compile makes of a Keras model."""

    def __init__(self, original: KerasModel) -> None:
        super().__init__(original)
        self._nested = original.nested

    def applied(self, prepared: Any) -> Callable[[], Any]:
        """Return the call of the compiled model on a prepared batch, which is one argument."""
        return _call(self.module, self._nested(prepared))


def _call(module: Any, inputs: Any) -> Callable[[], Any]:
    run = functools.partial(module, inputs, training=False)
    return run if not isinstance(getattr(module, "_outputs_struct", None), list) else lambda: of_keras(run())
