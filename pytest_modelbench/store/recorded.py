"""What is recorded of a teacher, and the file that holds it.

A zip file of `contract.json`, its digest, and safetensors files of up to 65,536 samples: nothing that is executed.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.probes.answers.columns import CHUNK_ROWS, release, slices
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.results import Reading, Reference, json_object
from pytest_modelbench.store.forms import (
    Form,
    are,
    has,
    is_count,
    is_reading,
    is_reference,
    is_table,
    is_text,
    maybe,
)
from pytest_modelbench.store.recognising import TEXT, is_contract
from pytest_modelbench.store.recorded_kinds import RecordedKind, is_kind, write_kinds
from pytest_modelbench.store.replacing import replacing

FORMAT, VERSION = "pytest-modelbench contract", "1"
DIGEST = "contract.sha256"
MOST_BYTES_OF_PART = 16 * 2**20
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class RecordedData:
    """One evaluation set, and the teacher's outputs over it where some gate is about them.

    `key` is the hash of all inputs and targets, `reading` how outputs are read; `spot` are hashes of some samples'
    inputs by id, and `ids` that of all ids, for samples that come in another order later.
    """

    key: str
    reading: str
    spot: Mapping[str, str] = field(default_factory=dict)
    ids: str | None = None
    outputs: Outputs | None = None


@dataclass(frozen=True, kw_only=True)
class RecordedReading:
    """What was measured of the teacher for one gate.

    `data` is the number of the evaluation set, if it took any; `settings` are the device, the threads and the
    allocator of the session or of the gate's file. `test` is the one that recorded the value, if one did.
    """

    kpi: str
    pillar: str
    options: Mapping[str, Any]
    data: int | None
    reading: Reading
    reference: Reference | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    test: str = ""

    @property
    def known_by(self) -> tuple[Any, ...]:
        """What tells it apart from others: no two readings of a contract are alike in it."""
        return self.kpi, repr(self.options), self.data, repr(self.settings), self.test


@dataclass(kw_only=True)
class Recorded:
    """What a contract is made of, while it is recorded."""

    teacher: dict[str, Any] = field(default_factory=dict)
    readings: list[RecordedReading] = field(default_factory=list)
    data: list[RecordedData] = field(default_factory=list)
    kinds: dict[tuple[object, ...], RecordedKind] = field(default_factory=dict)


def write_contract(
    recorded: Recorded, path: Path, environment: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    """Write a contract, whole or not at all; outputs are streamed.

    Raises:
        OSError: it cannot be written.
    """
    with (
        replacing(path, "contract", is_contract) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
    ):
        data = [_write_data(file, number, dataset) for number, dataset in enumerate(recorded.data)]
        content = json_object(
            {
                "format": FORMAT,
                "version": VERSION,
                "teacher": recorded.teacher,
                "environment": dict(environment),
                "settings": dict(settings),
                "data": data,
                "kinds": write_kinds(file, list(recorded.kinds.values())),
                "readings": [_told(reading) for reading in recorded.readings],
            }
        )
        text = json.dumps(content, indent=1, allow_nan=False)
        file.writestr(TEXT, text)
        file.writestr(DIGEST, hashlib.sha256(text.encode()).hexdigest())


def _told(recorded: RecordedReading) -> dict[str, Any]:
    return {
        "kpi": recorded.kpi,
        "pillar": recorded.pillar,
        "options": dict(recorded.options),
        "data": recorded.data,
        "reading": recorded.reading.to_json(),
        "reference": recorded.reference.to_json() if recorded.reference else None,
        "settings": dict(recorded.settings),
        "test": recorded.test,
    }


def _write_data(file: zipfile.ZipFile, number: int, recorded: RecordedData) -> dict[str, Any]:
    from safetensors.numpy import save

    outputs = recorded.outputs
    parts: list[dict[str, str]] = []
    words: dict[str, Any] = {}
    entry = {
        "key": recorded.key,
        "reading": recorded.reading,
        "spot": dict(recorded.spot),
        "ids": recorded.ids,
        "parts": parts,
    }
    if outputs is None:
        return entry
    named = not isinstance(outputs.ids, range)
    columns = {"outputs": outputs.array}
    if outputs.targets is not None:
        columns["targets"] = outputs.targets
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            words[name] = _words(column)
    for part in slices(len(outputs), rows=rows_of_part(outputs.array)):
        arrays = {name: _numbers(column[part], words.get(name)) for name, column in columns.items()}
        if not outputs.input_finite[part].all():
            arrays["input_finite"] = outputs.input_finite[part]
        if named:
            arrays |= _packed([str(sample) for sample in outputs.ids[part]])
        written = save({key: np.ascontiguousarray(value) for key, value in arrays.items()})
        name = f"data-{number}/{len(parts):05}.safetensors"
        file.writestr(name, written)
        parts.append({"name": name, "sha256": hashlib.sha256(written).hexdigest()})
        release(outputs.array)
    classes = None if outputs.classes is None else list(outputs.classes)
    return {**entry, "samples": len(outputs), "has_ids": named, "classes": classes, "words": words}


def rows_of_part(array: Array) -> int:
    """Return how many rows are handled at a time: many, but of no more than 16 MiB."""
    row_bytes = max(1, array.nbytes // max(1, len(array)))
    return max(1, min(CHUNK_ROWS, MOST_BYTES_OF_PART // row_bytes))


def _words(column: Array) -> list[str]:
    words: set[str] = set()
    for part in slices(len(column)):
        words.update(np.unique(column[part].astype(str)).tolist())
    return sorted(words)


def _numbers(column: Array, words: Sequence[str] | None) -> Array:
    """Return a column as numbers: texts as their positions among all texts."""
    if words is None:
        return column
    return np.searchsorted(np.asarray(words), column.astype(str)).astype(np.int32)


def _packed(texts: Sequence[str]) -> dict[str, Array]:
    encoded = [text.encode() for text in texts]
    sizes = np.array([len(text) for text in encoded], dtype=np.int32)
    return {"id_bytes": np.frombuffer(b"".join(encoded) or b"\0", dtype=np.uint8), "id_sizes": sizes}


def _is_data(entry: Any) -> bool:
    """Whether something says what an evaluation set is, and how its outputs are kept if they are."""
    if not has(entry, _DATA, {"ids": maybe(is_text)}):
        return False
    return not entry["parts"] or has(entry, _KEPT)


_PART: Form = {"name": is_text, "sha256": is_text}
_DATA: Form = {
    "key": is_text,
    "reading": is_text,
    "spot": lambda value: is_table(value) and all(map(is_text, value.values())),
    "parts": are(lambda part: has(part, _PART)),
}
_KEPT: Form = {
    "samples": lambda value: value is not None and is_count(value),
    "has_ids": lambda value: isinstance(value, bool),
    "classes": maybe(are(lambda label: isinstance(label, str | int | float))),
    "words": lambda value: is_table(value) and all(map(are(is_text), value.values())),
}
_RECORDED: Form = {
    "kpi": is_text,
    "pillar": is_text,
    "options": is_table,
    "data": is_count,
    "reading": is_reading,
    "reference": maybe(is_reference),
    "settings": is_table,
}


_CONTRACT: Form = {
    "teacher": is_table,
    "environment": is_table,
    "data": are(_is_data),
    "readings": are(lambda reading: has(reading, _RECORDED, {"test": is_text})),
}


def has_contract_fields(content: Any) -> bool:
    """Whether a contract's text has every field that is read of it, each in its form."""
    return has(content, _CONTRACT, {"kinds": are(is_kind)}) and all(
        entry["data"] is None or entry["data"] < len(content["data"])
        for entry in (*content["readings"], *content.get("kinds", ()))
    )
