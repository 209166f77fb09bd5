"""Measures of a list, each the mean over all orders of items with one score (McSherry and Najork, ECIR 2008).

With scores that are all different they are the usual ones. A model that gives every item one score gets what a random
order gets, whichever order the data have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import digamma, gammaln

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.ranking.ranked import Ranked
from pytest_modelbench.stats.cells import FloatArray, IntArray

Measure = Callable[[Ranked, Mapping[str, Any]], FloatArray]
"""Returns the value of each query from 0 to 1, (queries,); of one without relevant items anything."""


MOST_RELEVANT = 500
"""The highest relevance that 2 may be raised to."""


def cutoff(ranked: Ranked, options: Mapping[str, Any]) -> int:
    """Return how many items of a list count."""
    most = int(ranked.items.max(initial=0))
    return most if options["k"] is None else min(int(options["k"]), most)


def ndcg(ranked: Ranked, options: Mapping[str, Any]) -> FloatArray:
    """Return the discounted cumulative gain over that of the best order."""
    gain = _gain(ranked, options)
    reach = int(ranked.items.max(initial=0)) + 1
    discounts = 1 / np.log2(np.arange(reach) + 2)
    discounts[cutoff(ranked, options) :] = 0.0
    summed = np.concatenate([[0.0], np.cumsum(discounts)])
    each = gain * (summed[ranked.above + ranked.tied] - summed[ranked.above]) / ranked.tied
    order = np.lexsort((-gain, ranked.query))
    best = ranked.per_query(gain[order] * discounts[_place(ranked.query[order], len(ranked))])
    return np.divide(ranked.per_query(each), best, out=np.zeros(len(ranked)), where=best > 0)


def _gain(ranked: Ranked, options: Mapping[str, Any]) -> FloatArray:
    """Return what each relevant item counts.

    Raises:
        MeasurementError: 2 to the power of a relevance is no longer a number.
    """
    if options["gain"] == "linear":
        return ranked.gain
    if (most := ranked.gain.max(initial=0)) > MOST_RELEVANT:
        raise MeasurementError(
            f"gain='exponential' is 2 to the power of the relevance, which is up to {most:g}. Write "
            "gain='linear', or give grades such as 0 to 4"
        )
    gain: FloatArray = 2**ranked.gain - 1
    return gain


def _place(query: IntArray, queries: int) -> IntArray:
    """Return the position of each of some items within its query, from 0; items of a query are neighbours."""
    sizes = np.bincount(query, minlength=queries)
    begins = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    places: IntArray = np.arange(len(query)) - begins[query]
    return places


def _inside(ranked: Ranked, k: int) -> FloatArray:
    """Return how likely each relevant item is among the first k, (m,)."""
    return np.clip((k - ranked.above) / ranked.tied, 0.0, 1.0)


def recall(ranked: Ranked, options: Mapping[str, Any]) -> FloatArray:
    """Return the share of relevant items that are among the first k."""
    return ranked.per_query(_inside(ranked, cutoff(ranked, options))) / np.maximum(ranked.per_query(), 1)


def precision(ranked: Ranked, options: Mapping[str, Any]) -> FloatArray:
    """Return the share of the first k that are relevant."""
    return ranked.per_query(_inside(ranked, cutoff(ranked, options))) / int(options["k"])


def hit_rate(ranked: Ranked, options: Mapping[str, Any]) -> FloatArray:
    """Return how likely one relevant item at least is among the first k."""
    first, tied, above, relevant = _first_ties(ranked)
    slots = np.clip(cutoff(ranked, options) - above, 0, tied)
    chance = np.zeros(len(ranked))
    with np.errstate(divide="ignore", invalid="ignore"):
        none = np.where(
            tied - slots >= relevant, np.exp(_choose(tied - slots, relevant) - _choose(tied, relevant)), 0.0
        )
    chance[first] = 1 - np.where(tied - slots >= relevant, none, 0.0)
    return chance


def mrr(ranked: Ranked, options: Mapping[str, Any]) -> FloatArray:
    """Return one over the position of the first relevant item, 0 where it is beyond k."""
    k, reciprocal = cutoff(ranked, options), np.zeros(len(ranked))
    first, tied, above, relevant = _first_ties(ranked)
    plain = tied == 1
    reciprocal[first[plain]] = np.where(above[plain] < k, 1 / (above[plain] + 1), 0.0)
    for place in np.flatnonzero(~plain).tolist():
        offsets = np.arange(1, tied[place] - relevant[place] + 2)
        chances = np.exp(_choose(tied[place] - offsets, relevant[place] - 1) - _choose(tied[place], relevant[place]))
        inside = above[place] + offsets <= k
        reciprocal[first[place]] = (chances * inside / (above[place] + offsets)).sum()
    return reciprocal


def _first_ties(ranked: Ranked) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return of first relevant items: the query, how many items tie, are above, and are relevant among the tied."""
    order = np.lexsort((ranked.above, ranked.query))
    query, above = ranked.query[order], ranked.above[order]
    queries, starts = np.unique(query, return_index=True)
    least = np.zeros(len(ranked), dtype=np.intp)
    least[queries] = above[starts]
    alike = np.bincount(query[above == least[query]], minlength=len(ranked))
    return queries, ranked.tied[order][starts], above[starts], alike[queries]


def _choose(of: Any, some: Any) -> Any:
    """Return the logarithm of the binomial coefficient."""
    return gammaln(of + 1) - gammaln(some + 1) - gammaln(of - some + 1)


def average_precision(ranked: Ranked, options: Mapping[str, Any]) -> FloatArray:
    """Return the mean over relevant items of the share of relevant ones down to each, 0 of those beyond k."""
    k = cutoff(ranked, options)
    order = np.lexsort((ranked.above, ranked.query))
    query, above, tied = ranked.query[order], ranked.above[order], ranked.tied[order]
    new = np.ones(len(query), dtype=bool)
    new[1:] = (query[1:] != query[:-1]) | (above[1:] != above[:-1])
    group = np.cumsum(new) - 1
    alike = np.bincount(group)[group]
    better = _place(query, len(ranked))[np.flatnonzero(new)][group]
    inside = np.clip(k - above, 0, tied)
    harmonic = digamma(above + inside + 1) - digamma(above + 1)
    others = (alike - 1) / np.maximum(tied - 1, 1)
    each = ((better + 1) * harmonic + others * (inside - (above + 1) * harmonic)) / tied
    counted = np.bincount(query, each, len(ranked))
    return counted / np.maximum(np.minimum(ranked.per_query(), k), 1)


MEASURES: Mapping[str, Measure] = {
    "ndcg": ndcg,
    "mrr": mrr,
    "recall_at_k": recall,
    "precision_at_k": precision,
    "hit_rate": hit_rate,
    "mean_average_precision": average_precision,
}
