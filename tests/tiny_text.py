"""Tiny random language models, and a tokeniser that is trained here: no hub, and no file of others."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading

PROMPTS = ["2 + 2 =", "The answer of a model to a prompt is judged", "a"]
_TEXT = """
A gate asks, a probe measures, a KPI derives, the bench judges, a report tells. The teacher and the student answer the
same prompts. Each answer of a model to a prompt is judged beside the answer of the teacher, paired by prompt. A limit
is decided when the interval lies on one side of it; otherwise it is inconclusive. The value of the student, and of the
teacher, and what separates them: bytes, tokens, words, sentences, milliseconds, parameters, perplexity, agreement.
Größe über Maß, déjà vu, naïve façade, 12 €, 3 + 4 = 7, 2 + 2 = 4, 10 / 5 = 2.
"""


def tokenizer(size: int = 300, pad: str | None = "<pad>", template: str | None = None) -> Any:
    """Return a byte-level BPE tokeniser: 0 begins, 1 ends, 2 pads."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet)
    bpe.train_from_iterator(_TEXT.splitlines(), trainer)
    if template is not None:
        bpe.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", 0), ("</s>", 1)])
    roles: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", **({"pad_token": pad} if pad else {})}
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=bpe, **roles)


def word_tokenizer(kind: str) -> Any:
    """Return a tokeniser whose tokens start words: with a marked space (`metaspace`), or `##` (`pieces`)."""
    special = ["<unk>", "<s>", "</s>"]
    if kind == "metaspace":
        words = Tokenizer(models.BPE(unk_token=special[0]))
        words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer: Any = trainers.BpeTrainer(vocab_size=200, special_tokens=special)
    else:
        words = Tokenizer(models.WordPiece(unk_token=special[0]))
        words.pre_tokenizer = pre_tokenizers.Whitespace()
        words.decoder = decoders.WordPiece(cleanup=False)
        trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special)
    words.train_from_iterator(_TEXT.splitlines(), trainer)
    fast: Any = PreTrainedTokenizerFast
    return fast(tokenizer_object=words, **dict(zip(("unk_token", "bos_token", "eos_token"), special, strict=True)))


def module(kind: str) -> Any:
    """Return a random model of some 40,000 parameters, the same at each call: llama, gpt2, t5 or bart."""
    torch.manual_seed(0)
    made, config, numbers = _KINDS[kind]
    return made(config(vocab_size=300, bos_token_id=0, eos_token_id=1, **numbers)).eval()


_WIDE: dict[str, Any] = {"initializer_range": 0.3}
_KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "llama": (
        LlamaForCausalLM,
        LlamaConfig,
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
            **_WIDE,
        },
    ),
    "gpt2": (GPT2LMHeadModel, GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, **_WIDE}),
    "t5": (
        T5ForConditionalGeneration,
        T5Config,
        {
            "d_model": 32,
            "num_layers": 2,
            "num_heads": 4,
            "d_kv": 8,
            "d_ff": 32,
            "decoder_start_token_id": 2,
            "pad_token_id": 2,
            "tie_word_embeddings": False,
        },
    ),
    "bart": (
        BartForConditionalGeneration,
        BartConfig,
        {
            "encoder_layers": 2,
            "decoder_layers": 3,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 32,
            "decoder_ffn_dim": 32,
            "d_model": 32,
            "max_position_embeddings": 64,
            "pad_token_id": 2,
            "decoder_start_token_id": 1,
            "forced_eos_token_id": 1,
            "init_std": 0.3,
        },
    ),
}


def adapted(candidate: Any, tokenizer: Any = None) -> Any:
    """Return a module with a tokeniser, or any other candidate, as a student."""
    return adapt(candidate if tokenizer is None else (candidate, tokenizer), Loading(name="student"))


def write_gguf(path: Path, llama: Any, tokenizer: Any) -> Any:
    """Write a Llama as GGUF, its MLP in 8 bits; return the module with the weights that the file holds."""
    config, held = llama.config, copy.deepcopy(llama)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if index < 3 else 1 for index in range(len(vocabulary))])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names: Any = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for key, weight in held.state_dict().items():
        name, array = names.get_name(key, try_suffixes=(".weight",)), weight.numpy()
        if "mlp" in key:
            packed = gguf.quants.quantize(array, gguf.GGMLQuantizationType.Q8_0)
            weight.copy_(torch.from_numpy(gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0)))
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
            count = next((number for part, number in heads.items() if part in key), None)
            writer.add_tensor(name, array if count is None else _in_halves(array, count))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def _in_halves(array: Any, heads: int) -> Any:
    """Return a projection with the order of rows that llama.cpp rotates."""
    parted = array.reshape(heads, 2, array.shape[0] // heads // 2, -1).swapaxes(1, 2)
    return np.ascontiguousarray(parted.reshape(array.shape))
