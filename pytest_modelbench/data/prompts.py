"""Prompts for models that generate text, with how the answers are generated. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, SupportsIndex, overload

Prompt = str | Sequence[Mapping[str, str]]
"""A text, or the messages of a chat, each with `role` and `content`."""
CHATS = ("auto", "always", "never")
ENDINGS = (".jsonl", ".ndjson")
"""Of files with one JSON object a line, which prompts are read from."""


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """How answers are generated; the same for all models. Decoding is greedy.

    Attributes:
        max_new_tokens: the most tokens of an answer.
        stop: texts that end an answer; the answer is cut before the first of them.
        system: the system message of each chat; None for none.
        chat: whether a text becomes the user's message in the model's chat template: `auto` where it has one,
            `always` or `never`. Lists of messages always do.
        exactly: whether an answer has exactly `max_new_tokens` tokens, also after an end token: both models then do
            the same work.
        salt: a line before the text of each prompt, such as a random number: a cache of prompts then has no entry for
            it; "" for none.
    """

    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    system: str | None = None
    chat: str = "auto"
    exactly: bool = False
    salt: str = ""


class Prompts(list[Any]):
    """A list of prompts that carries the settings of their answers; so does every slice of it."""

    def __init__(self, prompts: Iterable[Prompt] = (), settings: GenerationSettings | None = None) -> None:
        super().__init__(prompts)
        self.settings = settings or GenerationSettings()

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Prompts: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        picked = super().__getitem__(index)
        return Prompts(picked, self.settings) if isinstance(index, slice) else picked


def settings_of(inputs: Any) -> GenerationSettings:
    """Return the settings that a batch of prompts carries, or those by default."""
    return inputs.settings if isinstance(inputs, Prompts) else GenerationSettings()


def salted(prompt: Prompt, salt: str) -> Prompt:
    r"""Return a prompt with a line before its text: of a chat, before the text of the first message of the user.

    >>> salted("2 + 2 =", "81f3")
    '81f3\n2 + 2 ='
    """
    if not salt:
        return prompt
    if isinstance(prompt, str):
        return f"{salt}\n{prompt}"
    messages = [dict(message) for message in prompt]
    first = next((message for message in messages if message.get("role") == "user"), messages[0])
    first["content"] = f"{salt}\n{first['content']}"
    return messages


def with_system(messages: Sequence[Mapping[str, str]], system: str | None) -> list[Mapping[str, str]]:
    """Return the messages of a chat after the system message, unless they begin with one of their own."""
    has_one = bool(messages) and messages[0].get("role") in {"system", "developer"}
    return [*messages] if not system or has_one else [{"role": "system", "content": system}, *messages]


def is_text_file(value: Any) -> bool:
    """Whether a value is the path of a file with lines of JSON, by its ending."""
    return isinstance(value, str | Path) and str(value).lower().endswith(ENDINGS)
