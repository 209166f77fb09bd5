"""A Hugging Face token classifier (named entities) and its student: what pytest --modelbench needs to know.

This runs as it is, without a hub, on two tiny models that are trained on made-up sentences, so that you can see the
table first. Then put your own models and data where it says REPLACE.
"""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertForTokenClassification

from pytest_modelbench import EvalData


@pytest.fixture(scope="session")
def teacher_model():
    """REPLACE: AutoModelForTokenClassification.from_pretrained("my-org/teacher")."""
    return trained(layers=2, width=64)


# For several students: params=["distilled", "int8"] and request.param; every gate runs for each.
@pytest.fixture(scope="session", params=["distilled"])
def student_model():
    """REPLACE: the compressed model, or the folder that save_pretrained() wrote."""
    return trained(layers=1, width=32)


@pytest.fixture(scope="session")
def eval_data() -> EvalData:
    """REPLACE: a tokenised dataset with labels, and collate=DataCollatorForTokenClassification(tokenizer).

    Labels are -100 for padding, special tokens and all but the first token of a word. The names of the tags come from
    the model's id2label. `group` says which document each sentence is from: intervals resample documents.
    """
    tokens, labels = encoded(400, seed=1)
    return EvalData(tokens, labels, task="tagging", group=[sentence // 4 for sentence in range(400)])


# Everything below belongs to the example: delete it with the example's models.

TAGS = ("O", "B-PER", "I-PER", "B-LOC")
FIRST, LAST, PLACES = ("Ada", "Grace", "Alan"), ("Byron", "Hopper", "Turing"), ("Paris", "London", "Berlin")
FILLER = ("met", "in", "and", "the", "saw", "near")
VOCABULARY = {word: i for i, word in enumerate(("[PAD]", "[CLS]", *FIRST, *LAST, *PLACES, *FILLER))}


def sentence(random: torch.Generator) -> tuple[list[str], list[int]]:
    """Return 4 to 8 phrases: a filler, a first name, a full name or a place, with the tag of each word."""

    def any_of(words: tuple[str, ...]) -> str:
        return words[int(torch.randint(0, len(words), (1,), generator=random))]

    words: list[str] = []
    tags: list[int] = []
    for _ in range(int(torch.randint(4, 9, (1,), generator=random))):
        kind = int(torch.randint(0, 6, (1,), generator=random))
        if kind == 0:
            words, tags = [*words, any_of(FIRST)], [*tags, 1]
        elif kind == 1:
            words, tags = [*words, any_of(FIRST), any_of(LAST)], [*tags, 1, 2]
        elif kind == 2:
            words, tags = [*words, any_of((*PLACES, *LAST))], [*tags, 3]  # Byron alone is a place
        else:
            words, tags = [*words, any_of(FILLER)], [*tags, 0]
    return words, tags


def encoded(count: int, seed: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return sentences as token ids with their mask, and the number of each word's tag, padded with -100."""
    random = torch.Generator().manual_seed(seed)
    ids, labels = torch.zeros(count, 18, dtype=torch.long), torch.full((count, 18), -100)
    for row in range(count):
        words, tags = sentence(random)
        ids[row, : len(words) + 1] = torch.tensor([VOCABULARY[word] for word in ("[CLS]", *words)])
        labels[row, 1 : len(words) + 1] = torch.tensor(tags)
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}, labels


def trained(layers: int, width: int) -> BertForTokenClassification:
    """Train a tiny BERT from scratch."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=24,
        id2label=dict(enumerate(TAGS)),
    )
    model = BertForTokenClassification(config)
    tokens, labels = encoded(600, seed=0)
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(12):
        for index in torch.randperm(len(labels)).split(64):
            loss = model(**{key: value[index] for key, value in tokens.items()}, labels=labels[index]).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model
