"""Adapter for Keras 3 models on the torch backend, and for the `.keras` files that they are saved to."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch import nn

from pytest_modelbench.errors import MeasurementError, ModelError, cause_of
from pytest_modelbench.models.adapters.torch_module import CompiledModel, TorchModel
from pytest_modelbench.models.base import Artefact, Model
from pytest_modelbench.models.content import ContentHash
from pytest_modelbench.models.formats import FORMATS
from pytest_modelbench.models.saved import Loading, refuse_pickle
from pytest_modelbench.models.weights import Weights

BACKEND = "torch"
_VARIABLE = "KERAS_BACKEND"
_QUOTED = re.compile(r'"([a-z][a-z0-9_]*)"')
_LEFT_OUT = ("compile_config", "build_config")
"""Entries of a model's configuration that do not change what it computes."""


class KerasModel(TorchModel):
    """A Keras model on the torch backend, in inference mode.

    Keras models take one argument: an array, or a mapping or tuple of arrays.

    Args:
        module: the model, a `keras.Model`.
        name: `teacher`, or the student's label.
        device: as torch spells it; None leaves the model where its first weight is.
        file: the `.keras` file it came from, if any.

    Raises:
        ModelError: Keras runs on another backend, or the device does not exist here.
    """

    kind = "keras"
    libraries = ("torch", "keras")

    def __init__(self, module: Any, name: str, device: str | None = None, file: Path | None = None) -> None:
        self._keras = imported(name)
        super().__init__(module, name, device)
        self.file = file

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Inference mode on the model's device: Keras would put inputs on its own default device."""
        with self._keras.device(str(self.device)), super().running():
            yield

    def applied(self, prepared: Any) -> Callable[[], Any]:
        """Return the call of the model on a prepared batch, which is one argument."""
        return functools.partial(self.module, prepared, training=False)

    def compiled(self) -> Model:
        """Return the model compiled by torch.compile, which shares its weights."""
        return CompiledKeras(self)

    def replicate(self) -> Model | None:
        """Return a deep copy, or None for a model that cannot be copied or that memory cannot hold."""
        module = self.copied_module()
        return None if module is None else KerasModel(module, self.name, file=self.file)

    def structure(self) -> str:
        """Hash the configuration without the names that Keras numbers; "" if a class does not give its own."""
        try:
            text = configuration(self.module)
        except Exception:  # noqa: BLE001 - get_config() is the user's code, or missing
            return ""
        shapes = [f"{weight.dtype}{tuple(weight.shape)}" for weight in self._variables()]
        return hashlib.blake2b(f"{text}|{shapes}".encode(), digest_size=8).hexdigest()

    def fingerprint(self) -> str:
        """Hash the configuration, the code of the layers' classes, and the weights; by identity if there are none."""
        content = ContentHash(self.module)
        try:
            content.add(configuration(self.module))
            for layer in layers_of(self.module):
                content.add(content.text_of(type(layer)))
        except Exception:  # noqa: BLE001 - get_config() is the user's code, and without it nothing is known
            return Model.fingerprint(self)
        if not self._is_built():
            return Model.fingerprint(self)
        self._add_weights(content)
        return f"keras:{'object-' if content.by_identity else ''}{content.hexdigest()}"

    def weights_hash(self) -> str | None:
        """Hash the weights and the classes of all layers; None before the model is built."""
        if not self._is_built():
            return None
        content = ContentHash(self.module)
        for layer in layers_of(self.module):
            content.add(type(layer).__qualname__)
        self._add_weights(content)
        return content.hexdigest()

    def artefact(self) -> Artefact:
        """Return the size of the `.keras` file, or of the one that `model.save()` writes without its optimiser."""
        if self.file is not None:
            return Artefact(size_bytes=self.file.stat().st_size, method=f"Keras file {self.file.name}")
        self._built()
        with tempfile.TemporaryDirectory(prefix="pytest-modelbench-") as folder:
            path = Path(folder) / "model.keras"
            with _without_optimizer(self.module), _quiet():
                try:
                    self.module.save(path)  # type: ignore[operator] # of Keras, unknown to torch's Module
                except Exception as error:  # get_config() is the user's code
                    raise MeasurementError(f"{self.name} cannot be saved by Keras: {cause_of(error)}") from error
            return Artefact(size_bytes=path.stat().st_size, method=".keras file as model.save() writes it")

    def describe(self) -> dict[str, Any]:
        """Return the version of Keras and the file too."""
        saved = {"format": "Keras", "file": self.file.name} if self.file is not None else {}
        return {**super().describe(), "keras": self._keras.__version__, **saved}

    def failure(self, inputs: Any, error: BaseException) -> ModelError:
        """Explain how Keras takes several inputs."""
        failure = super().failure(inputs, error)
        if isinstance(inputs, dict | tuple) and isinstance(error, TypeError) and "argument" in str(error):
            return self._blamed(
                f"{failure}. A Keras model gets all inputs as one argument: write call(self, inputs), where inputs "
                f"is the data's {type(inputs).__name__}"
            )
        return failure

    def _weights(self) -> Weights:
        """Return the weights as torch lays them out: outputs first. Seeds of random layers are not weights."""
        self._built()
        module = nn.Module()
        for i, weight in enumerate(self._variables()):
            value = weight.value.detach()
            if weight.path.endswith("kernel") and value.dim() > 1:
                value = value.permute(-1, -2, *range(value.dim() - 2))
            module.register_parameter(str(i), nn.Parameter(value, requires_grad=False))
        return Weights(module, self.name)

    def _variables(self) -> list[Any]:
        return list(self.module.weights)  # type: ignore[arg-type] # of Keras, unknown to torch

    def _add_weights(self, content: ContentHash) -> None:
        for weight in self._variables():
            content.add_state(weight.value.detach())

    def _is_built(self) -> bool:
        return all(layer.built for layer in layers_of(self.module))

    def _built(self) -> None:
        if not self._is_built():
            raise MeasurementError(
                f"{self.name} has layers without weights so far. Call the model on a batch before you return it"
            )


