"""Rows recorded batch by batch: in memory while they are few, in a temporary file beyond that."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
IN_MEMORY_BYTES = 32 * 2**20
CHUNK_ROWS = 1 << 16


class Column:
    """Gathers the rows of one array, whose number is not known before.

    Numbers of more than `in_memory_bytes` go into a file that is gone with the last array made from it, and are
    mapped, not read. Texts stay in memory.

    >>> column = Column()
    >>> column.append(np.arange(3)), column.append(np.arange(2))
    (None, None)
    >>> column.array().tolist()
    [0, 1, 2, 0, 1]
    """

    def __init__(self, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self._most = in_memory_bytes
        self._parts: list[Array] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self._rows = 0
        self._like: Array | None = None

    def append(self, rows: Array) -> None:
        """Add the rows of one batch, which keep the form of the first one's."""
        self._rows += len(rows)
        if self._file is not None and self._like is not None:
            self._file.write(np.ascontiguousarray(rows, dtype=self._like.dtype).tobytes())
            return
        self._parts.append(rows.copy())  # a model may answer into the same buffer every time
        self._held += rows.nbytes
        if self._held > self._most and all(part.dtype == rows.dtype for part in self._parts):
            self._spill(rows)

    def _spill(self, rows: Array) -> None:
        if rows.dtype.kind not in "biufc":
            return
        self._file = tempfile.TemporaryFile(prefix="pytest-modelbench-")  # noqa: SIM115 - the mapping outlives it
        self._like = rows[:0]
        for part in self._parts:
            self._file.write(np.ascontiguousarray(part).tobytes())
        self._parts.clear()

    def array(self) -> Array:
        """Return all rows; a mapping of the file cannot be written to."""
        if self._file is None or self._like is None:
            return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._file.flush()
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file.close()
        return np.frombuffer(mapped, dtype=self._like.dtype).reshape(self._rows, *self._like.shape[1:])


class Flags:
    """Gathers one number for each row that is nearly always the same, which takes no memory as long as it is.

    >>> flags = Flags(True)
    >>> flags.append(np.array([True, True])), flags.append(np.array([False]))
    (None, None)
    >>> flags.array().tolist()
    [True, True, False]
    """

    def __init__(self, usual: int | bool) -> None:
        self._usual = np.asarray(usual)
        self._parts: list[Array | int] = []

    def append(self, rows: Array) -> None:
        """Add the numbers of one batch."""
        if (rows != self._usual).any():
            self._parts.append(rows)
        elif self._parts and isinstance(self._parts[-1], int):
            self._parts[-1] += len(rows)
        else:
            self._parts.append(len(rows))

    def array(self) -> Array:
        """Return all numbers; one that cannot be written to where they are all the same."""
        if len(self._parts) == 1 and isinstance(self._parts[0], int):
            return np.broadcast_to(self._usual, self._parts[0])
        parts = [np.full(part, self._usual) if isinstance(part, int) else part for part in self._parts]
        return np.concatenate(parts)


def slices(length: int, rows: int = CHUNK_ROWS) -> Iterator[slice]:
    """Yield slices that cover so many rows in order.

    >>> list(slices(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, length, rows):
        yield slice(start, min(start + rows, length))


def in_chunks(array: Array) -> Iterator[Array]:
    """Yield an array's rows in order, some at a time; what is mapped does not stay in this process's memory."""
    for part in slices(len(array)):
        yield array[part]
        release(array)


def release(array: Array) -> None:
    """Give back the memory of what was read from a mapped file; it is read again when it is needed."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    mapped = base.obj if isinstance(base, memoryview) else base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def narrow(array: Array) -> Array:
    """Return whole numbers in the smallest signed type that holds them; anything else as it is.

    >>> narrow(np.array([1, 300])).dtype.name, narrow(np.array([0.5])).dtype.name
    ('int16', 'float64')
    """
    if array.dtype.kind not in "iu" or array.dtype.itemsize == 1 or not len(array):
        return array
    low, high = int(array.min()), int(array.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array
