"""Distributions over a vocabulary: how far one is from another, and what a few likeliest tokens leave of one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
"""Log-probabilities, (places, tokens)."""
MOST_VALUES = 2**22
"""How many log-probabilities of a model are compared at once: 32 MiB in float64."""


def divergence(student: Rows, teacher: Rows) -> Rows:
    """Return the divergence of the student's distributions from the teacher's, in nat, (places,).

    The sum over the vocabulary of p_T (log p_T - log p_S), in float64. Where one model has columns for more tokens,
    which no tokeniser gives, both are taken over those that both have.

    Args:
        student: log-probabilities, (places, vocabulary).
        teacher: of the same shape, up to the number of columns.
    """
    columns = min(student.shape[1], teacher.shape[1])
    parts = [
        _divergence(student[place, :columns], teacher[place, :columns]) for place in _places(len(student), columns)
    ]
    return np.concatenate(parts)


def _places(count: int, columns: int) -> list[slice]:
    step = max(MOST_VALUES // columns, 1)
    return [slice(start, start + step) for start in range(0, count, step)]


def _divergence(student: Rows, teacher: Rows) -> Rows:
    mine, its = _normalised(student), _normalised(teacher)
    shares = np.exp(its)
    with np.errstate(invalid="ignore"):
        terms = np.where(shares > 0, shares * (its - mine), 0.0)
    nats: Rows = np.maximum(terms.sum(axis=1), 0.0).astype(np.float32)
    return nats


def _normalised(rows: Rows) -> npt.NDArray[np.float64]:
    """Return log-probabilities in float64 that add up to 1, which those of float32 do to seven digits only."""
    exact = rows.astype(np.float64)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    return exact


def likeliest(rows: Rows, count: int) -> npt.NDArray[np.int32]:
    """Return the likeliest tokens at each place, in the order of their probability, (places, at most count)."""
    count = min(count, rows.shape[1])
    some = np.argpartition(-rows, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(rows, some, axis=1), axis=1, kind="stable")
    ids = np.take_along_axis(some, order, axis=1).astype(np.int32)
    first = rows.argmax(axis=1).astype(np.int32)
    for place in np.flatnonzero(ids[:, 0] != first):  # of equally likely ones argmax takes the first
        ids[place] = [first[place], *(token for token in ids[place] if token != first[place])][:count]
    return ids


def cut(rows: Rows, tokens: npt.NDArray[np.int32]) -> Rows:
    """Return the log-probabilities of some tokens and, in the last column, of all others together.

    Args:
        rows: (places, vocabulary).
        tokens: the ids at each place, (places, k). Ids that the rows have no column for have the probability 0.

    Returns:
        (places, k + 1).
    """
    parts, missing = [], max(int(tokens.max()) + 1 - rows.shape[1], 0)
    for place in _places(len(rows), rows.shape[1]):
        exact = np.pad(_normalised(rows[place]), ((0, 0), (0, missing)), constant_values=-np.inf)
        kept = np.take_along_axis(exact, tokens[place], axis=1)
        np.put_along_axis(exact, tokens[place], -np.inf, axis=1)
        with np.errstate(divide="ignore"):
            rest = np.log(np.exp(exact).sum(axis=1, keepdims=True))
        parts.append(np.concatenate([kept, rest], axis=1).astype(np.float32))
    return np.concatenate(parts)
