"""The screen of a model for TensorRT on a machine that cannot run it: findings, commands, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import as_array, leaves
from pytest_modelbench.exports.onnx_file import export as export_onnx
from pytest_modelbench.exports.source import Source, by_input
from pytest_modelbench.exports.tensorrt import LIST_VERSION, commands, screen, write_samples

MOST_SAMPLES = 4
"""How many batches are written for the other machine."""
SCRIPT = "tensorrt.sh"


def screened(
    source: Source, batches: Sequence[Any], reference: Sequence[Any], folder: Path
) -> tuple[str, dict[str, Any]]:
    """Write the ONNX file, the commands and some samples; return what the screen found, in words and as JSON types.

    Args:
        source: the model.
        batches: of its inputs.
        reference: its outputs for them.
        folder: gets the files.
    """
    path = export_onnx(source, folder)
    findings = screen(path)
    names = _input_names(path)
    inputs = [_named(names, batch) for batch in batches[:MOST_SAMPLES]]
    write_samples(folder, inputs, [_outputs(answer) for answer in reference[:MOST_SAMPLES]])
    lines = commands(path, inputs[0], dict(zip(names, source.ranges.values(), strict=True)))
    (folder / SCRIPT).write_text("".join(f"{line}\n" for line in ("#!/bin/sh", "set -e", *lines)), encoding="utf-8")
    summary = "; ".join(findings) or f"nothing in the operator list of TensorRT {LIST_VERSION} speaks against it"
    evidence = f"TensorRT is not installed, and needs an NVIDIA GPU. Screened only, which is not a pass: {summary}"
    return evidence, {"screen": findings, "operator_list": LIST_VERSION, "commands": lines}


def _input_names(path: Path) -> list[str]:
    import onnx

    return [port.name for port in onnx.load(str(path), load_external_data=False).graph.input]


def _named(names: Sequence[str], batch: Any) -> dict[str, Any]:
    """Return a batch by the file's input names: those of a mapping are its own, others go by order."""
    inputs: Mapping[str, Any] = by_input(batch)
    if set(inputs) == set(names):
        return {name: as_array(inputs[name]) for name in names}
    return {name: as_array(value) for name, value in zip(names, inputs.values(), strict=True)}


def _outputs(answer: Any) -> dict[str, Any]:
    if isinstance(answer, Mapping):
        return {str(name): np.asarray(as_array(value)) for name, value in answer.items()}
    return {str(i): np.asarray(as_array(leaf)) for i, leaf in enumerate(leaves(answer))}
