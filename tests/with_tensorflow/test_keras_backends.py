"""Keras 3 on the backend that KERAS_BACKEND names, TensorFlow or JAX: real models, live and from files."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench.errors import ModelError, NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.structure import structure_of
from pytest_modelbench.probes.answers.layers import module_of

BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras  # noqa: E402 - it reads the variable
from keras import layers  # noqa: E402

INPUTS = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
OTHER = {"tensorflow": "jax", "jax": "tensorflow"}[BACKEND]
CLASSIFIER = """
import keras
from keras import layers
def classifier(seed=0, hidden=4):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [layers.Input((8,)), layers.Dense(hidden, activation="relu"), layers.BatchNormalization(),
         layers.Dropout(0.5), layers.Dense(3)]
    )
"""


def classifier(seed: int = 0, hidden: int = 4) -> Any:
    """Return 8 inputs, a hidden layer, normalisation, Dropout (whose seed is a variable), 3 outputs."""
    made: dict[str, Any] = {}
    exec(CLASSIFIER, made)  # noqa: S102 - fresh processes run the same text
    return made["classifier"](seed, hidden)


def two_inputs(form: type) -> Any:
    """Return a model of the difference of its inputs, and of their sum, which takes a mapping, tuple or list."""
    a, b = layers.Input((8,), name="a"), layers.Input((8,), name="b")
    keras.utils.set_random_seed(0)
    outputs = [layers.Dense(3)(a - b), a + b]
    return keras.Model({"a": a, "b": b} if form is dict else form((a, b)), outputs)


def save(model: Any, path: Path) -> Path:
    """Save a model without the warnings of Keras' own writer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def wrapped(model: Any, **loading: Any) -> Model:
    return adapt(model, Loading(name="student", **loading))


def weights_of(model: Any) -> list[Any]:
    """Return the weights without the warning of Keras' own conversion."""
    return [np.asarray(weight.value) for weight in model.weights]


def called(model: Any, inputs: Any) -> Any:
    """Return what Keras itself computes."""
    return np.asarray(model(inputs, training=False))


def test_a_model_gets_the_adapter_of_its_backend() -> None:
    """It answers as Keras does, whatever the batch is made of, and outputs are read where they are."""
    model = classifier()
    student = wrapped(model)
    assert (student.kind, student.describe()["backend"]) == ("keras", BACKEND)
    expected = called(model, INPUTS)
    for batch in (INPUTS, INPUTS.astype(np.float64), torch.from_numpy(INPUTS)):
        assert np.allclose(np.asarray(student(batch)), expected, atol=1e-6)
    assert student.describe()["inputs"] == "float64 cast to float32"
    outputs = student(INPUTS)
    assert np.shares_memory(np.asarray(outputs), np.asarray(outputs))


def test_a_call_is_compiled_once_as_predict_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs the layers at the first call only, unless the model says run_eagerly."""
    calls = []
    dense = layers.Dense(3)
    original = dense.call

    def call_of_layer(*args: Any, **keywords: Any) -> Any:
        calls.append(1)
        return original(*args, **keywords)

    monkeypatch.setattr(dense, "call", call_of_layer)
    model = keras.Sequential([layers.Input((8,)), dense])
    student = wrapped(model)
    calls.clear()
    call = student.bind(INPUTS)
    for _ in range(4):
        call()
    assert len(calls) == 1
    with pytest.raises(NotApplicable, match="which runs by (tf.function|jax.jit) already, as model.predict"):
        student.compiled()
    model.run_eagerly = True
    call = wrapped(model).bind(INPUTS)
    calls.clear()
    call()
    call()
    assert len(calls) == 2


def test_weights_that_change_are_seen() -> None:
    """A compiled model reads its weights at each call."""
    model = keras.Sequential([layers.Input((8,)), layers.Dense(3)])
    student = wrapped(model)
    before = np.asarray(student(INPUTS))
    model.set_weights([2 * weight for weight in weights_of(model)])
    assert np.allclose(np.asarray(student(INPUTS)), 2 * before, atol=1e-6)


def test_counts_are_those_of_the_summary() -> None:
    """36 + 16 + 15, without the seed of Dropout; zeros of whole inputs are structured."""
    assert wrapped(classifier()).count_parameters().total == classifier().count_params() == 67
    model = keras.Sequential([layers.Input((8,)), layers.Dense(4, use_bias=False)])
    kernel = np.ones((8, 4), dtype=np.float32)
    kernel[[0, 1, 4, 5]] = 0
    model.set_weights([kernel])
    counted = wrapped(model).count_parameters()
    assert (counted.total, counted.nonzero, counted.in_two_of_four, counted.in_zero_rows) == (32, 16, 32, 16)


def test_the_fingerprint_is_one_of_content_in_every_process() -> None:
    """A second build has other names of layers and the same content; another backend is another model."""
    code = CLASSIFIER + textwrap.dedent(
        """
        from pytest_modelbench.models.registry import adapt
        from pytest_modelbench.models.saved import Loading
        from pytest_modelbench.models.structure import structure_of
        student = adapt(classifier(), Loading(name="student"))
        print(structure_of(student), student.fingerprint())
        """
    )

    def told(backend: str) -> list[str]:
        environment = {**os.environ, "KERAS_BACKEND": backend}
        return subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
        ).stdout.split()

    classifier()
    student = wrapped(classifier())
    own = [structure_of(student), student.fingerprint()]
    assert told(BACKEND) == own
    assert "object" not in own[1]
    assert told("torch")[1] != own[1]
    assert student.fingerprint() != wrapped(classifier(hidden=5)).fingerprint()
    assert student.weights_hash() != wrapped(classifier(seed=1)).weights_hash()


@pytest.mark.parametrize("form", [dict, tuple, list])
def test_several_inputs_are_one_argument_and_outputs_a_tuple(form: type) -> None:
    """Data are a mapping or a tuple; a model that declares a list gets one."""
    student = wrapped(two_inputs(form))
    other = INPUTS[::-1].copy()
    batches = [{"a": INPUTS, "b": other}] + ([] if form is dict else [(INPUTS, other)])
    for batch in batches:
        difference, total = student(batch)
        assert np.asarray(difference).shape == (4, 3)
        assert np.allclose(np.asarray(total), INPUTS + other)


class Own(keras.Model):  # type: ignore[misc] # Keras is not typed
    """Makes its weights at its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def test_a_model_is_built_by_its_first_batch() -> None:
    """Weights cannot be made by what is compiled."""
    student = wrapped(Own())
    assert "object" in student.fingerprint()
    outputs = np.asarray(student(INPUTS))
    assert np.allclose(outputs, np.asarray(student(INPUTS)))
    assert student.count_parameters().total == 27
    assert "object" not in student.fingerprint()


