"""The language models of the suite, their tokenizer, and where they are kept."""

from __future__ import annotations

from pathlib import Path

import torch
from sentences import sentences
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ARTIFACTS = Path(__file__).parent / "artifacts"
SEED = 7
TEMPERATURE = 2.0
SHAPES = {"teacher": (96, 3), "distilled": (48, 2)}
"""Width and number of layers."""


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-pair tokenizer on the grammar: words become tokens, and every digit is one."""
    tokenizer = Tokenizer(models.BPE())
    parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=["<end>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator((" ".join(pair) for pair in sentences(2000, SEED)), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def build(name: str, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained language model."""
    width, layers = SHAPES[name]
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def encoded(tokenizer: PreTrainedTokenizerFast, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return token ids (count, length) of prompts with their answers, and where the next token is one of the answer."""
    rows = []
    for prompt, answer in sentences(count, seed):
        before, after = tokenizer(prompt)["input_ids"], tokenizer(" " + answer)["input_ids"]
        rows.append((len(before), [*before, *after, tokenizer.eos_token_id]))
    length = max(len(ids) for _, ids in rows)
    ids = torch.full((count, length), tokenizer.pad_token_id)
    judged = torch.zeros(count, length, dtype=torch.bool)
    for row, (start, tokens) in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        judged[row, start - 1 : len(tokens) - 1] = True
    return ids, judged


def fit(model: nn.Module, ids: Tensor, judged: Tensor, steps: int, teacher: nn.Module | None = None, lr=3e-3, bs=64) -> None:
    """Train on the tokens of answers; with a teacher, distil its distribution of each next token.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9,0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(steps):
        rows = torch.randint(len(ids), (bs,))
        chosen, batch = judged[rows], ids[rows]
        logits = model(input_ids=batch).logits[chosen]
        loss = functional.cross_entropy(logits, batch.roll(-1, dims=1)[chosen])
        if teacher is not None:
            with torch.no_grad():
                target = functional.log_softmax(teacher(input_ids=batch).logits[chosen] / TEMPERATURE, dim=1)
            student = functional.log_softmax(logits / TEMPERATURE, dim=1)
            distance = functional.kl_div(student, target, log_target=True, reduction="batchmean") * TEMPERATURE**2
            loss = (loss + distance) / 2
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 49: print(step, float(loss))
    model.eval()
