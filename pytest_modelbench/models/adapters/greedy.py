"""Greedy decoding of a Hugging Face model: what of its generation configuration holds, and what is overridden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modelbench.data.prompts import GenerationSettings
from pytest_modelbench.errors import shown
from pytest_modelbench.models.adapters.text_tokens import TextTokens

_FIXED: Mapping[str, Any] = {"do_sample": False, "num_beams": 1}
_NEUTRAL: Mapping[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "min_p": None,
    "top_h": None,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "length_penalty": 1.0,
    "early_stopping": False,
    "penalty_alpha": None,
    "dola_layers": None,
    "constraints": None,
    "force_words_ids": None,
    "num_return_sequences": 1,
    "prompt_lookup_num_tokens": None,
    "assistant_early_exit": None,
    "use_mtp": None,
    "max_length": None,
    "min_length": 0,
    "min_new_tokens": None,
    "max_time": None,
    "stop_strings": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "token_healing": False,
    "watermarking_config": None,
    "return_dict_in_generate": False,
    "output_scores": False,
    "output_logits": False,
    "output_attentions": False,
    "output_hidden_states": False,
}
"""Settings that sample, search or end answers, with the values under which they do not."""
_KEPT: Mapping[str, Any] = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "forced_bos_token_id": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "bad_words_ids": None,
    "sequence_bias": None,
    "guidance_scale": 1.0,
    "renormalize_logits": False,
    "remove_invalid_values": False,
    "cache_implementation": None,
    "prefill_chunk_size": None,
}
"""Settings that belong to the model and hold for greedy decoding, with the values under which they do nothing."""


class Greedy:
    """How a model decodes.

    Attributes:
        overridden: settings of the generation configuration that do not hold, with their values.
        kept: settings of it that change what is the likeliest token.
        ends: the end tokens.
        pad: the token that fills up shorter prompts.
        cache: whether keys and values are kept.
        notes: what is unusual.
    """

    def __init__(self, module: Any, tokens: TextTokens) -> None:
        configured = getattr(module, "generation_config", None)
        self.overridden = _set_in(configured, _NEUTRAL)
        self.kept = _set_in(configured, _KEPT)
        self.notes: list[str] = []
        self.ends = self._ends_of(configured, tokens.tokenizer)
        self.pad = self._pad_of(tokens.tokenizer)
        settings = (getattr(owner, "use_cache", None) for owner in (configured, getattr(module, "config", None)))
        self.cache = next((bool(setting) for setting in settings if setting is not None), True)

    def _ends_of(self, configured: Any, tokenizer: Any) -> frozenset[int]:
        own = getattr(configured, "eos_token_id", None)
        ends = frozenset(own if isinstance(own, list | tuple) else [own]) - {None}
        last = tokenizer.eos_token_id
        if last is not None and not ends:
            self.notes.append("the model's configuration names no end token: the tokenizer's is used")
            return frozenset({int(last)})
        if last is not None and last not in ends:
            self.notes.append(
                f"the tokenizer's end token {last} is not among the model's ({sorted(ends)}) and ends no answer"
            )
        return frozenset(map(int, ends))

    def _pad_of(self, tokenizer: Any) -> int:
        if tokenizer.pad_token_id is not None:
            return int(tokenizer.pad_token_id)
        pad = min(self.ends, default=0)
        self.notes.append(
            f"the tokenizer has no padding token: {'the end token' if self.ends else 'token 0'} is used"
        )
        return pad

    def keywords(self, settings: GenerationSettings) -> dict[str, Any]:
        """Return the keyword arguments of `generate()`."""
        neutral = {name: _NEUTRAL[name] for name in self.overridden}
        length = {"min_new_tokens": settings.max_new_tokens} if settings.exactly else {}
        return {
            **neutral,
            **_FIXED,
            "use_cache": self.cache,
            "pad_token_id": self.pad,
            "eos_token_id": sorted(self.ends) or None,
            "max_new_tokens": settings.max_new_tokens,
            **length,
        }

    def describe(self) -> dict[str, Any]:
        """Return what the report says of it, as JSON types."""
        return {
            "method": "greedy",
            "overridden": _as_json(self.overridden),
            "kept": _as_json(self.kept),
            "cache": self.cache,
            "end_tokens": sorted(self.ends),
            "padding_token": self.pad,
            "notes": list(self.notes),
        }


def _set_in(configured: Any, neutral: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: getattr(configured, name, None) for name in neutral}
    return {name: value for name, value in values.items() if value is not None and value != neutral[name]}


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    plain = (bool, int, float, str)
    return {name: value if isinstance(value, plain) else shown(value) for name, value in values.items()}
