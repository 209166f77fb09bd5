"""`EmbeddingData`: samples whose outputs are vectors, and what belongs together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.arguments import check_choice, check_sequence
from pytest_modelbench.data.arrays import as_array
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.embedding_forms import positions_of, tuples_of, vectors_of
from pytest_modelbench.data.tasks.task_data import Array, Samples, TaskData
from pytest_modelbench.errors import DataError, shown

METRICS = ("cosine", "dot", "euclidean")


class EmbeddingData(TaskData):
    """Samples of which a model makes vectors.

    `EvalData(..., task="embedding")` makes one, too. Samples in `pairs`, `triplets`, `queries`, `corpus` and
    `relevant` are ids where `ids=` states them, otherwise positions from 0.

    Targets have the part `label` (1,) where there are targets; answers have `vector` (1, d), float32.

    Args:
        inputs: what the model gets, one for each sample: queries and corpus together.
        targets: the class or identity of each sample: those of the same one are relevant to each other.
        pairs: (i, j) each, with `similarity` or `same`.
        similarity: how alike each pair is, as people rated it.
        same: whether each pair is the same identity.
        triplets: (anchor, positive, negative) each.
        queries: the samples that search; all by default.
        corpus: the samples that are searched; all but the queries where these are stated, otherwise all.
        relevant: for each query the samples that it should find.
        metric: cosine, dot or euclidean.
        pooling: mean or cls, for models that return vectors of tokens; `attention_mask` of the inputs counts.
        common: the arguments of `TaskData`.

    Raises:
        DataError: as for `TaskData`; relations of other lengths.
    """

    TASK: ClassVar[str] = "embedding"
    UNIT: ClassVar[str] = "sample"
    KPIS: ClassVar[str] = "neighbour_overlap, retrieval_recall, sts_correlation or cka"

    def __init__(  # noqa: PLR0913 - this is the settings object of the data
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        pairs: Any = None,
        similarity: Any = None,
        same: Any = None,
        triplets: Any = None,
        queries: Sequence[Hashable] | None = None,
        corpus: Sequence[Hashable] | None = None,
        relevant: Sequence[Sequence[Hashable]] | None = None,
        metric: str = "cosine",
        pooling: str | None = None,
        **common: Any,
    ) -> None:
        check_choice("metric", metric, METRICS)
        check_choice("pooling", pooling, ("mean", "cls"))
        self.metric, self.pooling = metric or "cosine", pooling
        self.pairs, self.triplets = tuples_of("pairs", pairs, 2), tuples_of("triplets", triplets, 3)
        self.similarity = _of_pairs("similarity", similarity, self.pairs)
        self.same = _of_pairs("same", same, self.pairs)
        self.queries, self.corpus, self.relevant = _searched(queries, corpus, relevant)
        others = ("pairs", "similarity", "same", "triplets", "queries", "corpus", "relevant", "metric")
        super().__init__(inputs, targets, own={"pooling": pooling, **dict.fromkeys(others)}, **common)

    def targets_of(self, batch: Batch) -> Samples:
        """Return the label of each sample; nothing where there are no targets.

        Raises:
            DataError: other targets than one label each.
        """
        if batch.targets is None:
            return {}
        labels = as_array(batch.targets)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            raise DataError(
                f"targets of shape {labels.shape}; expected one class or identity for each sample. Relations of "
                "samples go into pairs=, triplets= or relevant="
            )
        return {"label": list(labels.astype(str)[:, None])}

    def answers_of(self, output: Any, batch: Batch, model: str) -> Samples:
        """Return the vector of each sample.

        Raises:
            ModelError: the output is in another form.
        """
        return {"vector": list(vectors_of(output, batch.inputs, self.select, self.pooling, model)[:, None])}

    def positions(self, name: str, samples: Sequence[Hashable], ids: Sequence[Any]) -> Array:
        """Return the positions of samples that an argument names.

        Raises:
            DataError: a sample that is not there.
        """
        return positions_of(name, samples, ids, self.ids is not None)


def _of_pairs(name: str, values: Any, pairs: Sequence[Any] | None) -> Array | None:
    """Return what is stated of each pair, (pairs,).

    Raises:
        DataError: another number of them, or values of another kind.
    """
    if values is None:
        return None
    check_sequence(name, values)
    array = as_array(values).reshape(-1)
    if pairs is None or len(array) != len(pairs):
        raise DataError(f"there are {len(pairs or ())} pairs and {len(array)} of {name}=; expected one for each pair")
    if name == "same" and not np.isin(array, (0, 1)).all():
        raise DataError(f"same: found {shown(array[~np.isin(array, (0, 1))][0].item())}, expected True or False")
    if array.dtype.kind not in "iufb" or not np.isfinite(array).all():
        raise DataError(f"{name}: expected finite numbers, found {shown(array[:3].tolist())}")
    return array.astype(bool) if name == "same" else array.astype(np.float64)


def _searched(queries: Any, corpus: Any, relevant: Any) -> Iterator[Any]:
    """Yield the three as lists.

    Raises:
        DataError: another number of lists of relevant samples than of queries.
    """
    for name, samples in (("queries", queries), ("corpus", corpus), ("relevant", relevant)):
        if samples is not None:
            check_sequence(name, samples)
    if relevant is not None and (queries is None or len(relevant) != len(queries)):
        count = 0 if queries is None else len(queries)
        raise DataError(f"relevant= has {len(relevant)} lists for {count} queries=; expected one for each query")
    for samples in (queries, corpus):
        yield None if samples is None else np.asarray(samples).tolist()
    yield None if relevant is None else [np.atleast_1d(np.asarray(each)).tolist() for each in relevant]
