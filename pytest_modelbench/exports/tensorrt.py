"""What can be said of TensorRT without a GPU: a screen of the ONNX file, and the commands to run where there is one.

A screen is never a pass: only the builder of TensorRT knows, and it needs the GPU.
"""

from __future__ import annotations

import collections
import functools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from pytest_modelbench.exports.source import SizeRange

LIST_VERSION = "10.0"
"""The version of TensorRT that `tensorrt_operators.txt` is of."""
OPSETS = range(9, 21)
_QUANTISERS = {"QuantizeLinear", "DequantizeLinear"}
_REMEDIES = {
    "DynamicQuantizeLinear": "export the float model, and let TensorRT quantise it (static scales)",
    "MatMulInteger": "export the float model, and let TensorRT quantise it (static scales)",
    "ConvInteger": "export the float model, and let TensorRT quantise it (static scales)",
    "QLinearConv": "quantise in the QDQ form (QuantFormat.QDQ), with zero points of 0",
    "QLinearMatMul": "quantise in the QDQ form (QuantFormat.QDQ), with zero points of 0",
}
Arrays = Mapping[str, npt.NDArray[Any]]


@functools.cache
def operators() -> tuple[frozenset[str], frozenset[str]]:
    """Return the operators that TensorRT's parser takes, and those that it is known not to take."""
    text = Path(__file__).with_name("tensorrt_operators.txt").read_text(encoding="utf-8")
    supported, unsupported = text.partition("supported:")[2].split("unsupported:")
    return frozenset(supported.split()), frozenset(unsupported.split())


def screen(path: Path) -> list[str]:
    """List the obstacles to a TensorRT engine of an ONNX file, each with its remedy if one is known.

    Args:
        path: of the ONNX file.

    Returns:
        One string for each finding; an empty list does not promise that an engine can be built.
    """
    model = onnx.load(str(path))
    return [*_opset(model), *_operators(model), *_zero_points(model)]


def _opset(model: onnx.ModelProto) -> Iterator[str]:
    for entry in model.opset_import:
        if entry.domain in {"", "ai.onnx"} and entry.version not in OPSETS:
            takes = f"{OPSETS[0]} to {OPSETS[-1]}"
            yield f"the file has opset {entry.version}, and TensorRT takes {takes}. Export with opset={OPSETS[-1]}"


def _operators(model: onnx.ModelProto) -> Iterator[str]:
    supported, unsupported = operators()
    local = {function.name for function in model.functions}
    counts = collections.Counter((node.domain, node.op_type) for node in _nodes(model))
    for (domain, operator), count in sorted(counts.items()):
        if operator in local:
            continue
        times = f"{operator} ({count} of them)" if count > 1 else operator
        if domain not in {"", "ai.onnx"}:
            yield f"the operator {domain}.{times} is not of ONNX itself, and needs a plugin of TensorRT"
        elif operator in unsupported:
            remedy = _REMEDIES.get(operator)
            yield f"TensorRT does not take the operator {times}" + (f". Remedy: {remedy}" if remedy else "")
        elif operator not in supported:
            yield f"the operator {times} is not in the list of TensorRT {LIST_VERSION}"


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield all operators, also those of branches, loops and local functions."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                waiting += graph.node


def _zero_points(model: onnx.ModelProto) -> Iterator[str]:
    """Find quantisers whose zero point is not 0, which TensorRT refuses."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    odd = 0
    for node in _nodes(model):
        if node.op_type in _QUANTISERS and len(node.input) > 2 and node.input[2] in constants:
            odd += bool(np.any(onnx.numpy_helper.to_array(constants[node.input[2]])))
    if odd:
        yield (
            f"{odd} quantisers have a zero point that is not 0, and TensorRT takes symmetric ones only. Remedy: "
            "quantise activations as int8 (QuantType.QInt8), symmetric"
        )


def commands(path: Path, inputs: Arrays, ranges: Mapping[str, SizeRange], engine: Path | None = None) -> list[str]:
    """Return the commands that build and compare an engine on a machine with a GPU.

    Args:
        path: of the ONNX file.
        inputs: one batch by input names; its shapes become the usual ones of the engine.
        ranges: the least and the greatest sizes that the engine must take, by input names.
        engine: where the engine is written; beside the ONNX file by default.
    """
    engine = engine or path.with_suffix(".engine")

    def shapes(of: Callable[[str], Sequence[int]]) -> str:
        return ",".join(f"{name}:{'x'.join(map(str, of(name)))}" for name in inputs)

    least, usual, most = (
        shapes(lambda name: ranges[name].least),
        shapes(lambda name: inputs[name].shape),
        shapes(lambda name: ranges[name].most),
    )
    dynamic = [f"--minShapes={least}", f"--optShapes={usual}", f"--maxShapes={most}"]
    bounds = [
        part
        for which, listed in (("min", least), ("opt", usual), ("max", most))
        for part in (f"--trt-{which}-shapes", *(_polygraphy_shape(entry) for entry in listed.split(",")))
    ]
    return [
        shlex.join(["trtexec", f"--onnx={path}", *dynamic, "--stronglyTyped", f"--saveEngine={engine}"]),
        shlex.join(
            [
                *("polygraphy", "run", str(path), "--trt", "--onnxrt", "--strongly-typed"),
                *(*bounds, "--data-loader-script", str(path.with_name("inputs.py"))),
            ]
        ),
    ]


def _polygraphy_shape(entry: str) -> str:
    name, _, sizes = entry.rpartition(":")
    return f"{name}:[{sizes.replace('x', ',')}]"


def write_samples(folder: Path, inputs: Sequence[Arrays], expected: Sequence[Arrays]) -> None:
    """Write inputs and the outputs that are expected for them, for the machine with the GPU.

    Args:
        folder: gets `inputs.npz`, `expected.npz`, and `inputs.py`, which polygraphy loads the inputs by.
        inputs: batches by input names.
        expected: the source's outputs for them, by output names.
    """
    for name, batches in (("inputs", inputs), ("expected", expected)):
        arrays: dict[str, Any] = {
            f"{i}/{key}": value for i, batch in enumerate(batches) for key, value in batch.items()
        }
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "inputs.py").write_text(_LOADER, encoding="utf-8")


_LOADER = '''"""Yields the batches of inputs.npz by input names, as polygraphy's --data-loader-script asks for."""

from pathlib import Path

import numpy as np


def load_data():
    arrays = np.load(Path(__file__).with_name("inputs.npz"))
    numbers = sorted({int(key.partition("/")[0]) for key in arrays})
    for number in numbers:
        yield {key.partition("/")[2]: arrays[key] for key in arrays if key.startswith(f"{number}/")}
'''
