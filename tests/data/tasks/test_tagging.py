"""Forms of tags: padded arrays, lists, word ids, collators and real token classifiers; what does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tag_tables import CLASSES, tag_evidence
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import DataLoader
from transformers import (
    BertConfig,
    BertForTokenClassification,
    DataCollatorForTokenClassification,
    PreTrainedTokenizerFast,
)

from pytest_modelbench import EvalData
from pytest_modelbench.data.tasks.tagging import TaggingData
from pytest_modelbench.errors import DataError, MeasurementError, ModelError
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.kinds import Taking
from pytest_modelbench.probes.tasks.answers import take
from pytest_modelbench.probes.tasks.measured import TaskAnswers, pack, unpack

WORDS = ("[PAD]", "[UNK]", "Ada", "Love", "##lace", "met", "in", "Paris")
LABELS = [[1, 2, 0, -100, -100], [1, 0, 0, 3, -100], [0, 3, -100, -100, -100]]
"""Padded with -100, of sentences with 3, 4 and 2 tokens."""
LENGTHS = [3, 4, 2]
IDS = np.array([[2, 3, 5, 0, 0], [2, 5, 6, 7, 0], [6, 7, 0, 0, 0]])
MASK = (np.arange(5) < np.array(LENGTHS)[:, None]).astype(int)


def model(names: tuple[str, ...] = CLASSES) -> BertForTokenClassification:
    """Return a tiny random token classifier whose logits are those of `CLASSES` in the order of the names."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=16, id2label=dict(enumerate(names)),
    )  # fmt: skip
    tagger = BertForTokenClassification(config)
    tagger.train(mode=False)
    order = [CLASSES.index(name) for name in names]
    head: Any = tagger.classifier
    head.weight.data, head.bias.data = head.weight.data[order], head.bias.data[order]
    return tagger


