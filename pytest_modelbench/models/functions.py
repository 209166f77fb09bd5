"""`TextFunction`: a function from a prompt to its answer, with what counts the tokens of answers. No heavy import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TextFunction:
    """A function that answers one prompt, and the tokenizer that counts the tokens of its answers.

    A plain function is a model, too; its answers then have a number of tokens only if it yields pairs of a text and
    the number of its tokens.

    Attributes:
        function: takes a prompt, a string or the messages of a chat as the data have it, and returns the answer as a
            string, or yields it piece by piece: strings, or pairs of a string and the number of its tokens.
        tokenizer: a tokenizer with `encode()`, such as those of transformers, tokenizers, tiktoken and sentencepiece,
            or a function that returns how many tokens a text has.

    >>> TextFunction(str.upper, tokenizer=lambda text: len(text.split())).function("yes")
    'YES'
    """

    function: Callable[[Any], Any]
    tokenizer: Any = None
