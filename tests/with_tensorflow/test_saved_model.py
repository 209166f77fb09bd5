"""SavedModel folders that TensorFlow runs, and .tflite files in the interpreter that TensorFlow brings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters import litert
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

FILES = Path(__file__).parent.parent / "models" / "adapters" / "files"
INPUTS = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)


class Dense(tf.Module):  # type: ignore[misc] # TensorFlow is not typed
    """Eight inputs, three outputs, and their softmax under another signature."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(np.arange(24, dtype=np.float32).reshape(8, 3) / 24)
        self.steps = tf.Variable(3, dtype=tf.int64)

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="features")])  # type: ignore[untyped-decorator]
    def logits(self, features: Any) -> dict[str, Any]:
        return {"logits": features @ self.kernel + tf.cast(self.steps - 3, tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec((None, 8), tf.float32, name="features")])  # type: ignore[untyped-decorator]
    def shares(self, features: Any) -> dict[str, Any]:
        return {"shares": tf.nn.softmax(features @ self.kernel)}


@pytest.fixture
def layer() -> Dense:
    """Return the model that is saved."""
    return Dense()


def saved(layer: Dense, folder: Path, **signatures: Any) -> Path:
    """Save a module with signatures."""
    tf.saved_model.save(layer, str(folder), signatures=signatures)
    return folder


def wrapped(model: Any, **loading: Any) -> Model:
    return adapt(str(model), Loading(name="student", **loading))


def test_the_usual_signature_is_run(layer: Dense, tmp_path: Path) -> None:
    """Outputs are arrays by name; the input is matched by name or by order, and cast."""
    student = wrapped(saved(layer, tmp_path / "model", serving_default=layer.logits, shares=layer.shares))
    described = student.describe()
    assert (described["format"], described["signature"]) == ("TensorFlow", "serving_default")
    for batch in (INPUTS, INPUTS.astype(np.float64), {"features": INPUTS}):
        outputs = student(batch)
        assert isinstance(outputs["logits"], np.ndarray)
        assert np.allclose(outputs["logits"], INPUTS @ layer.kernel.numpy(), atol=1e-6)
    assert student.describe()["casts"] == {"features": "float64 -> float32"}


def test_another_signature_is_named(layer: Dense, tmp_path: Path) -> None:
    """It is part of the hash: the same folder is two models."""
    folder = saved(layer, tmp_path / "model", serving_default=layer.logits, shares=layer.shares)
    student = wrapped(f"{folder}?signature=shares")
    assert np.allclose(student(INPUTS)["shares"].sum(1), 1)
    assert student.fingerprint() != wrapped(folder).fingerprint()


def test_several_signatures_need_a_choice(layer: Dense, tmp_path: Path) -> None:
    """The message lists them and says what to write."""
    folder = saved(layer, tmp_path / "model", logits=layer.logits, shares=layer.shares)
    with pytest.raises(ModelError, match=r"has the signatures logits, shares\. Write model\?signature=logits"):
        wrapped(folder)
    with pytest.raises(ModelError, match=r"the signatures logits, shares, and not 'probabilities'\. Write model\?"):
        wrapped(f"{folder}?signature=probabilities")


def test_one_signature_needs_none(layer: Dense, tmp_path: Path) -> None:
    """Whatever its name is."""
    assert "logits" in wrapped(saved(layer, tmp_path / "model", first=layer.logits))(INPUTS)


def test_a_folder_without_signatures_is_explained(layer: Dense, tmp_path: Path) -> None:
    """Its functions have no names of inputs and outputs."""
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
    with pytest.raises(ModelError, match=r"model has no signature, so what it takes .* model.export"):
        wrapped(tmp_path / "model")


def test_parameters_are_counted_as_stored(layer: Dense, tmp_path: Path) -> None:
    """Variables that the signature reads; a counter of steps is none."""
    counted = wrapped(saved(layer, tmp_path / "model", serving_default=layer.logits)).count_parameters()
    assert (counted.total, counted.nonzero, counted.stored) == (24, 23, True)
    assert counted.buffers >= 1


