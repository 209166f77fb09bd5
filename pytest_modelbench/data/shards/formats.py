"""Columns of a file as arrays: Parquet, Arrow and Feather by pyarrow, npz by numpy; archives are in `archives`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from pytest_modelbench.data.shards.addresses import opened
from pytest_modelbench.data.shards.archives import read_archive
from pytest_modelbench.errors import DataError, ModelbenchError, cause_of, message_of

Table = Mapping[str, Any]
"""Columns by name: arrays, or lists of texts or of arrays of different shapes, with one row for each sample."""
_LOAD = 'write load="module:function", which returns EvalData'


def ending_of(name: str) -> str | None:
    """Return the ending that tells how a shard is read; None for one that is unknown.

    >>> ending_of("a/part-0.snappy.parquet"), ending_of("s3://lake/x.tar?version=1"), ending_of("a.csv")
    ('.parquet', '.tar', None)
    """
    path = name.partition("?")[0].lower() if "://" in name else name.lower()
    return next((ending for ending in READERS if path.endswith(ending)), None)


def check_endings(names: tuple[str, ...]) -> None:
    """Refuse shards that need a function to be read.

    Raises:
        DataError: naming the first one.
    """
    for name in names:
        if ending_of(name) is None:
            raise DataError(f"shard {name}: without load= its name must end in one of {', '.join(READERS)}; {_LOAD}")


def read_columns(name: str) -> Table:
    """Return the columns of a shard.

    Raises:
        DataError: the file is broken, or has a column that is not made of numbers or texts.
    """
    read = READERS[ending_of(name) or ""]
    with opened(name) as file:
        try:
            return read(file)
        except ModelbenchError:
            raise
        except Exception as error:
            raise DataError(f"it cannot be read, it may be cut off: {cause_of(error)}") from error


def _npz(file: BinaryIO) -> Table:
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _parquet(file: BinaryIO) -> Table:
    _need_pyarrow()
    from pyarrow import parquet

    return table_columns(parquet.ParquetFile(file).read())


def _arrow(file: BinaryIO) -> Table:
    """Read a file or a stream of Arrow; Feather of version 2 is such a file."""
    _need_pyarrow()
    import pyarrow as pa

    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        return table_columns(pa.ipc.open_file(file).read_all())
    return table_columns(pa.ipc.open_stream(file).read_all())


def _need_pyarrow() -> None:
    try:
        import pyarrow as pa  # noqa: F401 - whether it is there
    except ImportError as error:
        raise DataError(
            f"reading it needs pyarrow ({message_of(error)}). Write pip install 'pytest-modelbench[parquet]'"
        ) from error


READERS: Mapping[str, Callable[[BinaryIO], Table]] = {
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".npz": _npz,
    ".tar": read_archive,
    ".tar.gz": read_archive,
    ".tgz": read_archive,
}


def table_columns(table: Any) -> Table:
    """Return the columns of a table of pyarrow; lists of numbers of one length are one array, never of objects.

    Raises:
        DataError: a column has two names, or holds what is neither numbers nor texts.
    """
    names = table.schema.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"two columns are named {twice!r}. Give them different names")
    columns: dict[str, Any] = {}
    for name in names:
        try:
            columns[name] = _column(table.column(name))
        except DataError as error:
            raise DataError(f"the column {name!r} {error}") from None
    return columns


def _column(values: Any) -> Any:
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        return _column(values.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.to_pylist()
    if pa.types.is_null(kind):
        return [None] * len(values)
    if pa.types.is_decimal(kind):
        return _column(values.cast(pa.float64()))
    whole = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], kind)
    if isinstance(kind, pa.FixedShapeTensorType):
        tensor: Any = whole.to_numpy_ndarray()
        return tensor
    return _rows(whole)


def _rows(array: Any) -> Any:
    """Return an array of numbers, or of lists of them, as one array; lists of several lengths as a list of arrays."""
    import pyarrow as pa

    kind = array.type
    if _is_list(kind):
        if array.null_count:
            raise DataError(f"has no list in {array.null_count} of {len(array)} rows. Fill them in")
        inner = array.flatten()
        if inner.null_count and not pa.types.is_floating(inner.type):
            raise DataError(f"has {inner.null_count} missing numbers in its lists. Fill them in")
        sizes = np.diff(_bounds(array))
        values = _rows(inner)
        if isinstance(values, np.ndarray) and len(sizes) and (sizes == sizes[0]).all():
            return values.reshape(len(array), int(sizes[0]), *values.shape[1:])
        ends = np.cumsum(sizes)
        return [values[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]
    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_temporal)
    if not any(test(kind) for test in plain):
        raise DataError(f"holds {kind}, expected numbers, texts or lists of numbers; {_LOAD}")
    return array.to_numpy(zero_copy_only=False)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _bounds(array: Any) -> Any:
    """Return where each list starts among all numbers, and where the last one ends."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(array.type):
        return np.arange(len(array) + 1) * array.type.list_size
    return array.offsets.to_numpy()
