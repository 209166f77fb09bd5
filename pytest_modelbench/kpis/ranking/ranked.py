"""Which place relevant items have in the list of each query; items of one score have none of their own."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pytest_modelbench.data.groups import Grouping
from pytest_modelbench.data.tasks.ranking import RankingData
from pytest_modelbench.errors import DataError, MeasurementError, shown
from pytest_modelbench.kpis.by_task import Answered, answered
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.stats.cells import FloatArray, IntArray


@dataclass(frozen=True)
class Queries:
    """The queries as what is independent: which samples each has, and its group."""

    UNIT: ClassVar[str] = "query"
    data: RankingData
    ids: Sequence[Hashable]
    first: IntArray
    """The first sample of each query, (queries,)."""

    @property
    def group(self) -> Sequence[Hashable] | None:
        """What each query belongs to; None where each is by itself."""
        groups = self.data.group
        return None if groups is None else [groups[position] for position in self.first.tolist()]

    def refuse_split(self, codes: IntArray) -> None:
        """Refuse groups that hold a part of a query only, for a query is one observation.

        Raises:
            DataError: naming the query.
        """
        groups = self.group if len(codes) else None
        if groups is None or self.data.query is None or self.data.group is None:
            return
        for position, code in enumerate(codes.tolist()):
            if self.data.group[position] != groups[code]:
                raise DataError(
                    f"group: the query {shown(self.ids[code])} has samples of the groups {shown(groups[code])} and "
                    f"{shown(self.data.group[position])}. Put all samples of a query into one group"
                )

    def kinds(self) -> list[Grouping]:
        """Return the slices of the data, as the first sample of each query has them."""
        return [
            replace(grouping, codes=grouping.codes[self.first])
            for grouping in self.data.kinds()
            if len(grouping.codes) > int(self.first.max())
        ]

    def worst(self, index: IntArray) -> tuple[str, ...]:
        """Return the ids of some queries."""
        return shown_ids(self.ids, index)


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The relevant items of all queries in one model's order.

    Attributes:
        query: the query of each relevant item, (m,), in order.
        gain: its relevance, (m,).
        above: how many items of the query have a higher score, (m,).
        tied: how many have the same score, itself included, (m,).
        items: how many items each query has, (queries,).
    """

    query: IntArray
    gain: FloatArray
    above: IntArray
    tied: IntArray
    items: IntArray

    def __len__(self) -> int:
        return len(self.items)

    def per_query(self, values: FloatArray | None = None) -> FloatArray:
        """Return the sum over each query's relevant items of some values, or their number, (queries,)."""
        return np.bincount(self.query, values, len(self)).astype(np.float64)


@dataclass(frozen=True)
class Lists:
    """What the KPIs of ranking read: the queries, and each model's lists, by role."""

    answers: Answered[RankingData]
    queries: Queries
    codes: IntArray
    """The query of each item of the first two forms of data, (items,); empty for a catalogue."""

    def ranked(self, role: str) -> Ranked:
        """Return a model's lists, found once for a measurement."""
        measured = self.answers.answers[role]
        if "ranked" not in measured.derived:
            measured.derived["ranked"] = (
                _of_catalogue(measured)
                if self.answers.data.of_catalogue
                else ranks(*self.scored(role), self.codes[self.counted(role)], len(self.queries.first))
            )
        ranked: Ranked = measured.derived["ranked"]
        return ranked

    def counted(self, role: str) -> FloatArray:
        """Return which items count: all but padding, (items,)."""
        relevance = self.answers.answers[role].targets["relevance"].values
        return np.asarray(relevance >= 0)

    def scored(self, role: str) -> tuple[FloatArray, FloatArray]:
        """Return scores and relevance of the items that count."""
        measured, counts = self.answers.answers[role], self.counted(role)
        return measured.answers["score"].values[counts], measured.targets["relevance"].values[counts]


def lists(question: Question, measurements: Measurements, *, both: bool = False) -> Lists:
    """Return the lists that a KPI is about.

    Args:
        question: of the gate.
        measurements: of the session.
        both: whether it needs the teacher's under all limits.

    Raises:
        DoesNotFit: the data are of another task.
        MeasurementError: a score is NaN.
    """
    answers = answered(question, measurements, RankingData, both=both)
    data, student = answers.data, answers.student
    if data.query is None:
        codes = np.empty(0, dtype=np.intp) if data.of_catalogue else student.targets["relevance"].owner
        queries = Queries(data, student.ids, np.arange(len(student)))
    else:
        names, first, codes = np.unique(data.query, return_index=True, return_inverse=True)
        queries = Queries(data, names.tolist(), first)
    queries.refuse_split(codes)
    _refuse_other_items(answers)
    for measured in answers.answers.values():
        broken = np.unique(list(_broken(measured, codes)))
        if len(broken):
            raise MeasurementError(
                f"{measured.model} returned NaN as scores of {len(broken)} of {len(queries.first)} queries, such as "
                f"{', '.join(queries.worst(broken[:3]))}: they have no place in a list"
            )
    return Lists(answers, queries, codes)


def _refuse_other_items(answers: Answered[RankingData]) -> None:
    """Refuse catalogues of different sizes: positions are not the same items in both.

    Raises:
        MeasurementError: naming both sizes.
    """
    several = [measured.answers["items"].values for measured in answers.answers.values() if answers.data.of_catalogue]
    if len(several) > 1 and (several[0] != several[1]).any():
        at = int(np.argmax(several[0] != several[1]))
        raise MeasurementError(
            f"the student scores {several[0][at]} items of a catalogue and the teacher {several[1][at]}: positions "
            "in their outputs are not the same items. Let both score one catalogue"
        )


def _broken(measured: TaskAnswers, codes: IntArray) -> Iterator[int]:
    """Yield the queries with a score of NaN."""
    if "broken" in measured.answers:
        yield from np.flatnonzero(measured.answers["broken"].values).tolist()
        return
    counts = measured.targets["relevance"].values >= 0
    yield from codes[np.isnan(measured.answers["score"].values) & counts].tolist()


def _of_catalogue(measured: TaskAnswers) -> Ranked:
    relevant, parts = measured.targets["relevant"], measured.answers
    there = parts["tied"].values > 0  # others are excluded
    return Ranked(
        query=relevant.owner[there],
        gain=np.ones(int(there.sum())),
        above=parts["above"].values[there],
        tied=parts["tied"].values[there],
        items=parts["items"].values,
    )


def ranks(score: FloatArray, relevance: FloatArray, query: IntArray, queries: int) -> Ranked:
    """Return where relevant items stand.

    Args:
        score: of each item, (items,).
        relevance: of each item.
        query: of each item, from 0.
        queries: how many there are.

    >>> ranked = ranks(np.array([3.0, 1.0, 1.0]), np.array([0.0, 2.0, 0.0]), np.zeros(3, dtype=int), 1)
    >>> ranked.above.tolist(), ranked.tied.tolist()
    ([1], [2])
    """
    order = np.lexsort((-score, query))
    ordered, of = score[order], query[order]
    items = np.bincount(query, minlength=queries)
    begins = np.concatenate([[0], np.cumsum(items)])[:-1]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]) | (of[1:] != of[:-1])
    ties = np.cumsum(new) - 1
    sizes = np.bincount(ties)
    starts = np.flatnonzero(new)
    relevant = np.flatnonzero(relevance[order] > 0)
    return Ranked(
        query=of[relevant],
        gain=relevance[order][relevant],
        above=starts[ties[relevant]] - begins[of[relevant]],
        tied=sizes[ties[relevant]],
        items=items,
    )
