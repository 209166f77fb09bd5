"""Exports torch modules to OpenVINO's intermediate representation."""

from __future__ import annotations

from pathlib import Path

import openvino

from pytest_modelbench.exports.source import Source


def report_nothing() -> None:
    """Keep OpenVINO from reporting conversions to its maker, for the rest of this process.

    It forks the process for each report, with all its threads' locks, and the copy runs the functions that are
    registered with `atexit` when it ends: a test run has pools, locks and folders that must not be closed from there.
    """
    try:
        from openvino_telemetry.backend.backend_ga4 import GA4Backend
    except ImportError:
        return
    GA4Backend.send = lambda _backend, _message: None


def export(source: Source, folder: Path) -> Path:
    """Convert the module and write `model.xml` with its `.bin`, with weights in float32."""
    return _write(source, folder, compressed=False)


def export_f16(source: Source, folder: Path) -> Path:
    """Do the same with weights stored in float16."""
    return _write(source, folder, compressed=True)


def _write(source: Source, folder: Path, *, compressed: bool) -> Path:
    report_nothing()
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
