"""Exports a torch module to an ExecuTorch program whose operators run on XNNPACK where it has them."""

from __future__ import annotations

import warnings
from pathlib import Path

from pytest_modelbench.exports.source import Source
from pytest_modelbench.exports.torch_export import program_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ExecuTorch's own, which a suite may have turned into errors
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower


def export(source: Source, folder: Path) -> Path:
    """Write a `.pte` file; its memory is planned for the greatest sizes that are asked for."""
    path = folder / "model.pte"
    lowered = to_edge_transform_and_lower(program_of(source, bounded=True), partitioner=[XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)
    return path
