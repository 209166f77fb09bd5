"""Vectors of models and relations between samples: the forms in which they come."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_modelbench.data.arguments import check_sequence
from pytest_modelbench.data.arrays import as_array, select_output, shapes
from pytest_modelbench.data.tasks.task_data import Array
from pytest_modelbench.errors import DataError, ModelError, shown

_OF_TOKENS = ("last_hidden_state", "token_embeddings")
_WORDS = {2: "pair of two samples", 3: "triplet (anchor, positive, negative)"}


def vectors_of(output: Any, inputs: Any, select: str | int | None, pooling: str | None, model: str) -> Array:
    """Return one vector for each sample, (n, d), float32.

    Args:
        output: (n, d), a list of n vectors, (n, d, 1, 1), a mapping or output object, or vectors of tokens, (n,
            tokens, d), that `pooling` makes one of.
        inputs: what the model got; `attention_mask` of a mapping says which tokens count.
        select: the name or position of the output.
        pooling: "mean" or "cls", for vectors of tokens.
        model: its name, for messages.

    Raises:
        ModelError: another form.
    """
    array = as_array(_chosen(output, select, pooling, model))
    if array.dtype.kind not in "iufb":
        raise ModelError(f"{model} returned values of type {array.dtype}, expected numbers")
    if array.ndim == 3:
        array = _pooled(array, inputs, pooling, model)
    elif array.ndim == 4 and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    if array.ndim != 2 or not array.shape[1]:
        raise ModelError(
            f"{model} returned an array of shape {array.shape}, expected one vector for each sample, (n, d)"
        )
    return array.astype(np.float32)


def _chosen(output: Any, select: str | int | None, pooling: str | None, model: str) -> Any:
    """Return the array of an output that holds the vectors."""
    if isinstance(output, list):
        return np.stack([as_array(vector) for vector in output]) if _alike(output) else _refuse_lengths(model, output)
    if not isinstance(output, Mapping) or select is not None:
        return select_output(output, select, model)
    names = [name for name in output if output[name] is not None]
    if "sentence_embedding" in names and pooling is None:
        return output["sentence_embedding"]
    of_tokens = [name for name in _OF_TOKENS if name in names]
    if of_tokens and (pooling is not None or len(names) == 1):
        return output[of_tokens[0]]
    if len(names) == 1:
        return output[names[0]]
    vectors = [name for name in names if name not in _OF_TOKENS and getattr(output[name], "ndim", 0) == 2]
    options = [f"select={name!r}" for name in vectors]
    options += [f'pooling="mean" or "cls" of {name}' for name in of_tokens]
    raise ModelError(
        f"{model} returned {shapes({name: output[name] for name in names})}, and no entry is named "
        f"sentence_embedding. Write EvalData(..., {', or '.join(options) or 'select=...'})"
    )


def _alike(vectors: Sequence[Any]) -> bool:
    return len({shapes(vector) for vector in vectors}) == 1


def _refuse_lengths(model: str, vectors: Sequence[Any]) -> Any:
    lengths = sorted({shapes(vector) for vector in vectors})[:3]
    raise ModelError(f"{model} returned vectors of different shapes, {', '.join(lengths)}; expected (d,) each")


def _pooled(tokens: Array, inputs: Any, pooling: str | None, model: str) -> Array:
    """Return one vector of those of tokens, (n, tokens, d)."""
    if pooling is None:
        raise ModelError(
            f"{model} returned vectors of tokens of shape {tokens.shape}, expected one for each sample, (n, d). "
            'Write pooling="mean" or pooling="cls", or select=\'pooler_output\' where the model has one'
        )
    if pooling == "cls":
        return tokens[:, 0]
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    weights = np.ones(tokens.shape[:2]) if mask is None else as_array(mask).astype(np.float64)
    if weights.shape != tokens.shape[:2]:
        raise ModelError(
            f"{model} returned vectors of tokens of shape {tokens.shape} for an attention_mask of shape "
            f"{weights.shape}"
        )
    counts = np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    pooled: Array = np.einsum("ntd,nt->nd", tokens.astype(np.float64), weights) / counts
    return pooled


def tuples_of(name: str, values: Any, width: int) -> list[tuple[Hashable, ...]] | None:
    """Return pairs or triplets as tuples; None for None.

    Raises:
        DataError: an entry of another length, or no entries.
    """
    if values is None:
        return None
    check_sequence(name, values)
    listed = [tuple(np.asarray(entry).tolist()) if np.ndim(entry) else (entry,) for entry in values]
    wrong = next((entry for entry in listed if len(entry) != width), None)
    if wrong is not None or not listed:
        raise DataError(f"{name}: found {shown(wrong or list(values))}, expected a {_WORDS[width]} in each entry")
    return listed


def positions_of(name: str, samples: Sequence[Hashable], ids: Sequence[Any], named: bool) -> Array:
    """Return the positions of samples.

    Args:
        name: of the argument, for messages.
        samples: ids where the data have ids, otherwise positions from 0.
        ids: of all samples.
        named: whether the data have ids.

    Raises:
        DataError: a sample that is not there.
    """
    at: dict[Any, int] = {sample: position for position, sample in enumerate(ids if named else range(len(ids)))}
    wrong = next((sample for sample in samples if isinstance(sample, bool) or sample not in at), None)
    if wrong is not None:
        expected = "one of the ids" if named else f"a position from 0 to {len(ids) - 1}"
        raise DataError(f"{name}: found {shown(wrong)}, expected {expected} of the samples")
    return np.array([at[sample] for sample in samples], dtype=np.intp)
