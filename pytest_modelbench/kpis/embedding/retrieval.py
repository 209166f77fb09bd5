"""What queries find among their nearest: recall, precision, reciprocal rank and discounted gain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.embedding.left_out import OfQueries, left_of_labels, widened_evidence
from pytest_modelbench.kpis.embedding.neighbours import drawn_queries, nearest
from pytest_modelbench.kpis.embedding.read import Embeddings, Part, embeddings
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Tallied, pooled_evidence
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, IntArray

Hits = FloatArray
"""1 for what is relevant among the samples found, (q, k)."""


@dataclass(frozen=True)
class Search:
    """What is searched: positions in the data.

    Attributes:
        queries: that have something relevant in the corpus and are searched, (q,).
        corpus: what is searched, (m,).
        relevant: by query, the positions of what it should find; None where the label says it.
        totals: how many are relevant to each query, (q,).
        without: how many queries have nothing relevant, which do not count.
        of: how many queries there are that count.
        everything: whether all samples search among all.
    """

    queries: IntArray
    corpus: IntArray
    relevant: list[IntArray] | None
    totals: IntArray
    without: int
    of: int
    everything: bool

    @property
    def among_themselves(self) -> bool:
        """Whether samples search each other by label: a sample is a query, and a neighbour of others."""
        return self.relevant is None and self.everything

    def hits(self, read: Embeddings, found: IntArray) -> Hits:
        """Return which of the samples found are relevant, (q, k)."""
        labels = read.labels
        if self.relevant is None and labels is not None:
            alike: Hits = (labels[found] == labels[self.queries][:, None]).astype(np.float64)
            return alike
        return np.array([np.isin(row, its) for row, its in zip(found, self.relevant or (), strict=True)], dtype=float)


def _recall(hits: Hits, totals: IntArray) -> FloatArray:
    found: FloatArray = hits.sum(axis=1) / totals
    return found


def _precision(hits: Hits, _: IntArray) -> FloatArray:
    shares: FloatArray = hits.mean(axis=1)
    return shares


def _reciprocal(hits: Hits, _: IntArray) -> FloatArray:
    return np.where(hits.any(axis=1), 1 / (1 + hits.argmax(axis=1)), 0.0)


def _gain(hits: Hits, totals: IntArray) -> FloatArray:
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discounts)[np.minimum(totals, hits.shape[1]) - 1]
    gains: FloatArray = (hits * discounts).sum(axis=1) / ideal
    return gains


VALUES: Mapping[str, OfQueries] = {
    "retrieval_recall": _recall,
    "retrieval_precision": _precision,
    "retrieval_mrr": _reciprocal,
    "retrieval_ndcg": _gain,
}
"""The value of each query by the KPI, in 0..1."""


def retrieval(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read a mean over queries of what they find among the k nearest.

    Raises:
        DoesNotFit: the data do not say what is relevant.
        MeasurementError: no query has something relevant, or the corpus is smaller than k.
    """
    read, k = embeddings(question, measurements), int(question.options["k"])
    search = _search(read, question.seed)
    more, fewest = (
        int(search.among_themselves),
        len(search.corpus) - int(np.isin(search.queries, search.corpus).any()),
    )
    if k + more > fewest:
        raise MeasurementError(
            f"{question.kpi.name}: k={k}, and the corpus of a query has {fewest} samples; expected {k + more} or more"
        )
    found = {role: nearest(read, role, search.queries, search.corpus, k + more) for role in read.vectors}
    hits = {role: search.hits(read, its) for role, its in found.items()}
    of_queries = VALUES[question.kpi.statistic]
    values = {role: of_queries(its[:, :k], search.totals) for role, its in hits.items()}
    evidence = _evidence(question, read, search, values)
    labels = read.labels
    if search.among_themselves and labels is not None:
        left = {
            role: left_of_labels(read.groups, labels, search.queries, (found[role], hits[role]), of_queries)
            for role in found
        }
        evidence = widened_evidence(evidence, left)
    yield evidence


def _evidence(question: Question, read: Embeddings, search: Search, values: Mapping[str, FloatArray]) -> Evidence:
    part = Part(read.data, search.queries)
    drawn = f" drawn of {search.of:,}" if len(search.queries) < search.of else ""
    method = (
        f"mean over {len(search.queries):,} queries{drawn}, the {question.options['k']} nearest of "
        f"{len(search.corpus):,} by {read.data.metric}"
    )
    tallied = {role: Tallied(parts=its, wholes=np.ones(len(its))) for role, its in values.items()}
    evidence = pooled_evidence(question, part, tallied, method, nothing="no query has something relevant")
    lost = values.get("teacher", np.ones(len(values["student"]))) - values["student"]
    order = np.argsort(-lost, kind="stable")
    return replace(
        evidence,
        notes=(*evidence.notes, *_notes(read, search)),
        worst_samples=read.answers.worst(search.queries[order[lost[order] > 0]]),
    )


def _notes(read: Embeddings, search: Search) -> Iterator[str]:
    if search.without:
        yield f"{search.without:,} queries without a relevant sample in the corpus do not count"
    if search.relevant is None and read.data.group is None:
        yield "queries are taken as independent. If those of one label are alike, write EvalData(..., group=labels)"


def _search(read: Embeddings, seed: int) -> Search:
    """Return what is searched.

    Raises:
        DoesNotFit: neither relevant samples nor labels.
        MeasurementError: no query has something relevant.
    """
    data, everything = read.data, np.arange(len(read))
    queries = everything if data.queries is None else data.positions("queries", data.queries, read.ids)
    corpus = everything if data.queries is None else np.setdiff1d(everything, queries)
    if data.corpus is not None:
        corpus = data.positions("corpus", data.corpus, read.ids)
    relevant, totals = _relevant(read, queries, corpus)
    kept = np.flatnonzero(totals > 0)
    if not len(kept):
        raise MeasurementError("no query has a relevant sample in the corpus, other than itself")
    kept = kept[drawn_queries(kept, len(corpus), seed)]
    return Search(
        queries=queries[kept],
        corpus=corpus,
        relevant=relevant and [relevant[position] for position in kept],
        totals=totals[kept],
        without=int((totals == 0).sum()),
        of=int((totals > 0).sum()),
        everything=data.queries is None and data.corpus is None,
    )


def _relevant(read: Embeddings, queries: IntArray, corpus: IntArray) -> tuple[list[IntArray] | None, IntArray]:
    """Return what is relevant to each query where the data list it, and how many are."""
    data, labels = read.data, read.labels
    if data.relevant is not None:
        listed = [data.positions("relevant", its, read.ids) for its in data.relevant]
        inside = np.zeros(len(read), dtype=bool)
        inside[corpus] = True
        each = [np.setdiff1d(its[inside[its]], [query]) for its, query in zip(listed, queries, strict=True)]
        return each, np.array([len(its) for its in each], dtype=np.intp)
    if labels is None:
        raise DoesNotFit(
            "it needs to know what is relevant. Write EvalData(..., targets=labels), or queries= with relevant="
        )
    sizes = np.bincount(labels[corpus], minlength=int(labels.max()) + 1)
    return None, sizes[labels[queries]] - np.isin(queries, corpus)
