"""What some samples add to the evidence of a gate: summaries of parts of the data can be merged in any order."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import combinations
from pytest_modelbench.errors import DataError
from pytest_modelbench.probes.answers.predictions import SHOWN_SAMPLES
from pytest_modelbench.stats.cells import CellSums

Array = npt.NDArray[Any]
Key = tuple[Any, ...]


class Highest:
    """The samples with the highest values of all, and how many there are; of equal ones those with the lowest ids.

    >>> highest = Highest(2)
    >>> highest.take([0.5, 2.0, 2.0], [7, 9, 8])
    >>> highest.shown()
    ('8', '9', 'and 1 more')
    """

    def __init__(self, most: int = SHOWN_SAMPLES) -> None:
        self.most = most
        self.count = 0
        self._kept: list[tuple[float, int, Any]] = []

    def take(self, values: Iterable[float], ids: Iterable[Any]) -> None:
        """Look at some samples.

        Args:
            values: of the samples.
            ids: of the samples.
        """
        found = [(-float(value), *_in_order(name)) for value, name in zip(values, ids, strict=True)]
        self.count += len(found)
        self._kept = heapq.nsmallest(self.most, self._kept + found)

    def take_some(self, values: Array | None, ids: Sequence[Any], index: npt.NDArray[np.intp]) -> None:
        """Look at some samples of many; without values all are equal.

        Args:
            values: of the samples in `index`, or None.
            ids: of all samples.
            index: positions of the samples, rising.
        """
        numbers = np.zeros(len(index)) if values is None else np.asarray(values, dtype=np.float64)
        chosen = np.arange(len(index))
        if len(index) > self.most:
            least = 0.0 if values is None else -np.partition(-numbers, self.most - 1)[self.most - 1]
            higher = np.flatnonzero(numbers > least)
            equal = np.flatnonzero(numbers == least)
            chosen = np.concatenate([higher, equal[_lowest(ids, index[equal], self.most)]])
        self.take(numbers[chosen].tolist(), [ids[at] for at in index[chosen].tolist()])
        self.count += len(index) - len(chosen)

    def merge(self, other: Self) -> None:
        """Look at the samples of another part of the data."""
        self.count += other.count
        self._kept = heapq.nsmallest(self.most, self._kept + other._kept)

    @property
    def ids(self) -> list[str]:
        """The ids, the highest first."""
        return [str(name) for *_, name in self._kept]

    @property
    def lowest(self) -> tuple[int, Any]:
        """The lowest id of samples with equal values, as ids are ordered."""
        _, kind, name = self._kept[0]
        return kind, name

    @property
    def values(self) -> list[float]:
        """The values, the highest first."""
        return [-value for value, *_ in self._kept]

    def shown(self) -> tuple[str, ...]:
        """Return the ids, and how many more there are."""
        more = self.count - len(self._kept)
        return (*self.ids, f"and {more} more") if more else tuple(self.ids)

    def plain(self) -> dict[str, Any]:
        """Return numbers and texts."""
        kept = [[value, name] for value, *_, name in self._kept]
        return {"most": self.most, "count": self.count, "kept": kept}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `plain` gave."""
        highest = cls(plain["most"])
        highest.count = plain["count"]
        highest._kept = [(value, *_in_order(name)) for value, name in plain["kept"]]
        return highest