class CompiledKeras(CompiledModel):
    """What torch.compile makes of a Keras model."""

    applied = KerasModel.applied


def imported(name: str) -> Any:
    """Import Keras on the torch backend.

    If Keras is not imported yet and KERAS_BACKEND is not set, it is set to torch.

    Args:
        name: of the model, for messages.

    Raises:
        ModelError: Keras is not installed, or runs on another backend.
    """
    if "keras" not in sys.modules:
        backend = os.environ.setdefault(_VARIABLE, BACKEND)
        if backend != BACKEND:
            raise _other_backend(name, backend)
    try:
        keras = importlib.import_module("keras")
        backend = keras.backend.backend()
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"{name} needs Keras 3, which cannot be imported ({cause_of(error)}). Install it: pip install "
            f"{FORMATS['Keras'].install}"
        ) from error
    if backend != BACKEND:
        raise _other_backend(name, backend)
    return keras


def load_keras(path: str, loading: Loading) -> Model:
    """Load a `.keras` file without its optimiser.

    Raises:
        ModelError: Keras runs on another backend or cannot read the file, or the file holds a Lambda layer, which is
            code, and pickles are not allowed.
    """
    keras = imported(loading.name)
    try:
        with _quiet():
            module = keras.saving.load_model(path, compile=False, safe_mode=not loading.allow_pickle)
    except Exception as error:  # Keras raises errors of its readers: of zip, JSON and HDF5
        if "safe_mode=False" in str(error):
            refuse_pickle(
                path, "a model with a Lambda layer, which is code", loading, "Write a layer's class instead"
            )
        hint = (
            ". Register the class by @keras.saving.register_keras_serializable(), and import its module"
            if "register_keras_serializable" in str(error)
            else ""
        )
        raise ModelError(f"{loading.name}: {path} cannot be read by Keras: {cause_of(error)}{hint}") from error
    return KerasModel(module, loading.name, loading.device, Path(path))


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
    with _quiet():
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
def _quiet() -> Iterator[None]:
    """Ignore the warnings of Keras' own readers and writers, which a suite may have turned into errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _other_backend(name: str, backend: str) -> ModelError:
    return ModelError(
        f"{name} is a Keras model, and Keras runs on the backend {backend!r}; expected 'torch'. Set "
        f"{_VARIABLE}=torch before Keras is imported, or give the SavedModel or ONNX file that "
        "model.export(...) writes"
    )
