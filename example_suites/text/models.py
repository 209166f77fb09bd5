"""The language models of the suite, their tokenizer, their training, and where they are kept."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from sentences import sentences
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ARTIFACTS = Path(__file__).parent / "artifacts"
SEED = 7
TEMPERATURE = 2.0
PROMPT_WEIGHT = 0.2
SHAPES = {"teacher": (96, 2), "distilled": (40, 2)}
"""The width and the number of layers of each model that is trained."""


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-pair tokenizer on sentences: words become tokens, and each digit is one."""
    tokenizer = Tokenizer(models.BPE())
    parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" ".join(pair) for pair in sentences(2000, SEED)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def build(name: str, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained language model of the given name's shape."""
    width, layers = SHAPES[name]
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=256,
            tie_word_embeddings=True,
            initializer_range=0.1,  # a width of 96 learns in a hundred steps with it, and in a thousand with 0.02
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def encoded(tokenizer: PreTrainedTokenizerFast, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return token ids (count, length) of prompts with answers, and what each next token counts (count, length).

    Those of answers, with the end token, count fully, those of prompts a fifth, and padding nothing.
    """
    rows = []
    for prompt, answer in sentences(count, seed):
        start = len(tokenizer(prompt)["input_ids"])
        rows.append((start, [*tokenizer(f"{prompt} {answer}")["input_ids"], tokenizer.eos_token_id]))
    ids = torch.full((count, max(len(tokens) for _, tokens in rows)), tokenizer.pad_token_id)
    weights = torch.zeros(ids.shape)
    for row, (start, tokens) in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        weights[row, : start - 1] = PROMPT_WEIGHT
        weights[row, start - 1 : len(tokens) - 1] = 1.0
    return ids, weights


def fit(
    model: nn.Module, ids: Tensor, weights: Tensor, steps: int, rate: float, teacher: nn.Module | None = None
) -> None:
    """Train on every next token; with a teacher, distil its distribution of each.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(ids), (32,))
        batch, weight = ids[rows], weights[rows]
        logits = model(input_ids=batch).logits
        losses = functional.cross_entropy(logits.transpose(1, 2), batch.roll(-1, dims=1), reduction="none")
        if teacher is not None:
            with torch.no_grad():
                target = functional.log_softmax(teacher(input_ids=batch).logits / TEMPERATURE, dim=-1)
            student = functional.log_softmax(logits / TEMPERATURE, dim=-1)
            distances = functional.kl_div(student, target, reduction="none", log_target=True).sum(dim=-1)
            losses = (losses + distances * TEMPERATURE**2) / 2
        optimiser.zero_grad()
        ((losses * weight).sum() / weight.sum()).backward()
        optimiser.step()
        schedule.step()
    model.eval()


def load(name: str) -> tuple[nn.Module, PreTrainedTokenizerFast]:
    """Return a trained model and its tokenizer, training all of them first where a folder is missing."""
    folder = ARTIFACTS / name
    if not folder.exists():
        from train import train_all

        train_all()
    return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def load_distilled() -> tuple[nn.Module, PreTrainedTokenizerFast]:
    """Return the distilled student."""
    return load("distilled")


def load_int8() -> tuple[nn.Module, PreTrainedTokenizerFast]:
    """Return the teacher with its linear layers in dynamic int8."""
    teacher, tokenizer = load("teacher")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of an old interface that is still deployed
        return torch.ao.quantization.quantize_dynamic(teacher, {nn.Linear}, torch.qint8), tokenizer