@dataclass(kw_only=True)
class Summary:
    """What some samples add to the evidence of one gate.

    Attributes:
        n: the number of samples.
        facts: what is the same for all samples, such as how outputs are read.
        counts: how many samples there are of each kind, by what is counted.
        sums: sums that are resampled, by stratum.
        samples: which samples are shown.
        memo: keeps what several KPIs derive from the same samples; not stored, and not merged.
    """

    n: int
    facts: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, dict[Key, int]] = field(default_factory=dict)
    sums: dict[str, CellSums] = field(default_factory=dict)
    samples: dict[Key, Highest] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def merge(self, other: Self) -> None:
        """Add other samples.

        Raises:
            DataError: what must be the same for all samples is not.
        """
        for name in [*self.facts, *other.facts]:
            ours, theirs = self.facts.get(name), other.facts.get(name)
            if ours != theirs:
                raise DataError(f"{name.replace('_', ' ')}: {theirs} here and {ours} in the parts before")
        self.n += other.n
        for what, counts in other.counts.items():
            mine = self.counts.setdefault(what, {})
            for key, count in counts.items():
                mine[key] = mine.get(key, 0) + count
        for stratum, sums in other.sums.items():
            self.sums.setdefault(stratum, CellSums()).merge(sums)
        for key, highest in other.samples.items():
            self.samples.setdefault(key, Highest(highest.most)).merge(highest)

    def count(self, what: str, *columns: Array) -> None:
        """Count the samples of each combination of values.

        Args:
            what: is counted.
            columns: of values, each with one entry for each sample.
        """
        counted = self.counts.setdefault(what, {})
        for key, count in combinations(*columns).items():
            counted[key] = counted.get(key, 0) + count

    def note_kinds(self, what: str, kinds: Iterable[Any]) -> None:
        """Note kinds of which there may be no sample, each one value."""
        counted = self.counts.setdefault(what, {})
        for kind in kinds:
            counted.setdefault((kind,), 0)

    def show(
        self,
        key: Key,
        ids: Sequence[Any],
        index: npt.NDArray[np.intp],
        values: Array | None = None,
        most: int = SHOWN_SAMPLES,
    ) -> None:
        """Show some samples: those with the highest values, or with the lowest ids.

        Args:
            key: says what they are.
            ids: of all samples.
            index: positions of the samples, rising.
            values: of the samples in `index`.
            most: how many are shown.
        """
        self.samples.setdefault(key, Highest(most)).take_some(values, ids, index)

    def show_each(
        self,
        keys: Sequence[Key],
        ids: Sequence[Any],
        index: npt.NDArray[np.intp],
        codes: Array,
        most: int = SHOWN_SAMPLES,
    ) -> None:
        """Show some samples of each of several kinds.

        Args:
            keys: of the kinds.
            ids: of all samples.
            index: positions of the samples, rising.
            codes: which of `keys` each sample in `index` is, -1 for none.
            most: how many are shown of each.
        """
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(keys) + 1))
        for key, (first, last) in zip(keys, itertools.pairwise(bounds.tolist()), strict=True):
            if last > first:
                self.show(key, ids, index[order[first:last]], most=most)

    def first(self, what: str) -> Any:
        """Return the kind of the sample with the lowest id of all that were shown of several kinds; None for none."""
        kinds = {key[1]: highest for key, highest in self.samples.items() if key[0] == what}
        return min(kinds, key=lambda kind: kinds[kind].lowest, default=None)

    def shown(self, *key: Any) -> tuple[str, ...]:
        """Return the ids of shown samples, and how many more there are."""
        return self.samples[key].shown() if key in self.samples else ()

    def of(self, what: str, *key: Any) -> int:
        """Return how many samples there are of the kinds whose values begin with some."""
        return sum(count for kind, count in self.counts.get(what, {}).items() if kind[: len(key)] == key)

    def plain(self) -> dict[str, Any]:
        """Return numbers, texts and arrays."""
        return {
            "n": self.n,
            "facts": self.facts,
            "counts": {what: [[*map(list, of)], [*of.values()]] for what, of in self.counts.items()},
            "sums": {stratum: sums.plain() for stratum, sums in self.sums.items()},
            "samples": [[list(key), highest.plain()] for key, highest in self.samples.items()],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `plain` gave."""
        return cls(
            n=plain["n"],
            facts=plain["facts"],
            counts={
                what: dict(zip(map(tuple, keys), of, strict=True)) for what, (keys, of) in plain["counts"].items()
            },
            sums={stratum: CellSums.from_plain(sums) for stratum, sums in plain["sums"].items()},
            samples={tuple(key): Highest.from_plain(highest) for key, highest in plain["samples"]},
        )


def place_of_lowest(ids: Sequence[Any], index: npt.NDArray[np.intp]) -> int:
    """Return the position, of some, of the sample with the lowest id."""
    return int(index[_lowest(ids, index, 1)[0]])


def _lowest(ids: Sequence[Any], index: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """Return the places in `index`, which rises, of the samples with the lowest ids."""
    if isinstance(ids, range):
        return np.arange(len(index))[:most]
    names = ((*_in_order(ids[at]), place) for place, at in enumerate(index.tolist()))
    return np.array([place for *_, place in heapq.nsmallest(most, names)], dtype=np.intp)


def _in_order(given: Any) -> tuple[int, Any]:
    """Return an id as a number or a text, with what puts numbers before texts."""
    name = given.item() if isinstance(given, np.generic) else given
    name = name if isinstance(name, int | str) else str(name)
    return int(isinstance(name, str)), name
