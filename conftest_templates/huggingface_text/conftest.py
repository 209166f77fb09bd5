"""A Hugging Face text classifier and its student: what pytest --modelbench needs to know.

This runs as it is, without a hub, on two tiny models that are trained on made-up sentences, so that you can see the
table first. Then put your own models and data where it says REPLACE.
"""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from pytest_modelbench import EvalData


@pytest.fixture(scope="session")
def teacher_model():
    """REPLACE: AutoModelForSequenceClassification.from_pretrained("my-org/teacher"), or a pipeline."""
    return trained(layers=4, width=64)


# For several students: params=["distilled", "int8"] and request.param; every gate runs for each.
@pytest.fixture(scope="session", params=["distilled"])
def student_model():
    """REPLACE: the compressed model, or the folder that save_pretrained() wrote."""
    return trained(layers=1, width=32)


@pytest.fixture(scope="session")
def eval_data() -> EvalData:
    """REPLACE: tokenizer(texts, padding=True, return_tensors="pt") and the labels.

    A mapping of arrays becomes keyword arguments of the model; its `logits` are judged. For a pipeline, give the
    list of texts instead.
    """
    tokens, labels = encoded(400, seed=1)
    return EvalData(tokens, labels, task="multiclass", outputs="logits")


# Everything below belongs to the example: delete it with the example's models.

GOOD, BAD, FILLER = ("great", "lovely", "fast"), ("awful", "slow", "broken"), ("the", "phone", "is", "really", "my")
VOCABULARY = {word: i for i, word in enumerate(("[PAD]", "[CLS]", *GOOD, *BAD, *FILLER))}


def encoded(count: int, seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return sentences of 4 to 12 words as token ids with their mask, and whether more good words than bad occur."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.zeros(count, 13, dtype=torch.long)
    labels = torch.randint(0, 2, (count,), generator=random)
    for row, label in enumerate(labels.tolist()):
        length = int(torch.randint(4, 13, (1,), generator=random))
        words = torch.randint(len(VOCABULARY) - len(FILLER), len(VOCABULARY), (length,), generator=random)
        words[int(torch.randint(0, length, (1,), generator=random))] = VOCABULARY[(GOOD if label else BAD)[row % 3]]
        ids[row, 0], ids[row, 1 : length + 1] = VOCABULARY["[CLS]"], words
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}, labels


def trained(layers: int, width: int) -> BertForSequenceClassification:
    """Train a tiny BERT from scratch."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=16,
        num_labels=2,
    )
    model = BertForSequenceClassification(config)
    tokens, labels = encoded(600, seed=0)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(6):
        for index in torch.randperm(len(labels)).split(64):
            loss = model(**{key: value[index] for key, value in tokens.items()}, labels=labels[index]).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model
