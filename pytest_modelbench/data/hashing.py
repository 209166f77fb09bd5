"""Hash samples: all of them for a fingerprint, or one batch to see later whether it is the same."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, is_sparse, is_tensor, leaves, sparse_parts, take
from pytest_modelbench.errors import ModelError

_LARGE_BYTES = 1 << 16


class Digest(Protocol):
    """What takes bytes, as the objects of `hashlib` do."""

    def update(self, data: Any, /) -> None:
        """Add bytes."""


class Checksum:
    """CRC-32 with the interface of `hashlib`: four times as fast as BLAKE2b, and enough to see an accident."""

    def __init__(self) -> None:
        self.value = 0

    def update(self, data: Any, /) -> None:
        """Add bytes."""
        self.value = zlib.crc32(data, self.value)


def batch_hash(inputs: Any, *, sampled: bool = False) -> int:
    """Return a number that is equal for equal inputs of a batch.

    Objects that only have an address (and no content that could be read) count by their class.

    Args:
        inputs: the batch.
        sampled: whether a sixteenth of a large array, in pieces of a kibibyte, is enough.
    """
    checksum = Checksum()
    for leaf in leaves(inputs):
        checksum.update(f"{getattr(leaf, 'shape', None)}{getattr(leaf, 'dtype', None)}".encode())
        for name, column in named_columns(leaf):
            checksum.update(name.encode())
            _add_column(checksum, column, sampled)
    return checksum.value


def _add_column(checksum: Checksum, column: Any, sampled: bool) -> None:
    if isinstance(column, list) and all(isinstance(row, str) for row in column):
        checksum.update("\0".join(column).encode("utf-8", "surrogatepass"))
        return
    array = _array_of(column) if is_tensor(column) or hasattr(column, "dtype") else None
    if array is None or array.dtype == object:
        hash_column(checksum, column, by_address=False)
        return
    whole = _bytes(array)
    checksum.update(_sample(whole) if sampled and len(whole) > _LARGE_BYTES else whole)


def _sample(whole: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the first 64 bytes of every 1024, and the last ones."""
    pieces = whole[: len(whole) // 1024 * 1024].reshape(-1, 1024)[:, :64]
    return np.concatenate([pieces.reshape(-1), whole[-64:]])


def named_columns(leaf: Any) -> list[tuple[str, Any]]:
    """Return the arrays that a leaf is made of: a frame's columns, the parts of a sparse matrix, or itself."""
    if is_sparse(leaf):
        return [("", part) for part in sparse_parts(leaf)]
    if not hasattr(leaf, "columns"):
        return [("", leaf)]
    if all(dtype.kind in "iufb" for dtype in getattr(leaf, "dtypes", ()) if hasattr(dtype, "kind")):
        together = leaf.to_numpy()
        if together.dtype != object:  # one array instead of one for each column
            return [(f"{list(leaf.columns)}", together)]
    return [(str(name), leaf[name]) for name in leaf.columns]


def row_hash(row: Any) -> int:
    """Return a number of 64 bits that is equal for equal samples, as a dataset gives them."""
    digest = hashlib.blake2b(digest_size=8)
    _hash_row(digest, row, by_address=False)
    return int.from_bytes(digest.digest())


def contents(inputs: Any) -> list[Any]:
    """Return the contents of a batch, to compare after a call: the call may have written into it.

    Numbers are copied, which is faster than hashing them; anything else is hashed. Of a tensor on another device
    torch's own count of writes is enough, and costs no copy to this memory.
    """
    return [_content(part) for leaf in leaves(inputs) for _, part in named_columns(leaf)]


def _content(part: Any) -> Any:
    if isinstance(part, list) and all(isinstance(row, str) for row in part):
        return list(part)
    if is_tensor(part) and part.device.type != "cpu":
        return 0 if part.is_inference() else int(part._version)  # noqa: SLF001 - documented by torch
    if is_tensor(part) or hasattr(part, "dtype"):
        array = _array_of(part)
        if array.dtype != object:
            return array.tobytes()
    checksum = Checksum()
    hash_column(checksum, part, by_address=False)
    return checksum.value


def fingerprint_of(chunks: Iterable[tuple[Any, Any]]) -> str:
    """Return `data:` and 32 hexadecimal digits of BLAKE2b over shapes, dtypes and bytes of inputs and targets."""
    digests: list[hashlib.blake2b] = []
    form = ""
    for inputs, targets in chunks:
        columns = [part for leaf in leaves(inputs) for part in _hashed_parts(leaf)]
        columns += [] if targets is None else leaves(targets)
        form = form or _form_of(inputs)
        digests = digests or [_new_digest(column) for column in columns]
        for digest, column in zip(digests, columns, strict=True):
            hash_column(digest, column)
    parts = [*(digest.hexdigest() for digest in digests), form]
    return f"data:{hashlib.blake2b(''.join(parts).encode(), digest_size=16).hexdigest()}"


def hash_rows(
    batches: Iterable[tuple[Any, Sequence[Any]]], wanted: Collection[str] | None, most: int
) -> dict[str, str]:
    """Hash the inputs of single samples by id: of the first `most`, or of all that are wanted and there."""
    hashes: dict[str, str] = {}
    for inputs, ids in batches:
        for at, sample in enumerate(map(str, ids)):
            if (len(hashes) < most) if wanted is None else (sample in wanted):
                digest = hashlib.blake2b(digest_size=16)
                for leaf in leaves(take(inputs, at, at + 1)):
                    for part in _hashed_parts(leaf):
                        hash_column(digest, part)
                hashes[sample] = digest.hexdigest()
        if len(hashes) >= (most if wanted is None else len(wanted)):
            break
    return hashes


def form_of(inputs: Any) -> str:
    """Return the names and the shapes of a sample's inputs."""
    names = [*inputs] if isinstance(inputs, Mapping) else [*getattr(inputs, "columns", [])]
    shapes = [str(tuple(getattr(leaf, "shape", (1,)))[1:]) for leaf in leaves(inputs)]
    return " ".join([*map(str, names), *shapes])


def _hashed_parts(leaf: Any) -> list[Any]:
    """Return what a fingerprint hashes of a leaf: a frame by its rows, a sparse matrix by its parts."""
    return [part for _, part in named_columns(leaf)] if is_sparse(leaf) else [leaf]


def _form_of(inputs: Any) -> str:
    """Return the names that a batch's arrays go by."""
    if isinstance(inputs, Mapping):
        return f"mapping of {list(inputs)}"
    return f"frame of {list(inputs.columns)}" if hasattr(inputs, "columns") else type(inputs).__name__


def _new_digest(column: Any) -> hashlib.blake2b:
    """Return a digest for one array of a batch, with the form of its rows."""
    row_shape, dtype = tuple(getattr(column, "shape", (0,)))[1:], getattr(column, "dtype", "object")
    return hashlib.blake2b(f"{row_shape}{dtype}".encode(), digest_size=16)


def hash_column(digest: Digest, column: Any, *, by_address: bool = True) -> None:
    """Add the rows of one batch's column; the bytes do not depend on where the batch was cut."""
    if is_tensor(column) or hasattr(column, "dtype"):
        array = _array_of(column)
        if array.dtype != object:
            digest.update(_bytes(array))
            return
    if hasattr(column, "to_numpy"):
        column = column.to_numpy().tolist()
    for row in column:
        _hash_row(digest, row, by_address=by_address)


def _array_of(column: Any) -> npt.NDArray[Any]:
    """Return an array in one piece, or the bytes of a tensor that numpy cannot hold (float8, lazily negated).

    A column of texts may have missing values, which are objects of other types.
    """
    if hasattr(column, "to_numpy") and (objects := np.asarray(column.to_numpy())).dtype == object:
        return objects
    try:
        return np.ascontiguousarray(as_array(column))
    except (TypeError, RuntimeError):
        import torch

        return as_array(column.detach().resolve_conj().resolve_neg().contiguous().view(torch.uint8))


def _bytes(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return an array's bytes without a copy."""
    return array.reshape(-1).view(np.uint8) if array.dtype.itemsize and array.size else np.empty(0, dtype=np.uint8)


def _hash_row(digest: Digest, row: Any, *, by_address: bool) -> None:
    """Add one row of a list, which may hold arrays: what they print leaves most of a long one out."""
    if isinstance(row, str):
        digest.update(repr(row).encode() + b"\0")
        return
    array = _numbers(row)
    if array is not None:
        digest.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
        return
    if hasattr(row, "tolist"):  # of objects
        row = row.tolist()
    if isinstance(row, Mapping):
        row = list(row.items())
    if isinstance(row, list | tuple) and not all(isinstance(part, str | int | float) for part in row):
        digest.update(f"{len(row)}[".encode())
        for part in row:
            _hash_row(digest, part, by_address=by_address)
        return
    digest.update((repr(row) if by_address else _told(row)).encode() + b"\0")


def _told(value: Any) -> str:
    """Return what an object prints, or its class where that names its address."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the user's own __repr__
        return type(value).__qualname__
    return type(value).__qualname__ if f"{id(value):x}" in text.lower() or " at 0x" in text else text


def _numbers(row: Any) -> npt.NDArray[Any] | None:
    if not (is_tensor(row) or hasattr(row, "dtype") or hasattr(row, "__array_interface__")):
        return None
    try:
        array = np.ascontiguousarray(as_array(row))
    except ModelError:
        return None
    return None if array.dtype == object else array
