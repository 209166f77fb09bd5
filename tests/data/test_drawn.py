"""Which batches are timed: they stand for the whole evaluation set, whatever its order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pytest_modelbench import EvalData
from pytest_modelbench.data import drawn
from pytest_modelbench.data.drawn import Draws, row_sizes, size_of
from pytest_modelbench.errors import DataError

SORTED_TEXTS = ["short" * 2] * 200 + ["long" * 100] * 100


class Batches:
    """An iterable of batches of one text each that counts how often it is read."""

    def __init__(self, texts: Any) -> None:
        self.texts = texts
        self.reads = 0
        self.batches_read = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.reads += 1
        for text in self.texts:
            self.batches_read += 1
            yield {"text": [text]}


def shares_of_long(sizes: Any) -> float:
    return float(np.mean(np.asarray(sizes) == 400))


def test_texts_sorted_by_length_are_drawn_as_the_data_hold_them() -> None:
    """A third of the texts is long and stands at the end: a third of the timed ones is long, and of any few of them."""
    found = Draws(EvalData(SORTED_TEXTS)).of(1)
    assert (len(found.batches), found.of, found.differ) == (256, 300, True)
    assert shares_of_long(found.sizes) == pytest.approx(1 / 3, abs=0.01)
    assert all(2 <= 8 * shares_of_long(found.sizes[at : at + 8]) <= 4 for at in range(248))
    assert found.sizes[0] == 10
    assert found.told() == {
        "batches": 256,
        "of": 300,
        "whole": True,
        "sizes": {"smallest": 10, "median": 10, "largest": 400},
    }


def test_first_batch_is_of_median_size_and_some_have_the_largest() -> None:
    """A launch runs few batches, and its memory peaks at the largest, however rare that is."""
    texts = ["x" * int(size) for size in np.random.default_rng(0).permutation(1000) + 1]
    found = Draws(EvalData(texts)).of(1)
    assert found.sizes[0] == pytest.approx(500, rel=0.05)
    assert found.largest_size == 1000
    some = found.some(8)
    assert len(some) == 8
    assert ["x" * 1000] in some
    assert some[0] == found.batches[0]


def test_batches_that_are_alike_come_from_everywhere() -> None:
    """Sixteen are enough where all are of one size, and they are not the first sixteen."""
    found = Draws(EvalData(np.arange(1000.0).reshape(1000, 1))).of(4)
    firsts = sorted(float(batch[0, 0]) for batch in found.batches)
    assert len(firsts) == 16
    assert firsts[0] < 100
    assert firsts[-1] > 900
    assert not found.differ


def test_draw_is_the_seeds() -> None:
    """The same seed draws the same batches, another one others."""

    def firsts(seed: int) -> list[float]:
        return [
            float(batch[0, 0]) for batch in Draws(EvalData(np.arange(1e4).reshape(-1, 1)), seed=seed).of(1).batches
        ]

    assert firsts(1) == firsts(1) != firsts(2)


def test_small_data_are_taken_whole() -> None:
    """Where there are no more batches than are held, none is left out."""
    found = Draws(EvalData(["x" * size for size in range(1, 101)])).of(1)
    assert sorted(found.sizes) == list(range(1, 101))


def test_stream_is_read_once_for_all_batch_sizes() -> None:
    """Reading may take long, so the sweep of batch sizes cuts its batches from one reading; few are held."""
    stream = Batches(["short" * 2] * 2000 + ["long" * 100] * 1000)
    draws = Draws(EvalData(stream))
    assert [len(draws.few(size, 2)) for size in (1, 2, 64, 256)] == [2, 2, 2, 2]
    assert stream.reads == 1
    found = draws.of(1)
    assert (len(found.batches), found.of, stream.reads) == (256, 3000, 2)
    assert draws.of(1) is found
    assert shares_of_long(found.sizes) == pytest.approx(1 / 3, abs=0.1)


def test_endless_stream_is_read_for_a_while() -> None:
    """What cannot be read to its end within the budget is drawn from as far as it was read, and that is told."""
    found = Draws(EvalData(Batches(itertools.repeat("text"))), seconds=0.0).of(1)
    assert (found.of, found.whole, found.told()["whole"]) == (1, False, False)


def test_no_more_is_held_than_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large batches are held in small numbers, also while a stream is read."""
    monkeypatch.setattr(drawn, "HELD_BYTES", 8 * 1000)
    rows = np.zeros((500, 125))  # a thousand bytes a row
    assert len(Draws(EvalData(rows)).of(1).batches) == 8
    stream = Draws(EvalData(Batches(["x" * 125] * 200))).of(1)
    assert len(stream.batches) == 8


