"""In which number types ONNX Runtime computes a file: read from the graph that it has optimised."""

from __future__ import annotations

import collections
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnx

from pytest_modelbench.errors import cause_of

LARGEST_BYTES = 2**30
"""Of a larger file no optimised copy is written: it would take its size of the temporary folder."""
_INTEGER = ("QLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QGemm", "QAttention", "QMoE")
"""Operators that multiply integers, by how their names start."""
_FIRST_INTEGER = {"MatMulInteger", "ConvInteger", "MatMulIntegerToFloat", "MatMulInteger16"}
_BLOCKWISE = {"MatMulNBits", "GatherBlockQuantized"}
"""Operators whose weights have fewer bits than what they compute in."""
_WITH_WEIGHTS = {
    "Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "LSTM", "GRU", "RNN",
    "Attention", "MultiHeadAttention",
}  # fmt: skip
_FLOATS = {"float16", "bfloat16", "float32", "float64"}

Optimise = Callable[[str], object]


def precision_of(path: Path, optimise: Optimise) -> dict[str, Any]:
    """Return in which number types the operators with weights are computed, and which ones the file stores.

    Args:
        path: of the ONNX file.
        optimise: writes the optimised graph to a path.

    Returns:
        JSON types: `computes_in` counts operators by type, `stored_as` is the type of most of the file's weights by
        bytes, `casts` counts conversions between floating-point types, and `note` says where the two differ.
    """
    if path.stat().st_size > LARGEST_BYTES:
        return {"unknown": f"the file is larger than {LARGEST_BYTES // 2**20} MiB, and was not optimised once more"}
    with tempfile.TemporaryDirectory(prefix="pytest-modelbench-") as folder:
        written = Path(folder) / "optimised.onnx"
        try:
            optimise(str(written))
            graph = onnx.load(str(written), load_external_data=False).graph
        except Exception as error:  # noqa: BLE001 - a provider may not be able to write its graph
            return {"unknown": f"ONNX Runtime cannot write the graph that it runs: {cause_of(error)}"}
    stored = _stored(onnx.load(str(path), load_external_data=False).graph)
    weights = {tensor.name: _type_name(tensor.data_type) for tensor in graph.initializer}
    computed = collections.Counter(dtype for node in graph.node if (dtype := _computed_in(node, weights)) is not None)
    casts = sum(_is_float_cast(node) for node in graph.node)
    return {
        "computes_in": dict(computed),
        "stored_as": stored,
        "casts": casts,
        "note": _note(stored, computed, casts),
    }


def _type_name(element: int) -> str:
    """Return numpy's name of an element type of ONNX."""
    name = str(onnx.TensorProto.DataType.Name(element)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _stored(graph: onnx.GraphProto) -> str:
    """Return the type that most bytes of a file's weights have; "" if it has none."""
    held: collections.Counter[str] = collections.Counter()
    for tensor in graph.initializer:
        size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for dimension in tensor.dims:
            size *= dimension
        held[_type_name(tensor.data_type)] += size
    return held.most_common(1)[0][0] if held else ""


def _computed_in(node: onnx.NodeProto, weights: dict[str, str]) -> str | None:
    """Return the type that an operator with weights computes in; None for other operators."""
    if node.op_type.startswith(_INTEGER) or node.op_type in _FIRST_INTEGER:
        return "int8"
    if node.op_type not in _WITH_WEIGHTS | _BLOCKWISE:
        return None
    return next((weights[name] for name in node.input if weights.get(name) in _FLOATS), None)


def _is_float_cast(node: onnx.NodeProto) -> bool:
    to = (attribute.i for attribute in node.attribute if attribute.name == "to")
    return node.op_type == "Cast" and any(_type_name(element) in _FLOATS for element in to)


def _note(stored: str, computed: Iterable[str], casts: int) -> str:
    """Say where what is computed in is wider than what is stored; "" where it is not."""
    types = sorted(computed)
    if not types or stored in types or not stored:
        return ""
    if stored in {"int8", "uint8", "int4", "uint4"} and "int8" in types:
        return ""
    between = f", with {casts} conversions" if casts else ""
    return f"{stored} on disk, {' and '.join(types)} in the processor{between}"
