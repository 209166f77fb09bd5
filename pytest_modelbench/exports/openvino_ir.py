"""Exports torch modules to OpenVINO's intermediate representation."""

from __future__ import annotations

from pathlib import Path

import openvino

from pytest_modelbench.exports.source import Source


def export(source: Source, folder: Path) -> Path:
    """Convert the module and write `model.xml` with its `.bin`, with weights in float32."""
    return _write(source, folder, compressed=False)


def export_f16(source: Source, folder: Path) -> Path:
    """Do the same with weights stored in float16."""
    return _write(source, folder, compressed=True)


def _write(source: Source, folder: Path, *, compressed: bool) -> Path:
    example = dict(source.kwargs) if source.kwargs else source.args
    model = openvino.convert_model(source.module, example_input=example)
    if not source.dynamic:
        values = source.kwargs.values() if source.kwargs else source.args
        model.reshape({port: list(value.shape) for port, value in zip(model.inputs, values, strict=True)})
    for i, output in enumerate(model.outputs):
        if i < len(source.outputs):
            output.get_tensor().set_names({source.outputs[i]})
        elif not output.get_names():
            output.get_tensor().set_names({f"output_{i}"})
    path = folder / "model.xml"
    openvino.save_model(model, path, compress_to_fp16=compressed)
    return path
