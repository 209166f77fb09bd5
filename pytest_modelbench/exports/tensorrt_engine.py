"""Builds a TensorRT engine from the ONNX file of a model, on a machine with an NVIDIA GPU and its builder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorrt as trt

from pytest_modelbench.data.arrays import as_array
from pytest_modelbench.errors import ModelError
from pytest_modelbench.exports.onnx_file import export as export_onnx
from pytest_modelbench.exports.source import Source, by_input
from pytest_modelbench.models.adapters.tensorrt import Log

ENGINE = "model.engine"


def export(source: Source, folder: Path) -> Path:
    """Write an engine for batches from one sample to the largest that is asked for.

    The network is strongly typed: each layer has the number type that the ONNX file gives it.

    Raises:
        ModelError: TensorRT cannot read the file or build an engine; the message has the builder's errors.
    """
    onnx_path = export_onnx(source, folder)
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx_path)):
        errors = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise ModelError(f"TensorRT cannot read the ONNX file: {'; '.join([*errors, *log.errors])}")
    config = builder.create_builder_config()
    config.add_optimization_profile(_profile(builder, network, source))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelError(f"TensorRT cannot build an engine: {log.told()}")
    path = folder / ENGINE
    path.write_bytes(bytes(engine))
    return path


def _profile(builder: Any, network: Any, source: Source) -> Any:
    """Return the range of shapes that the engine takes: sizes that may vary start at one."""
    profile = builder.create_optimization_profile()
    usual = {name: tuple(as_array(value).shape) for name, value in by_input(source.example).items()}
    for i, (name, shape) in zip(range(network.num_inputs), usual.items(), strict=True):
        port = network.get_input(i)
        least = tuple(1 if size < 0 else size for size in port.shape)
        profile.set_shape(port.name, least, shape, source.ranges[name].most)
    return profile
