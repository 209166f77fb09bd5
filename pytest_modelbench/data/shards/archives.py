"""Samples in an archive, as WebDataset packs them: files with one name and different endings are one sample."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from pytest_modelbench.errors import DataError, cause_of, message_of

KEY = "__key__"
CLASS = "cls"


def read_archive(file: BinaryIO) -> Mapping[str, Any]:
    """Return columns by the endings of files: `000123.npy` and `000123.cls` give `npy`, `cls` and `__key__`.

    The values of an object in a `.json` file are columns by their own names. Nothing is written to disk.

    Raises:
        DataError: an ending is unknown, a sample lacks a file that others have, or a file is broken.
    """
    samples: dict[str, dict[str, Any]] = {}
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            stem, _, ending = name.partition(".")
            content = archive.extractfile(member) if member.isfile() and stem else None
            if content is None:
                continue
            key = f"{folder}/{stem}" if folder else stem
            parts = _parts(member.name, ending.lower(), content.read())
            sample = samples.setdefault(key, {})
            for column, value in parts.items():
                if column in sample:
                    raise DataError(f"the sample {key!r} has {column!r} twice, the second time in {member.name}")
                sample[column] = value
    if not samples:
        raise DataError("the archive has no file")
    columns = list(next(iter(samples.values())))
    for key, sample in samples.items():
        other = sorted(set(columns) ^ set(sample))
        if other:
            state = "lacks" if other[0] in columns else "alone has"
            raise DataError(f"the sample {key!r} {state} {other[0]!r}; expected the same files for each sample")
    read = {column: _stacked([sample[column] for sample in samples.values()]) for column in columns}
    return {KEY: list(samples), **read}


def _parts(name: str, ending: str, content: bytes) -> dict[str, Any]:
    column, _, kind = ending.rpartition(".")
    decode = DECODERS.get(kind)
    if decode is None:
        raise DataError(
            f"{name} ends in {kind!r}, expected one of {', '.join(DECODERS)}. For other files write "
            'load="module:function", which returns EvalData'
        )
    try:
        value = decode(content)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except Exception as error:
        raise DataError(f"{name} cannot be read: {cause_of(error)}") from error
    return value if kind == "json" and isinstance(value, dict) else {column or kind: value}


def _stacked(values: list[Any]) -> Any:
    """Return one array of numbers, or of arrays of one shape; a list of anything else."""
    if all(isinstance(value, np.ndarray) for value in values):
        alike = len({(value.shape, value.dtype) for value in values}) == 1
        return np.stack(values) if alike else values
    plain = all(isinstance(value, int | float) for value in values)
    lists = all(isinstance(value, list) for value in values) and len({len(value) for value in values}) == 1
    if not plain and not lists:
        return values
    try:
        array = np.asarray(values)
    except ValueError:
        return values
    return array if array.dtype.kind in "biuf" else values


def _array(content: bytes) -> Any:
    return np.load(io.BytesIO(content), allow_pickle=False)


def _image(content: bytes) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"reading images needs Pillow ({message_of(error)}). Write pip install pillow") from error
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("L" if image.mode in {"1", "L"} else "RGB"))


def _whole(content: bytes) -> int:
    return int(content.decode().strip())


DECODERS: Mapping[str, Callable[[bytes], Any]] = {
    "npy": _array,
    CLASS: _whole,
    "json": json.loads,
    "txt": lambda content: content.decode("utf-8").rstrip("\n"),
    "id": lambda content: content.decode("utf-8").strip(),
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "bmp"), _image),
}
