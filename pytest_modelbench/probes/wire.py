"""Measurements as one file of arrays, so that a worker can take what another one has measured.

The file is numpy's `.npz` without pickles: arrays, and one JSON text for everything else.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.probes.answers.corrupted import CorruptedAnswers
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.stats.intervals import FloatArray

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]
_KINDS = ("series", "calm")


def pack_timing(measurement: TimingMeasurement) -> Arrays:
    """Return a timed measurement as arrays: all calls of a model in a row, and how they fall into rounds."""
    arrays: Arrays = {}
    for kind in _KINDS:
        for role, placements in getattr(measurement, kind).items():
            rounds = [calls for placement in placements for calls in placement]
            arrays[f"{kind}_{role}_calls"] = np.concatenate(rounds)
            arrays[f"{kind}_{role}_round_sizes"] = np.array([len(calls) for calls in rounds])
            arrays[f"{kind}_{role}_placement_sizes"] = np.array([len(placement) for placement in placements])
    return arrays | _text(
        roles=list(measurement.series),
        batch_sizes=dict(measurement.batch_sizes),
        looks=list(measurement.looks),
        elapsed_s=list(measurement.elapsed_s),
        copied=measurement.copied,
        exhausted=measurement.exhausted,
        cluster=measurement.cluster,
        settings=dict(measurement.settings),
    )


def unpack_timing(arrays: Mapping[str, Any]) -> TimingMeasurement:
    """Return what `pack_timing` packed."""
    content = json.loads(str(arrays["text"]))
    roles = content.pop("roles")
    series, calm = ({role: _rounds(arrays, f"{kind}_{role}") for role in roles} for kind in _KINDS)
    content |= {name: tuple(content[name]) for name in ("looks", "elapsed_s")}
    return TimingMeasurement(series=series, calm=calm, **content)


def _rounds(arrays: Mapping[str, Any], name: str) -> list[list[FloatArray]]:
    rounds = np.split(arrays[f"{name}_calls"], np.cumsum(arrays[f"{name}_round_sizes"])[:-1])
    ends = np.cumsum(arrays[f"{name}_placement_sizes"]).tolist()
    return [rounds[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def pack_outputs(outputs: Outputs) -> Arrays:
    """Return a forward pass as arrays.

    Raises:
        TypeError: ids or classes that JSON cannot hold, or arrays of Python objects.
    """
    arrays: Arrays = {
        "array": outputs.array,
        "nonfinite": outputs.nonfinite,
        "input_finite": outputs.input_finite,
        **({} if outputs.targets is None else {"targets": outputs.targets}),
    }
    if any(array.dtype == object for array in arrays.values()):
        raise TypeError("arrays of Python objects cannot go to another process")
    return arrays | _text(
        model=outputs.model,
        batch_size=outputs.batch_size,
        checksums=outputs.checksums,
        ids=None if isinstance(outputs.ids, range) else _plain(outputs.ids),
        classes=None if outputs.classes is None else _plain(outputs.classes),
    )


def unpack_outputs(arrays: Mapping[str, Any]) -> Outputs:
    """Return what `pack_outputs` packed; its passes were counted where they were made."""
    content = json.loads(str(arrays["text"]))
    content["ids"] = range(len(arrays["array"])) if content["ids"] is None else content["ids"]
    content["checksums"] = tuple(content["checksums"])
    return Outputs(
        array=arrays["array"],
        targets=arrays.get("targets"),
        nonfinite=arrays["nonfinite"],
        input_finite=arrays["input_finite"],
        **content,
        calls=0,
    )


def pack_corrupted(answers: CorruptedAnswers) -> Arrays:
    """Return the answers under a corruption as arrays.

    Raises:
        TypeError: labels that are Python objects.
    """
    if answers.labels.dtype == object:
        raise TypeError("arrays of Python objects cannot go to another process")
    return {"labels": answers.labels, "answered": answers.answered} | _text(
        checksums=answers.checksums, failure=answers.failure
    )


def unpack_corrupted(arrays: Mapping[str, Any]) -> CorruptedAnswers:
    """Return what `pack_corrupted` packed; its passes were counted where they were made."""
    content = json.loads(str(arrays["text"]))
    content["checksums"] = tuple(content["checksums"])
    return CorruptedAnswers(labels=arrays["labels"], answered=arrays["answered"], **content, calls=0)


def _plain(values: Sequence[Any]) -> list[Any]:
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    if not all(isinstance(value, str | int | float) for value in plain):
        raise TypeError("ids and classes must be strings or numbers")
    return plain


def _text(**content: Any) -> Arrays:
    return {"text": np.array(json.dumps(content))}


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays so that a reader sees all of them or no file; of a failure nothing is left."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type] # the stubs take the second keyword for a flag
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def read_arrays(path: Path) -> Arrays:
    """Read arrays; nothing in the file is unpickled.

    Raises:
        OSError: the file is not there, or cannot be read.
        ValueError: it is cut off, or something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is cut off: {error}") from error