def test_a_frozen_graph_has_its_weights_as_constants(layer: Dense, tmp_path: Path) -> None:
    """Here they are in a closure."""
    kernel = layer.kernel.numpy()
    frozen = tf.Module()
    frozen.run = tf.function(
        lambda features: {"logits": features @ tf.constant(kernel)},
        input_signature=[tf.TensorSpec((None, 8), tf.float32, name="features")],
    )
    counted = wrapped(saved(frozen, tmp_path / "model", serving_default=frozen.run)).count_parameters()
    assert (counted.total, counted.nonzero) == (24, 23)


def test_the_size_is_that_of_all_files(layer: Dense, tmp_path: Path) -> None:
    """As the folder is deployed."""
    folder = saved(layer, tmp_path / "model", serving_default=layer.logits)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert wrapped(folder).artefact().size_bytes == sum(path.stat().st_size for path in files)


def test_a_wrong_shape_is_refused(layer: Dense, tmp_path: Path) -> None:
    """Before TensorFlow is asked."""
    student = wrapped(saved(layer, tmp_path / "model", serving_default=layer.logits))
    with pytest.raises(ModelError, match=r"features"):
        student(INPUTS[:, :7])


@pytest.mark.parametrize("at", [150, 200, 212])
def test_a_damaged_folder_is_refused(layer: Dense, tmp_path: Path, at: int) -> None:
    """TensorFlow's readers raise, and do not end the process."""
    folder = saved(layer, tmp_path / "model", serving_default=layer.logits)
    for name in ("saved_model.pb", "variables/variables.index"):
        whole = bytearray((folder / name).read_bytes())
        damaged = Path(shutil.copytree(folder, tmp_path / f"{at}-{Path(name).stem}")) / name
        damaged.write_bytes(whole[: min(at, len(whole) - 10)])
        with pytest.raises(ModelError, match="cannot be loaded by TensorFlow|has no signature"):
            wrapped(tmp_path / f"{at}-{Path(name).stem}")


@pytest.mark.filterwarnings("ignore:os.fork")  # of JAX, which other tests of this process loaded
def test_both_runtimes_give_the_same(layer: Dense, tmp_path: Path) -> None:
    """OpenVINO where it is asked for; its own option needs it."""
    folder = saved(layer, tmp_path / "model", serving_default=layer.logits)
    other = wrapped(f"{folder}?runtime=openvino")
    assert other.describe()["format"] == "OpenVINO"
    assert np.allclose(other(INPUTS)["logits"], wrapped(folder)(INPUTS)["logits"], atol=1e-5)
    assert wrapped(f"{folder}?precision=f32").kind == "openvino"
    with pytest.raises(ModelError, match="OpenVINO runs the signature serving_default only"):
        wrapped(f"{folder}?runtime=openvino&signature=shares")


def test_an_unknown_device_is_named(layer: Dense, tmp_path: Path) -> None:
    """The message says what there is."""
    folder = saved(layer, tmp_path / "model", serving_default=layer.logits)
    with pytest.raises(ModelError, match="student cannot run on device 'cuda:7': TensorFlow finds CPU:0"):
        wrapped(folder, device="cuda:7")


@pytest.mark.parametrize("file", ["dense.tflite", "dense_int8.tflite"])
def test_the_interpreter_of_tensorflow_runs_tflite(file: str) -> None:
    """LiteRT is not installed here; scales and types are read as with it."""
    assert litert.available() == ["tensorflow", "openvino"]
    student = wrapped(FILES / file)
    assert student.describe()["format"] == "LiteRT in TensorFlow"
    outputs = next(iter(student(INPUTS[:, :4]).values()))
    assert outputs.dtype == np.float32
    assert outputs.shape[0] == 4
    assert student.count_parameters().total > 0
    assert student.describe()["precision"]["computes_in"]
