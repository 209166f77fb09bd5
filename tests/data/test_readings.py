"""Readings of the same data: the same inputs every time, and as many samples as announced."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from pytest_modelbench import EvalData
from pytest_modelbench.data.given import as_eval_data
from pytest_modelbench.data.hashing import batch_hash
from pytest_modelbench.data.loaders import read_twice
from pytest_modelbench.errors import DataError

ROWS = 40
INPUTS = np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2)
TARGETS = np.arange(ROWS) % 3


def read(data: EvalData, size: int | None = None) -> int:
    """Read all samples, and return how many there are."""
    return sum(len(batch.ids) for batch in data.batches(size))


class Rows(Dataset[Any]):
    """Samples by index, with a length that is announced."""

    def __init__(self, announced: Any = ROWS) -> None:
        self.announced = announced

    def __len__(self) -> int:
        if isinstance(self.announced, Exception):
            raise self.announced
        return self.announced  # type: ignore[no-any-return]

    def __getitem__(self, index: int) -> Any:
        return INPUTS[index], int(TARGETS[index])


class Noisy(Rows):
    """Augmentation, as users forget it in a dataset."""

    def __getitem__(self, index: int) -> Any:
        return INPUTS[index] + np.random.default_rng().random(2, dtype=np.float32), int(TARGETS[index])


class Ending(Rows):
    """A StopIteration raised inside, as by `next()` of a reader that is exhausted."""

    def __getitem__(self, index: int) -> Any:
        if index == 25:
            raise StopIteration
        return super().__getitem__(index)


class Shuffled:
    """Batches in another order every time."""

    def __init__(self, targets: bool) -> None:
        self.targets = targets

    def __iter__(self) -> Iterator[Any]:
        for part in np.split(np.random.default_rng().permutation(ROWS), 4):
            yield (INPUTS[part], TARGETS[part]) if self.targets else (INPUTS[part],)


class Once:
    """An iterator in disguise."""

    def __init__(self) -> None:
        self.batches = iter([(INPUTS, TARGETS)])

    def __iter__(self) -> Iterator[Any]:
        return self.batches


class Announcing:
    """Four batches, and a length."""

    def __init__(self, announced: Any) -> None:
        self.announced = announced

    def __len__(self) -> int:
        if isinstance(self.announced, Exception):
            raise self.announced
        return self.announced  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Any]:
        return ((INPUTS[part], TARGETS[part]) for part in np.split(np.arange(ROWS), 4))


class Stream(IterableDataset[Any]):
    """Samples that know nothing of workers."""

    def __iter__(self) -> Iterator[Any]:
        return ((INPUTS[index], int(TARGETS[index])) for index in self.indices())

    def indices(self) -> range:
        return range(ROWS)


class Split(Stream):
    """Samples that are split between workers."""

    def indices(self) -> range:
        worker = get_worker_info()
        return range(ROWS) if worker is None else range(worker.id, ROWS, worker.num_workers)


class Few(Split):
    """Samples of which many are equal, as of two binary features."""

    def __len__(self) -> int:
        return ROWS

    def __iter__(self) -> Iterator[Any]:
        return ((INPUTS[index // 10], 0) for index in self.indices())


@pytest.mark.parametrize(
    "data",
    [Noisy(), DataLoader(Noisy(), batch_size=8), Shuffled(targets=True), Shuffled(targets=False)],
    ids=["dataset", "loader", "stream", "no-targets"],
)
def test_other_inputs_at_a_later_reading(data: Any) -> None:
    """With targets and without: the batch is named, and what to write."""
    evaluation = EvalData(data, batch_size=16)
    assert read(evaluation) == ROWS
    with pytest.raises(DataError, match=r"batch 1 of .*samples 0 to 15\) holds other inputs .*shuffle=False, and no"):
        read(evaluation)


def test_inputs_in_memory_that_somebody_changed() -> None:
    """A test's body that writes into them is found at the next reading, with the batch."""
    inputs = INPUTS.copy()
    data = EvalData(inputs, TARGETS, batch_size=16)
    read(data)
    inputs[20] = 0
    with pytest.raises(DataError, match=r"batch 2 of the evaluation data \(samples 16 to 31\) holds other inputs"):
        read(data)


def test_random_transform_is_found() -> None:
    """Two models would be judged on other inputs."""
    data = EvalData(INPUTS, TARGETS).mapped(lambda inputs: inputs + np.random.default_rng().random(inputs.shape))
    read(data)
    with pytest.raises(DataError, match="holds other inputs"):
        read(data)


def test_source_of_changed_inputs_is_compared_too() -> None:
    """A transform that hides the difference does not hide that the samples are other ones."""
    data = EvalData(Noisy())
    read(data)
    with pytest.raises(DataError, match="holds other inputs"):
        read(data.mapped(np.zeros_like))


def test_outputs_of_another_process_are_for_the_same_inputs() -> None:
    """What another worker read is compared with what this one reads, or has read."""
    first, second = EvalData(INPUTS, batch_size=16), EvalData(INPUTS + 1, batch_size=16)
    checksums = [batch.checksum for batch in first.batches()]
    EvalData(INPUTS.copy(), batch_size=16).expect(16, checksums)
    with pytest.raises(DataError, match=r"samples 0 to 15\) holds other inputs"):
        second.expect(16, checksums)
    stream = EvalData(Announcing(4), batch_size=16)
    stream.expect(16, [*checksums[:-1], checksums[-1] + 1])
    with pytest.raises(DataError, match=r"batch 3 of .* \(samples 32 to 39\) holds other inputs"):
        read(stream)


