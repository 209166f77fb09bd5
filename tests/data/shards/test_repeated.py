"""Ids in two shards: found exactly, whatever part of the hashes is in memory at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_modelbench.data.sample_hashes import hashes_of
from pytest_modelbench.data.shards import repeated
from pytest_modelbench.data.shards.repeated import Repeated, keep_hashes, refuse_repeated, repeated_ids
from pytest_modelbench.errors import DataError


def kept(folder: Path, shards: list[list[str]]) -> None:
    """Write the hashes of shards."""
    for number, ids in enumerate(shards):
        keep_hashes(folder, number, hashes_of(ids))


@pytest.mark.parametrize("most_bytes", [1 << 28, 4096, 200], ids=["one range", "some ranges", "many ranges"])
def test_a_copy_is_found_in_any_range(tmp_path: Path, most_bytes: int) -> None:
    """With its id and both shards."""
    shards = [[f"{shard}-{number}" for number in range(50)] for shard in range(4)]
    kept(tmp_path, shards)
    assert repeated_ids(tmp_path, 4, shards.__getitem__, most_bytes) == []
    shards[3][7] = "1-20"
    kept(tmp_path, shards)
    assert repeated_ids(tmp_path, 4, shards.__getitem__, most_bytes) == [Repeated(id="1-20", first=1, second=3)]


def test_three_shards_with_one_id_are_found(tmp_path: Path) -> None:
    """Every pair, as far as pairs are named."""
    shards = [["a", "x"], ["b", "x"], ["c", "x"]]
    kept(tmp_path, shards)
    pairs = {(one.first, one.second) for one in repeated_ids(tmp_path, 3, shards.__getitem__)}
    assert pairs == {(0, 1), (1, 2), (0, 2)}


def test_equal_hashes_of_different_ids_are_no_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids are compared: a collision in one pair of shards does not hide a copy in another."""

    def colliding(ids: list[str]) -> np.ndarray:
        return np.array([7 if name.startswith("same") else hash(name) % 1000 + 8 for name in ids], dtype=np.uint64)

    monkeypatch.setattr(repeated, "hashes_of", colliding)
    shards = [["same-a"], ["same-b"], ["same-a"]]
    for number, ids in enumerate(shards):
        keep_hashes(tmp_path, number, colliding(ids))
    assert repeated_ids(tmp_path, 2, shards.__getitem__) == []
    assert repeated_ids(tmp_path, 3, shards.__getitem__) == [Repeated(id="same-a", first=0, second=2)]


def test_a_whole_shard_that_is_copied_is_one_message(tmp_path: Path) -> None:
    """It names a few of the ids, and the shards by what they are called."""
    shards = [list(map(str, range(1000)))] * 2
    kept(tmp_path, shards)
    with pytest.raises(
        DataError, match=r"would count twice: '\d+' in a and b; '\d+' in a and b; '\d+' in a and b\. L"
    ):
        refuse_repeated(tmp_path, ["a", "b"], shards.__getitem__)


def test_memory_follows_the_bound_and_not_the_samples(tmp_path: Path) -> None:
    """400,000 hashes of 3 MB, of which a range has 64 KiB at most."""
    import tracemalloc

    rng = np.random.default_rng(0)
    for number in range(8):
        keep_hashes(tmp_path, number, rng.integers(0, 2**64, 50_000, dtype=np.uint64))
    tracemalloc.start()
    assert repeated_ids(tmp_path, 8, lambda _: [], 1 << 16) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
