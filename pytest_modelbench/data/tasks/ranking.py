"""`RankingData`: items in order of relevance, by query."""

from __future__ import annotations

import functools
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
        query: the query of each row: numbers, texts or tuples.
        relevant: the positions in the model's output that are relevant to each sample: a list of lists, of numbers
            (one item for each), or a sparse matrix (n, items) with entries other than 0 there.
        exclude: the positions that do not count for each sample, such as items that a user has seen, in such a form.
        common: the arguments of `TaskData`; `group` may hold users of several queries.

    Raises:
        DataError: as for `TaskData`; a query that is missing; both targets and `relevant`.
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
            targets = pairs_of(relevant, exclude)
        elif exclude is not None:
            raise DataError("exclude= goes with relevant=, which is missing")
        own = {"query": query is not None, "relevant": self.of_catalogue, "exclude": exclude is not None}
        super().__init__(inputs, targets, own=own, **common)
        self.query = None if query is None else self._checked_query(query)

    def _checked_query(self, query: Any) -> Array:
        check_sequence("query", query)
        values, length = _column(query), self.source.length
        if length is not None and len(values) != length:
            sizes = values.dtype.kind in "iu" and values.sum() == length
            advice = ". To state sizes, write query=np.repeat(np.arange(len(sizes)), sizes)" if sizes else ""
            raise DataError(
                f"there are {length} samples and {len(values)} of query=; expected one for each row{advice}"
            )
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
            raise DataError(f"{self.place(batch, at)}: found relevance {values[at]:g}, expected a number from 0 up")
        return values.astype(np.float64)

    def _of_list(self, target: Any, place: str) -> Array:
        values = np.atleast_1d(as_array(target))
        if values.ndim != 1 or values.dtype.kind not in "iufb":
            raise DataError(
                f"{place}: found relevance of shape {values.shape} and type {values.dtype}, expected (items,)"
            )
        if np.isinf(values).any():
            raise DataError(f"{place}: found infinite relevance, expected numbers from 0 up; NaN and -1 are padding")
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
    if data.query is None:
        padded = row.ndim == 1 and row.size > size
        advice = ". If the scores are padded, pad relevance with NaN to their length" if padded else ""
        advice = ". If each row is an item, write EvalData(..., query=...)" if row.size == 1 else advice
    items = "is 1 item" if size == 1 else f"are {size} items"
    raise ModelError(f"{place}: {model} returned {row.size} scores of type {row.dtype}, and there {items}{advice}")


def _column(query: Any) -> Array:
    """Return the query of each row, (n,); a query may be a tuple, such as a user and a session.

    Raises:
        DataError: there are several columns.
    """
    if isinstance(query, Sequence) and any(isinstance(name, tuple) for name in query):
        return np.fromiter(query, dtype=object, count=len(query))
    values = as_values(query)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim != 1:
        raise DataError(f"query: found shape {values.shape}, expected one query for each row, (n,)")
    return values


def pairs_of(relevant: Any, exclude: Any) -> list[dict[str, Array]]:
    """Return the positions of relevant and of excluded items of each sample.

    Raises:
        DataError: they are in another form, or there is another number of them.
    """
    listed = _listed(relevant, "relevant")
    hidden: Sequence[Any] = [[] for _ in listed] if exclude is None else _listed(exclude, "exclude")
    if len(hidden) != len(listed):
        raise DataError(f"there are {len(listed)} of relevant= and {len(hidden)} of exclude=, expected as many")
    return [_pair(*both, position) for position, both in enumerate(zip(listed, hidden, strict=True))]


def _listed(items: Any, name: str) -> Sequence[Any]:
    """Return the items of each sample; those of a sparse matrix are where it has entries other than 0."""
    if not hasattr(items, "tocsr"):
        check_sequence(name, items)
        listed: Sequence[Any] = items
        return listed
    matrix = items.tocsr().copy()
    matrix.eliminate_zeros()
    return np.split(matrix.indices, matrix.indptr[1:-1])


def _pair(relevant: Any, exclude: Any, position: int) -> dict[str, Array]:
    return {
        "relevant": _positions(relevant, "relevant", position),
        "exclude": _positions(exclude, "exclude", position),
    }


def _positions(items: Any, name: str, position: int) -> Array:
    """Return positions in the model's output, each once; a number by itself is one."""
    array = _numbers(list(items) if isinstance(items, set | frozenset) else items)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise DataError(f"{name}[{position}]: found {shown(items)}, expected positions in the model's output, from 0")
    unique = np.unique(array)
    if array.size > 2 and unique[-1] <= 1:
        raise DataError(
            f"{name}[{position}]: found {shown(items)}: 0 and 1 several times, expected positions in the model's "
            "output. Of 0 and 1 for each item, write np.flatnonzero(row)"
        )
    return unique.astype(np.int64)


def _numbers(items: Any) -> Array:
    """Return an array of at least one dimension; of objects where lists have different lengths."""
    try:
        array = np.atleast_1d(np.asarray(as_array(items) if hasattr(items, "shape") else items))
    except ValueError:
        return np.array([None])
    return array if array.size else np.empty(0, dtype=np.int64)


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
    row = row if row.dtype.kind == "f" else row.astype(np.float64)
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
        "top": _top(row, items, ordered),
        "broken": np.array([np.isnan(row).sum()]),
    }


def _top(row: Array, items: Array, ordered: Array) -> Array:
    """Return the items with the highest scores, at most `TOP`, in order; those of one score in a shuffled one."""
    if not len(items):
        return items
    first = items[row[items] >= ordered[-min(TOP, len(items))]]
    top: Array = first[np.lexsort((shuffled(len(row))[first], -row[first]))][:TOP]
    return top


@functools.lru_cache(maxsize=4)
def shuffled(items: int) -> Array:
    """Return the place of each item in a random order, which is the same for all models and in all runs."""
    return np.random.default_rng(0).permutation(items)
