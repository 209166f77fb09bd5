"""Keras 3: which backend runs it, and the models and `.keras` files that go to the adapter of that backend."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import ModelError, cause_of
from pytest_modelbench.models.adapters.keras_content import quiet
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.formats import FORMATS
from pytest_modelbench.models.saved import Loading, refuse_pickle

BACKENDS = {"torch": "torch", "tensorflow": "tensorflow", "jax": "jax"}
"""Those that models are judged on, with the module that each needs."""
_VARIABLE = "KERAS_BACKEND"


def imported(name: str) -> Any:
    """Import Keras on the backend that the user chose.

    If Keras is not imported yet and KERAS_BACKEND is not set, it is set to torch.

    Args:
        name: of the model, for messages.

    Raises:
        ModelError: Keras or its backend is not installed, runs on a backend that models are not judged on, or runs on
            another one than KERAS_BACKEND says.
    """
    if "keras" not in sys.modules:
        _check(name, os.environ.setdefault(_VARIABLE, "torch"))
    try:
        keras = importlib.import_module("keras")
        backend = keras.backend.backend()
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"{name} needs Keras 3, which cannot be imported ({cause_of(error)}). Install it: pip install "
            f"{FORMATS['Keras'].install}"
        ) from error
    _check(name, backend)
    asked = os.environ.get(_VARIABLE) or backend
    if asked != backend:
        raise ModelError(
            f"{name} is a Keras model, {_VARIABLE} is {asked!r}, and Keras runs on the backend {backend!r}: it was "
            f"imported before the variable was set. Set {_VARIABLE} in the environment, or before the first import "
            "of Keras"
        )
    return keras


def _check(name: str, backend: str) -> None:
    if backend not in BACKENDS:
        raise ModelError(
            f"{name} is a Keras model, and Keras runs on the backend {backend!r}; expected {', '.join(BACKENDS)}. "
            f"Set {_VARIABLE}=torch before Keras is imported, or give the SavedModel or ONNX file that "
            "model.export(...) writes"
        )
    if importlib.util.find_spec(BACKENDS[backend]) is None:
        raise ModelError(
            f"{name} is a Keras model, {_VARIABLE} is {backend!r}, and {BACKENDS[backend]} is not installed. Install "
            f"it: pip install 'pytest-modelbench[{backend}]', or set {_VARIABLE}=torch before Keras is imported"
        )


def from_module(module: Any, loading: Loading, file: Path | None = None) -> Model:
    """Return the model of a `keras.Model` on the backend that runs it.

    Raises:
        ModelError: as `imported` raises, or the device does not exist here.
    """
    keras = imported(loading.name)
    if keras.backend.backend() == "torch":
        from pytest_modelbench.models.adapters.keras_torch import KerasModel

        return KerasModel(keras, module, loading, file)
    from pytest_modelbench.models.adapters import keras_arrays

    adapters = {"tensorflow": keras_arrays.KerasOnTensorFlow, "jax": keras_arrays.KerasOnJax}
    return adapters[keras.backend.backend()](module, loading, file)


def load_keras(path: str, loading: Loading) -> Model:
    """Load a `.keras` file without its optimiser.

    Raises:
        ModelError: Keras runs on another backend or cannot read the file, or the file holds a Lambda layer, which is
            code, and pickles are not allowed.
    """
    keras = imported(loading.name)
    try:
        with quiet():
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
    return from_module(module, loading, Path(path))
