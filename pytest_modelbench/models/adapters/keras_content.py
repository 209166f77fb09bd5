"""What every Keras 3 model has, on any backend: configuration, weights, a hash of both, and a `.keras` file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sys
import tempfile
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from pytest_modelbench.errors import MeasurementError, ModelError, cause_of
from pytest_modelbench.models.base import Artefact, Model, ParameterCount
from pytest_modelbench.models.content import ContentHash
from pytest_modelbench.models.weights import Weights

_QUOTED = re.compile(r'"([a-z][a-z0-9_]*)"')
_LEFT_OUT = ("compile_config", "build_config")
"""Entries of a model's configuration that do not change what it computes."""


class KerasContent(Model):
    """A Keras model on some backend: what it consists of, which does not depend on the backend.

    Attributes:
        module: the `keras.Model`.
        backend: whose arrays its weights are, as Keras names it.
    """

    kind = "keras"
    backend: ClassVar[str] = ""
    module: Any

    @abstractmethod
    def weight_tensor(self, weight: Any) -> torch.Tensor:
        """Return the numbers of one of the model's weights, without a copy where that can be had."""

    def structure(self) -> str:
        """Hash the configuration without the names that Keras numbers; "" if a class does not give its own."""
        try:
            text = configuration(self.module)
        except Exception:  # noqa: BLE001 - get_config() is the user's code, or missing
            return ""
        shapes = [f"{weight.dtype}{tuple(weight.shape)}" for weight in self.variables()]
        return hashlib.blake2b(f"{text}|{shapes}".encode(), digest_size=8).hexdigest()

    def fingerprint(self) -> str:
        """Hash the configuration, the code of the layers' classes, and the weights; by identity if there are none.

        The same model on another backend is another one: its operators round otherwise.
        """
        content = ContentHash(nn.Module())
        try:
            content.add(self.backend, configuration(self.module))
            for layer in layers_of(self.module):
                content.add(content.text_of(type(layer)))
        except Exception:  # noqa: BLE001 - get_config() is the user's code, and without it nothing is known
            return Model.fingerprint(self)
        if not self.is_built():
            return Model.fingerprint(self)
        self._add_weights(content)
        return f"keras:{'object-' if content.by_identity else ''}{content.hexdigest()}"

    def weights_hash(self) -> str | None:
        """Hash the weights and the classes of all layers; None before the model is built."""
        if not self.is_built():
            return None
        content = ContentHash(nn.Module())
        for layer in layers_of(self.module):
            content.add(type(layer).__qualname__)
        self._add_weights(content)
        return content.hexdigest()

    def count_parameters(self) -> ParameterCount:
        """Count the weights, zeros and structured zeros among them; seeds of random layers are not weights."""
        return self._weights().count()

    def artefact(self) -> Artefact:
        """Return the size of the `.keras` file, or of the one that `model.save()` writes without its optimiser."""
        if self.file is not None:
            return Artefact(size_bytes=self.file.stat().st_size, method=f"Keras file {self.file.name}")
        self._built()
        with tempfile.TemporaryDirectory(prefix="pytest-modelbench-") as folder:
            path = Path(folder) / "model.keras"
            with _without_optimizer(self.module), quiet():
                try:
                    self.module.save(path)
                except Exception as error:  # get_config() is the user's code
                    raise MeasurementError(f"{self.name} cannot be saved by Keras: {cause_of(error)}") from error
            return Artefact(size_bytes=path.stat().st_size, method=".keras file as model.save() writes it")

    def describe(self) -> dict[str, Any]:
        """Return the version of Keras, its backend and the file too."""
        saved = {"format": "Keras", "file": self.file.name} if self.file is not None else {}
        return {**super().describe(), "keras": sys.modules["keras"].__version__, "backend": self.backend, **saved}

    def failure(self, inputs: Any, error: BaseException) -> ModelError:
        """Explain how Keras takes several inputs."""
        failure = super().failure(inputs, error)
        if isinstance(inputs, dict | tuple) and isinstance(error, TypeError) and "argument" in str(error):
            return self._blamed(
                f"{failure}. A Keras model gets all inputs as one argument: write call(self, inputs), where inputs "
                f"is the data's {type(inputs).__name__}"
            )
        return failure

    def variables(self) -> list[Any]:
        """Return the weights as Keras holds them."""
        return list(self.module.weights)

    def nested(self, prepared: Any) -> Any:
        """Return a batch in the form that the model declares: a tuple or mapping for a list of inputs is a list."""
        declared = getattr(self.module, "_inputs_struct", None)
        if not isinstance(declared, list | tuple):
            return prepared
        names = [getattr(part, "name", None) for part in declared]
        if isinstance(prepared, Mapping) and set(prepared) == set(names):
            prepared = tuple(prepared[name] for name in names)
        return list(prepared) if isinstance(declared, list) and isinstance(prepared, tuple) else prepared

    def _weights(self) -> Weights:
        """Return the weights as torch lays them out: outputs first. Seeds of random layers are not weights."""
        self._built()
        module = nn.Module()
        for i, weight in enumerate(self.variables()):
            value = self.weight_tensor(weight)
            if weight.path.endswith("kernel") and value.dim() > 1:
                value = value.permute(-1, -2, *range(value.dim() - 2))
            module.register_parameter(str(i), nn.Parameter(value, requires_grad=False))
        return Weights(module, self.name)

    def _add_weights(self, content: ContentHash) -> None:
        for weight in self.variables():
            content.add_state(self.weight_tensor(weight))

    def is_built(self) -> bool:
        """Whether all layers have their weights: a subclassed model makes them at its first call."""
        return all(layer.built for layer in layers_of(self.module))

    def _built(self) -> None:
        if not self.is_built():
            raise MeasurementError(
                f"{self.name} has layers without weights so far. Call the model on a batch before you return it"
            )