def test_a_replica_has_its_own_weights() -> None:
    """And answers the same."""
    student = wrapped(classifier())
    copied = student.replicate()
    assert copied is not None
    assert copied.fingerprint() == student.fingerprint()
    assert np.array_equal(np.asarray(copied(INPUTS)), np.asarray(student(INPUTS)))
    copied.module.set_weights([0 * weight for weight in weights_of(copied.module)])  # type: ignore[attr-defined]
    assert np.asarray(student(INPUTS)).any()


def test_gradients_by_the_inputs() -> None:
    """Of a linear model they are its kernel."""
    model = keras.Sequential([layers.Input((8,)), layers.Dense(3)])
    gradient = wrapped(model).pull_back(INPUTS, None, lambda outputs: np.eye(3)[[0, 1, 2, 0]].astype(outputs.dtype))
    assert gradient is not None
    assert np.allclose(gradient, weights_of(model)[0].T[[0, 1, 2, 0]])


def test_half_precision_becomes_float32() -> None:
    """A model in bfloat16 answers in numbers that numpy has."""
    from pytest_modelbench.data.arrays import output_array

    model = keras.Sequential([layers.Input((8,)), layers.Dense(3, dtype="bfloat16")])
    student = wrapped(model)
    assert output_array(student(INPUTS)).dtype == np.float32
    assert student.count_parameters().total == 27
    assert "object" not in student.fingerprint()


def test_a_keras_file_is_the_model(tmp_path: Path) -> None:
    """It answers as the model that was saved, has its fingerprint, and its size is that of the file."""
    model = classifier()
    student = wrapped(save(model, tmp_path / "student.keras"))
    assert np.allclose(np.asarray(student(INPUTS)), called(model, INPUTS), atol=1e-6)
    assert student.fingerprint() == wrapped(model).fingerprint()
    assert student.artefact().size_bytes == (tmp_path / "student.keras").stat().st_size
    assert wrapped(model).artefact().size_bytes > 1000


def test_an_unknown_device_is_named() -> None:
    """The message says what there is."""
    with pytest.raises(ModelError, match="student cannot run on device 'cuda:7': (TensorFlow|JAX) finds"):
        wrapped(classifier(), device="cuda:7")
    assert "CPU" in wrapped(classifier(), device="cpu").describe()["device"].upper()


def test_threads_are_told() -> None:
    """Neither library changes them once it has started."""
    described = wrapped(classifier(), threads=97).describe()
    assert described["threads"] != 97
    assert "97 asked for" in described["threads_note"]
    assert "in the environment" in described["threads_note"] or "before it is imported" in described["threads_note"]


def test_another_backend_than_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras reads the variable once."""
    monkeypatch.setenv("KERAS_BACKEND", OTHER)
    with pytest.raises(
        ModelError, match=f"KERAS_BACKEND is '{OTHER}', and Keras runs on the backend '{BACKEND}': it was imported"
    ):
        wrapped(classifier())


def test_layers_take_no_hooks() -> None:
    """KPIs that look into layers are not applicable."""
    with pytest.raises(NotApplicable, match="student is a keras: layers are those of a torch module"):
        module_of(wrapped(classifier()))
