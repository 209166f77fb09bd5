"""OpenVINO: its IR written by openvino itself, a SavedModel and a .tflite file that TensorFlow wrote."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.openvino import OpenVinoModel
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

FILES = Path(__file__).parent / "files"
WEIGHTS = np.arange(24, dtype=np.float32).reshape(8, 3) / 10
INPUTS = np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)
DENSE = np.arange(12, dtype=np.float32).reshape(4, 3) / 10 - 0.5
BIAS = np.array([0.1, -0.2, 0.3], dtype=np.float32)
FEW = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


SIGNALLED = """
import faulthandler, gc, os, signal, sys
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
faulthandler.enable()
first, second = (adapt(sys.argv[1], Loading(name=name)) for name in ("first", "second"))
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGTERM, lambda number, frame: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def write(path: Path, *, halved: bool = False, width: int = 3) -> Path:
    """Write a model of one product and one sum, with two outputs."""
    given = ops.parameter([-1, 8], np.float32, name="x")
    given.output(0).get_tensor().set_names({"x"})
    product = ops.matmul(given, ops.constant(WEIGHTS[:, :width]), False, False)
    product.output(0).get_tensor().set_names({"logits"})
    total = ops.reduce_sum(product, ops.constant(np.array([0, 1])), False)
    total.output(0).get_tensor().set_names({"total"})
    openvino.save_model(openvino.Model([product, total], [given], "net"), path, compress_to_fp16=halved)
    return path


def load(path: Path | str, **loading: Any) -> OpenVinoModel:
    model = adapt(str(path), Loading(name="student", **loading))
    assert isinstance(model, OpenVinoModel)
    return model


def refused(path: Path | str, words: str, **loading: Any) -> None:
    with pytest.raises(ModelError, match=words) as error:
        load(path, **loading)
    assert str(error.value).startswith("student")


def test_answers_counts_and_identity(tmp_path: Path) -> None:
    """Outputs come by name; weights are counted as stored; size and hash are those of both files."""
    path = write(tmp_path / "model.xml")
    model, weights = load(path, threads=2), tmp_path / "model.bin"
    outputs = model({"x": INPUTS.astype(np.float64)})
    assert list(outputs) == ["logits", "total"]
    assert np.allclose(outputs["logits"], INPUTS @ WEIGHTS, atol=1e-6)
    assert model.describe()["casts"] == {"x": "float64 -> float32"}
    assert (model.count_parameters().total, model.count_parameters().nonzero) == (24, 23)
    assert model.artefact().size_bytes == path.stat().st_size + weights.stat().st_size
    assert model.compiled_model.get_property("INFERENCE_NUM_THREADS") == model.describe()["threads"] == 2
    before = model.fingerprint()
    assert before == load(path).fingerprint()
    content = bytearray(weights.read_bytes())
    content[4] ^= 1
    weights.write_bytes(content)
    assert load(path).fingerprint() != before


def test_results_are_own_copies(tmp_path: Path) -> None:
    """A later call, also of another batch, must not change what an earlier one returned."""
    model = load(write(tmp_path / "model.xml"))
    first = model(INPUTS)["logits"]
    kept = first.copy()
    model(INPUTS[:1] + 5)
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(model.bind(INPUTS)()["logits"], kept)


def test_precision_is_read_from_the_compiled_model(tmp_path: Path) -> None:
    """Float32 is computed unless another type is asked for, and weights stored in 16 bits are told."""
    told = load(write(tmp_path / "model.xml")).precision()
    assert told == {"computes_in": {"float32": 1}, "stored_as": "float32", "hint": "float32", "note": ""}
    path = write(tmp_path / "halved.xml", halved=True)
    told = load(path).precision()
    assert (told["hint"], told["stored_as"]) == ("float32", "float16")
    assert "weights stored as f16" in told["note"]
    assert "compress_to_fp16=False" in told["note"]
    asked = load(f"{path}?precision=bf16").precision()
    assert asked["hint"] != "bfloat16" or asked["computes_in"] == {"bfloat16": 1}
    assert asked["hint"] == "bfloat16" or "asked for bfloat16, computed in float32" in asked["note"]


