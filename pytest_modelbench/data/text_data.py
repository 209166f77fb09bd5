"""`TextData`: prompts with references, choices, or texts, on which models that generate text are judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar

from pytest_modelbench.data.arguments import refuse_unknown
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.prompts import Prompts
from pytest_modelbench.data.text_checks import (
    answer_of,
    check_transposed,
    choices_of,
    document_of,
    generation_settings,
    group_of,
    ids_of,
    is_missing,
    listed,
    prompt_of,
    references_of,
)
from pytest_modelbench.data.text_forms import TextArguments, TextTable, arguments_of, table_of
from pytest_modelbench.errors import DataError, DoesNotFit, shown

NOT_OF_TEXT: Mapping[str, str] = {
    "targets": "references=[...]",
    "target": "a column named 'reference'",
    "columns": "a column named 'prompt'",
    "inputs": "prompts=[...]",
    "answer": "answers=[...]",
    "reference": "references=[...]",
    "prompt": "prompts=[...]",
    "text": "texts=[...]",
}
"""What to write in the place of arguments that prompts do not have."""
KNOWN = (
    *(
        "prompts",
        "references",
        "task",
        "choices",
        "answers",
        "texts",
        "ids",
        "group",
        "slices",
        "sensitive",
        "missing",
    ),
    *("bins", "batch_size", "max_new_tokens", "stop", "system", "chat"),
)


class TextData(EvalData):
    """Prompts for models that generate text, and what their answers are compared with.

    `EvalData(task="text", prompts=..., ...)` makes one, too, and so does `EvalData(prompts=...)`.

    Args:
        prompts: a string for each sample, or the messages of a chat: `[{"role": "user", "content": "..."}]`. Or a
            table: a frame of pandas or polars, a mapping of columns, a list of rows, a dataset of Hugging Face, or
            the path of a file of JSON lines. Its columns `prompt`, `reference` or `references`, `choices`, `answer`,
            `text`, `id` and `group` are these arguments; any other column is a slice.
        references: for each prompt a string, or a list of strings that are all right.
        choices: for each prompt a list of continuations, of which `answers` says the right one.
        answers: for each prompt the position of the right choice, from 0, or the choice itself.
        texts: documents whose likelihood is judged. Without prompts, they are the samples.
        ids: one id per sample.
        group: what each sample belongs to, such as a conversation: intervals resample groups. By default each
            sample is by itself.
        task: `text`.
        slices: kinds of samples that are judged apart, as in `EvalData`; of a table, names of its columns (by
            default all others).
        sensitive: groups of people, as in `EvalData`; of a table, names of its columns.
        missing: as in `EvalData`.
        bins: as in `EvalData`.
        batch_size: how many prompts a model gets at once. Larger batches may change greedy answers.
        max_new_tokens: the most tokens of an answer.
        stop: texts that end an answer.
        system: the system message of each chat.
        chat: `auto`, `always` or `never`: whether strings go through the model's chat template.
        unknown: refused by name.

    Raises:
        DataError: no sample, another number of references, choices, answers or groups than of prompts, an empty
            prompt, or a value of another kind.

    >>> data = TextData(["2 + 2 ="], references=["4"])
    >>> data.task, data.references
    ('text', (('4',),))
    """

    UNIT: ClassVar[str] = "prompt"

    def __init__(  # noqa: PLR0913 - this is the settings object of the data
        self,
        prompts: Any = None,
        references: Any = None,
        *,
        task: str = "text",
        choices: Sequence[Sequence[str]] | None = None,
        answers: Any = None,
        texts: Sequence[str] | None = None,
        ids: Sequence[Any] | None = None,
        group: Sequence[Hashable] | None = None,
        slices: Any = None,
        sensitive: Any = None,
        missing: str | None = None,
        bins: Any = None,
        batch_size: int = 1,
        max_new_tokens: int = 256,
        stop: str | Sequence[str] = (),
        system: str | None = None,
        chat: str = "auto",
        **unknown: Any,
    ) -> None:
        refuse_unknown("EvalData(task='text')", unknown, KNOWN, NOT_OF_TEXT)
        if task != "text":
            raise DataError(f"task: found {shown(task)}, expected 'text' where prompts or texts are given")
        self.settings = generation_settings(max_new_tokens, stop, system, chat)
        self._table = table_of(prompts)
        arguments = {
            "prompts": prompts,
            "references": references,
            "choices": choices,
            "answers": answers,
            "texts": texts,
            "ids": ids,
            "group": group,
        }
        others = arguments_of(self._table) if self._table else TextArguments(values={})
        given = _together(arguments, others, self._table)
        self.has_prompts = given["prompts"] is not None
        name = "prompts" if self.has_prompts else "texts"
        if given[name] is None:
            raise DataError("there are neither prompts nor texts. Write EvalData(task='text', prompts=[...])")
        self.ids = ids_of(given["ids"])
        samples = self._read_all(name, given[name], prompt_of if self.has_prompts else document_of)
        slices = others.slices(sensitive) if slices is None else _columns("slices", slices, others, self._table)
        super().__init__(
            Prompts(samples, self.settings),
            ids=self.ids,
            slices=slices,
            sensitive=_columns("sensitive", sensitive, others, self._table),
            missing=missing,
            bins=bins,
            batch_size=batch_size,
        )
        self.task = "text"
        self._left_out = others.left_out
        self._others = tuple(others.others)
        self._read_answers(given)

    @property
    def does_not_fit(self) -> str:
        """What to say of a KPI of labels and numbers."""
        return (
            "it is for labels and numbers, and the task is text. Write exact_match, or a custom KPI "
            "whose metric= is a function of (references, answers)"
        )

    def advice_on_references(self) -> str:
        """Say what to write where there are no references; a table may have them under another name."""
        if self._table is None or not self._others:
            return "Write EvalData(task='text', prompts=..., references=...)"
        columns = ", ".join(map(shown, self._others))
        return f"Rename the column of right answers to 'reference': the {self._table.kind} has {columns}"

    def _read_answers(self, given: Mapping[str, Any]) -> None:
        """Read the texts, and what the answers to prompts are compared with."""
        documents = () if given["texts"] is None else given["texts"]
        texts = self._read_all("texts", documents, self._text)
        self.texts = tuple(text for text in texts if text is not None) or None
        if not self.has_prompts and (name := next((n for n in _OF_PROMPTS if given[n] is not None), None)):
            raise DataError(f"there are {name} and no prompts. Write EvalData(prompts=[...], {name}=...)")
        if given["answers"] is not None and given["choices"] is None:
            raise DataError(
                "there are answers and no choices. Write choices=[...] that they are among, or, for answers to "
                "compare with, references=[...]"
            )
        if given["references"] is not None:
            check_transposed(listed("references", given["references"]), len(self.inputs))
        self.references = self._per_sample("references", given["references"], references_of)
        self.choices = self._per_sample("choices", given["choices"], choices_of)
        self.answers = self._per_sample("answers", given["answers"], lambda value, _: value)
        if self.answers is not None and self.choices is not None:
            both = zip(self.answers, self.choices, strict=True)
            self.answers = tuple(answer_of(*pair, self._place(i, "prompts")) for i, pair in enumerate(both))
        self.group = self._per_sample("group", given["group"], group_of)

    def _text(self, value: Any, place: str) -> str | None:
        """Read a document; a row of a table with a prompt may have none."""
        beside = self._table is not None and self.has_prompts
        return None if beside and is_missing(value) else document_of(value, place)

    def _place(self, position: int, name: str) -> str:
        """Name a sample for messages: by its line or row, its id, or its position."""
        if self._table is not None:
            return self._table.place(position)
        ids = self.ids or ()
        return f"the sample {shown(ids[position])}" if position < len(ids) else f"{name}[{position}]"

    def _read_all(self, name: str, values: Any, read: Callable[[Any, str], Any]) -> list[Any]:
        return [read(value, self._place(position, name)) for position, value in enumerate(listed(name, values))]

    def _per_sample(self, name: str, values: Any, read: Callable[[Any, str], Any]) -> tuple[Any, ...] | None:
        if values is None:
            return None
        count, samples = len(listed(name, values)), len(self.inputs)
        if count != samples:
            raise DataError(f"there are {samples} samples and {count} {name}; expected one for each sample")
        return tuple(self._read_all(name, values, read))

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

    @property
    def notes(self) -> list[str]:
        """As of all data, and the columns of a table that name no slice."""
        left_out = f"columns of lists, which name no slice: {', '.join(self._left_out)}"
        return [*super().notes, *([left_out] if self._left_out else [])]

    @property
    def key(self) -> str:
        """As of all data, and the size of batches, which greedy answers may depend on."""
        return f"{super().key}|batches of {self.batch_size}"

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


_OF_PROMPTS = ("references", "choices", "answers")


def _together(stated: Mapping[str, Any], table: TextArguments, of: TextTable | None) -> dict[str, Any]:
    """Return the arguments that are stated and those of a table.

    Raises:
        DataError: one is in both.
    """
    if of is None:
        return dict(stated)
    both = next((name for name in table.values if name != "prompts" and stated[name] is not None), None)
    if both is not None:
        raise DataError(f"{both} are stated, and the {of.kind} has them, too. Remove one of them")
    return {**stated, "prompts": None, **table.values}


def _columns(what: str, features: Any, table: TextArguments, of: TextTable | None) -> Any:
    """Return features with the columns of a table in the place of their names.

    Raises:
        DataError: the table has no such column.
    """
    named = [features] if isinstance(features, str) else features
    if of is None or not isinstance(named, list | tuple) or not all(isinstance(name, str) for name in named):
        return features
    for name in named:
        if name not in table.others:
            there = ", ".join(map(shown, table.others)) or "none"
            raise DataError(f"{what}: the {of.kind} has no column {shown(name)} that names slices; found: {there}")
    return {name: table.others[name] for name in named}
