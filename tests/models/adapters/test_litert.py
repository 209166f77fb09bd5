"""LiteRT: files that TensorFlow wrote, with open, fixed and quantised inputs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated

from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.litert import LiteRtModel, Quantised
from pytest_modelbench.models.adapters.openvino import OpenVinoModel
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

FILES = Path(__file__).parent / "files"
WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10 - 0.5
BIAS = np.array([0.1, -0.2, 0.3], dtype=np.float32)
INPUTS = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
EXPECTED = INPUTS @ WEIGHTS + BIAS


def load(name: str, **loading: Any) -> LiteRtModel:
    model = adapt(str(FILES / name), Loading(name="student", **loading))
    assert isinstance(model, LiteRtModel)
    return model


def test_answers_by_the_names_of_the_signature() -> None:
    """Batches of any size fit where the file leaves the size open."""
    model = load("dense.tflite", threads=2)
    assert np.allclose(model({"x": INPUTS})["logits"], EXPECTED, atol=1e-6)
    assert np.allclose(model(INPUTS[:1])["logits"], EXPECTED[:1], atol=1e-6)
    assert (model.count_parameters().total, model.count_parameters().nonzero) == (15, 14)
    assert model.precision() == {"computes_in": {"float32": 1}, "stored_as": "float32", "note": ""}
    assert model.describe()["threads"] == 2
    assert model.fingerprint() == load("dense.tflite").fingerprint()


def test_two_batches_and_own_copies() -> None:
    """Calls on batches of different sizes take turns, and no result changes afterwards."""
    model = load("dense.tflite")
    two, one = model.bind(INPUTS), model.bind(INPUTS[:1])
    first = two()["logits"]
    assert one()["logits"].shape == (1, 3)
    assert np.allclose(first, EXPECTED, atol=1e-6)
    assert np.array_equal(two()["logits"], first)


def test_a_fixed_batch_is_told() -> None:
    """A file for one sample does not take two."""
    model = load("dense_fixed.tflite")
    assert np.allclose(model(INPUTS[:1])["Identity"], EXPECTED[:1], atol=1e-6)
    with pytest.raises(ModelError, match=r"takes only batch 1: x \(float32, 1x4\), found 2x4.*batch_size=1"):
        model(INPUTS)
    with pytest.raises(ModelError, match=r"found an input of shape 1x3, the file dense_fixed.tflite takes x"):
        model(INPUTS[:1, :3])


def test_quantised_inputs_and_outputs_are_converted() -> None:
    """By the file's own scales, which are stated; integers of the file's type are taken as they are."""
    model = load("dense_int8.tflite")
    outputs = model(INPUTS)["logits"]
    assert outputs.dtype == np.float32
    assert np.abs(outputs - EXPECTED).max() < 0.02
    told = model.describe()
    assert told["quantised"] == {
        "x": "int8 (scale 0.0078189, zero point 0)",
        "logits": "int8 (scale 0.00975111, zero point -20)",
    }
    assert told["casts"] == {"x": "float32 -> int8 (scale 0.0078189, zero point 0)"}
    assert told["precision"]["computes_in"] == {"int8": 1}
    stored = Quantised(np.dtype(np.int8), 0.007818896323442459, 0).store(INPUTS)
    assert np.array_equal(model(stored)["logits"], outputs)


def test_quantising_rounds_and_limits() -> None:
    """Worked by hand: 0.5 is 5 tenths, shifted by 10; what lies outside of the range becomes its end."""
    quantised = Quantised(np.dtype(np.uint8), 0.1, 10)
    assert list(quantised.store(np.array([0.5, -9, 99, 0.04]))) == [15, 0, 255, 10]
    assert np.allclose(quantised.real(np.array([15, 0], dtype=np.uint8)), [0.5, -1])


def test_openvino_reads_it_where_litert_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With neither of them the user learns what to install."""
    path = str(FILES / "dense.tflite")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "litert" in name else found(name))
    assert isinstance(adapt(path, Loading(name="student")), OpenVinoModel)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModelError, match=r"pip install 'pytest-modelbench\[litert\]'"):
        adapt(path, Loading(name="student"))


def test_refused(tmp_path: Path) -> None:
    """Each says what is wrong."""
    for path, device, words in (
        (
            f"{FILES / 'dense.tflite'}?runtime=tvm",
            None,
            "runtime=tvm is unknown, expected litert, tensorflow or openvino",
        ),
        (str(FILES / "dense.tflite"), "cuda", "runs dense.tflite on cpu only, not on cuda"),
    ):
        with pytest.raises(ModelError, match=words):
            adapt(path, Loading(name="student", device=device))
    cut = tmp_path / "cut.tflite"
    cut.write_bytes((FILES / "dense.tflite").read_bytes()[:400])
    with pytest.raises(ModelError, match="cut.tflite cannot be loaded by LiteRT"):
        adapt(str(cut), Loading(name="student"))


def test_smaller_batches_are_padded(tmp_path: Path) -> None:
    """A file for five samples takes two; the outputs are those of the two, and the description states it."""
    content = schema_py_generated.ModelT.InitFromPackedBuf((FILES / "dense_fixed.tflite").read_bytes(), 0)
    for tensor in content.subgraphs[0].tensors:
        if list(tensor.shape)[:1] == [1]:
            tensor.shape = [5, *tensor.shape[1:]]
            tensor.shapeSignature = None
    builder = flatbuffers.Builder(0)
    builder.Finish(content.Pack(builder), b"TFL3")
    (tmp_path / "five.tflite").write_bytes(builder.Output())
    model = adapt(str(tmp_path / "five.tflite"), Loading(name="student", pads=True))
    outputs = model(INPUTS)
    assert np.allclose(outputs["Identity"], EXPECTED, atol=1e-6)
    assert model.describe()["padding"] == {"note": "batches are padded to 5", "smallest": 2}
    with pytest.raises(ModelError, match="takes only batch 5: x .*found 6x4"):
        model(np.ones((6, 4)))
