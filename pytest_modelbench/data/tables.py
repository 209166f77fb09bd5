"""Columns of a table in a file, read in chunks: CSV and lines of JSON by the standard library, Parquet by pyarrow.

A chunk holds rows as texts (CSV) or as the values that the file has. What a column means is decided where it is used.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import DataError, cause_of, message_of, shown

CHUNK_ROWS = 1 << 16
Rows = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file of rows with named columns.

    Attributes:
        path: of the file.
        columns: their names, in order.
        chunks: yields some columns of all rows, in chunks of up to `CHUNK_ROWS` rows.
    """

    path: Path
    columns: tuple[str, ...]
    chunks: Callable[[Sequence[str]], Iterator[Rows]]


def open_table(path: Path) -> Table:
    """Open a table by the ending of its name.

    Raises:
        DataError: the ending is unknown, the file is empty or broken, or pyarrow is missing.
    """
    ending = path.suffix.lower()
    if ending not in _FORMATS:
        raise DataError(f"{path}: the name ends in {shown(ending)}, expected one of {', '.join(_FORMATS)}")
    if not path.stat().st_size:
        raise DataError(f"{path} is empty")
    table = _FORMATS[ending](path)
    twice = [name for name in table.columns if table.columns.count(name) > 1]
    if twice:
        raise DataError(f"{path} has two columns {shown(twice[0])}. Give them different names")
    return table


def _csv(path: Path) -> Table:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","

    def lines() -> Iterator[tuple[int, list[str]]]:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=delimiter, strict=True)
                for row in reader:
                    if row:
                        yield reader.line_num, row
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not text in UTF-8: {message_of(error)}") from error
        except csv.Error as error:
            raise DataError(f"{path}:{reader.line_num}: {message_of(error)}; the file may be cut off") from error

    first = next(lines(), None)
    if first is None:
        raise DataError(f"{path} has no line")
    header = tuple(name.strip() for name in first[1])

    def chunks(wanted: Sequence[str]) -> Iterator[Rows]:
        places = [header.index(name) for name in wanted]
        rows = itertools.islice(lines(), 1, None)
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            for number, row in chunk:
                if len(row) != len(header):
                    raise DataError(
                        f"{path}:{number}: the row has {len(row)} values, expected {len(header)}: "
                        f"{', '.join(header)}. The file may be cut off"
                    )
            yield {name: [row[place] for _, row in chunk] for name, place in zip(wanted, places, strict=True)}

    return Table(path=path, columns=header, chunks=chunks)


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file with one JSON object a line, each with the number of its line, from 1.

    Raises:
        DataError: a line is not a JSON object, or the file is not in UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, text in enumerate(file, start=1):
                if text.strip():
                    yield number, _json_row(text, f"{path}:{number}")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {message_of(error)}") from error


def _json_lines(path: Path) -> Table:
    first = next(json_rows(path), None)
    if first is None:
        raise DataError(f"{path} has no line")

    def chunks(wanted: Sequence[str]) -> Iterator[Rows]:
        source = json_rows(path)
        while chunk := list(itertools.islice(source, CHUNK_ROWS)):
            yield {name: [row.get(name) for _, row in chunk] for name in wanted}

    return Table(path=path, columns=tuple(first[1]), chunks=chunks)


def _json_row(text: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: it is not JSON: {message_of(error)}. The file may be cut off") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: found {shown(row)}, expected an object with a value for each column")
    return row


def _parquet(path: Path) -> Table:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow ({message_of(error)}). "
            "Write pip install 'pytest-modelbench[parquet]', or give a CSV file"
        ) from error
    try:
        file = parquet.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is not a Parquet file, or only a part of one: {message_of(error)}") from error

    def chunks(wanted: Sequence[str]) -> Iterator[Rows]:
        try:
            for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=list(wanted)):
                yield {name: batch.column(name).to_pylist() for name in wanted}
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} cannot be read: {cause_of(error)}") from error

    return Table(path=path, columns=tuple(file.schema_arrow.names), chunks=chunks)


_FORMATS: Mapping[str, Callable[[Path], Table]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