def tokenizer() -> Any:
    made: Any = Tokenizer(models.WordPiece({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")  # noqa: S106


def measured(tagger: Any, data: EvalData) -> TaskAnswers:
    return take(Taking(model=adapt(tagger, Loading(name="student")), data=data, options={}, beat=lambda: None))


def rows() -> list[dict[str, Any]]:
    return [
        {
            "input_ids": IDS[at, :length].tolist(),
            "attention_mask": [1] * length,
            "labels": LABELS[at][:length],
        }
        for at, length in enumerate(LENGTHS)
    ]


def padded() -> dict[str, Any]:
    return {"input_ids": torch.tensor(IDS), "attention_mask": torch.tensor(MASK)}


def forms() -> Iterator[tuple[str, EvalData]]:
    """Yield the same three sentences in every form."""
    collator = DataCollatorForTokenClassification(tokenizer())
    named = [[CLASSES[label] for label in labels if label >= 0] for labels in LABELS]
    columns = {name: [row[name] for row in rows()] for name in rows()[0]}
    dataset: Any = rows()
    yield "padded tensors", TaggingData(padded(), torch.tensor(LABELS))
    yield "a column of labels", TaggingData({**padded(), "labels": np.array(LABELS)})
    yield "lists of labels", TaggingData(padded(), [labels[:n] for labels, n in zip(LABELS, LENGTHS, strict=True)])
    yield "names", TaggingData(padded(), named)
    yield "a loader", TaggingData(DataLoader(dataset, batch_size=2, collate_fn=collator), batch_size=2)
    yield "a dataset", TaggingData(Dataset.from_list(rows()), collate=collator, batch_size=2)
    yield "rows", TaggingData(rows(), collate=collator, batch_size=2)
    yield "columns of lists", TaggingData(columns, collate=collator)
    yield (
        "names apart",
        TaggingData(
            {name: columns[name] for name in ("input_ids", "attention_mask")}, named, collate=collator, batch_size=2
        ),
    )


@pytest.mark.parametrize(("form", "data"), [pytest.param(*pair, id=pair[0]) for pair in forms()])
def test_every_form_gives_the_same_tags(form: str, data: EvalData) -> None:
    """Labels that count, and the model's answers at their tokens."""
    tagger = model()
    with torch.no_grad():
        logits = tagger(**padded()).logits.numpy()
    answers = unpack(pack(measured(tagger, data)))
    target, tag = answers.targets["tag"], answers.answers["tag"]
    for at, length in enumerate(LENGTHS):
        expected = [CLASSES[label] for label in LABELS[at][:length]] if "names" in form else LABELS[at][:length]
        assert target[at].tolist() == expected
        assert tag[at].tolist() == logits[at, :length].argmax(axis=1).tolist()
    assert answers.classes == CLASSES


def test_word_ids_read_the_first_token_of_each_word() -> None:
    """Labels of words meet the logits of their first token, labels of tokens likewise."""
    tokens = tokenizer()([["Ada", "Lovelace", "met"], ["in", "Paris"]], is_split_into_words=True, padding=True)
    ids = np.array(tokens["input_ids"])
    assert ids.shape == (2, 4)
    words = [tokens.word_ids(at) for at in range(2)]
    inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(tokens["attention_mask"])}
    logits = model()(**inputs).logits.argmax(dim=2).numpy()
    for targets in ([[1, 2, 0], [0, 3]], np.array([[1, 2, 2, 0], [0, 3, -100, -100]])):
        answers = measured(model(), EvalData(inputs, targets, word_ids=words))
        assert [answers.targets["tag"][at].tolist() for at in range(2)] == [[1, 2, 0], [0, 3]]
        assert answers.answers["tag"][0].tolist() == logits[0, [0, 1, 3]].tolist()
    cut = [[None, 0, 1], words[1]]
    with pytest.raises(
        DataError, match=re.escape("word_ids have 2 words and 3 tokens, and the target has 4 labels; th")
    ):
        measured(model(), EvalData(inputs, [[0] * 4, [0, 3]], word_ids=cut))


def test_other_order_of_labels_is_mapped_by_names() -> None:
    """A student whose id2label has another order tags as its teacher; targets are numbered by classes=."""
    other = model(("I-LOC", "B-LOC", "I-PER", "B-PER", "O"))
    words: dict[str, Any] = {"inputs": padded(), "targets": LABELS, "student": other, "teacher": model()}
    judged = tag_evidence("tag_agreement", ">= 1%", **words, data={"classes": CLASSES})
    assert judged.student.value == 100
    assert "classes of the student are mapped by the names of its id2label" in str(judged.notes)
    with pytest.raises(MeasurementError, match="id2label of student and teacher differ: 0 is 'I-LOC' and 'O'. Write"):
        tag_evidence("tag_agreement", ">= 1%", **words)
    with pytest.raises(MeasurementError, match=re.escape("id2label of student names I-LOC, B-LOC, I-PER ..., and")):
        tag_evidence("tag_agreement", ">= 1%", **words, data={"classes": list("abcde")})


WORDED = [["Ada", "met"], ["Paris"]]


@pytest.mark.parametrize(
    ("words", "tagger", "error", "message"),
    [
        (
            {"inputs": {**padded(), "labels": np.maximum(LABELS, 0)}},
            model(),
            DataError,
            "the sample 0: attention_mask is 0 at 2 tokens that have a label, such as 0: padding would count. Give",
        ),
        (
            {"inputs": WORDED, "targets": [["O", "O"], ["O"]]},
            lambda batch: [["O"] for _ in batch],
            ModelError,
            "student returned 1 tags for the sample 0, which has 2. Give a label for each output",
        ),
        (
            {"inputs": WORDED, "targets": [["O", "O"], ["O"]]},
            lambda batch: [["O", "O"]],
            ModelError,
            "student returned tags of 1 sentences, and the batch has 2",
        ),
        (
            {"inputs": WORDED, "targets": [["O", "O"], ["O"]]},
            lambda batch: np.zeros((2, 2)),
            ModelError,
            "student returned an output of shape (2,) and type float64 for a sentence, expected logits",
        ),
        ({"inputs": WORDED, "targets": [[0, -1], [0]]}, len, DataError, "found the label -1, expected numbers"),
        ({"inputs": WORDED, "targets": [[0.5, 1], [0]]}, len, DataError, "the sample 0: found targets of shape (2,)"),
        ({"inputs": WORDED, "targets": [["O", ""], ["O"]]}, len, DataError, "the sample 0: found an empty tag"),
        ({"inputs": np.zeros((2, 3))}, lambda batch: batch, DataError, "the data have no targets. Write"),
    ],
)
def test_what_does_not_fit(words: dict[str, Any], tagger: Any, error: type[Exception], message: str) -> None:
    """Each has one message that names the sample."""
    if tagger is len:
        tagger = lambda batch: [["O"] * len(sentence) for sentence in batch]  # noqa: E731 - of a table
    with pytest.raises(error, match=re.escape(message)):
        measured(tagger, TaggingData(**words))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            {"scheme": "BIO"},
            "scheme: found 'BIO', expected None or one of auto, IOB1, IOB2, IOE1, IOE2, IOBES, BILOU",
        ),
        (
            {"classes": ["O", "B-X"], "ignore_index": 0},
            "ignore_index: 0 is the class 'O', whose tokens would not count",
        ),
        ({"word_ids": [[0]]}, "there are 2 sentences and 1 word_ids; expected one for each"),
        ({"word_ids": [[0], [0]], "ids": ["a", "a"]}, "an id is there twice. Give each sentence its own id"),
    ],
)
def test_arguments_that_do_not_fit(words: dict[str, Any], message: str) -> None:
    """Each is refused where the data are made."""
    with pytest.raises(DataError, match=re.escape(message)):
        TaggingData(WORDED, [[0, 1], [1]], **words)


def test_padding_to_the_longest_without_a_mask() -> None:
    """Logits of a function that pads each batch are read from the first token on; a mask says left padding."""
    right = np.eye(5)[[[1, 2, 0, 0], [3, 0, 0, 0]]]
    answers = measured(lambda batch: right, TaggingData([["a"] * 4, ["b"]], [[1, 2, 0, 0], [3]]))
    assert [answers.answers["tag"][at].tolist() for at in range(2)] == [[1, 2, 0, 0], [3]]
    left = {"x": np.zeros((2, 4)), "attention_mask": np.array([[1, 1, 1, 1], [0, 0, 0, 1]])}
    scores = np.eye(5)[[[1, 2, 0, 0], [0, 0, 0, 3]]]
    answers = measured(lambda batch: scores, TaggingData(left, [[1, 2, 0, 0], [3]]))
    assert answers.answers["tag"][1].tolist() == [3]
