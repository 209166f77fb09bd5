"""Check prompts and what their answers are compared with, and refuse each mistake by its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from numbers import Integral
from typing import Any

from pytest_modelbench.data.prompts import CHATS, GenerationSettings
from pytest_modelbench.errors import DataError, shown

MESSAGES = 'a string, or messages such as [{"role": "user", "content": "..."}]'
Place = Callable[[int], str]
"""Names a sample for messages by its position."""


def listed(name: str, values: Any, entry: str = "sample") -> list[Any]:
    """Return an ordered collection as a list.

    Raises:
        DataError: it is a string, a mapping, a set, a generator or a single value.
    """
    for method in ("to_list", "tolist", "to_pylist"):
        values = getattr(values, method)() if hasattr(values, method) else values
    ordered = hasattr(values, "__len__") and hasattr(values, "__getitem__")
    if not ordered or isinstance(values, str | bytes | Mapping):
        raise DataError(f"{name}: found {shown(values)}, expected a list with one entry for each {entry}")
    return list(values)


def is_missing(value: Any) -> bool:
    """Whether a value is none at all: None, NaN, or pandas' NA."""
    nan = isinstance(value, float) and value != value  # noqa: PLR0124 - NaN
    return value is None or nan or type(value).__name__ in {"NAType", "NaTType"}


def prompt_of(value: Any, place: str) -> Any:
    """Return a prompt as a string or as a list of messages.

    Raises:
        DataError: it is missing, empty, or of another form.
    """
    value = _plain(value)
    if is_missing(value):
        raise DataError(f"{place} has no prompt: found {shown(value)}. Leave the sample out, or write its prompt")
    if isinstance(value, Mapping) and "role" in value:
        raise DataError(f"{place}: the prompt is a single message, expected a list of messages. Write [{{...}}]")
    if isinstance(value, list | tuple):
        messages = [_message(message, place) for message in value]
        what = "last message" if messages else "list of messages"
        _refuse_empty(what, messages[-1]["content"] if messages else "", place)
        return messages
    if not isinstance(value, str):
        decode = ". Write prompt.decode()" if isinstance(value, bytes) else ""
        raise DataError(f"{place}: the prompt is {shown(value)}, expected {MESSAGES}{decode}")
    _refuse_empty("prompt", value, place)
    return str(value)


def _refuse_empty(what: str, text: str, place: str) -> None:
    if not text.strip():
        raise DataError(f"{place}: the {what} is empty. Leave the sample out, or write what the model is asked")


