"""A language model and its student: what pytest --modelbench needs to know.

This runs as it is, without a hub, on two tiny models that are trained on sums in words, so that you can see the table
first. Then put your own models and prompts where it says REPLACE.
"""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pytest_modelbench import EvalData


@pytest.fixture(scope="session")
def teacher_model():
    """REPLACE: (AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)).

    A function from a prompt to its answer is a model, too, and so is "openai://127.0.0.1:8000/v1#my-model".
    """
    return trained(layers=2, width=64)


# For several students: params=["distilled", "int8"] and request.param; every gate runs for each.
@pytest.fixture(scope="session", params=["distilled"])
def student_model():
    """REPLACE: the compressed model, with its tokenizer."""
    return trained(layers=1, width=48)


@pytest.fixture(scope="session")
def eval_data() -> EvalData:
    """REPLACE: your prompts (strings, or lists of messages), and for each a right answer or a list of them.

    `texts` are documents for the KPIs of likelihood. `max_new_tokens` is the longest answer.
    """
    prompts = [f"{first} plus {second} is" for first, second, _ in SUMS]
    texts = [f"{prompt} {total}" for prompt, (*_, total) in zip(prompts, SUMS, strict=True)]
    references = [total for *_, total in SUMS]
    return EvalData(task="text", prompts=prompts, references=references, texts=texts, max_new_tokens=4)


# Everything below belongs to the example: delete it with the example's models.

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
SUMS = [(NUMBERS[i], NUMBERS[j], NUMBERS[i + j]) for i in range(7) for j in range(7)]
WORDS = {word: number for number, word in enumerate(("<end>", "plus", "is", *NUMBERS))}


def trained(layers: int, width: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Train a tiny language model from scratch, whose tokens are words."""
    words = Tokenizer(models.WordLevel(WORDS, unk_token="<end>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<end>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=32,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    ids = torch.tensor([tokenizer(f"{a} plus {b} is {total} <end>")["input_ids"] for a, b, total in SUMS])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss = model(input_ids=ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval(), tokenizer
