"""Ids that are in two shards: found exactly, in a memory that does not grow with the number of samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.data.sample_hashes import Hashes, hashes_of
from pytest_modelbench.errors import DataError, shown

MOST_BYTES = 256 << 20
MOST_NAMED = 3
_COPIES = 4
"""Hashes of a range are held with the shard of each, and sorted."""


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """An id, and the positions of two shards that have it."""

    id: Any
    first: int
    second: int


def hash_file(folder: Path, number: int) -> Path:
    """Return where the hashes of a shard are kept."""
    return folder / f"ids-{number:06d}.npy"


def keep_hashes(folder: Path, number: int, hashes: Hashes) -> None:
    """Write the hashes of the ids of a shard, sorted; a file of the same shard is replaced as a whole.

    Args:
        folder: of all shards.
        number: the position of the shard.
        hashes: those of `hashes_of(ids)`.
    """
    target = hash_file(folder, number)
    partial = target.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, np.sort(hashes), allow_pickle=False)
    partial.replace(target)


def repeated_ids(
    folder: Path, shards: int, ids_of: Callable[[int], Sequence[Any]], most_bytes: int = MOST_BYTES
) -> list[Repeated]:
    """Return some ids that two shards have, at most `MOST_NAMED`; none if all ids are different.

    Different ids whose hashes are equal are not repeated: the ids themselves are compared.

    Args:
        folder: where `keep_hashes` wrote the hashes of all shards.
        shards: how many there are.
        ids_of: reads the ids of a shard again, by its position.
        most_bytes: of memory for hashes.
    """
    found: list[Repeated] = []
    for same, first, second in _hits(folder, shards, most_bytes):
        found += _shared(same, first, second, ids_of)
        if len(found) >= MOST_NAMED:
            break
    return found[:MOST_NAMED]


def refuse_repeated(
    folder: Path, labels: Sequence[str], ids_of: Callable[[int], Sequence[Any]], most_bytes: int = MOST_BYTES
) -> None:
    """Refuse an id that two shards have: its sample would count twice.

    Args:
        folder: where `keep_hashes` wrote the hashes of all shards.
        labels: what the shards are called.
        ids_of: reads the ids of a shard again, by its position.
        most_bytes: of memory for hashes.

    Raises:
        DataError: naming ids, and both shards of each.
    """
    found = repeated_ids(folder, len(labels), ids_of, most_bytes)
    if found:
        told = "; ".join(f"{shown(one.id)} in {labels[one.first]} and {labels[one.second]}" for one in found)
        raise DataError(
            f"ids are in two shards, and their samples would count twice: {told}. Leave the copies out, or make ids "
            "unique, such as 'part-0/17'"
        )


def _hits(folder: Path, shards: int, most_bytes: int) -> Iterator[tuple[Hashes, int, int]]:
    """Yield equal hashes with the two shards that have them, one range of hashes after the other."""
    files = [np.load(hash_file(folder, number), mmap_mode="r", allow_pickle=False) for number in range(shards)]
    total = sum(len(file) for file in files)
    ranges = max(1, math.ceil(total * 8 * _COPIES / most_bytes))
    starts = [[0] * shards]
    edges = [np.uint64(number * (2**64 // ranges)) for number in range(1, ranges)]
    starts += [[int(np.searchsorted(file, edge)) for file in files] for edge in edges]
    starts.append([len(file) for file in files])
    for low, high in itertools.pairwise(starts):
        yield from _hits_among([file[a:b] for file, a, b in zip(files, low, high, strict=True)])


def _hits_among(parts: Sequence[Hashes]) -> Iterator[tuple[Hashes, int, int]]:
    hashes = np.concatenate(parts)
    owners = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    for apart in range(1, len(hashes)):  # several shards may have one hash
        alike = hashes[apart:] == hashes[:-apart]
        if not alike.any():
            return
        at = np.flatnonzero(alike & (owners[apart:] != owners[:-apart]))
        pairs = np.stack([owners[at], owners[at + apart]], axis=1)
        for first, second in np.unique(pairs, axis=0).tolist():
            yield hashes[at[(pairs == (first, second)).all(axis=1)]], first, second


def _shared(same: Hashes, first: int, second: int, ids_of: Callable[[int], Sequence[Any]]) -> list[Repeated]:
    """Return the ids that two shards have, among those of some hashes."""
    one, other = (_ids_with(same, ids_of(number)) for number in (first, second))
    return [Repeated(id=sample, first=first, second=second) for sample in one if sample in other]


def _ids_with(same: Hashes, ids: Sequence[Any]) -> dict[Any, None]:
    found = (ids[at] for at in np.flatnonzero(np.isin(hashes_of(ids), same)).tolist())
    return dict.fromkeys(sample.item() if hasattr(sample, "item") else sample for sample in found)
