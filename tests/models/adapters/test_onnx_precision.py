"""The number types that ONNX Runtime computes in, read from real files after its optimiser."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime import quantization

from pytest_modelbench.models.adapters import onnx_precision
from pytest_modelbench.models.adapters.onnx_runtime import OnnxModel
from pytest_modelbench.models.saved import Loading

WEIGHTS = np.linspace(-1, 1, 64 * 32, dtype=np.float32).reshape(64, 32)
ROWS = np.linspace(-1, 1, 4 * 64, dtype=np.float32).reshape(4, 64)


def write(path: Path, dtype: int = TensorProto.FLOAT) -> Path:
    weights = WEIGHTS.astype(helper.tensor_dtype_to_np_dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", dtype, ["batch", 64])],
        [helper.make_tensor_value_info("y", dtype, ["batch", 32])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    return path


class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Gives one batch."""

    def __init__(self) -> None:
        self.batches: Iterator[dict[str, Any]] = iter([{"x": ROWS}])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.batches, None)


def quantised(source: Path, path: Path, *, static: bool) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if static:
            quantization.quantize_static(str(source), str(path), Calibration())
        else:
            quantization.quantize_dynamic(str(source), str(path), weight_type=quantization.QuantType.QInt8)
    return path


def precision(path: Path) -> dict[str, Any]:
    return OnnxModel(path, Loading(name="student")).precision()


def test_float_files(tmp_path: Path) -> None:
    """A half-precision file on a processor is computed in single precision, between conversions."""
    whole = precision(write(tmp_path / "f32.onnx"))
    assert whole == {"computes_in": {"float32": 1}, "stored_as": "float32", "casts": 0, "note": ""}
    half = precision(write(tmp_path / "f16.onnx", TensorProto.FLOAT16))
    assert half["stored_as"] == "float16"
    assert half["note"] == "float16 on disk, float32 in the processor, with 2 conversions"


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
def test_quantised_files(tmp_path: Path, static: bool) -> None:
    """Integers are multiplied, so there is nothing to note."""
    path = quantised(write(tmp_path / "f32.onnx"), tmp_path / "int8.onnx", static=static)
    found = precision(path)
    assert found["computes_in"] == {"int8": 1}
    assert found["stored_as"] in {"int8", "uint8"}
    assert found["note"] == ""


def test_integers_that_are_only_stored(tmp_path: Path) -> None:
    """Weights that are turned into floats before the product make a smaller file, and no faster model."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "scale"], ["scaled"]),
            helper.make_node("Cast", ["weights"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["scaled", "wide"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 32])],
        [
            onnx.numpy_helper.from_array((WEIGHTS * 127).astype(np.int8), "weights"),
            onnx.numpy_helper.from_array(np.array(1 / 127, dtype=np.float32), "scale"),
        ],
    )
    path = tmp_path / "stored.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), str(path))
    assert precision(path)["note"] == "int8 on disk, float32 in the processor"


def test_what_cannot_be_known_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is not optimised once more, and a provider that writes no graph says why."""
    path = write(tmp_path / "f32.onnx")

    def refuse(_: str) -> None:
        raise RuntimeError("compiled nodes cannot be written")

    assert "compiled nodes cannot be written" in onnx_precision.precision_of(path, refuse)["unknown"]
    monkeypatch.setattr(onnx_precision, "LARGEST_BYTES", 10)
    assert "was not optimised once more" in precision(path)["unknown"]
