"""How many samples of each group have which target and which answers, and resamples of these counts.

All KPIs of one feature are functions of these counts, so they share them and their resamples.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.evidence import positions, targets_of
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.stats.cells import FloatArray, IntArray, Sums
from pytest_modelbench.stats.tables import Resamples, resampled

Array = npt.NDArray[Any]
MOST_COUNTED = 1 << 20


class GroupCounts:
    """Counts of groups, resampled within each group, the same samples for all models.

    Args:
        models: predictions by role.
        codes: the group of each sample, -1 for none.
        groups: how many groups there are.
        classes: the sorted labels.
        resamples: how many to draw.
        seed: of the draws.
    """

    def __init__(
        self, models: Mapping[str, Predictions], codes: Array, groups: int, classes: Array, resamples: int, seed: int
    ) -> None:
        self._classes = len(classes)
        self._place = {role: number for number, role in enumerate(models)}
        kinds, counts = _counted(models, codes, classes, groups)
        self.resamples = resamples
        self.n = int(counts.sum())
        start, rng = time.perf_counter(), np.random.default_rng(seed)
        per_group = self._states ** (len(models) + 1)
        bounds = itertools.pairwise(np.searchsorted(kinds, np.arange(groups + 1) * per_group).tolist())
        cuts = [slice(first, last) for first, last in bounds]
        self._counts = [counts[cut] for cut in cuts]
        self._kinds = [kinds[cut] % per_group for cut in cuts]
        self._drawn: list[Resamples] = [
            resampled(*group, resamples, rng) for group in zip(self._kinds, self._counts, strict=True)
        ]
        self.seconds = time.perf_counter() - start

    @property
    def method(self) -> str:
        """Say how the interval was found."""
        paired = "paired bootstrap" if len(self._place) > 1 else "bootstrap"
        took = humanise(self.seconds, "s")
        return f"{paired} of the counts of {self.n:,} samples, {self.resamples} resamples in {took}"

    @property
    def nbytes(self) -> int:
        """The memory that the resamples take."""
        return sum(group.drawn.nbytes for group in self._drawn)

    @property
    def _states(self) -> int:
        """The classes, and none of them."""
        return self._classes + 1

    def seen(self, role: str, judged: Sequence[int]) -> Sums:
        """Return the counts of one model, (1, groups) or (1, groups, judged classes): `n`, `right`, `said`, ..."""
        whole = [
            Resamples(
                drawn=counts[None].astype(np.float64), cell=np.arange(len(kinds)), kind=kinds, many=_ones(kinds)
            )
            for kinds, counts in zip(self._kinds, self._counts, strict=True)
        ]
        return self._sums(whole, role, judged)

    def drawn(self, role: str, judged: Sequence[int]) -> Sums:
        """Return the same of the resamples, (resamples, groups, ...)."""
        return self._sums(self._drawn, role, judged)

    def _sums(self, groups: Sequence[Resamples], role: str, judged: Sequence[int]) -> Sums:
        sums: dict[str, list[FloatArray]] = {"n": [], "right": [], "said": [], "true": [], "hit": []}
        for group in groups:
            said, true = self._said(group.kind, role), self._true(group.kind)
            right = np.where(said == true, 0, -1)
            sums["n"].append(group.sums(np.zeros_like(said), 1)[:, 0])
            sums["right"].append(group.sums(right, 1)[:, 0])
            for name, kinds in (("said", said), ("true", true), ("hit", np.where(said == true, true, -1))):
                sums[name].append(group.sums(np.where(kinds < self._classes, kinds, -1), self._classes)[:, judged])
        return {name: np.stack(values, axis=1) for name, values in sums.items()}

    def _said(self, kinds: IntArray, role: str) -> IntArray:
        digits: IntArray = kinds // self._states ** self._place[role] % self._states
        return digits

    def _true(self, kinds: IntArray) -> IntArray:
        digits: IntArray = kinds // self._states ** len(self._place)
        return digits


def _ones(kinds: IntArray) -> FloatArray:
    return np.ones(len(kinds))


def _counted(
    models: Mapping[str, Predictions], codes: Array, classes: Array, groups: int
) -> tuple[IntArray, IntArray]:
    """Return the kinds of samples that occur, sorted, and how many there are of each.

    A kind is a number whose digits are the group, the target and each model's answer, to the base of the classes and
    one more, for what is none of them.
    """
    states = len(classes) + 1
    most = groups * states ** (len(models) + 1)
    tally: dict[int, int] = {}
    table = np.zeros(most if most <= MOST_COUNTED else 0, dtype=np.int64)
    for part in slices(len(codes)):
        inside = codes[part] >= 0
        kinds = codes[part].astype(np.int64)
        answers = [
            targets_of(next(iter(models.values())))[part],
            *(predictions.labels[part] for predictions in [*models.values()][::-1]),
        ]
        for values in answers:
            where = positions(values, classes)
            kinds = kinds * states + np.where(where < 0, len(classes), where)
        if len(table):
            table += np.bincount(kinds[inside], minlength=most)
            continue
        for kind, count in zip(*np.unique(kinds[inside], return_counts=True), strict=True):
            tally[int(kind)] = tally.get(int(kind), 0) + int(count)
    if len(table):
        kinds = np.flatnonzero(table)
        return kinds, table[kinds]
    kinds = np.array(sorted(tally), dtype=np.int64)
    return kinds, np.array([tally[kind] for kind in kinds.tolist()], dtype=np.int64)
