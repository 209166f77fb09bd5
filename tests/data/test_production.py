"""Files of production: what is read of them, in every format."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.data import tables
from pytest_modelbench.data.production import Named, Production, read_production, window
from pytest_modelbench.errors import DataError, UsageMistake

ROWS: list[dict[str, Any]] = [
    {"id": "b", "prediction": 2, "label": None, "latency_ms": 1.5, "timestamp": "2026-01-02T00:00:00Z", "sex": "f"},
    {"id": "a", "prediction": 10, "label": 10, "latency_ms": 2, "timestamp": "2026-01-01T00:00:00Z", "sex": None},
    {"id": "c", "prediction": 1, "label": 2, "latency_ms": 0, "timestamp": "2026-01-03T01:00:00+01:00", "sex": "m"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=2)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def read(path: Path, **named: Any) -> Production:
    return read_production(path, Named(**named))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_every_format_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, chunk: int) -> None:
    """In the order of time, in chunks of any size; a missing label is not one."""
    monkeypatch.setattr(tables, "CHUNK_ROWS", chunk)
    production = read(write(tmp_path / f"rows.{ending}", ROWS), sensitive=("sex",))
    assert production.ids == ["a", "b", "c"]
    assert production.row.tolist() == [2, 1, 3]
    assert production.outputs.tolist() == [10, 2, 1]
    assert production.outputs.dtype.kind == "i"
    assert production.labelled.tolist() == [True, False, True]
    assert production.labels is not None
    assert production.labels[production.labelled].tolist() == [10, 2]
    assert production.latency_ms is not None
    assert production.latency_ms.tolist() == [2, 1.5, 0]
    assert production.seconds is not None
    assert np.diff(production.seconds).tolist() == [86_400, 86_400]
    assert production.groups["sensitive"]["sex"].tolist() == [None, "f", "m"]


def test_scores_are_named_by_their_pattern(tmp_path: Path) -> None:
    """In the order of the file; labels of numbers stay numbers."""
    rows: list[dict[str, Any]] = [
        {"p(2)": 0.1, "p(10)": 0.9, "other": "x"},
        {"p(2)": 0.5, "p(10)": None, "other": "y"},
    ]
    production = read(write(tmp_path / "rows.csv", rows), scores="p(*)")
    assert production.classes == (2, 10)
    assert np.array_equal(production.outputs, [[0.1, 0.9], [0.5, np.nan]], equal_nan=True)


def test_predictions_are_read_where_both_are_there(tmp_path: Path) -> None:
    """A stated column of predictions is used, else scores, which say more."""
    path = write(tmp_path / "rows.csv", [{"score_a": 0.2, "score_b": 0.8, "prediction": "a"}])
    assert read(path).classes == ("a", "b")
    assert read(path, prediction="prediction").outputs.tolist() == ["a"]


def test_texts_with_digits_stay_texts_beside_others(tmp_path: Path) -> None:
    """One label that is no number makes all of them texts."""
    path = write(tmp_path / "rows.csv", [{"prediction": "1"}, {"prediction": "cat"}])
    assert read(path).outputs.tolist() == ["1", "cat"]


def test_windows(tmp_path: Path) -> None:
    """The newest rows, by time and then by number."""
    production = read(write(tmp_path / "rows.csv", ROWS))
    assert window(production, "2026-01-02", None).ids == ["b", "c"]
    assert window(production, "2026-01-02", 1).ids == ["c"]
    assert window(production, None, 99).ids == ["a", "b", "c"]
    assert window(production, None, None) is production
    with pytest.raises(UsageMistake, match="--since: found 'soon', expected a time"):
        window(production, "soon", None)


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the message names the extra that brings it."""
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'pytest-modelbench\[parquet\]'"):
        read(path)
