"""How many samples of each group have which target and which answers, and resamples of these counts.

All KPIs of one feature are functions of these counts, so they share them and their resamples.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.summary import Key
from pytest_modelbench.stats.cells import FloatArray, IntArray, Sums
from pytest_modelbench.stats.tables import Resamples, resampled


class GroupCounts:
    """Counts of groups, resampled within each group, the same samples for all models.

    Args:
        answers: how many samples there are of each group, target and answer of each model.
        groups: which are compared.
        roles: of the models.
        classes: the sorted labels.
        resamples: how many to draw.
        seed: of the draws.
    """

    def __init__(
        self,
        answers: Mapping[Key, int],
        groups: Sequence[str],
        roles: Sequence[str],
        classes: Sequence[Any],
        resamples: int,
        seed: int,
    ) -> None:
        self._classes = len(classes)
        self._place = {role: number for number, role in enumerate(roles)}
        kinds, counts = self._counted(answers, groups, classes)
        self.resamples = resamples
        self.n = int(counts.sum())
        start, rng = time.perf_counter(), np.random.default_rng(seed)
        per_group = self._states ** (len(roles) + 1)
        bounds = itertools.pairwise(np.searchsorted(kinds, np.arange(len(groups) + 1) * per_group).tolist())
        cuts = [slice(first, last) for first, last in bounds]
        self._counts = [counts[cut] for cut in cuts]
        self._kinds = [kinds[cut] % per_group for cut in cuts]
        self._drawn: list[Resamples] = [
            resampled(*group, resamples, rng) for group in zip(self._kinds, self._counts, strict=True)
        ]
        self.seconds = time.perf_counter() - start

    def _counted(
        self, answers: Mapping[Key, int], groups: Sequence[str], classes: Sequence[Any]
    ) -> tuple[IntArray, IntArray]:
        """Return the kinds of samples that occur, sorted, and how many there are of each.

        A kind is a number whose digits are the group, the target and each model's answer, the last model's first, to
        the base of the classes and one more, for what is none of them.
        """
        number = {name: at for at, name in enumerate(groups)}
        place = {label: at for at, label in enumerate(classes)}
        tally: dict[int, int] = {}
        for (group, target, *said), count in answers.items():
            if group in number:
                kind = number[group]
                for label in (target, *said[::-1]):
                    kind = kind * self._states + place.get(label, self._classes)
                tally[kind] = tally.get(kind, 0) + count
        kinds = np.array(sorted(tally), dtype=np.int64)
        return kinds, np.array([tally[kind] for kind in kinds.tolist()], dtype=np.int64)

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