def _plain(value: Any) -> Any:
    """Return an array, as Parquet and datasets give lists, as a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def _message(message: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(message, Mapping):
        raise DataError(f"{place}: the prompt holds {shown(message)} as a message, expected {MESSAGES}")
    for key in ("role", "content"):
        if key not in message:
            raise DataError(
                f"{place}: a message has no {key}: found {shown(dict(message))}. Write "
                '{"role": "user", "content": "..."}'
            )
        if not isinstance(message[key], str):
            raise DataError(f"{place}: {key} of a message is {shown(message[key])}, expected a string")
    return dict(message)


def text_of(what: str, value: Any, place: str) -> str:
    """Return a text that is not empty.

    Raises:
        DataError: it is empty or not a string.
    """
    value = _plain(value)
    if isinstance(value, str) and value.strip():
        return str(value)
    if isinstance(value, str) or is_missing(value):
        raise DataError(f"{place}: the {what} is {shown(value)}, expected a text. Leave the sample out, or write it")
    advice = f". Write {str(value)!r}" if isinstance(value, int | float) else ""
    advice = ". Write value.decode()" if isinstance(value, bytes) else advice
    raise DataError(f"{place}: the {what} is {shown(value)}, expected a string{advice}")


def document_of(value: Any, place: str) -> str:
    """Return a document whose likelihood is judged.

    Raises:
        DataError: as of `text_of`.
    """
    return text_of("text", value, place)


def references_of(value: Any, place: str) -> tuple[str, ...]:
    """Return the references of one prompt.

    Raises:
        DataError: there is none, or one is empty or not a string.
    """
    value = _plain(value)
    several = isinstance(value, list | tuple)
    if several and not value:
        raise DataError(f"{place} has no reference. Leave the sample out, or write what is right")
    return tuple(text_of("reference", one, place) for one in (value if several else [value]))


def check_transposed(references: Sequence[Any], samples: int) -> None:
    """Refuse lists of references of which each has one of every prompt.

    Raises:
        DataError: naming the numbers, and how to turn them.
    """
    plain = [_plain(one) for one in references]
    lists = bool(plain) and all(isinstance(one, list | tuple) and len(one) == samples for one in plain)
    if lists and len(plain) != samples:
        raise DataError(
            f"references: found {len(plain)} lists with {samples} references each, for {samples} prompts; expected "
            "one entry for each prompt. Turn them: references=list(zip(*references))"
        )


def choices_of(value: Any, place: str) -> tuple[str, ...]:
    """Return the choices of one prompt.

    Raises:
        DataError: there are fewer than two, two are equal, or one is empty or not a string.
    """
    value = _plain(value)
    if not isinstance(value, list | tuple) or len(value) < 2:
        raise DataError(f"{place}: choices are {shown(value)}, expected a list of at least two strings")
    choices = tuple(text_of("choice", one, place) for one in value)
    if len(set(choices)) < len(choices):
        twice = Counter(choices).most_common(1)[0][0]
        raise DataError(f"{place}: the choice {shown(twice)} is there twice. Write different choices")
    return choices


def answer_of(value: Any, choices: tuple[str, ...], place: str) -> int:
    """Return the position of the right choice.

    Raises:
        DataError: it is neither a position nor one of the choices.
    """
    value = _plain(value)
    if isinstance(value, str) and value in choices:
        return choices.index(value)
    if not isinstance(value, bool) and isinstance(value, Integral) and int(value) in range(len(choices)):
        return int(value)
    raise DataError(
        f"{place}: answer is {shown(value)}, expected one of its choices, {', '.join(map(shown, choices))}, or its "
        f"position from 0 to {len(choices) - 1}"
    )


def group_of(value: Any, place: str, name: str = "group") -> Hashable:
    """Return what a sample belongs to, as a plain value: two tensors of one number are not equal as keys.

    Raises:
        DataError: it is missing, or cannot name a group.
    """
    value = _plain(value)
    if is_missing(value) or not isinstance(value, Hashable):
        raise DataError(f"{place}: {name} is {shown(value)}, expected a string or a number")
    return value


def ids_of(values: Any) -> list[Any] | None:
    """Return ids that identify one sample each; None where there are none.

    Raises:
        DataError: naming the id.
    """
    if values is None:
        return None
    ids = listed("ids", values)
    gone = next((position for position, name in enumerate(ids) if is_missing(name)), None)
    if gone is not None:
        raise DataError(f"ids: there is none for the sample at position {gone}. Give each sample one")
    twice = [name for name, count in Counter(map(str, ids)).items() if count > 1]
    if twice:
        raise DataError(f"ids: {shown(twice[0])} is the id of several samples. Give each sample a different one")
    return ids


def generation_settings(max_new_tokens: Any, stop: Any, system: Any, chat: Any) -> GenerationSettings:
    """Return how answers are generated.

    Raises:
        DataError: naming the argument, and what it takes.
    """
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, Integral) or max_new_tokens < 1:
        raise DataError(f"max_new_tokens: found {shown(max_new_tokens)}, expected an integer of at least 1")
    stops = (stop,) if isinstance(stop, str) else stop
    if not isinstance(stops, list | tuple) or not all(isinstance(text, str) and text for text in stops):
        raise DataError(f"stop: found {shown(stop)}, expected a text that ends an answer, or a list of such texts")
    if system is not None and not (isinstance(system, str) and system.strip()):
        raise DataError(f"system: found {shown(system)}, expected the text of the system message")
    if chat not in CHATS:
        raise DataError(f"chat: found {shown(chat)}, expected one of {', '.join(CHATS)}")
    return GenerationSettings(max_new_tokens=int(max_new_tokens), stop=tuple(stops), system=system, chat=chat)
