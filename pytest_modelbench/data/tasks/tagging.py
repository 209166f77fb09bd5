"""`TaggingData`: a tag for each word or token of a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.data.arguments import check_sequence
from pytest_modelbench.data.arrays import select_output
from pytest_modelbench.data.evaldata import Batch
from pytest_modelbench.data.huggingface import is_huggingface
from pytest_modelbench.data.tasks.tagging_forms import (
    Array,
    IntArray,
    Spots,
    largest,
    listed,
    mask_of,
    outputs_of,
    refuse_padding,
    tags_of,
    words_counted,
)
from pytest_modelbench.data.tasks.task_data import Samples, TaskData
from pytest_modelbench.errors import DataError, ModelError, shown

SCHEMES = ("auto", "IOB1", "IOB2", "IOE1", "IOE2", "IOBES", "BILOU")


class TaggingData(TaskData):
    """Sentences with a tag for each word or token: named entities, parts of speech.

    `EvalData(..., task="tagging")` makes one, too.

    Args:
        inputs: what the model takes: token ids, a mapping such as `{"input_ids", "attention_mask"}`, a list of lists
            of words, a tokenised dataset, or a loader with a collator that pads labels.
        targets: labels of a sentence each: an array (n, tokens) padded with `ignore_index`, or a list of lists of
            different lengths. Labels are whole numbers, or names such as 'B-PER'.
        scheme: how tags mark entities: `auto`, `IOB1`, `IOB2`, `IOE1`, `IOE2`, `IOBES` or `BILOU`; None for plain
            tags, such as parts of speech.
        ignore_index: the label of tokens that do not count: padding, special tokens, later tokens of a word.
        word_ids: for each sentence the number of each token's word, None for special tokens, as `word_ids()` of a
            tokenised sentence gives them. The first token of each word counts. Targets then are labels of words, or
            of all tokens.
        collate: as of `TaskData`; it gets mappings of single sentences where inputs are a mapping, a list of mappings
            or a dataset of Hugging Face, as `DataCollatorForTokenClassification` takes them.
        common: the arguments of `TaskData`; `classes` are the tags in the order of their numbers. Without them, those
            of the model's `id2label` are used.

    Raises:
        DataError: as for `TaskData`; an unknown scheme; `ignore_index` that is a class; another number of `word_ids`
            than of sentences.

    >>> data = TaggingData([["Ada", "sleeps"]], [["B-PER", "O"]])
    >>> data.task, data.scheme
    ('tagging', 'auto')
    """

    TASK: ClassVar[str] = "tagging"
    UNIT: ClassVar[str] = "sentence"
    KPIS: ClassVar[str] = "token_accuracy or entity_f1"

    def __init__(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        scheme: str | None = "auto",
        ignore_index: int | None = -100,
        word_ids: Sequence[Sequence[int | None]] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        **common: Any,
    ) -> None:
        if scheme is not None and scheme not in SCHEMES:
            raise DataError(f"scheme: found {shown(scheme)}, expected None or one of {', '.join(SCHEMES)}")
        self.scheme = scheme
        if ignore_index is not None and (
            isinstance(ignore_index, bool) or not isinstance(ignore_index, int | np.integer)
        ):
            raise DataError(
                f"ignore_index: found {shown(ignore_index)}, expected a whole number such as -100, or None"
            )
        self.ignore_index = ignore_index
        inputs, collate = _by_sentence(inputs, targets, collate)
        own = {"scheme": scheme, "ignore_index": ignore_index, "word_ids": _digest(word_ids)}
        super().__init__(inputs, targets, collate=collate, own=own, **common)
        if ignore_index in self.names:
            raise DataError(
                f"ignore_index: {ignore_index} is the class {self.names[ignore_index]!r}, whose tokens would not "
                "count. Write the label of padding, such as -100"
            )
        self._words = self._by_id(word_ids)
        self._latest: tuple[Batch | None, list[Spots]] = (None, [])

    def _by_id(self, word_ids: Any) -> Mapping[Any, Sequence[Any]] | None:
        """Return the words of tokens by the id of their sentence."""
        if word_ids is None:
            return None
        check_sequence("word_ids", word_ids)
        length = self.source.length
        if length is not None and len(word_ids) != length:
            raise DataError(f"there are {length} sentences and {len(word_ids)} word_ids; expected one for each")
        words = dict(zip(range(len(word_ids)) if self.ids is None else self.ids, word_ids, strict=True))
        if len(words) < len(word_ids):
            raise DataError("word_ids belong to ids, and an id is there twice. Give each sentence its own id")
        return words

    def targets_of(self, batch: Batch) -> Samples:
        """Return the labels that count.

        Raises:
            DataError: there are none, they have another form, or padding has a label.
        """
        return {"tag": [spots.tags for spots in self._spots_of(batch)]}

    def answers_of(self, output: Any, batch: Batch, model: str) -> Samples:
        """Return the largest class of each token that counts, or the tag that the model names.

        Raises:
            ModelError: the output is in another form, or a sentence has another length than its target.
        """
        spots = self._spots_of(batch)
        samples, stacked = outputs_of(select_output(output, self.select, model), len(spots), model)
        masks = mask_of(batch.inputs) if stacked else None
        longest = max(spot.length for spot in spots) if stacked else 0
        parts: dict[str, list[Array]] = {"tag": [], "columns": []}
        for position, (spot, sample) in enumerate(zip(spots, samples, strict=True)):
            index = _placed(spot, len(sample), None if masks is None else masks[position], longest)
            if index is None:
                raise ModelError(_of_other_length(spot, len(sample), model, self.place(batch, position)))
            parts["columns"].append(np.array([sample.shape[1] if sample.ndim == 2 else 0], dtype=np.int32))
            parts["tag"].append(largest(sample[index]) if sample.ndim == 2 else _labels(sample[index], model))
        return parts

    def _spots_of(self, batch: Batch) -> list[Spots]:
        """Return which labels of each sentence count; the latest batch is asked for twice."""
        if self._latest[0] is not batch:
            self._latest = batch, list(self._spots(batch))
        return self._latest[1]

    def _spots(self, batch: Batch) -> Iterator[Spots]:
        if batch.targets is None:
            raise DataError("the data have no targets. Write EvalData(inputs, tags, task='tagging')")
        masks = mask_of(batch.inputs)
        for position, target in enumerate(listed(batch.targets)):
            try:
                words = None if self._words is None else self._words[batch.ids[position]]
                yield self._of_sentence(target, None if masks is None else masks[position], words)
            except DataError as error:
                raise DataError(f"{self.place(batch, position)}: {error}") from error

    def _of_sentence(self, target: Any, mask: Array | None, words: Sequence[Any] | None) -> Spots:
        tags = tags_of(target)
        index, length = np.arange(len(tags)), len(tags)
        if tags.dtype.kind != "U" and mask is not None:
            refuse_padding(tags, tags != self.ignore_index, mask, self.ignore_index)
        if words is not None:
            tags, index = words_counted(tags, words)
            length = len(words)
        if tags.dtype.kind == "U":
            return Spots(tags=tags, index=index, length=length)
        counts = tags != self.ignore_index
        tags = tags[counts]
        least = int(tags.min(initial=0))
        if least < 0:
            raise DataError(
                f"found the label {least}, expected numbers of classes from 0, or {self.ignore_index} for tokens "
                f"that do not count. Write ignore_index={least}"
            )
        return Spots(tags=tags, index=index[counts], length=length)


def _labels(tags: Array, model: str) -> Array:
    """Return the tags that a model names; none of an empty sentence are whole numbers, as those of others.

    Raises:
        ModelError: a label is negative.
    """
    if tags.dtype.kind == "i" and tags.min(initial=0) < 0:
        raise ModelError(f"{model} returned the label {tags.min()} for a token that counts, expected numbers from 0")
    return tags if len(tags) else np.empty(0, dtype=np.int32)


def _placed(spot: Spots, length: int, mask: Array | None, longest: int) -> IntArray | None:
    """Return which outputs count; None where their number does not fit.

    Outputs that are padded to the longest sentence of the batch are read where the attention mask is not 0, and from
    the first one on where there is none.
    """
    if length == spot.length:
        return spot.index
    real = None if mask is None or len(mask) != length else np.flatnonzero(mask)
    if real is not None and len(real) == spot.length:
        return real[spot.index]
    to_longest = mask is None and length == longest
    return spot.index if to_longest and length > int(spot.index.max(initial=-1)) else None


def _of_other_length(spot: Spots, length: int, model: str, place: str) -> str:
    return (
        f"{model} returned {length} tags for {place}, which has {spot.length}. Give a label for each output (-100 "
        "for those that do not count), or word_ids=... if the model answers parts of words"
    )


def _digest(word_ids: Any) -> str | None:
    return None if word_ids is None else hashlib.blake2b(repr(word_ids).encode(), digest_size=16).hexdigest()


def _by_sentence(inputs: Any, targets: Any, collate: Any) -> tuple[Any, Any]:
    """Return inputs as a collator of Hugging Face takes them, and the collator if it is still to be applied."""
    if not callable(collate):
        return inputs, collate
    if isinstance(inputs, Mapping):
        columns = {name: listed(values) for name, values in inputs.items()}
        inputs = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    mappings = isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], Mapping)
    if targets is None and (mappings or is_huggingface(inputs)):
        from torch.utils.data import DataLoader

        return DataLoader(inputs, collate_fn=collate), None
    return inputs, collate
