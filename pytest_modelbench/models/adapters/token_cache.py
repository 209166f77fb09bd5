"""The size of a Hugging Face model's cache of keys and values: counted, and as the configuration gives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch


def counted_bytes(cache: Any) -> int:
    """Return the bytes of the tensors in a cache object, or in the tuples that older versions use.

    Tensors that share memory count once.
    """
    tensors = {tensor.data_ptr(): tensor for tensor in _tensors(cache, set())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _tensors(value: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif id(value) not in seen:
        seen.add(id(value))
        for part in _parts(value):
            yield from _tensors(part, seen)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple):
        return value
    return vars(value).values() if type(value).__module__.startswith("transformers.cache") else ()


def expected_bytes(config: Any, tokens: int, element_bytes: int) -> int | None:
    """Return 2 x layers x heads of keys x head size x bytes x tokens; None where that is not the form of the cache.

    An encoder-decoder keeps those of the prompt, and those of the one token that its decoder starts with.

    Args:
        config: of the model.
        tokens: of the prompt.
        element_bytes: of one number.
    """
    encodes = bool(getattr(config, "is_encoder_decoder", False))
    decoder = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
    if _is_special(decoder, tokens):
        return None
    own = config if encodes else None
    layers = _first(own, "decoder_layers", "num_decoder_layers") or _first(decoder, "num_hidden_layers")
    heads = _first(own, "decoder_attention_heads") or _first(decoder, "num_attention_heads")
    hidden = _first(decoder, "hidden_size", "d_model")
    if layers is None or heads is None or hidden is None:
        return None
    size = _first(decoder, "head_dim", "d_kv") or hidden // heads
    heads = _first(decoder, "num_key_value_heads") or heads
    return 2 * layers * heads * size * element_bytes * (tokens + encodes)


def _is_special(config: Any, tokens: int) -> bool:
    """Whether some layers keep less than all tokens, or something else than keys and values."""
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    narrow = window is not None and tokens >= window and getattr(config, "use_sliding_window", True)
    return bool((kinds - {"sliding_attention"}) or narrow or getattr(config, "kv_lora_rank", None))


def _first(config: Any, *names: str) -> int | None:
    numbers = (getattr(config, name, None) for name in names)
    return next((number for number in numbers if isinstance(number, int)), None)
