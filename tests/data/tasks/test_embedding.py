"""Forms in which vectors and relations of samples come, and what is refused."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

from pytest_modelbench import EvalData
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.tasks.embedding import EmbeddingData
from pytest_modelbench.errors import DataError, ModelError

VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)
TOKENS = np.stack([VECTORS, VECTORS + 2, VECTORS + 100], axis=1)


def read(output: Any, inputs: Any = None, **words: Any) -> Any:
    """Return the vectors of an output for four samples, (4, d)."""
    data = EvalData(np.zeros((4, 1)), task="embedding", **words)
    batch = Batch(inputs=np.zeros((4, 1)) if inputs is None else inputs, targets=None, ids=range(4))
    assert isinstance(data, EmbeddingData)
    return np.concatenate(data.answers_of(output, batch, "student")["vector"])


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (VECTORS, {}),
        (torch.from_numpy(VECTORS).requires_grad_(), {}),
        (list(VECTORS), {}),
        (list(torch.from_numpy(VECTORS)), {}),
        (VECTORS.tolist(), {}),
        (VECTORS[:, :, None, None], {}),
        (OrderedDict(token_embeddings=TOKENS, sentence_embedding=VECTORS), {}),
        ({"embeds": VECTORS}, {}),
        ({"last_hidden_state": TOKENS, "pooler_output": VECTORS}, {"select": "pooler_output"}),
        ({"last_hidden_state": TOKENS, "pooler_output": VECTORS + 7}, {"pooling": "cls"}),
        (({"a": 1}, VECTORS), {"select": 1}),
        (TOKENS, {"pooling": "cls"}),
    ],
)
def test_forms(output: Any, words: dict[str, Any]) -> None:
    np.testing.assert_array_equal(read(output, **words), VECTORS)


def test_mean_over_tokens_that_the_mask_keeps() -> None:
    mask = torch.tensor([[1, 1, 0]] * 3 + [[1, 0, 0]])
    inputs = {"input_ids": np.zeros((4, 3)), "attention_mask": mask}
    pooled = read({"last_hidden_state": TOKENS}, inputs, pooling="mean")
    np.testing.assert_allclose(pooled, np.concatenate([VECTORS[:3] + 1, VECTORS[3:]]))
    np.testing.assert_allclose(read(TOKENS, pooling="mean"), VECTORS + 34)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (TOKENS, r"vectors of tokens of shape \(4, 3, 3\).*pooling=\"mean\" or pooling=\"cls\", or select='pooler_"),
        (
            {"last_hidden_state": TOKENS, "pooler_output": VECTORS},
            'no entry is named sentence_embedding. Write EvalData.*select=\'pooler_output\', or pooling="mean" or "cls"',
        ),
        (VECTORS[:, 0], r"an array of shape \(4,\), expected one vector for each sample, \(n, d\)"),
        (VECTORS.astype(str), "values of type .*, expected numbers"),
        ([VECTORS[0], VECTORS[1][:2]], r"vectors of different shapes, \(2,\), \(3,\); expected \(d,\) each"),
    ],
)
def test_outputs_that_are_not_guessed(output: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(output)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"pairs": [(0, 1, 2)]}, r"pairs: found \(0, 1, 2\), expected a pair of two samples in each entry"),
        ({"pairs": []}, r"pairs: found \[\], expected a pair of two samples"),
        ({"triplets": [(0, 1)]}, r"triplets: found \(0, 1\), expected a triplet \(anchor, positive, negative\)"),
        ({"pairs": [(0, 1)], "similarity": [1, 2]}, "there are 1 pairs and 2 of similarity="),
        ({"pairs": [(0, 1)], "similarity": [np.nan]}, "similarity: expected finite numbers"),
        ({"pairs": [(0, 1)], "same": [3]}, "same: found 3, expected True or False"),
        ({"same": [True]}, "there are 0 pairs and 1 of same="),
        ({"queries": [0, 1], "relevant": [[2]]}, "relevant= has 1 lists for 2 queries="),
        ({"relevant": [[2]]}, "relevant= has 1 lists for 0 queries="),
        ({"metric": "l2"}, "metric: found 'l2', expected one of cosine, dot, euclidean"),
        ({"pooling": "max"}, "pooling: found 'max', expected one of mean, cls"),
    ],
)
def test_relations_that_do_not_fit(words: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        EvalData(np.zeros((4, 1)), **{"task": "embedding", **words})


def test_samples_are_ids_where_there_are_ids() -> None:
    """Otherwise they are positions; a number beyond the last is refused."""
    named = EmbeddingData(np.zeros((3, 1)), ids=["a", "b", "c"])
    assert named.positions("pairs", ["c", "a"], named.ids or ()).tolist() == [2, 0]
    with pytest.raises(DataError, match="pairs: found 0, expected one of the ids of the samples"):
        named.positions("pairs", [0], named.ids or ())
    with pytest.raises(DataError, match="queries: found 3, expected a position from 0 to 2 of the samples"):
        EmbeddingData(np.zeros((3, 1))).positions("queries", [3], range(3))


def test_pairs_say_the_task() -> None:
    assert isinstance(EvalData(["one text", "another"], pairs=[(0, 1)], similarity=[0.5]), EmbeddingData)


def test_targets_of_another_form() -> None:
    data = EmbeddingData(np.zeros((4, 1)), np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"targets of shape \(4, 2\); expected one class or identity for each sample"):
        data.targets_of(next(iter(data.batches())))