def test_loader_reads_what_is_drawn_only() -> None:
    """A map-style dataset is asked for the drawn samples; more of them where they turn out to be of different sizes."""
    from torch.utils.data import DataLoader, Dataset

    class Texts(Dataset[Any]):
        def __init__(self, sizes: list[int]) -> None:
            self.sizes, self.asked = sizes, set[int]()

        def __len__(self) -> int:
            return len(self.sizes)

        def __getitem__(self, at: int) -> tuple[str, int]:
            self.asked.add(at)
            return "x" * self.sizes[at], 0

    def collate(rows: list[tuple[str, int]]) -> dict[str, Any]:
        return {"text": [text for text, _ in rows], "labels": [label for _, label in rows]}

    alike, sorted_ = Texts([5] * 10_000), Texts([10] * 6_000 + [400] * 3_000)
    found = Draws(EvalData(DataLoader(alike, batch_size=8, collate_fn=collate))).of(1)
    assert (len(found.batches), found.of) == (16, 10_000)
    assert len(alike.asked) <= 20
    found = Draws(EvalData(DataLoader(sorted_, batch_size=8, collate_fn=collate))).of(1)
    assert shares_of_long(found.sizes) == pytest.approx(1 / 3, abs=0.01)
    assert len(sorted_.asked) <= 300


def test_dataset_that_raises_is_told_as_the_data() -> None:
    """Whoever reads the drawn samples meets the user's own errors."""
    from torch.utils.data import Dataset

    class Broken(Dataset[Any]):
        def __len__(self) -> int:
            return 1000

        def __getitem__(self, at: int) -> Any:
            raise OSError(f"no file for {at}")

    with pytest.raises(DataError, match="reading the evaluation data raised OSError"):
        Draws(EvalData(Broken())).of(1)


def test_data_without_a_full_batch() -> None:
    """The sweep ends there; a gate that asks for such a batch is an error with the size to write."""
    draws = Draws(EvalData(np.zeros((20, 2))))
    assert draws.few(32, 2) == []
    with pytest.raises(DataError, match="only 20. Write batch_size=20 or less"):
        draws.of(32)


def test_copies_are_the_callers_own() -> None:
    """A model that writes into its batch does not change what others are given."""
    found = Draws(EvalData(np.zeros((5, 2)))).of(1)
    found.copies()[0][:] = 7
    found.some()[0][:] = 7
    assert all((batch == 0).all() for batch in found.batches)


class Picture:
    """Has a size in pixels as PIL's images do."""

    size = (4, 3)


class Sizeless:
    """Raises when it is asked for its length."""

    def __len__(self) -> int:
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    ("rows", "sizes"),
    [
        (["ab", "cde"], [2, 3]),
        ([np.zeros((2, 2)), np.zeros(3)], [4, 3]),
        ([[[1, 2], [3]], [4]], [3, 1]),
        ([{"a": "xy", "b": [1, 2, 3]}, {"a": "", "b": []}], [5, 0]),
        ([Picture(), Sizeless()], [12, 1]),
        ([1.0, 2.0], [1, 1]),
    ],
    ids=["texts", "arrays", "nested", "mappings", "images and objects", "numbers"],
)
def test_sizes_of_rows(rows: list[Any], sizes: list[int]) -> None:
    """A size is what a call's time may follow: characters, cells, pixels."""
    found = row_sizes(rows)
    assert found is not None
    assert found.tolist() == sizes
    assert size_of(rows) == sum(sizes)


def test_sizes_of_frames_and_arrays() -> None:
    """Columns of texts count by their length; rows of plain arrays are all alike."""
    import pandas as pd

    frame = pd.DataFrame({"text": ["a", "bcd"], "number": [1.0, 2.0]})
    found = row_sizes(frame)
    assert found is not None
    assert (found.tolist(), size_of(frame)) == ([1, 3], 6)
    assert row_sizes({"ids": np.zeros((4, 8)), "mask": np.zeros((4, 8))}) is None
    assert size_of({"ids": np.zeros((4, 8)), "mask": np.zeros((4, 8))}) == 64
    assert math.isfinite(size_of(pd.DataFrame({"number": [1.0, 2.0]})))
