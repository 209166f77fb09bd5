"""Derivations in two halves: what some samples add, which can be merged, and the evidence of all of them.

Parts of the data may be read by any process in any order: counts are whole numbers, sums are exact, and what is shown
of samples is ordered by their ids, so that merged parts are to the last bit what one pass over all samples gives.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import coded
from pytest_modelbench.errors import DataError
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import SHOWN_SAMPLES
from pytest_modelbench.results import Evidence
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
        found = [(-float(value), int(isinstance(name, str)), name) for value, name in zip(values, ids, strict=True)]
        self.count += len(found)
        self._kept = heapq.nsmallest(self.most, self._kept + found)

    def take_some(self, values: Array | None, ids: Sequence[Any], index: npt.NDArray[np.intp]) -> None:
        """Look at some samples of many; without values all are equal.

        Args:
            values: of the samples in `index`, or None.
            ids: of all samples.
            index: positions of the samples.
        """
        numbers = np.zeros(len(index)) if values is None else np.asarray(values)
        chosen = np.arange(len(index))
        if len(index) > self.most and values is not None:
            least = -np.partition(-numbers, self.most - 1)[self.most - 1]
            chosen = np.flatnonzero(numbers >= least)
        self.take(numbers[chosen].tolist(), [_plain(ids[at]) for at in index[chosen].tolist()])
        self.count += len(index) - len(chosen)

    def merge(self, other: Self) -> None:
        """Look at the samples of another part of the data."""
        self.count += other.count
        self._kept = heapq.nsmallest(self.most, self._kept + other._kept)

    @property
    def ids(self) -> list[str]:
        """The ids, the highest first."""
        return [str(name) for _, _, name in self._kept]

    def shown(self) -> tuple[str, ...]:
        """Return the ids, and how many more there are."""
        more = self.count - len(self._kept)
        return (*self.ids, f"and {more} more") if more else tuple(self.ids)

    def plain(self) -> dict[str, Any]:
        """Return numbers and texts."""
        kept = [[value, name] for value, _, name in self._kept]
        return {"most": self.most, "count": self.count, "kept": kept}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return what `plain` gave."""
        highest = cls(plain["most"])
        highest.count = plain["count"]
        highest._kept = [(value, int(isinstance(name, str)), name) for value, name in plain["kept"]]
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
    """

    n: int
    facts: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, dict[Key, int]] = field(default_factory=dict)
    sums: dict[str, CellSums] = field(default_factory=dict)
    samples: dict[Key, Highest] = field(default_factory=dict)

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

    def of(self, what: str, *key: Any) -> int:
        """Return how many samples there are of one kind."""
        return self.counts.get(what, {}).get(key, 0)

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


def combinations(*columns: Array) -> dict[Key, int]:
    """Count the samples of each combination of values, as Python has them.

    >>> combinations(np.array([1, 1, 0]), np.array(["a", "a", "b"]))
    {(0, 'b'): 1, (1, 'a'): 2}
    """
    if not len(columns[0]):
        return {}
    codings = [coded(column) for column in columns]
    together = np.zeros(len(columns[0]), dtype=np.int64)
    for names, codes in codings:
        together = together * len(names) + codes
    kinds, counts = np.unique(together, return_counts=True)
    values: list[list[Any]] = []
    rest = kinds
    for names, _ in reversed(codings):
        values.insert(0, [_plain(names[at]) for at in (rest % len(names)).tolist()])
        rest = rest // len(names)
    return dict(zip(zip(*values, strict=True), counts.tolist(), strict=True))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class Reduction:
    """A derivation that the data may be cut for.

    Attributes:
        reduce: reads samples, which may be all.
        conclude: yields the evidence of all samples.
    """

    reduce: Callable[[Question, Measurements], Summary]
    conclude: Callable[[Question, Summary], Iterator[Evidence]]

    def __call__(self, question: Question, measurements: Measurements) -> Iterator[Evidence]:
        """Yield the evidence, of parts that were merged where the data are in parts."""
        merged = measurements.merged(question)
        yield from self.conclude(question, self.reduce(question, measurements) if merged is None else merged)
