"""A small language model with random weights and a tokenizer that is trained here, and a server that streams it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEXT = """A gate asks, a probe measures, a KPI derives, the bench judges, a report tells. No verdict is reached from
an average alone: an interval must lie on one side of the limit. However a session ends early, the report keeps the
measurements. Latency, accuracy, energy, memory, throughput, agreement and parity are measured by probes."""
END = "<|end|>"
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
WORDS = sorted({word.strip(".,:") for word in TEXT.split()})
PROMPTS = [f"{first} {second}" for first, second in zip(WORDS[::2], WORDS[1::2], strict=False)]
STD = 0.3
"""Of the weights: large enough that answers do not repeat one token."""


def save_tiny(folder: Path, noise: float = 0.0) -> Path:
    """Save a GPT-2 of two layers and its tokenizer as `save_pretrained` does.

    Args:
        folder: to write into.
        noise: added to the weights, relative to their standard deviation: a compressed model.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE(unk_token=END))
    trained.pre_tokenizer, trained.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trained.train_from_iterator(TEXT.splitlines(), trainers.BpeTrainer(vocab_size=150, special_tokens=[END]))
    wrapper: Any = PreTrainedTokenizerFast
    tokenizer = wrapper(tokenizer_object=trained, eos_token=END, chat_template=TEMPLATE)
    tokenizer.save_pretrained(folder)
    generator = torch.Generator().manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=128, n_embd=64, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0,
        pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    with torch.no_grad():
        matrices = [weights for weights in model.parameters() if weights.dim() == 2]
        for weights in matrices:
            weights.normal_(std=STD, generator=generator)
        for weights in matrices:
            weights.add_(torch.randn(weights.shape, generator=generator), alpha=noise * STD)
    model.save_pretrained(folder)
    return folder


class Loaded:
    """A saved model with its tokenizer; a call generates a whole answer, as transformers does it."""

    def __init__(self, folder: str, max_new_tokens: int) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder)
        self.max_new_tokens = max_new_tokens

    def __call__(self, prompt: str) -> str:
        ids = self.tokenizer(prompt, return_tensors="pt").input_ids
        whole = self.model.generate(ids, do_sample=False, max_new_tokens=self.max_new_tokens)
        return str(self.tokenizer.decode(whole[0][ids.shape[1] :], skip_special_tokens=True))

    def streamed(self, prompt: str) -> Iterator[str]:
        """Yield an answer of the greatest length token by token."""
        return self.texts(prompt, self.max_new_tokens)

    def texts(self, prompt: str, max_new_tokens: int) -> Iterator[str]:
        """Yield the text of each further token, from the model's own cache of keys and values."""
        import torch

        ids, cache, made, sent = self.tokenizer(prompt, return_tensors="pt").input_ids, None, list[int](), ""
        for _ in range(max_new_tokens):
            with torch.no_grad():
                output = self.model(ids, past_key_values=cache, use_cache=True)
            cache, made = output.past_key_values, [*made, int(output.logits[0, -1].argmax())]
            if made[-1] == self.tokenizer.eos_token_id:
                return
            text = self.tokenizer.decode(made)
            yield text[len(sent) :]
            ids, sent = torch.tensor([made[-1:]]), text


class ChatServer:
    """Streams the answers of a model over `/v1/chat/completions`, as an ASGI application."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        asked = json.loads((await receive())["body"])
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        tokens, prompt = 0, asked["messages"][-1]["content"]
        for text in self.loaded.texts(prompt, asked["max_tokens"]):
            tokens += 1
            await self._event(send, [{"index": 0, "delta": {"content": text}}])
        reason = "length" if tokens == asked["max_tokens"] else "stop"
        await self._event(send, [{"index": 0, "delta": {}, "finish_reason": reason}])
        await self._event(send, [], usage={"completion_tokens": tokens})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def _event(self, send: Any, choices: Any, **fields: Any) -> None:
        body = b"data: " + json.dumps({"choices": choices, **fields}).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})
