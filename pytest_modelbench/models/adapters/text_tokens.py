"""The tokeniser of a Hugging Face language model: prompts to tokens, tokens to text."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_modelbench.data.prompts import GenerationSettings, Prompt, salted, with_system
from pytest_modelbench.errors import ModelError, cause_of, shown

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a tokeniser gives for bytes that are not a whole character."""


class TextTokens:
    """A tokeniser that is never changed: padding and truncation are not its work.

    Args:
        tokenizer: of the transformers library.
        prefix: what a pipeline writes before each prompt that is a string.
    """

    def __init__(self, tokenizer: Any, prefix: str = "") -> None:
        self.tokenizer = tokenizer
        self.prefix = prefix

    @property
    def has_template(self) -> bool:
        """Whether prompts can become chats."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    def prompt_ids(self, prompt: Prompt, settings: GenerationSettings) -> list[int]:
        """Return the tokens of a prompt, its chat template and special tokens included.

        Raises:
            ModelError: the prompt has another form, there is no template, the template raised, or no token is left.
        """
        if not isinstance(prompt, str) and not _is_chat(prompt):
            raise ModelError(
                f'it is {shown(prompt)}; expected a string, or a list such as [{{"role": "user", "content": "..."}}]'
            )
        asked = salted(prompt, settings.salt)
        ids = self._ids_of_text(asked, settings) if isinstance(asked, str) else self._templated(asked, settings)
        if not ids:
            raise ModelError(f"the tokenizer makes no token of {shown(prompt)}. Write a prompt that has text")
        return ids

    def _ids_of_text(self, prompt: str, settings: GenerationSettings) -> list[int]:
        if settings.chat == "always" or (settings.chat == "auto" and self.has_template):
            return self._templated([{"role": "user", "content": prompt}], settings)
        if settings.system:
            why = "chat='never'" if settings.chat == "never" else "the tokenizer has no chat template"
            raise ModelError(f"system= is for chats, and {why}. Remove system=, or set tokenizer.chat_template")
        return self._encoded(self.prefix + prompt, special=True)

    def _templated(self, messages: Sequence[Mapping[str, str]], settings: GenerationSettings) -> list[int]:
        if not self.has_template:
            raise ModelError(
                "it is a chat, and the tokenizer has no chat template. Set tokenizer.chat_template, or give strings "
                "with EvalData(..., chat='never')"
            )
        messages = with_system(messages, settings.system)
        goes_on = messages[-1].get("role") == "assistant"
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=not goes_on, continue_final_message=goes_on
            )
        except Exception as error:  # templates are programs, and raise what they like
            raise ModelError(f"the chat template cannot render {shown(messages)}: {cause_of(error)}") from error
        return self._encoded(text, special=False)

    def _encoded(self, text: str, *, special: bool) -> list[int]:
        encoding = self.tokenizer(text, add_special_tokens=special, truncation=False, padding=False, verbose=False)
        return [int(token) for token in encoding["input_ids"]]

    def text_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, without special ones."""
        return self._encoded(text, special=False)

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text of some tokens, special ones left out."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def special_ids(self, texts: Sequence[str]) -> frozenset[int]:
        """Return the special tokens among some texts: the text of an answer never holds them."""
        special = dict(zip(self.tokenizer.all_special_tokens, self.tokenizer.all_special_ids, strict=True))
        return frozenset(special[text] for text in texts if text in special)

    @functools.cached_property
    def first_token(self) -> int | None:
        """The special token that begins a text; None where the tokeniser adds none."""
        first = self._encoded("a", special=True)[:1]
        added = first != self._encoded("a", special=False)[:1] and set(first) <= set(self.tokenizer.all_special_ids)
        return first[0] if first and added else None

    def vocabulary(self, embeddings: int | None) -> str:
        """Return a hash of the tokens with their ids, and of what the special ones are for, except padding.

        Args:
            embeddings: how many tokens the model knows; those that a converter added after them are left out.
        """
        tokens = self.tokenizer.get_vocab().items()
        known = sorted((token, index) for token, index in tokens if embeddings is None or index < embeddings)
        special = self.tokenizer.special_tokens_map.items()
        return _hash_of([known, sorted((name, str(token)) for name, token in special if name != "pad_token")])

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all that makes tokens of prompts."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        rules = json.loads(backend.to_str()) if backend is not None else {}
        rules = {name: rule for name, rule in rules.items() if name not in {"padding", "truncation"}}
        return _hash_of(
            [self.vocabulary(None), rules, str(getattr(self.tokenizer, "chat_template", None)), self.prefix]
        )


class Detokeniser:
    """Makes text of tokens that come one by one; characters of several tokens come with their last one.

    The tokens of the text before are decoded with the new ones, because the text of a token depends on those before
    it: the method of Hugging Face's Text Generation Inference.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._start = self._shown = 0

    def add(self, token: int) -> str:
        """Return the text that is whole with one more token; "" for none."""
        self._ids.append(token)
        return self._new_text(last=False)

    def rest(self) -> str:
        """Return what is left of characters that never became whole."""
        return self._new_text(last=True)

    def _new_text(self, *, last: bool) -> str:
        before = self._decode(self._ids[self._start : self._shown])
        text = self._decode(self._ids[self._start :])
        if len(text) <= len(before) or (text.endswith(_UNFINISHED) and not last):
            return ""
        self._start, self._shown = self._shown, len(self._ids)
        return text[len(before) :]


def _is_chat(prompt: Any) -> bool:
    if not isinstance(prompt, list | tuple) or not prompt:
        return False
    return all(isinstance(message, Mapping) and {"role", "content"} <= set(message) for message in prompt)


def _hash_of(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
