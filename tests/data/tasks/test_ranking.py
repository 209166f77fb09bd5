"""Forms of scores and relevance, and what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from pytest_modelbench import EvalData
from pytest_modelbench.data.tasks.ranking import RankingData
from pytest_modelbench.errors import DataError, ModelError

ITEMS = np.zeros((6, 2))
RELEVANCE = np.array([0, 1, 2, 0, 0, 1])
QUERY = ["a", "a", "a", "b", "b", "b"]


def read(output: Any, targets: Any = RELEVANCE, **words: Any) -> dict[str, Any]:
    words.setdefault("query", QUERY)
    data = EvalData(ITEMS, targets, task="ranking", **words)
    assert isinstance(data, RankingData)
    batch = next(data.batches())
    data.targets_of(batch)
    return dict(data.answers_of(output, batch, "student"))


@pytest.mark.parametrize("output", [np.arange(6.0), torch.arange(6.0)[:, None], list(range(6))])
def test_forms_of_scores(output: Any) -> None:
    assert np.concatenate(read(output)["score"]).tolist() == [0, 1, 2, 3, 4, 5]


def test_lists_of_unequal_length() -> None:
    scores = [np.arange(size, dtype=float) for size in (1, 2, 3, 4, 5, 6)]
    parts = read(scores, [np.ones(size) for size in (1, 2, 3, 4, 5, 6)], query=None)
    assert [len(score) for score in parts["score"]] == [1, 2, 3, 4, 5, 6]


def test_catalogue_keeps_ranks_only() -> None:
    scores = np.array([[0.1, 0.9, 0.5, 0.5]] * 6)
    parts = read(scores, None, query=None, relevant=[[2]] * 6, exclude=[[1]] * 5 + [[]])
    assert [int(above[0]) for above in parts["above"]] == [0] * 5 + [1]
    assert [int(tied[0]) for tied in parts["tied"]] == [2] * 6
    assert sorted(parts["top"][0].tolist()) == [0, 2, 3]
    assert EvalData(ITEMS, RELEVANCE, query=QUERY).task == "ranking"


@pytest.mark.parametrize(
    "relevant",
    [
        [2] * 6,
        np.full(6, 2),
        [{2}] * 6,
        [torch.tensor([2])] * 6,
        np.full((6, 1), 2),
        csr_matrix(np.array([[0.0, 0.0, 1.0, 0.0]] * 6)),
    ],
)
def test_forms_of_relevant_items(relevant: Any) -> None:
    """One item for each user as a number, and entries of a sparse matrix, are the same as lists."""
    parts = read(np.array([[0.1, 0.9, 0.5, 0.5]] * 6), None, query=None, relevant=relevant)
    assert [above.tolist() for above in parts["above"]] == [[1]] * 6


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.int64])
def test_the_first_items_of_a_catalogue_are_kept_in_order(kind: Any) -> None:
    """Also of scores without a sign; tied items are shuffled, for all models alike."""
    scores = np.arange(200).astype(kind)
    parts = read(np.array([scores] * 6), None, query=None, relevant=[[2]] * 6)
    assert parts["top"][0].tolist() == list(range(199, 99, -1))
    tied = read(np.zeros((6, 200), dtype=kind), None, query=None, relevant=[[2]] * 6)["top"][0]
    assert len(set(tied.tolist())) == 100
    assert 60 < tied.mean() < 140
    assert tied.tolist() != sorted(tied.tolist())


@pytest.mark.parametrize(
    ("output", "words", "message"),
    [
        (
            np.zeros((6, 2)),
            {},
            r"returned 2 scores .* and there is 1 item. Return the one column .* logits\[:, 1\]",
        ),
        (
            np.zeros((6, 4)),
            {"query": None, "targets": [np.ones(3)] * 6},
            "returned 4 scores .* there are 3 items. If the scores are padded, pad relevance with NaN to their length",
        ),
        (np.zeros(5), {}, "scores of 5 samples for 6"),
        (
            np.zeros(6),
            {"query": None, "targets": np.ones((6, 3))},
            "there are 3 items. If each row is an item, write",
        ),
        (np.array(list("abcdef")), {}, "1 scores of type <U1"),
        (np.zeros((6, 3)), {"query": None, "targets": None, "relevant": [[5]] * 6}, "the data name the item 5"),
    ],
)
def test_scores_that_do_not_fit(output: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(output, words.pop("targets", RELEVANCE), **words)


@pytest.mark.parametrize(
    ("targets", "words", "message"),
    [
        (RELEVANCE - 1, {}, "the sample 0: found relevance -1, expected a number from 0 up"),
        (np.where(RELEVANCE == 2, np.inf, RELEVANCE), {}, "the sample 2: found relevance inf"),
        (np.full((6, 3), np.inf), {"query": None}, "the sample 0: found infinite relevance"),
        (np.where(RELEVANCE == 2, np.nan, RELEVANCE), {}, "the sample 2: found relevance nan"),
        (np.ones((6, 3)), {}, r"shape \(3,\) and type float64; with query= expected one number for each row"),
        (RELEVANCE, {"query": QUERY[:4]}, "there are 6 samples and 4 of query=; expected one for each row$"),
        (RELEVANCE, {"query": [4, 2]}, r"and 2 of query=; .* To state sizes, write query=np.repeat\(np.arange"),
        (RELEVANCE, {"query": np.zeros((6, 2))}, r"query: found shape \(6, 2\), expected one query for each row"),
        (None, {"query": None, "relevant": [[0, 1, 0, 0]] * 6}, r"0 and 1 several times, .* np.flatnonzero\(row\)"),
        (
            None,
            {"query": None, "relevant": [[[1], [2, 3]]] * 6},
            r"relevant\[0\]: found \[\[1\], \[2, 3\]\], expected",
        ),
        (None, {"query": None, "relevant": [None] * 6}, r"relevant\[0\]: found None, expected positions"),
        (RELEVANCE, {"query": ["a", None, "a", "b", "b", "b"]}, "query: 1 are missing, the first at 1"),
        (RELEVANCE, {"query": None, "relevant": [[0]] * 6}, "relevant= takes the place of targets"),
        (None, {"query": None, "relevant": [[0.5]] * 6}, r"relevant\[0\]: found \[0.5\], expected positions"),
        (None, {"query": None, "relevant": [[0]] * 6, "exclude": [[0]]}, "6 of relevant= and 1 of exclude="),
        (RELEVANCE, {"exclude": [[0]] * 6}, "exclude= goes with relevant="),
        (None, {}, "have no targets"),
    ],
)
def test_data_that_do_not_fit(targets: Any, words: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(np.zeros(6), targets, **words)
