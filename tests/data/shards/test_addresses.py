"""Where shards are: patterns, paths and URLs, and what they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.data.shards.addresses import addresses_of, labels_of, opened, stamp_of
from pytest_modelbench.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three files, one of them deeper."""
    for name in ("b.npz", "a.npz", "deep/c.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    return tmp_path


def test_the_files_of_a_pattern_are_sorted(folder: Path) -> None:
    """Any machine reads them in one order."""
    assert addresses_of("*.npz", folder) == (str(folder / "a.npz"), str(folder / "b.npz"))
    assert addresses_of(["**/c.npz", Path("a.npz")], folder) == (str(folder / "deep/c.npz"), str(folder / "a.npz"))


def test_nothing_that_fits_a_pattern_is_left_out(folder: Path) -> None:
    """A folder that some writers name like a file, and a link to a file that is gone, would be lost samples."""
    (folder / "day.npz").mkdir()
    with pytest.raises(
        DataError, match=r"day.npz, of the pattern \*.npz, is a folder, and its files would be left out"
    ):
        addresses_of("*.npz", folder)
    (folder / "day.npz" / "part.npz").write_bytes(b"12345")
    assert str(folder / "day.npz" / "part.npz") in addresses_of("**/*.npz", folder)
    assert addresses_of("*", folder / "deep") == (str(folder / "deep/c.npz"),)
    (folder / "deep" / "z.npz").symlink_to("gone.npz")
    with pytest.raises(DataError, match=r"z.npz, of the pattern \*, is a link to a file that is not there"):
        addresses_of("*", folder / "deep")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path) -> None:
    """`part[0].npz` is a name that some writers give."""
    (folder / "part[0].npz").write_bytes(b"")
    assert addresses_of(["part[0].npz"], folder) == (str(folder / "part[0].npz"),)


def test_urls_are_taken_as_they_are(folder: Path) -> None:
    """What a URL means is up to fsspec or to the user's function."""
    assert addresses_of(["s3://lake/a.parquet?x=1", "table://day/1"], folder)[1] == "table://day/1"


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ([], "shards: there is none. Write a list of paths or URLs, or a pattern such as"),
        (None, "shards: found None, expected paths"),
        ({"a.npz": 1}, "shards: found {'a.npz': 1}, expected paths"),
        ([3], "shards: found 3 among them, expected paths"),
        ([""], "shards: found '' among them"),
        (
            ["z.npz"],
            "shards: there is no file .*z.npz. Correct the path; for something that is not a file write a URL",
        ),
        ("*.csv", r"shards: no file fits the pattern \*.csv in "),
        ("deep", r"shards: deep is a folder. Write the pattern of its files, such as deep/\*.parquet"),
        (["a.npz", "*.npz"], "shards: .*a.npz is there twice: its samples would count twice"),
        (["a.npz", "deep/../a.npz"], "a.npz is there twice, also as .*a.npz: its samples"),
        (["s3://lake/*.parquet"], "is a pattern, and URLs have none. List each shard"),
    ],
)
def test_mistakes_in_the_list_are_one_message(folder: Path, shards: Any, message: str) -> None:
    """Each says what was found and what to write."""
    with pytest.raises(DataError, match=message):
        addresses_of(shards, folder)


def test_a_link_to_a_shard_is_the_same_shard(folder: Path) -> None:
    """Its samples would count twice."""
    (folder / "link.npz").symlink_to(folder / "a.npz")
    with pytest.raises(DataError, match="is there twice, also as"):
        addresses_of("*.npz", folder)


def test_labels_do_not_depend_on_where_the_folder_is(folder: Path) -> None:
    """So that a manifest and a fingerprint hold after a move."""
    names = addresses_of(["a.npz", "deep/c.npz"], folder)
    assert labels_of(names) == labels_of(["/other/a.npz", "/other/deep/c.npz"]) == ("a.npz", "deep/c.npz")
    assert labels_of(["/data/only.npz"]) == ("only.npz",)
    assert labels_of(["s3://lake/x/0", "s3://other/x/0"]) == ("lake/x/0", "other/x/0")


def test_the_stamp_of_a_file_follows_its_size_and_its_time(folder: Path) -> None:
    """A URL has none."""
    path = folder / "a.npz"
    before = stamp_of(str(path), timed=True)
    path.write_bytes(b"123456")
    assert stamp_of(str(path), timed=True) != before
    assert stamp_of(str(path), timed=False) == "6"
    assert stamp_of("s3://lake/a", timed=True) == ""


def test_urls_are_opened_by_fsspec(folder: Path) -> None:
    """Any of its file systems; one that it does not know is an error of the data."""
    with opened(f"file://{folder}/a.npz") as file:
        assert file.read() == b"12345"
    with pytest.raises(DataError, match="it cannot be opened: ValueError: Protocol not known: nowhere"):
        opened("nowhere://a.npz")
