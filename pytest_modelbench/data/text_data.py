"""`TextData`: prompts with references, choices, or texts, on which models that generate text are judged."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.prompts import CHATS, GenerationSettings, Prompt, Prompts
from pytest_modelbench.errors import DataError, DoesNotFit, shown


class TextData(EvalData):
    """Prompts for models that generate text, and what their answers are compared with.

    `EvalData(task="text", prompts=..., ...)` makes one, too.

    Args:
        prompts: a string for each sample, or the messages of a chat: `[{"role": "user", "content": "..."}]`.
        references: for each prompt a string, or a list of strings that are all right.
        choices: for each prompt a list of continuations, of which `answers` says the right one.
        answers: for each prompt the position of the right choice, from 0, or the choice itself.
        texts: documents whose likelihood is judged. Without prompts, they are the samples.
        ids: one id per sample.
        group: what each sample belongs to, such as a conversation: intervals resample groups. By default each
            sample is by itself.
        slices: kinds of samples that are judged apart, as in `EvalData`.
        sensitive: groups of people, as in `EvalData`.
        missing: as in `EvalData`.
        bins: as in `EvalData`.
        batch_size: how many prompts a model gets at once. Larger batches may change greedy answers.
        max_new_tokens: the most tokens of an answer.
        stop: texts that end an answer.
        system: the system message of each chat.
        chat: `auto`, `always` or `never`: whether strings go through the model's chat template.

    Raises:
        DataError: no sample, another number of references, choices, answers or groups than of prompts, an empty
            prompt, or a value of another kind.

    >>> data = TextData(["2 + 2 ="], references=["4"])
    >>> data.task, data.references
    ('text', (('4',),))
    """

    def __init__(  # noqa: PLR0913 - this is the settings object of the data
        self,
        prompts: Sequence[Prompt] | None = None,
        references: Sequence[str | Sequence[str]] | None = None,
        *,
        task: str = "text",
        choices: Sequence[Sequence[str]] | None = None,
        answers: Sequence[int | str] | None = None,
        texts: Sequence[str] | None = None,
        ids: Sequence[Any] | None = None,
        group: Sequence[Hashable] | None = None,
        slices: Any = None,
        sensitive: Any = None,
        missing: str | None = None,
        bins: Any = None,
        batch_size: int = 1,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        system: str | None = None,
        chat: str = "auto",
    ) -> None:
        if task != "text":
            raise DataError(f"task: found {shown(task)}, expected 'text' where prompts or texts are given")
        if chat not in CHATS:
            raise DataError(f"chat: found {shown(chat)}, expected one of {', '.join(CHATS)}")
        samples = prompts if prompts is not None else texts
        if samples is None:
            raise DataError("there are neither prompts nor texts. Write EvalData(task='text', prompts=[...])")
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        self.settings = GenerationSettings(max_new_tokens=max_new_tokens, stop=stops, system=system, chat=chat)
        super().__init__(
            Prompts(_texts("prompts" if prompts is not None else "texts", samples), self.settings),
            ids=ids,
            slices=slices,
            sensitive=sensitive,
            missing=missing,
            bins=bins,
            batch_size=batch_size,
        )
        self.task = "text"
        self.has_prompts = prompts is not None
        self.texts = None if texts is None else tuple(_texts("texts", texts))
        self.references = self._per_sample("references", references, _one_or_several)
        self.choices = self._per_sample("choices", choices, _one_or_several)
        self.answers = self._per_sample("answers", answers, lambda answer: answer)
        self.group = self._per_sample("group", group, lambda name: name)

    def _per_sample(self, name: str, values: Iterable[Any] | None, read: Any) -> tuple[Any, ...] | None:
        if values is None:
            return None
        listed = tuple(read(value) for value in _listed(name, values))
        if len(listed) != self.source.length:
            raise DataError(
                f"there are {self.source.length} samples and {len(listed)} {name}; expected one for each sample"
            )
        return listed

    @property
    def prompts(self) -> Prompts:
        """The prompts, with the settings of their answers.

        Raises:
            DoesNotFit: the data have texts only.
        """
        if not self.has_prompts:
            raise DoesNotFit("the evaluation data have texts and no prompts. Write EvalData(prompts=[...])")
        prompts: Prompts = self.inputs
        return prompts

    def fingerprint(self) -> str:
        """Hash everything that answers are compared with, too."""
        if self._fingerprint is None:
            parts = (list(self.inputs), self.references, self.choices, self.answers, self.texts, self.group)
            digest = hashlib.blake2b(repr((*parts, self.settings)).encode("utf-8", "surrogatepass"), digest_size=16)
            self._fingerprint = f"data:{digest.hexdigest()}"
        return self._fingerprint


def text_data(data: EvalData | None) -> TextData:
    """Return data of prompts or texts.

    Raises:
        DoesNotFit: they are of another task.
    """
    if not isinstance(data, TextData):
        raise DoesNotFit("it is for generated text. Write EvalData(task='text', prompts=[...], references=[...])")
    return data


def _listed(name: str, values: Any) -> list[Any]:
    values = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise DataError(f"{name}: found {shown(values)}, expected a list with one entry for each sample")
    return list(values)


def _texts(name: str, values: Any) -> list[Any]:
    return _listed(name, values)


def _one_or_several(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
