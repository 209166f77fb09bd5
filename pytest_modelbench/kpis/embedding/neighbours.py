"""The nearest samples of queries, block by block, by exact search."""

from __future__ import annotations

import numpy as np

from pytest_modelbench.kpis.embedding.read import Embeddings, Vectors
from pytest_modelbench.stats.cells import FloatArray, IntArray

MOST_SIMILARITIES = 2 * 10**8
"""The most similarities that are computed for a model: beyond, some queries are drawn."""
FEWEST_QUERIES = 1000
BLOCK = 2**24
"""The most similarities at once."""


def drawn_queries(queries: IntArray, corpus: int, seed: int) -> IntArray:
    """Return the positions in `queries` of those that are searched: all, or a draw where the corpus is large."""
    most = max(FEWEST_QUERIES, MOST_SIMILARITIES // corpus)
    if len(queries) <= most:
        return np.arange(len(queries))
    return np.sort(np.random.default_rng(seed).choice(len(queries), most, replace=False))


def nearest(read: Embeddings, role: str, queries: IntArray, corpus: IntArray, k: int) -> IntArray:
    """Return the positions in the data of the k nearest of the corpus, nearest first, (queries, k).

    A query does not find itself. Of equally near ones the earlier in the corpus comes first.

    Args:
        read: the vectors.
        role: of the model.
        queries: positions in the data.
        corpus: positions in the data.
        k: at most the size of the corpus without the query.
    """
    derived = read.answers.answers[role].derived
    key = ("nearest", read.data.metric, k, queries.tobytes(), corpus.tobytes())
    if key not in derived:
        derived[key] = _searched(read, role, queries, corpus, k)
    rows: IntArray = derived[key]
    return rows


def _searched(read: Embeddings, role: str, queries: IntArray, corpus: IntArray, k: int) -> IntArray:
    vectors = read.vectors[role]
    searched = vectors[corpus]
    if read.data.metric == "euclidean":  # distances do not change, and small ones lose fewer digits
        centre = searched.mean(axis=0)
        vectors, searched = vectors - centre, searched - centre
    half = (searched**2).sum(axis=1) / 2 if read.data.metric == "euclidean" else None
    at = np.full(len(read), -1)
    at[corpus] = np.arange(len(corpus))
    size = max(1, BLOCK // len(corpus))
    blocks = (queries[start : start + size] for start in range(0, len(queries), size))
    return np.concatenate([corpus[_block(vectors[block], searched, half, at[block], k)] for block in blocks])


def _block(vectors: Vectors, searched: Vectors, half: Vectors | None, own: IntArray, k: int) -> IntArray:
    """Return the places in the corpus of the nearest of some queries; `own` is each query's place, -1 for none."""
    scores = vectors @ searched.T
    if half is not None:
        scores -= half
    inside = np.flatnonzero(own >= 0)
    scores[inside, own[inside]] = -np.inf
    top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    top.sort(axis=1)
    values = np.take_along_axis(scores, top, axis=1)
    tied = (scores >= values.min(axis=1, keepdims=True)).sum(axis=1) > k
    for row in np.flatnonzero(tied):
        top[row] = np.argsort(-scores[row], kind="stable")[:k]
        values[row] = scores[row, top[row]]
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(top, order, axis=1)


def overlap_of(first: IntArray, second: IntArray, k: int) -> tuple[FloatArray, IntArray, IntArray, FloatArray]:
    """Return the share of common neighbours, and how it changes if a neighbour were not there.

    Without one of the k nearest, the next one takes its place.

    Args:
        first: the k + 1 nearest by one model, nearest first, (queries, k + 1).
        second: by the other.
        k: how many count.

    Returns:
        The shares, (queries,); and for each neighbour of either model the query, the neighbour and the change.
    """
    base = int(max(first.max(), second.max())) + 1
    keys = [np.arange(len(first))[:, None] * base + each for each in (first, second)]
    ranks = _ranks_in(keys[0], keys[1], k), _ranks_in(keys[1], keys[0], k)
    enters = [(rank[:, k] < k).astype(np.float64)[:, None] for rank in ranks]
    both_enter = (ranks[0][:, k] == k)[:, None]
    common = ranks[0][:, :k] < k
    shared = enters[0] + enters[1] + both_enter - 1.0
    places = np.nonzero(np.ones(common.shape, dtype=bool)), np.nonzero(ranks[1][:, :k] >= k)
    changes = np.where(common, shared, enters[0])[places[0]], np.broadcast_to(enters[1], common.shape)[places[1]]
    return (
        common.mean(axis=1),
        np.concatenate([places[0][0], places[1][0]]),
        np.concatenate([first[places[0]], second[places[1]]]),
        np.concatenate(changes) / k,
    )


def _ranks_in(keys: IntArray, others: IntArray, k: int) -> IntArray:
    """Return the rank of each key in the other list of its row, k + 1 where it is not there."""
    flat = others.reshape(-1)
    order = np.argsort(flat)
    at = np.minimum(np.searchsorted(flat, keys, sorter=order), len(flat) - 1)
    found = flat[order[at]] == keys
    ranks: IntArray = np.where(found, order[at] % (k + 1), k + 1)
    return ranks
