"""Likelihoods of a real architecture: a tiny random GPT-2 against torch's own losses."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import tiny_text
import torch
from likely_models import evidence, judged_all

from pytest_modelbench.data.text_data import TextData

TEXTS = [
    "The teacher and the student answer the same prompts. " * 9,
    "A gate asks, a probe measures, a KPI derives, the bench judges, a report tells.",
    "Größe über Maß, déjà vu, naïve façade, 12 €",
    "token",
]
SIZE = 64
"""The context of the model, which the first text exceeds."""


@pytest.fixture(scope="module")
def gpt2() -> Any:
    return tiny_text.module("gpt2")


@pytest.fixture(scope="module")
def student(gpt2: Any) -> Any:
    """A copy with noise in its weights."""
    noisy = copy.deepcopy(gpt2)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in noisy.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return noisy


def encoded(tokenizer: Any, text: str) -> torch.Tensor:
    return torch.tensor([tokenizer(text).input_ids])


def by_the_guide(module: Any, ids: torch.Tensor, stride: int) -> tuple[float, int]:
    """Return the sum of losses and the number of tokens, by the loop of transformers' guide to perplexity."""
    total, count, last = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + SIZE, ids.shape[1])
        window = ids[:, begin:end]
        labels = window.clone()
        labels[:, : -(end - last)] = -100
        scored = int((labels[:, 1:] != -100).sum())
        if scored:
            total, count = total + float(module(window, labels=labels).loss) * scored, count + scored
        last = end
        if end == ids.shape[1]:
            break
    return total, count


@torch.no_grad()
def test_perplexity_is_exp_of_the_losses_of_torch(gpt2: Any) -> None:
    """In windows, without a first token; bits are the same sum over the bytes behind each first token."""
    tokenizer = tiny_text.tokenizer()
    sums = [by_the_guide(gpt2, encoded(tokenizer, text), 20) for text in TEXTS]
    nats, tokens = (sum(column) for column in zip(*sums, strict=True))
    found = judged_all(
        {"perplexity": (), "bits_per_byte": ()}, (gpt2, tokenizer), None, TextData(texts=TEXTS), stride=20
    )
    values = {name: found.student.value for name, (_, found) in found.items() if found is not None}
    size = sum(len(text.encode()) - len(tokenizer.decode(encoded(tokenizer, text)[0, :1]).encode()) for text in TEXTS)
    assert values["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    assert values["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-4)


@torch.no_grad()
def test_a_tokeniser_with_a_first_token(gpt2: Any) -> None:
    """Every token is scored then, the first one after `<s>`."""
    tokenizer = tiny_text.tokenizer(template="<s> $A")
    losses = [
        (float(gpt2(ids, labels=ids).loss), ids.shape[1] - 1) for ids in (encoded(tokenizer, t) for t in TEXTS[1:])
    ]
    expected = math.exp(sum(loss * count for loss, count in losses) / sum(count for _, count in losses))
    found = evidence("perplexity", student=(gpt2, tokenizer), data=TextData(texts=TEXTS[1:]))
    assert found.student.value == pytest.approx(expected, rel=1e-4)
    assert "each window begins with the first token (BOS)" in found.student.method


@torch.no_grad()
def test_fidelity_is_that_of_the_logits(gpt2: Any, student: Any) -> None:
    """Divergences by torch and the largest logits, on whole documents."""
    tokenizer, texts = tiny_text.tokenizer(), TEXTS[1:]
    logits = [
        [module(encoded(tokenizer, text)).logits[0, :-1].double() for text in texts] for module in (gpt2, student)
    ]
    teacher, mine = (torch.cat(some).log_softmax(-1) for some in logits)
    nats = torch.nn.functional.kl_div(mine, teacher, log_target=True, reduction="none").sum(-1)
    same = (teacher.argmax(-1) == mine.argmax(-1)).double().mean()
    found = judged_all(
        {"token_kl": (), "token_agreement": (), "token_kl_p99": ()},
        (student, tokenizer), (gpt2, tokenizer), TextData(texts=texts),
    )  # fmt: skip
    values = {name: found.student.value for name, (_, found) in found.items() if found is not None}
    assert values == pytest.approx(
        {"token_kl": float(nats.mean()), "token_agreement": 100 * float(same),
         "token_kl_p99": float(nats.quantile(0.99))}, rel=1e-3,
    )  # fmt: skip
    assert 0 < values["token_agreement"] < 100


