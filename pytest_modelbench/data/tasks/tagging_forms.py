"""Forms of tags: one sample's labels as numbers or names, and which outputs of a model they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, is_tensor
from pytest_modelbench.data.missing import as_values, missing_of
from pytest_modelbench.data.tasks.task_data import count_of
from pytest_modelbench.errors import DataError, ModelError, shown

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]
UNREADABLE = -1
"""The label of an output with NaN or infinite values."""


@dataclass(frozen=True)
class Spots:
    """What counts of a sample.

    Attributes:
        tags: the counted labels, (counted,), whole numbers or names.
        index: the outputs that they belong to, (counted,).
        length: how many outputs the sample has.
    """

    tags: Array
    index: IntArray
    length: int


def listed(values: Any) -> list[Any]:
    """Return the rows of targets: of an array or a tensor at once, of a list or a series one after the other."""
    return list(as_array(values)) if is_tensor(values) or isinstance(values, np.ndarray) else list(values)


def tags_of(target: Any) -> Array:
    """Return the labels of a sample, (tokens,), whole numbers or names.

    Raises:
        DataError: more axes, other numbers, an empty name.
    """
    empty = not is_tensor(target) and len(target) == 0 if hasattr(target, "__len__") else False
    try:
        tags = np.empty(0, dtype=np.int64) if empty else as_array(target)
        _refuse_missing(target, tags)
    except ModelError as error:
        raise DataError(f"{error}. Give one label for each token") from error
    if tags.dtype == object:
        tags = tags.astype(str)
    if tags.ndim != 1 or tags.dtype.kind not in "iuU":
        raise DataError(
            f"found targets of shape {tags.shape} and type {tags.dtype}, expected one label for each token: "
            "whole numbers, or names such as 'B-PER'"
        )
    if tags.dtype.kind == "U" and (tags == "").any():
        raise DataError("found an empty tag, expected a name such as 'O'")
    return tags


def _refuse_missing(target: Any, tags: Array) -> None:
    """Refuse names of which one is NaN: NumPy makes the text 'nan' of it.

    Raises:
        DataError: naming its place.
    """
    if tags.dtype.kind != "U" or "nan" not in tags or isinstance(target, np.ndarray):
        return
    (places,) = np.nonzero(missing_of(as_values(target)))
    if len(places):
        raise DataError(f"the tag of the token {places[0]} is missing")


def first_tokens(words: Sequence[Any]) -> IntArray:
    """Return where each word begins among the tokens, (words,).

    Args:
        words: the number of each token's word, None for tokens that belong to none.

    >>> first_tokens([None, 0, 0, 1, None]).tolist()
    [1, 3]
    """
    before = (None, *words[:-1]) if len(words) else ()
    return np.array(
        [at for at, (word, last) in enumerate(zip(words, before, strict=True)) if word is not None and word != last],
        dtype=np.intp,
    )


def words_counted(tags: Array, words: Sequence[Any]) -> tuple[Array, IntArray]:
    """Return the labels of words and their first tokens; labels are for words, or for all tokens.

    Raises:
        DataError: there are as many labels as neither words nor tokens.
    """
    if not hasattr(words, "__len__") or isinstance(words, str):
        raise DataError(f"found {shown(words)} in word_ids, expected a list with the number of each token's word")
    first = first_tokens(words)
    if len(tags) == len(first):
        return tags, first
    if len(tags) == len(words):
        return tags[first], first
    reason = "; the tokenizer truncated them" if len(tags) > len(first) else ""
    raise DataError(
        f"word_ids have {len(first)} words and {len(words)} tokens, and the target has {len(tags)} "
        f"labels{reason}. Give one label for each word, or for each token"
    )


def mask_of(inputs: Any) -> list[Array] | None:
    """Return the attention mask of a batch, a row for each sample; None where there is none."""
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    return None if mask is None else [as_array(row) for row in mask]


def refuse_padding(tags: Array, counts: npt.NDArray[np.bool_], mask: Array, ignored: Any) -> None:
    """Refuse labels of padding.

    Raises:
        DataError: the attention mask is 0 where a label counts.
    """
    if len(tags) != len(mask):
        return
    padded = counts & (mask == 0)
    if padded.any():
        label = tags[padded][0].item()
        raise DataError(
            f"attention_mask is 0 at {int(padded.sum())} tokens that have a label, such as {shown(label)}: "
            f"padding would count. Give padding the label {-100 if ignored is None else ignored}"
        )


def outputs_of(head: Any, count: int, model: str) -> tuple[list[Array], bool]:
    """Return a model's output for each sample, (tokens, classes) or (tokens,), and whether they are padded alike.

    Raises:
        ModelError: another number of samples, or another form.
    """
    stacked = not isinstance(head, list)
    array = as_array(head) if stacked else head
    count_of(array, model, "a tag for each token")
    samples = list(array) if stacked else [_sample(sample) for sample in head]
    if len(samples) != count:
        raise ModelError(f"{model} returned tags of {len(samples)} sentences, and the batch has {count}")
    for sample in samples:
        scored = sample.ndim == 2 and sample.dtype.kind in "fiu"
        if not scored and not (sample.ndim == 1 and (sample.dtype.kind in "iuU" or not len(sample))):
            raise ModelError(
                f"{model} returned an output of shape {sample.shape} and type {sample.dtype} for a sentence, "
                "expected logits (tokens, classes), or a label for each token"
            )
    return samples, stacked


def _sample(sample: Any) -> Array:
    array = as_array(sample)
    return array.astype(str) if array.dtype == object else array


def largest(scores: Array) -> Array:
    """Return the largest class of each token, (tokens,); -1 where a score is NaN or +inf, or all are -inf.

    Args:
        scores: logits or probabilities, (tokens, classes).
    """
    labels: Array = scores.argmax(axis=1).astype(np.int32)
    if scores.dtype.kind == "f":
        labels[~np.isfinite(scores.max(axis=1))] = UNREADABLE
    return labels