def test_unknown_options(tmp_path: Path) -> None:
    """A model that was asked to run otherwise is never run as usual."""
    path = write(tmp_path / "model.xml")
    refused(f"{path}?precision=i4", "precision=i4 is unknown, expected f32, f16, bf16")
    refused(path, "cannot run model.xml on the device cuda; it finds CPU", device="cuda")


def test_weights_missing_or_of_another_model(tmp_path: Path) -> None:
    """The graph and its weights are two files, and each alone is nothing."""
    path = write(tmp_path / "model.xml")
    write(tmp_path / "other.xml", width=2)
    shutil.copy(tmp_path / "other.bin", tmp_path / "model.bin")
    refused(path, r"reads \d+ bytes of weights, and model.bin has \d+: it belongs to another model")
    (tmp_path / "model.bin").unlink()
    refused(path, "keeps its weights in model.bin, and there is no such file")
    path.write_text(path.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    refused(path, "cannot be read as OpenVINO")


def test_a_saved_model_needs_no_tensorflow(tmp_path: Path) -> None:
    """All files of the folder are the model; without its variables it is refused."""
    folder = Path(shutil.copytree(FILES / "dense_savedmodel", tmp_path / "model"))
    model = load(folder)
    assert np.allclose(model({"x": FEW})["logits"], FEW @ DENSE + BIAS, atol=1e-6)
    assert model.artefact().size_bytes == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert model.count_parameters().total == 15
    shutil.rmtree(folder / "variables")
    refused(folder, "Variable or resource .* is not initialized")


def test_a_tflite_file_in_openvino() -> None:
    """It is read on request; quantised outputs are not, since their scale is unknown."""
    model = load(f"{FILES / 'dense.tflite'}?runtime=openvino")
    (outputs,) = model(FEW).values()
    assert np.allclose(outputs, FEW @ DENSE + BIAS, atol=1e-6)
    refused(f"{FILES / 'dense_int8.tflite'}?runtime=openvino", "has quantised inputs or outputs.*Install LiteRT")


def test_a_fixed_batch_is_told(tmp_path: Path) -> None:
    """A smaller batch is padded; the error for a larger one names the size that the file takes and what to write."""
    path = write(tmp_path / "model.xml")
    net = openvino.Core().read_model(path)
    net.reshape([2, 8])
    openvino.save_model(net, tmp_path / "fixed.xml")
    model = load(tmp_path / "fixed.xml", pads=True)
    assert model(INPUTS)["logits"].shape == (2, 3)
    with pytest.raises(
        ModelError, match=r"batch of 1 cannot be padded: the output 'total' has shape \(\), not 2 rows"
    ):
        model(INPUTS[:1])
    with pytest.raises(ModelError, match=r"takes only batch 2: x \(float32, 2x8\), found 4x8\. Export"):
        model(np.concatenate([INPUTS, INPUTS]))


def test_smaller_batches_are_padded(tmp_path: Path) -> None:
    """The outputs are those of the rows that were asked for, and the description states it."""
    x = openvino.opset13.parameter([4, 8], np.float32, name="x")
    x.output(0).set_names({"x"})
    openvino.save_model(openvino.Model([openvino.opset13.tanh(x)], [x]), tmp_path / "fixed.xml")
    model = load(tmp_path / "fixed.xml", pads=True)
    (answer,) = model(INPUTS).values()
    assert np.allclose(answer, np.tanh(INPUTS), atol=1e-6)
    assert model.describe()["padding"] == {"note": "batches are padded to 4", "smallest": 2}


def test_signals_are_handled_after_models_are_gone(tmp_path: Path) -> None:
    """Processors with AMX: models that end in the order in which they began leave no freed signal stack behind."""
    command = [sys.executable, "-c", SIGNALLED, str(write(tmp_path / "model.xml"))]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (0, "handled\n"), finished.stderr