@torch.no_grad()
def test_choices_are_scored_as_lm_eval_does(gpt2: Any) -> None:
    """Prompt and choice are encoded together, and the tokens behind those of the prompt are scored."""
    tokenizer = tiny_text.tokenizer()
    prompts = [f"The {word} of the" for word in ("teacher", "student", "answer", "limit", "model", "bench")]
    choices = [" student", " teacher and the student", " 4"]

    def score(prompt: str, choice: str) -> float:
        ids, ahead = encoded(tokenizer, prompt + choice), encoded(tokenizer, prompt).shape[1]
        labels = ids.clone()
        labels[:, :ahead] = -100
        return -float(gpt2(ids, labels=labels).loss) * (ids.shape[1] - ahead)

    answers = [max(range(3), key=lambda at: score(prompt, choices[at])) for prompt in prompts]
    data = TextData(prompts, choices=[choices] * 6, answers=answers)
    assert evidence("choice_accuracy", student=(gpt2, tokenizer), data=data).student.value == 100.0
    wrong = TextData(prompts, choices=[choices] * 6, answers=[(answer + 1) % 3 for answer in answers])
    assert evidence("choice_accuracy", student=(gpt2, tokenizer), data=wrong).student.value == 0.0


def test_a_model_beside_itself(gpt2: Any) -> None:
    """A copy agrees with its origin everywhere, in its own answers as well."""
    tokenizer = tiny_text.tokenizer()
    found = judged_all(
        {"token_kl": (), "token_agreement": (), "greedy_agreement": (), "first_divergence": ()},
        (copy.deepcopy(gpt2), tokenizer), (gpt2, tokenizer), TextData(tiny_text.PROMPTS, max_new_tokens=6),
    )  # fmt: skip
    values = {name: found.student.value for name, (_, found) in found.items() if found is not None}
    assert values["token_kl"] == pytest.approx(0.0, abs=1e-9)
    assert (values["token_agreement"], values["greedy_agreement"]) == (100.0, 100.0)


@torch.no_grad()
def test_a_model_with_an_encoder() -> None:
    """Choices are what the decoder writes; tokens are compared on the teacher's answers, though there are texts."""
    tokenizer, t5 = tiny_text.tokenizer(), tiny_text.module("t5")
    choices = [" student", " teacher and the student", " 4"]

    def score(prompt: str, choice: str) -> float:
        labels = encoded(tokenizer, choice)
        return -float(t5(encoded(tokenizer, prompt), labels=labels).loss) * labels.shape[1]

    answers = [max(range(3), key=lambda at: score(prompt, choices[at])) for prompt in tiny_text.PROMPTS]
    data = TextData(tiny_text.PROMPTS, choices=[choices] * 3, answers=answers, texts=TEXTS, max_new_tokens=5)
    found = judged_all({"choice_accuracy": (), "token_kl": (), "perplexity": ()}, (copy.deepcopy(t5), tokenizer),
                       (t5, tokenizer), data)  # fmt: skip
    values = {name: found.student.value for name, (_, found) in found.items() if found is not None}
    assert values == {"choice_accuracy": 100.0, "token_kl": pytest.approx(0.0, abs=1e-9)}
    of = found["token_kl"][1]
    assert of is not None
    assert "of 3 answers: the teacher's own answers, each after its prompt" in of.student.method
    assert "student has an encoder for what comes before" in found["perplexity"][0].reason
