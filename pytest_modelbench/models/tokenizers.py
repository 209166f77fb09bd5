"""What counts the tokens of texts: a tokenizer of a library, or a function of the user's. No heavy import."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from pytest_modelbench.errors import ModelError, cause_of, shown
from pytest_modelbench.models.base import identity

EXPECTED = "a tokenizer with encode(), or a function that returns how many tokens a text has"


def counter(name: str, tokenizer: Any) -> Callable[[str], int] | None:
    """Return a function that counts the tokens of a text, without special ones; None without a tokenizer.

    Args:
        name: of the model, for messages.
        tokenizer: of transformers, tokenizers, tiktoken or sentencepiece; or a function from a text to a number.

    Raises:
        ModelError: it is something else. The function raises it too, if the tokenizer fails or returns no count.
    """
    if tokenizer is None:
        return None
    counting = _lengths(tokenizer) if callable(getattr(tokenizer, "encode", None)) else tokenizer
    if not callable(counting) or isinstance(tokenizer, type):
        raise ModelError(f"{name}: tokenizer={shown(tokenizer)}, expected {EXPECTED}")

    def count(text: str) -> int:
        try:
            number = counting(text)
        except Exception as error:
            raise ModelError(f"{name}: tokenizer= cannot count {shown(text)}: {cause_of(error)}") from error
        if isinstance(number, bool) or not hasattr(number, "__index__") or number < 0:
            raise ModelError(f"{name}: tokenizer= returned {shown(number)} for {shown(text)}, expected {EXPECTED}")
        return int(number)

    return count


def _lengths(tokenizer: Any) -> Callable[[str], int]:
    def length(text: str) -> int:
        try:
            encoded = tokenizer.encode(text, add_special_tokens=False)
        except TypeError:  # tiktoken and sentencepiece, which add none
            encoded = tokenizer.encode(text)
        return len(getattr(encoded, "ids", encoded))

    return length


def vocabulary_of(tokenizer: Any) -> str:
    """Return a text that is equal for equal tokenizers; of functions, for the same one. "" without a tokenizer.

    It is a hash of the tokens with their ids and of the special ones but padding, as for a module with its tokenizer.
    """
    if tokenizer is None:
        return ""
    listed = getattr(tokenizer, "get_vocab", None)
    if not callable(listed):
        return identity(tokenizer)
    special = dict(getattr(tokenizer, "special_tokens_map", {}))
    named = sorted((name, str(token)) for name, token in special.items() if name != "pad_token")
    content = json.dumps([sorted(listed().items()), named])
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
