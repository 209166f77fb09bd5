"""Keras 3 models on the torch backend: real ones, live and from files."""

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

from pytest_modelbench.errors import MeasurementError, ModelError, NotApplicable
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.models.structure import structure_of
from pytest_modelbench.probes.answers.layers import module_of
from pytest_modelbench.probes.cost.flops import count_flops

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported
pytest.importorskip("keras", reason="needs keras")
import keras
from keras import layers

INPUTS = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
DROPOUT = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
from keras import layers
def classifier(seed=0, kernel=4):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [layers.Input((8,)), layers.Dense(kernel, activation="relu"), layers.BatchNormalization(),
         layers.Dropout(0.5), layers.Dense(3)]
    )
"""


def classifier(seed: int = 0, hidden: int = 4, activation: str = "relu") -> Any:
    """Return 8 inputs, a hidden layer, normalisation, Dropout (whose seed is a variable), 3 outputs."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            layers.Input((8,)),
            layers.Dense(hidden, activation=activation),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )


def two_inputs(form: Any) -> Any:
    """Return a model of the difference of its inputs, which are a mapping, a tuple or a list."""
    a, b = layers.Input((8,), name="a"), layers.Input((8,), name="b")
    keras.utils.set_random_seed(0)
    outputs = layers.Dense(3)(a - b)
    return keras.Model({"a": a, "b": b} if form is dict else form((a, b)), outputs)


def save(model: Any, path: Path) -> Path:
    """Save a model without the warnings of Keras' own writer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


def wrapped(model: Any, **loading: Any) -> Model:
    return adapt(model, Loading(name="student", **loading))


def array(outputs: Any) -> Any:
    return outputs.detach().numpy()


def test_a_keras_model_gets_its_own_adapter() -> None:
    """It is an nn.Module too; outputs are those of inference, without gradients."""
    model = classifier()
    student = wrapped(model)
    assert student.kind == "keras"
    assert np.array_equal(array(student(INPUTS)), array(model(INPUTS, training=False)))
    assert not student(INPUTS).requires_grad
    assert np.array_equal(array(student(INPUTS.astype(np.float64))), array(student(INPUTS)))


def test_the_seed_of_dropout_is_no_parameter() -> None:
    """The count is the one that Keras prints in its summary: 36 + 16 + 15."""
    model = classifier()
    counted = wrapped(model).count_parameters()
    assert counted.total == model.count_params() == 67
    assert sum(parameter.numel() for parameter in model.parameters()) == 69


def test_structured_zeros_are_those_of_outputs() -> None:
    """Keras keeps kernels with their outputs last."""
    model = keras.Sequential([layers.Input((8,)), layers.Dense(4, use_bias=False)])
    kernel = np.ones((8, 4), dtype=np.float32)
    kernel[[0, 1, 4, 5]] = 0
    model.set_weights([kernel])
    counted = wrapped(model).count_parameters()
    assert (counted.nonzero, counted.in_two_of_four) == (16, 32)
    assert counted.in_zero_rows == 16  # four inputs that nothing reads


def test_the_fingerprint_is_one_of_content() -> None:
    """A second build has other names of layers and the same content; each change is another model."""
    student = wrapped(classifier())
    assert student.fingerprint() == student.fingerprint() == wrapped(classifier()).fingerprint()
    assert "object" not in student.fingerprint()
    others = [classifier(seed=1), classifier(hidden=5), classifier(activation="tanh")]
    prints = {student.fingerprint(), *(wrapped(other).fingerprint() for other in others)}
    assert len(prints) == 4
    assert student.weights_hash() == wrapped(classifier()).weights_hash() != wrapped(others[0]).weights_hash()


def test_training_does_not_change_what_is_deployed() -> None:
    """The optimiser is neither part of the fingerprint nor of the size, and it is still there."""
    model = classifier()
    before = wrapped(model).fingerprint(), wrapped(model).artefact()
    model.compile(optimizer=keras.optimizers.Adam(0.0), loss="mse")
    weights = [weight.value.detach().numpy().copy() for weight in model.weights]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own
        model.fit(INPUTS, np.zeros((4, 3)), verbose=0)
        model.set_weights(weights)
    assert (wrapped(model).fingerprint(), wrapped(model).artefact()) == before
    assert model.compiled
    assert len(model.optimizer.variables) > 2


def test_structure_is_the_same_in_a_fresh_process() -> None:
    """Where it is the first model, and other models were built here before it; weights do not count."""
    code = textwrap.dedent(
        """
        from pytest_modelbench.models.registry import adapt
        from pytest_modelbench.models.saved import Loading
        from pytest_modelbench.models.structure import structure_of
        student = adapt(classifier(), Loading(name="student"))
        print(structure_of(student), student.fingerprint())
        """
    )
    told = subprocess.run([sys.executable, "-c", DROPOUT + code], check=True, capture_output=True, text=True).stdout
    classifier()
    student = wrapped(classifier())
    assert told.split() == [structure_of(student), student.fingerprint()]
    assert structure_of(wrapped(classifier(seed=3))) == structure_of(student)
    assert structure_of(wrapped(classifier(hidden=5))) != structure_of(student)


@pytest.mark.parametrize("form", [dict, tuple, list])
def test_several_inputs_are_one_argument(form: Any) -> None:
    """A mapping is matched by the names of inputs, a tuple by their order; a model that declares a list gets one."""
    model, a, b = two_inputs(form), INPUTS, INPUTS[::-1].copy()
    expected = array(model({"a": a, "b": b} if form is dict else form((a, b)), training=False))
    for inputs in [{"b": b, "a": a}, {"a": a, "b": b}] + ([] if form is dict else [(a, b)]):
        assert np.array_equal(array(wrapped(model)(inputs)), expected)


def test_several_outputs_are_a_tuple() -> None:
    """Keras returns a list, which would be read as one array."""
    inputs = layers.Input((8,))
    outputs = wrapped(keras.Model(inputs, [layers.Dense(3)(inputs), layers.Dense(3)(inputs)]))(INPUTS)
    assert isinstance(outputs, tuple)
    assert [tuple(output.shape) for output in outputs] == [(4, 3), (4, 3)]


def test_an_input_that_is_missing_is_named() -> None:
    """The message is Keras' own, behind the model's name."""
    with pytest.raises(ModelError, match='student raised ValueError .*Missing data for input "b"'):
        wrapped(two_inputs(dict))({"a": INPUTS})


class Difference(keras.Model):  # type: ignore[misc] # Keras is not typed
    """Takes two arguments, which no other Keras model does."""

    def call(self, a: Any, b: Any) -> Any:
        return a - b


def test_a_call_of_several_arguments_is_explained() -> None:
    """Keras' own error does not say what to write."""
    with pytest.raises(ModelError, match=r"as one argument: write call\(self, inputs\), where inputs is .* tuple"):
        wrapped(Difference())((INPUTS, INPUTS))


