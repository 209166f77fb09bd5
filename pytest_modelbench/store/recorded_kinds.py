"""The teacher's measurements of a kind as the parts of a contract: arrays, each kind's in a safetensors file.

What a measurement is made of, only its kind knows (`ProbeKind.pack`); here it is named arrays.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.results import json_object
from pytest_modelbench.store.forms import Form, has, is_count, is_table, is_text

MOST_BYTES = 2**31
"""The largest part of a contract."""
TEXTS = ":texts"
"""Ends the name of an array of texts, which is kept as the bytes of its JSON."""
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class RecordedKind:
    """A measurement of the teacher.

    Attributes:
        kind: the name of its kind.
        options: those that it depends on, as reports have them.
        data: the number of the evaluation set; None if it took none.
        arrays: what the kind's `pack` returned.
    """

    kind: str
    options: Mapping[str, Any]
    data: int | None
    arrays: Arrays

    @property
    def known_by(self) -> tuple[object, ...]:
        """What tells it apart from others: no two of a contract are alike in it."""
        return self.kind, repr(self.options), self.data

    @property
    def size_bytes(self) -> int:
        """The size of its arrays in memory."""
        return sum(array.nbytes for array in self.arrays.values())


def refuse_large(recorded: RecordedKind) -> None:
    """Refuse a measurement that no part of a contract can hold.

    Raises:
        MeasurementError: it is too large.
    """
    if recorded.size_bytes > MOST_BYTES:
        raise MeasurementError(
            f"the teacher's {recorded.kind} have {recorded.size_bytes / 1e9:.1f} GB, and a contract holds at most "
            f"{MOST_BYTES / 1e9:.1f} GB of each kind. Record fewer samples"
        )


def write_kinds(file: zipfile.ZipFile, kinds: Sequence[RecordedKind]) -> list[dict[str, Any]]:
    """Write measurements into a contract and return what its text says of them."""
    from safetensors.numpy import save

    entries = []
    for number, recorded in enumerate(kinds):
        written, name = save(_numbers(recorded.arrays)), f"kind-{number}.safetensors"
        file.writestr(name, written)
        part = {"name": name, "sha256": hashlib.sha256(written).hexdigest()}
        entry = {"kind": recorded.kind, "options": json_object(dict(recorded.options)), "data": recorded.data}
        entries.append({**entry, "size_bytes": recorded.size_bytes, "part": part})
    return entries


def _numbers(arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    texts = {name for name, array in arrays.items() if array.dtype.kind == "U"}
    return {
        name + TEXTS if name in texts else name: _bytes(array) if name in texts else np.ascontiguousarray(array)
        for name, array in arrays.items()
    }


def _bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(array.tolist()).encode(), dtype=np.uint8)


def arrays_of(part: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a part as `pack` returned them."""
    return {
        name.removesuffix(TEXTS): np.array(json.loads(array.tobytes())) if name.endswith(TEXTS) else array
        for name, array in part.items()
    }


_PART: Form = {"name": is_text, "sha256": is_text}
_KIND: Form = {
    "kind": is_text,
    "options": is_table,
    "data": is_count,
    "size_bytes": lambda value: value is not None and is_count(value),
    "part": lambda value: has(value, _PART),
}


def is_kind(entry: Any) -> bool:
    """Whether something says what a measurement is of, and where it is kept."""
    return has(entry, _KIND)


def chosen(
    entries: Sequence[Mapping[str, Any]], kind: str, options: Mapping[str, Any], data: str | None, keys: Sequence[str]
) -> Mapping[str, Any] | str:
    """Return the entry of a measurement, or why none fits.

    Args:
        entries: what the contract's text says of its measurements.
        kind: the name of the kind.
        options: those that it depends on.
        data: the fingerprint of the evaluation data; None if the kind takes none.
        keys: the fingerprints of the contract's evaluation sets, by number.
    """
    named = [entry for entry in entries if entry["kind"] == kind]
    if not named:
        return f"has no {kind} of the teacher"
    alike = [entry for entry in named if entry["options"] == json_object(dict(options))]
    if not alike:
        return f"has {kind} of the teacher with other options: {named[0]['options']}, here {dict(options)}"
    fitting = [entry for entry in alike if (None if entry["data"] is None else keys[entry["data"]]) == data]
    if not fitting:
        return (
            f"has {kind} of the teacher for other data: prompts, references, texts or settings of generation differ"
        )
    return fitting[0]