def test_every_form_has_a_checksum_of_its_content() -> None:
    """Equal content is equal, and one other bit, name or order is not; objects with an address have no content."""

    class Plain:
        pass

    forms: list[Any] = [
        INPUTS,
        INPUTS[::-1],
        INPUTS.astype(np.float64),
        torch.from_numpy(INPUTS[:3]),
        torch.from_numpy(INPUTS[:3]).to(torch.bfloat16),
        torch.from_numpy(INPUTS[:3]).to(torch.float8_e4m3fn),
        torch.from_numpy(INPUTS[:4])._neg_view(),
        torch.from_numpy(INPUTS[:3]).to_sparse(),
        {"a": INPUTS},
        ["a", "b"],
        ["b", "a"],
        ["ab", ""],
        [{"a": INPUTS[0]}, (1, INPUTS[1])],
        [Plain(), Plain()],
    ]
    hashes = [batch_hash(form) for form in forms]
    assert len({*hashes}) == len(forms) - 1  # the name of a mapping's only array is the same at every reading
    assert hashes == [batch_hash(form) for form in forms]
    assert batch_hash([Plain(), Plain()]) == hashes[-1]


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_that_ends_early(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A StopIteration inside a dataset ends torch's loader without a word."""
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.2)  # the wait for a worker's end
    data = as_eval_data(DataLoader(Ending(), num_workers=workers))
    with pytest.raises(
        DataError, match=r"announce 40 samples by len\(\), and reading them gave \d+\..*StopIteration"
    ):
        read(data, 4)
    gc.collect()  # which ends the workers


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EvalData(Rows(-3)), r"len\(\) of the Rows raised ValueError: __len__\(\) should return >= 0"),
        (lambda: EvalData(Rows(RuntimeError("\x1b[2J"))), r"raised RuntimeError: \\x1b\[2J. Write a __len__"),
        (lambda: EvalData(Rows(4.0)), "raised TypeError: 'float' object"),
        (lambda: EvalData(Announcing(-1)), r"len\(\) of the Announcing raised ValueError"),
        (lambda: EvalData(Announcing("4")), "raised TypeError: 'str' object"),
        (lambda: read(EvalData(Announcing(7))), "is 7, and reading it gave 4 batches with 40 samples"),
        (lambda: read(EvalData(DataLoader(Announced(), batch_size=None))), "is 5, and reading it gave 4 batches"),
        (lambda: read(EvalData(Announcing(4), ids=[*range(41)])), "there are 40 samples and 41 ids"),
    ],
)
def test_lengths_that_are_wrong(make: Any, words: str) -> None:
    """Each is one clear error."""
    with pytest.raises(DataError, match=words):
        make()


class Announced(IterableDataset[Any]):
    """A dataset that makes its batches itself, and announces another number of them."""

    def __len__(self) -> int:
        return 5

    def __iter__(self) -> Iterator[Any]:
        return iter(Announcing(4))


@pytest.mark.parametrize("announced", [4, ROWS, TypeError(), NotImplementedError()])
def test_streams_announce_batches_or_samples_or_nothing(announced: Any) -> None:
    """As loaders of users do; a stream may say that it has no length."""
    assert read(EvalData(Announcing(announced)), 16) == ROWS


def test_iterator_that_poses_as_an_iterable() -> None:
    """The second model would get no sample."""
    data = EvalData(Once())
    read(data)
    with pytest.raises(DataError, match="gave 0 batches, and 1 before: .*starts anew"):
        read(data)


@pytest.mark.parametrize("batch_size", [8, None])
def test_workers_that_read_the_same_samples(batch_size: int | None) -> None:
    """Every sample would count twice, and the interval would be too narrow."""
    data = as_eval_data(DataLoader(Stream() if batch_size else Chunks(), num_workers=2, batch_size=batch_size))
    with pytest.raises(DataError, match=r"several of the 2 workers: .*torch.utils.data.get_worker_info\(\)"):
        read(data)


class Chunks(IterableDataset[Any]):
    """A dataset that makes its batches itself, and knows nothing of workers."""

    def __iter__(self) -> Iterator[Any]:
        return iter(Announcing(4))


@pytest.mark.parametrize("dataset", [Split(), Few()], ids=["split", "equal-samples"])
def test_workers_that_split_the_samples(dataset: Any) -> None:
    """Nothing is counted twice, and equal samples of the data's own are legal."""
    assert read(as_eval_data(DataLoader(dataset, num_workers=2, batch_size=8))) == ROWS


def test_overlap_of_workers() -> None:
    """A few equal samples may be the data's own; many that no worker reads twice are not."""
    assert read_twice([[*range(20)], [*range(10, 30)]]) == 10
    assert read_twice([[*range(20)], [*range(18, 30)]]) == 0
    assert read_twice([[*range(20)]]) == 0


def test_equal_samples_in_memory_are_legal() -> None:
    """Nobody counted them twice."""
    assert read(EvalData(np.zeros((ROWS, 2)), TARGETS)) == ROWS


def test_dropped_samples_are_told() -> None:
    """What a loader leaves out with drop_last stands in the report, and so does what it does not leave out."""
    dropping = as_eval_data(DataLoader(Rows(), batch_size=16, drop_last=True))
    assert (read(dropping), dropping.notes) == (32, ["drop_last=True: 8 of 40 samples are excluded"])
    stream = as_eval_data(DataLoader(Stream(), batch_size=16, drop_last=True))
    assert read(stream) == ROWS
    assert stream.notes == ["drop_last=True: no sample is excluded, because batches of another size are made here"]
