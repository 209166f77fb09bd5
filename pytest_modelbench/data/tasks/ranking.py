"""`RankingData`: items in order of relevance, by query."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.arguments import check_sequence
from pytest_modelbench.data.arrays import as_array, select_output
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.missing import as_values, missing_of
from pytest_modelbench.data.tasks.task_data import Array, Samples, TaskData, count_of
from pytest_modelbench.errors import DataError, ModelError, shown

TOP = 100


class RankingData(TaskData):
    """Items that a model scores, and how relevant each is to its query.

    `EvalData(..., task="ranking")` makes one, too, and so does `query=`. There are three forms:

    - a row for each item, with `query=`: the model gives one score for each row;
    - a query for each sample: the model gives a score for each of its items;
    - a query (or user) for each sample, and items of one catalogue: `relevant=` in the place of targets.

    In the first two, targets have the part `relevance` and answers the part `score`, (items,) each. In the third,
    targets have `relevant` (m,), and answers `above` (m,) and `tied` (m,), how many items have a higher score than
    each relevant one and how many have the same, itself included, `items` (1,), `top` (at most 100,), the items
    with the highest scores, and `broken` (1,), how many scores are NaN.

    Args:
        inputs: as of `EvalData`.
        targets: relevance from 0 up, (n,) with `query`; (n, items) or a list of arrays without. There NaN and
            negative numbers are padding.
        query: the query of each row.
        relevant: the positions in the model's output that are relevant to each sample.
        exclude: the positions that do not count for each sample, such as items that a user has seen.
        common: the arguments of `TaskData`; `group` may hold users of several queries.

    Raises:
        DataError: as for `TaskData`; a query that is missing, or both targets and `relevant`.
    """

    TASK: ClassVar[str] = "ranking"
    UNIT: ClassVar[str] = "query"
    KPIS: ClassVar[str] = "ndcg, mrr, recall_at_k or hit_rate"

    def __init__(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        query: Sequence[Hashable] | None = None,
        relevant: Sequence[Any] | None = None,
        exclude: Sequence[Any] | None = None,
        **common: Any,
    ) -> None:
        self.of_catalogue = relevant is not None
        if relevant is not None:
            if targets is not None or query is not None:
                raise DataError("relevant= takes the place of targets and query=. Remove them")
            targets = _pairs(relevant, exclude)
        elif exclude is not None:
            raise DataError("exclude= goes with relevant=, which is missing")
        own = {"query": query is not None, "relevant": self.of_catalogue, "exclude": exclude is not None}
        super().__init__(inputs, targets, own=own, **common)
        self.query = None if query is None else self._checked_query(query)

    def _checked_query(self, query: Any) -> Array:
        check_sequence("query", query)
        values, length = as_values(query), self.source.length
        if values.ndim != 1:
            raise DataError(
                f"query: found {shown(query[0])} as the first one, expected a string or a number for each row"
            )
        if length is not None and len(values) != length:
            raise DataError(f"there are {length} samples and {len(values)} of query=; expected one for each row")
        if (missing := missing_of(values)).any():
            raise DataError(f"query: {int(missing.sum())} are missing, the first at {int(np.argmax(missing))}")
        return values

    def targets_of(self, batch: Batch) -> Samples:
        """Return the relevance of the items of a batch.

        Raises:
            DataError: it is in another form; the message names the sample.
        """
        if batch.targets is None:
            raise DataError("the evaluation data have no targets. Write EvalData(inputs, relevance, task='ranking')")
        if self.of_catalogue:
            return {"relevant": [pair["relevant"] for pair in batch.targets]}
        if self.query is not None:
            return {"relevance": list(self._of_rows(batch)[:, None])}
        return {"relevance": [self._of_list(target, self.place(batch, i)) for i, target in enumerate(batch.targets)]}

    def _of_rows(self, batch: Batch) -> Array:
        """Return the relevance of each row of a batch, (n,)."""
        values = as_values(batch.targets)
        values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
        if values.ndim != 1 or values.dtype.kind not in "iufb":
            raise DataError(
                f"{self.place(batch, 0)}: found relevance of shape {values.shape[1:]} and type {values.dtype}; with "
                "query= expected one number for each row"
            )
        if (wrong := ~((values >= 0) & (values < np.inf))).any():
            at = int(np.argmax(wrong))
            raise DataError(f"{self.place(batch, at)}: found relevance {values[at]:g}, expected 0 or more")
        return values.astype(np.float64)

    def _of_list(self, target: Any, place: str) -> Array:
        values = np.atleast_1d(as_array(target))
        if values.ndim != 1 or values.dtype.kind not in "iufb":
            raise DataError(
                f"{place}: found relevance of shape {values.shape} and type {values.dtype}, expected (items,)"
            )
        if np.isinf(values).any():
            raise DataError(f"{place}: found infinite relevance, expected numbers")
        return values.astype(np.float64)

    def answers_of(self, output: Any, batch: Batch, model: str) -> Samples:
        """Return the scores of the items of a batch, or the ranks of relevant ones.

        Raises:
            ModelError: the scores are in another form.
        """
        scores = output if isinstance(output, list) else as_array(select_output(output, self.select, model))
        count = count_of(scores, model, "a score of each item")
        if count != len(batch.ids):
            raise ModelError(f"{model} returned scores of {count} samples for {len(batch.ids)}")
        if self.query is not None and (one := _one_each(scores)) is not None:
            return {"score": list(one[:, None])}
        rows = [np.atleast_1d(as_array(row)) for row in scores]
        if self.of_catalogue:
            return _ranks(rows, batch, model)
        sizes = [len(np.atleast_1d(as_array(target))) for target in batch.targets]
        return {
            "score": [
                _fitting(row, size, model, self, self.place(batch, i))
                for i, (row, size) in enumerate(zip(rows, sizes, strict=True))
            ]
        }


def _one_each(scores: Any) -> Array | None:
    """Return one score for each row, (n,), of an array or a list; None of any other form."""
    values = np.asarray(scores) if not isinstance(scores, list) or np.ndim(scores[0]) == 0 else None
    if values is None or values.size != len(scores) or values.dtype.kind not in "iufb":
        return None
    return values.reshape(-1).astype(np.float64)


def _fitting(row: Array, size: int, model: str, data: RankingData, place: str) -> Array:
    """Return the scores of one sample, (items,).

    Raises:
        ModelError: there are more or fewer than items.
    """
    if row.size == size and row.dtype.kind in "iufb":
        return row.reshape(size).astype(np.float64)
    advice = ""
    if data.query is not None and row.size > 1:
        advice = ". Return the one column that items are ranked by, such as logits[:, 1]"
    if data.query is None and row.size == 1:
        advice = ". Where each row is an item, write EvalData(..., query=...)"
    raise ModelError(
        f"{place}: {model} returned {row.size} scores of type {row.dtype}, and there are {size} items{advice}"
    )


def _pairs(relevant: Any, exclude: Any) -> list[dict[str, Array]]:
    """Return the positions of relevant and of excluded items of each sample."""
    check_sequence("relevant", relevant)
    if exclude is not None:
        check_sequence("exclude", exclude)
        if len(exclude) != len(relevant):
            raise DataError(
                f"there are {len(relevant)} of relevant= and {len(exclude)} of exclude=, expected as many"
            )
    hidden = [[] for _ in relevant] if exclude is None else exclude
    return [
        {"relevant": _positions(ours, "relevant", i), "exclude": _positions(theirs, "exclude", i)}
        for i, (ours, theirs) in enumerate(zip(relevant, hidden, strict=True))
    ]


def _positions(items: Any, name: str, position: int) -> Array:
    if not hasattr(items, "__len__") or isinstance(items, str):
        raise DataError(
            f"{name}[{position}]: found {shown(items)}, expected a list of positions in the model's output"
        )
    listed = sorted(items) if isinstance(items, set | frozenset) else items
    array = np.asarray(as_array(listed) if len(items) else np.empty(0, dtype=np.int64))
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise DataError(f"{name}[{position}]: found {shown(items)}, expected positions in the model's output, from 0")
    return np.unique(array).astype(np.int64)


def _ranks(rows: Sequence[Array], batch: Batch, model: str) -> Samples:
    """Return where relevant items stand among all that count, and which stand first."""
    parts: dict[str, list[Array]] = {name: [] for name in ("above", "tied", "items", "top", "broken")}
    for row, pair in zip(rows, batch.targets, strict=True):
        for name, values in _rank(row, pair, model).items():
            parts[name].append(values)
    return parts


def _rank(row: Array, pair: Any, model: str) -> dict[str, Array]:
    last = max((int(items.max()) for items in pair.values() if len(items)), default=-1)
    if row.ndim != 1 or row.dtype.kind not in "iuf" or last >= len(row):
        raise ModelError(
            f"{model} returned scores of shape {row.shape} for a sample, expected one for each item of the "
            f"catalogue; the data name the item {last}"
        )
    counts = np.ones(len(row), dtype=bool)
    counts[pair["exclude"]] = False
    items = np.flatnonzero(counts)
    ordered = np.sort(row[items])
    own = row[pair["relevant"]]
    upper = np.searchsorted(ordered, own, side="right")
    tied = upper - np.searchsorted(ordered, own, side="left")
    return {
        "above": len(items) - upper,
        "tied": np.where(counts[pair["relevant"]], tied, 0),
        "items": np.array([len(items)]),
        "top": items[_highest(row[items].astype(np.float64))],
        "broken": np.array([np.isnan(row).sum() if row.dtype.kind == "f" else 0]),
    }


def _highest(scores: Array) -> Array:
    """Return the positions of the `TOP` highest scores, highest first; of one score, those that come first."""
    if len(scores) <= TOP:
        return np.argsort(-scores, kind="stable")
    (likely,) = np.nonzero(scores >= np.partition(scores, -TOP)[-TOP])
    return likely[np.argsort(-scores[likely], kind="stable")][:TOP]
