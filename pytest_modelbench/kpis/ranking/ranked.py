"""Which place relevant items have in the list of each query; items of one score have none of their own."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.groups import Grouping
from pytest_modelbench.data.tasks.ranking import RankingData
from pytest_modelbench.errors import DataError, MeasurementError, shown
from pytest_modelbench.kpis.by_group import groups_of
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
    codes: IntArray
    """The query of each sample, (n,)."""

    def within(self, codes: IntArray) -> IntArray:
        """Return the queries whose samples have different codes."""
        return np.unique(self.codes[codes != codes[self.first][self.codes]])

    @property
    def group(self) -> Sequence[Hashable] | None:
        """What each query belongs to; None where each is by itself."""
        groups = self.data.group
        return None if groups is None else [groups[position] for position in self.first.tolist()]

    def kinds(self) -> list[Grouping]:
        """Return the slices of the data that queries are in as a whole."""
        return [
            replace(grouping, codes=grouping.codes[self.first])
            for grouping in self.data.kinds()
            if len(grouping.codes) == len(self.codes) and not len(self.within(grouping.codes))
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report says about slices that have only some of a query's items."""
        split = [
            grouping.name
            for grouping in self.data.kinds()
            if len(grouping.codes) == len(self.codes) and len(self.within(grouping.codes))
        ]
        parted = f"no breakdown by {', '.join(split)}: items of one query are in different slices"
        return (parted,) if split else ()

    def check_groups(self) -> None:
        """Refuse groups that have only some of a query's items.

        Raises:
            DataError: there are such; the message names a query.
        """
        groups = groups_of(self.data.group, len(self.codes))
        if self.data.group is not None and len(split := self.within(groups)):
            first = self.first[split[0]]
            other = np.flatnonzero((self.codes == split[0]) & (groups != groups[first]))[0]
            raise DataError(
                f"group: the query {shown(self.ids[split[0]])} has samples of the groups "
                f"{shown(self.data.group[first])} and {shown(self.data.group[other])}. Put all samples of a query "
                "into one group"
            )

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
        DataError: `query` or `group` do not fit the rows.
        MeasurementError: a score is NaN.
    """
    answers = answered(question, measurements, RankingData, both=both)
    data, student = answers.data, answers.student
    if data.query is None:
        codes = np.empty(0, dtype=np.intp) if data.of_catalogue else student.targets["relevance"].owner
        every = np.arange(len(student))
        queries = Queries(data, student.ids, every, every)
    else:
        queries = _of_rows(data, len(student))
        codes = queries.codes
    for measured in answers.answers.values():
        broken = np.unique(list(_broken(measured, codes)))
        if len(broken):
            raise MeasurementError(
                f"{measured.model} returned NaN as scores of {len(broken)} of {len(queries.first)} queries, such as "
                f"{', '.join(queries.worst(broken[:3]))}: they have no place in a list"
            )
    if data.of_catalogue:
        _check_catalogue(answers)
    return Lists(answers, queries, codes)


def _of_rows(data: RankingData, rows: int) -> Queries:
    """Return the queries that rows are of.

    Raises:
        DataError: there are more or fewer rows than `query` has; a query's rows are in several groups.
    """
    query: Any = data.query
    if len(query) != rows:
        raise DataError(f"there are {rows} samples and {len(query)} of query=; expected one for each row")
    if query.dtype.kind == "O":  # such as tuples, which have no order with numbers and texts
        codes = groups_of(query.tolist(), rows)
        first = np.unique(codes, return_index=True)[1]
        names = query[first]
    else:
        names, first, codes = np.unique(query, return_index=True, return_inverse=True)
    queries = Queries(data, names.tolist(), first, codes)
    queries.check_groups()
    return queries


def _check_catalogue(answers: Answered[RankingData]) -> None:
    """Refuse two models with catalogues of different sizes, whose positions name different items.

    Raises:
        MeasurementError: they are such.
    """
    sizes = [(measured.model, measured.answers["items"].values) for measured in answers.answers.values()]
    (first, ours), (second, theirs) = sizes[0], sizes[-1]
    if (differ := np.flatnonzero(ours != theirs)).size:
        at = int(differ[0])
        raise MeasurementError(
            f"{first} returned scores of {ours[at]} items for {answers.worst(differ[:1])[0]}, without excluded ones, "
            f"and {second} of {theirs[at]}; expected one catalogue"
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