def test_a_replica_has_its_own_weights() -> None:
    """And answers the same."""
    student = wrapped(classifier())
    copied = student.replicate()
    assert copied is not None
    assert copied.fingerprint() == student.fingerprint()
    addresses = [{weight.value.data_ptr() for weight in one.module.weights} for one in (student, copied)]  # type: ignore[attr-defined]
    assert not addresses[0] & addresses[1]
    assert np.array_equal(array(copied(INPUTS)), array(student(INPUTS)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile's own imports
def test_torch_compile_takes_a_keras_model() -> None:
    """The compiled model is called as the original is."""
    student = wrapped(two_inputs(dict))
    inputs = {"a": INPUTS, "b": INPUTS[::-1].copy()}
    assert np.allclose(array(student.compiled()(inputs)), array(student(inputs)), atol=1e-6)


def test_the_models_own_mode_comes_back() -> None:
    """A call in training mode drops nothing, and the mode is still training after it."""
    model = classifier()
    model.train()
    student = wrapped(model)
    assert torch.equal(student(INPUTS), student(INPUTS))
    assert model.training


def test_hooks_on_layers_are_refused() -> None:
    """Layers of a Sequential are no submodules, so hooks would see nothing."""
    with pytest.raises(NotApplicable, match="student is a Keras model, whose layers are not submodules"):
        module_of(wrapped(classifier()))


def test_a_model_without_weights_is_refused() -> None:
    """It gets them at its first call; nothing before it has content."""
    model = keras.Sequential([layers.Dense(3)])
    student = wrapped(model)
    assert "object" in student.fingerprint()
    assert student.weights_hash() is None
    with pytest.raises(MeasurementError, match="Call the model on a batch before you return it"):
        student.count_parameters()
    model(INPUTS)
    assert student.count_parameters().total == 27
    assert "object" not in student.fingerprint()


ACTIVATION = "relu"


class Own(keras.Model):  # type: ignore[misc] # Keras is not typed
    """Makes its layer itself, so its own configuration does not name it."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3, activation=ACTIVATION)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def test_layers_of_a_subclassed_model_are_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models of one class and equal weights differ by what their layers compute."""
    found = []
    for activation in ("relu", "relu", "tanh"):
        monkeypatch.setattr(sys.modules[__name__], "ACTIVATION", activation)
        keras.utils.set_random_seed(0)
        model = Own()
        model(INPUTS)
        found.append(wrapped(model))
    assert found[0].fingerprint() == found[1].fingerprint() != found[2].fingerprint()
    assert structure_of(found[0]) == structure_of(found[1]) != structure_of(found[2])
    assert "object" not in found[0].fingerprint()


class Bent(keras.Model):  # type: ignore[misc] # Keras is not typed
    """Has an argument, and no get_config()."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def call(self, inputs: Any) -> Any:
        return self.function(inputs)


def test_a_model_without_configuration_counts_by_identity() -> None:
    """Nothing tells two of them apart, so none equals another."""
    student = wrapped(Bent(torch.relu))
    student(INPUTS)
    assert "object" in student.fingerprint() != wrapped(Bent(torch.relu)).fingerprint()
    assert structure_of(student)
    with pytest.raises(MeasurementError, match="student cannot be saved by Keras: "):
        student.artefact()


def test_a_keras_file_is_the_model(tmp_path: Path) -> None:
    """It answers as the model that was saved, has its fingerprint, and its size is that of the file."""
    model = classifier()
    student = wrapped(save(model, tmp_path / "student.keras"))
    assert np.array_equal(array(student(INPUTS)), array(model(INPUTS, training=False)))
    assert student.fingerprint() == wrapped(model).fingerprint()
    assert student.artefact().size_bytes == (tmp_path / "student.keras").stat().st_size
    assert student.describe()["file"] == "student.keras"
    copied = student.replicate()
    assert copied is not None
    assert copied.artefact() == student.artefact()


def test_a_lambda_layer_is_refused_like_a_pickle(tmp_path: Path) -> None:
    """The function of the layer is code in the file."""
    model = keras.Sequential([layers.Input((8,)), layers.Lambda(lambda x: 2 * x)])
    path = save(model, tmp_path / "code.keras")
    with pytest.raises(ModelError, match="code.keras is a model with a Lambda layer.*--modelbench-allow-pickle"):
        wrapped(path)
    assert np.array_equal(array(wrapped(path, allow_pickle=True)(INPUTS)), 2 * INPUTS)


def test_an_unknown_class_is_explained(tmp_path: Path) -> None:
    """Keras finds a class of the user's only if it was registered."""
    model = Difference()
    model(INPUTS, INPUTS)
    path = save(model, tmp_path / "own.keras")
    with pytest.raises(
        ModelError,
        match=r"own.keras (cannot be read by Keras|is damaged: the checksum of its part): .*Register the class by @keras",
    ):
        wrapped(path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Keras' readers of zip and HDF5 raise errors of many types."""
    path = save(classifier(), tmp_path / "student.keras")
    whole = bytearray(path.read_bytes())
    at = whole.index(b"model.weights.h5") + 40
    whole[at : at + 200] = bytes(200)
    path.write_bytes(whole)
    with pytest.raises(
        ModelError, match=r"student: .*student.keras (cannot be read by Keras|is damaged: the checksum of its part)"
    ):
        wrapped(path)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("", "answered torch"),
        (
            "import os; os.environ['KERAS_BACKEND'] = 'tensorflow'",
            (
                "KERAS_BACKEND is 'tensorflow', and tensorflow is not installed. Install it: pip install "
                "'pytest-modelbench[tensorflow]', or set KERAS_BACKEND=torch before Keras is imported"
            ),
        ),
        ("import keras, os; os.environ['KERAS_BACKEND'] = 'jax'", "and Keras runs on the backend 'torch': it was"),
        ("import os; os.environ['KERAS_BACKEND'] = 'openvino'; import keras", "runs on the backend 'openvino'"),
    ],
)
def test_the_backend_is_torch_or_an_error(tmp_path: Path, before: str, words: str) -> None:
    """It is chosen at the first import: the adapter chooses torch, unless somebody else chose before."""
    path = save(classifier(), tmp_path / "student.keras")
    code = textwrap.dedent(
        f"""
        {before}
        import sys
        from pytest_modelbench.errors import ModelError
        from pytest_modelbench.models.registry import adapt
        from pytest_modelbench.models.saved import Loading
        try:
            student = adapt({str(path)!r}, Loading(name="student"))
            print("answered", sys.modules["keras"].backend.backend())
        except ModelError as error:
            print(error)
        """
    )
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    if before.startswith("import keras"):
        environment["KERAS_BACKEND"] = "torch"
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    ).stdout
    assert words in told
    if "openvino" in before:
        assert "expected torch, tensorflow, jax. Set KERAS_BACKEND=torch before Keras is imported" in told


def test_a_live_model_of_another_backend_is_refused() -> None:
    """It is no torch module; the message has the ways out."""
    code = textwrap.dedent(
        """
        import os; os.environ["KERAS_BACKEND"] = "openvino"
        import keras
        from pytest_modelbench.errors import ModelError
        from pytest_modelbench.models.registry import adapt
        from pytest_modelbench.models.saved import Loading
        try:
            adapt(keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(3)]), Loading(name="student"))
        except ModelError as error:
            print(error)
        """
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "student is a Keras model, and Keras runs on the backend 'openvino'" in told
    assert "the SavedModel or ONNX file that model.export(...) writes" in told


def test_operations_are_counted() -> None:
    """Those of torch's dispatcher: 2 * 8 * 4 and 2 * 4 * 3 for each sample."""
    counted = count_flops(wrapped(classifier()), INPUTS, 4)
    assert counted.per_sample == 2 * 8 * 4 + 2 * 4 * 3
