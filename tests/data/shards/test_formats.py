"""Files of columns: arrays of numbers stay arrays, and what is not numbers or texts is refused."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_modelbench.data.shards.formats import check_endings, ending_of, read_columns, table_columns
from pytest_modelbench.errors import DataError

pa = pytest.importorskip("pyarrow")


@pytest.mark.parametrize(
    "kind",
    ["list_(pa.float32())", "large_list(pa.float32())", "list_(pa.float32(), 3)"],
    ids=["list", "large", "fixed"],
)
def test_lists_of_numbers_are_one_array(kind: str) -> None:
    """Never an array of objects, also in several chunks and in a slice of a longer table."""
    rows = np.arange(30, dtype=np.float32).reshape(10, 3)
    made = pa.array(rows.tolist(), type=eval(f"pa.{kind}", {"pa": pa}))  # noqa: S307 - of this file
    table = pa.table({"x": pa.chunked_array([made.slice(0, 4), made.slice(4, 6)])})
    read = table_columns(table.slice(2, 7))["x"]
    assert (read.dtype, read.shape) == (np.dtype("float32"), (7, 3))
    np.testing.assert_array_equal(read, rows[2:9])


def test_lists_in_lists_and_tensors_are_one_array() -> None:
    """(samples, height, width)."""
    images = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    storage = pa.array(images.reshape(2, 12).tolist(), pa.list_(pa.int32(), 12))
    tensor = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.int32(), [3, 4]), storage)
    columns = table_columns(pa.table({"nested": images.tolist(), "tensor": tensor}))
    np.testing.assert_array_equal(columns["nested"], images)
    np.testing.assert_array_equal(columns["tensor"], images)


def test_lists_of_several_lengths_are_a_list_of_arrays() -> None:
    """One array for each sample, also an empty one."""
    read = table_columns(pa.table({"x": [[1, 2], [], [3]]}))["x"]
    assert [row.tolist() for row in read] == [[1, 2], [], [3]]
    assert all(row.dtype == np.int64 for row in read)


def test_plain_columns_keep_their_types() -> None:
    """Texts are lists of them, as models take them; a category is its value, a decimal a float."""
    table = pa.table(
        {
            "int8": pa.array([1, 2], pa.int8()),
            "flag": [True, False],
            "text": ["a", None],
            "category": pa.array(["m", "f"]).dictionary_encode(),
            "decimal": pa.array(["1.5", "2.5"]).cast(pa.decimal128(5, 2)),
            "day": [dt.date(2026, 1, 1), dt.date(2026, 1, 2)],
            "gap": [1, None],
        }
    )
    columns = table_columns(table)
    kinds = {name: getattr(values, "dtype", type(values)) for name, values in columns.items()}
    assert kinds == {
        "int8": np.dtype("int8"),
        "flag": np.dtype(bool),
        "text": list,
        "category": list,
        "decimal": np.dtype("float64"),
        "day": np.dtype("datetime64[D]"),
        "gap": np.dtype("float64"),
    }
    assert (columns["text"], columns["category"], columns["decimal"].tolist()) == (
        ["a", None],
        ["m", "f"],
        [1.5, 2.5],
    )


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            [{"bytes": b"x"}],
            "the column 'x' holds struct<bytes: binary>, expected numbers, texts or lists of numbers",
        ),
        ([[1], None], "the column 'x' has no list in 1 of 2 rows. Fill them in"),
        ([[1, None], [2, 3]], "the column 'x' has 1 missing numbers in its lists. Fill them in"),
        ([["a"]], "the column 'x' holds string, expected numbers"),
    ],
)
def test_columns_that_no_model_takes_are_refused(column: list[Any], message: str) -> None:
    """By name, with what to write."""
    with pytest.raises(DataError, match=message):
        table_columns(pa.table({"x": column}))


def test_two_columns_of_one_name_are_refused() -> None:
    """Arrow allows them, and one would be lost."""
    with pytest.raises(DataError, match="two columns are named 'x'"):
        table_columns(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]))


def test_every_format_gives_the_same_columns(tmp_path: Path) -> None:
    """Parquet, Arrow as a file and as a stream, Feather and npz."""
    from pyarrow import feather, parquet

    table = pa.table({"x": [[0.5, 1.5], [2.5, 3.5]], "y": [1, 2]})
    parquet.write_table(table, tmp_path / "a.parquet")
    feather.write_feather(table, str(tmp_path / "a.feather"))
    with pa.ipc.new_file(tmp_path / "file.arrow", table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_stream(tmp_path / "stream.arrow", table.schema) as writer:
        writer.write_table(table)
    np.savez(tmp_path / "a.npz", x=[[0.5, 1.5], [2.5, 3.5]], y=[1, 2])
    for path in sorted(tmp_path.iterdir()):
        columns = read_columns(str(path))
        assert {name: values.tolist() for name, values in columns.items()} == table.to_pydict(), path


def test_pickles_in_an_npz_are_not_read(tmp_path: Path) -> None:
    """Unpickling executes code from the file."""
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="it cannot be read, it may be cut off: ValueError: Object arrays"):
        read_columns(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.npz", "a.tar"])
def test_a_file_that_is_cut_off_is_an_error_of_the_data(tmp_path: Path, name: str) -> None:
    """No traceback of a library."""
    (tmp_path / name).write_bytes(b"ARROW1 and then nothing")
    with pytest.raises(DataError, match="it cannot be read, it may be cut off: "):
        read_columns(str(tmp_path / name))


def test_the_ending_tells_how_a_shard_is_read() -> None:
    """Without load= every shard has a known one; the query of a URL does not count."""
    assert ending_of("https://host/a.PARQUET?token=.csv") == ".parquet"
    assert ending_of("a.tar.gz") == ".tar.gz"
    check_endings(("a.npz", "b.tar"))
    with pytest.raises(DataError, match=r"shard b.csv: without load= its name must end in one of \.parquet, "):
        check_endings(("a.npz", "b.csv"))


def test_archives_group_files_into_samples(tmp_path: Path) -> None:
    """As WebDataset packs them, folders included."""
    path = archive(
        tmp_path / "a.tar",
        {
            "train/0.npy": as_npy(np.zeros((2, 3), np.float32)),
            "train/0.cls": b"7\n",
            "train/0.json": b'{"age": 30, "sex": "f"}',
            "train/0.en.txt": b"a cat\n",
            "train/1.cls": b"8",
            "train/1.npy": as_npy(np.ones((2, 3), np.float32)),
            "train/1.en.txt": b"a dog",
            "train/1.json": b'{"age": 40, "sex": "m"}',
        },
    )
    columns = read_columns(path)
    assert columns["__key__"] == ["train/0", "train/1"]
    assert (columns["npy"].shape, columns["npy"].dtype) == ((2, 2, 3), np.dtype("float32"))
    assert (columns["cls"].tolist(), columns["age"].tolist()) == ([7, 8], [30, 40])
    assert (columns["sex"], columns["en"]) == (["f", "m"], ["a cat", "a dog"])


def test_images_in_an_archive_are_arrays(tmp_path: Path) -> None:
    """(samples, height, width, 3), or without the last axis for grey ones; different sizes are a list."""
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    files = {}
    for number, array in enumerate((pixels, pixels[:2])):
        file = io.BytesIO()
        image.fromarray(array).save(file, format="png")
        files[f"{number}.png"] = file.getvalue()
    read = read_columns(archive(tmp_path / "a.tar", files))["png"]
    assert [row.shape for row in read] == [(3, 4, 3), (2, 4, 3)]
    np.testing.assert_array_equal(read[0], pixels)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "the archive has no file"),
        ({"0.pyd": b""}, "0.pyd ends in 'pyd', expected one of npy, cls, json"),
        ({"0.cls": b"cat"}, "0.cls cannot be read: ValueError"),
        ({"0.cls": b"1", "1.txt": b"a"}, "the sample '1' lacks 'cls'; expected the same files for each sample"),
        ({"0.cls": b"1", "1.cls": b"1", "1.txt": b"a"}, "the sample '1' alone has 'txt'"),
        ({"0.json": b'{"cls": 1}', "0.cls": b"1"}, "the sample '0' has 'cls' twice, the second time in 0.cls"),
    ],
)
def test_archives_with_mistakes_name_the_file(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    """Which sample, and what was expected."""
    with pytest.raises(DataError, match=message):
        read_columns(archive(tmp_path / "a.tar", files))


def archive(path: Path, files: dict[str, bytes]) -> str:
    """Write an archive."""
    import tarfile

    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return str(path)


def as_npy(array: Any) -> bytes:
    """Return the bytes of a file of numpy."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