def of_keras(outputs: Any) -> Any:
    """Return outputs with lists, as a functional model of several outputs gives them, as tuples."""
    return tuple(map(of_keras, outputs)) if isinstance(outputs, list) else outputs


def layers_of(module: Any) -> list[Any]:
    """Return a Keras model and all layers inside, in the order of its configuration."""
    layers: dict[int, Any] = {}
    waiting = [module]
    while waiting:
        layer = waiting.pop(0)
        if id(layer) not in layers:
            layers[id(layer)] = layer
            waiting += list(layer._layers)  # noqa: SLF001 - `layers` of a model leaves out those of its layers
    return list(layers.values())


def configuration(module: Any) -> str:
    """Return what `to_json()` gives, of the model and of each layer inside, and equal for every build.

    A subclassed model does not tell of its layers, so they are asked too; how a model is trained is left out.

    Keras numbers the layers of a process (`dense`, `dense_1`), so a second build has other names than the first one.
    Names of this form become the layer's place in the model; the others stay.

    Raises:
        NotImplementedError: a class has no get_config().
    """
    layers = layers_of(module)
    with quiet():
        configs = [sys.modules["keras"].saving.serialize_keras_object(layer) for layer in layers]
    text = json.dumps(_pruned(configs), sort_keys=True)
    places = {
        layer.name: f"{_snake(type(layer).__name__)}#{i}"
        for i, layer in enumerate(layers)
        if re.fullmatch(rf"{re.escape(_snake(type(layer).__name__))}(_\d+)?", layer.name)
    }
    return _QUOTED.sub(lambda match: f'"{places.get(match[1], match[1])}"', text)


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if key not in _LEFT_OUT}
    return [_pruned(item) for item in value] if isinstance(value, list | tuple) else value


def _snake(name: str) -> str:
    """Return a class's name as Keras makes names of layers from it: `Conv2D` gives `conv2d`."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


@contextlib.contextmanager
def _without_optimizer(module: Any) -> Iterator[None]:
    """Take the optimiser away for a while: its state is saved with the model, and is not deployed."""
    if not module.compiled:
        yield
        return
    optimizer = module.optimizer
    module.optimizer, module.compiled = None, False
    try:
        yield
    finally:
        module.optimizer, module.compiled = optimizer, True


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ignore the warnings of Keras' own readers and writers, which a suite may have turned into errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
