"""Exports torch modules and scikit-learn estimators to ONNX, and checks the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from pytest_modelbench.data.arrays import as_array
from pytest_modelbench.errors import ModelError
from pytest_modelbench.exports.source import Source, by_input

ONE_FILE = 1_000_000_000
"""Up to how many bytes of weights the file holds them itself; protobuf ends at 2 GB."""


def export(source: Source, folder: Path) -> Path:
    """Write an ONNX file, with the weights in it up to 1 GB.

    Raises:
        ModelError: the file does not have the opset that was asked for; exporters keep their own without an error.
    """
    path = folder / "model.onnx"
    _write(source, path)
    written = _opset_of(path)
    if source.opset not in {None, written}:
        raise ModelError(
            f"asked for opset={source.opset}, and the exporter wrote opset {written}. Write opset={written}, or "
            "leave opset out"
        )
    return path


def _write(source: Source, path: Path) -> None:
    if source.model.kind == "sklearn":
        onnx.save(_estimator(source), str(path))
        return
    torch.onnx.export(
        source.module,
        (*source.args, {}) if source.nested else source.args,  # a mapping at the end would become keyword arguments
        path,
        kwargs=dict(source.kwargs),
        dynamo=True,
        external_data=source.model.weight_bytes() > ONE_FILE,
        opset_version=source.opset,
        dynamic_shapes=source.shapes(lambda name, at: "batch" if at == 0 else f"{name}_{at}"),
        input_names=list(by_input(source.example)) if source.nested else None,
        output_names=list(source.outputs) or None,
        verbose=False,
    )


def _opset_of(path: Path) -> int:
    """Return the version of ONNX's own operators in a file; 0 if it uses none."""
    entries = onnx.load(str(path), load_external_data=False).opset_import
    return next((entry.version for entry in entries if entry.domain in {"", "ai.onnx"}), 0)


def _estimator(source: Source) -> Any:
    """Return a fitted estimator as ONNX, without ZipMap, and with the one output that the adapter answers."""
    import skl2onnx

    if len(by_input(source.example)) != 1:
        raise ModelError(f"{source.model.name}: scikit-learn estimators take one table, found a tree of inputs")
    example = as_array(source.example)
    if example.dtype.kind not in "fiub":
        raise ModelError(f"{source.model.name}: only tables of numbers are exported, found {example.dtype}")
    scores = getattr(source.model, "method", "") == "predict_proba"
    classifier = source.model.classes is not None or bool(getattr(source.model, "heads", None))
    model = skl2onnx.to_onnx(
        source.module,
        example.astype(np.float32),
        target_opset=source.opset,
        options={id(source.module): {"zipmap": False}} if scores else None,
    )
    if not classifier:
        return _flat(model)
    for at, output in enumerate(list(model.graph.output)):
        if (at == 0) is scores:  # the first has the labels
            model.graph.output.remove(output)
    return model


def _flat(model: Any) -> Any:
    """Return the model of a regressor with one target with one number for each row: skl2onnx gives a column."""
    output = model.graph.output[0]
    sizes = output.type.tensor_type.shape.dim
    if len(sizes) != 2 or sizes[1].dim_value != 1:
        return model
    column = output.name
    axes = onnx.numpy_helper.from_array(np.array([1], dtype=np.int64), "column_axis")
    model.graph.initializer.append(axes)
    model.graph.node.append(onnx.helper.make_node("Squeeze", [column, "column_axis"], [f"{column}_flat"]))
    output.name = f"{column}_flat"
    del sizes[1]
    return model


def check(path: Path) -> str:
    """Check a file with the types and shapes of its operators; return its opset and IR version in words.

    Raises:
        ModelError: its opset is newer than any that was released with the installed onnx.
    """
    onnx.checker.check_model(str(path), full_check=True)
    opset, version = _opset_of(path), onnx.load(str(path), load_external_data=False).ir_version
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise ModelError(f"the file has opset {opset}, and onnx {onnx.__version__} knows opsets up to {newest}")
    return f"opset {opset}, IR version {version}"
