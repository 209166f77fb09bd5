"""Prompts in tables: frames, mappings of columns, lists of rows, datasets of Hugging Face, and lines of JSON.

The columns `prompt`, `reference` or `references`, `choices`, `answer`, `text`, `id` and `group` have the meaning of
`TextData`'s arguments. Any other column is a slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_modelbench.data.huggingface import is_huggingface
from pytest_modelbench.data.prompts import ENDINGS, is_text_file
from pytest_modelbench.data.tables import json_rows
from pytest_modelbench.data.text_checks import is_missing, listed
from pytest_modelbench.errors import DataError, shown

ARGUMENTS: Mapping[str, str] = {
    "prompt": "prompts",
    "reference": "references",
    "references": "references",
    "choices": "choices",
    "answer": "answers",
    "text": "texts",
    "id": "ids",
    "group": "group",
}
"""The argument of `TextData` that a column is, by its name."""
SETTINGS = frozenset({"max_new_tokens", "stop", "system", "chat"})
"""The arguments of `TextData` that hold for all prompts."""


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """The columns of a table.

    Attributes:
        what: the table in messages.
        columns: their values by name.
        lines: the line of each row in a file; empty for other tables.
    """

    what: str
    columns: Mapping[str, list[Any]]
    lines: Sequence[int] = ()

    @property
    def kind(self) -> str:
        """The table in messages, after "the"."""
        return f"file {self.what}" if self.lines else self.what

    def place(self, position: int) -> str:
        """Name a row for messages."""
        return f"{self.what}:{self.lines[position]}" if self.lines else f"row {position} of the {self.what}"


@dataclass(frozen=True, kw_only=True)
class TextArguments:
    """What a table gives for the arguments of `TextData`.

    Attributes:
        values: by argument.
        others: the other columns that name slices, by name.
        left_out: names of columns whose values, such as lists, name no slice.
    """

    values: Mapping[str, list[Any]]
    others: Mapping[str, list[Any]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def slices(self, sensitive: Any) -> dict[str, list[Any]] | None:
        """Return the columns that are slices where no others are named: all that are not sensitive features."""
        taken = (
            [sensitive] if isinstance(sensitive, str) else sensitive if isinstance(sensitive, list | tuple) else ()
        )
        return {name: values for name, values in self.others.items() if name not in taken} or None


def table_of(value: Any) -> TextTable | None:
    """Return what a user gave as a table; None where it is a list of prompts.

    Raises:
        DataError: the file is not there or broken, or a frame has no rows yet.
    """
    if isinstance(value, Path) or is_text_file(value):
        return _from_lines(Path(value))
    if hasattr(value, "collect_schema") and not hasattr(value, "shape"):
        raise DataError(f"found a {type(value).__name__}, which has no rows yet. Write frame.collect()")
    if is_huggingface(value):
        rows = value.with_format(None)
        names = value.column_names or list(next(iter(rows), {}))
        return TextTable(what="dataset", columns=_columns(rows, names))
    if isinstance(value, Mapping):
        return TextTable(what="mapping", columns=_equally_long({str(k): listed(str(k), v) for k, v in value.items()}))
    if hasattr(value, "columns"):
        names = list(map(str, value.columns))
        if len(set(names)) < len(names):
            raise DataError(f"the frame has two columns {shown(max(names, key=names.count))}. Rename one of them")
        return TextTable(what="frame", columns={str(name): listed(str(name), value[name]) for name in value.columns})
    if isinstance(value, list) and value and all(_is_row(row) for row in value):
        return TextTable(what="list", columns=_columns(value, _names(value)))
    return None


def _is_row(value: Any) -> bool:
    return isinstance(value, Mapping) and bool({"prompt", "text"} & set(value))


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(str(name) for row in rows for name in row))


def _columns(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows:
        for name in names:
            columns[name].append(row.get(name))
    return columns


def _equally_long(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns have different lengths: {', '.join(f'{n} {k}' for n, k in lengths.items())}")
    return columns


def _from_lines(path: Path) -> TextTable:
    if not is_text_file(path):
        raise DataError(f"{path}: the name ends in {shown(path.suffix)}, expected one of {', '.join(ENDINGS)}")
    try:
        numbered = list(json_rows(path))
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not numbered:
        raise DataError(f'{path} has no line. Write one for each prompt: {{"prompt": "...", "reference": "..."}}')
    rows = [row for _, row in numbered]
    return TextTable(
        what=str(path), columns=_columns(rows, _names(rows)), lines=tuple(number for number, _ in numbered)
    )


def arguments_of(table: TextTable) -> TextArguments:
    """Return which arguments of `TextData` a table gives, and its other columns.

    Raises:
        DataError: it has neither prompts nor texts, a row has both `reference` and `references`, or a column has the
            name of a setting.
    """
    columns = _with_one_of_references(table)
    if not {"prompt", "text"} & set(columns):
        raise DataError(
            f"the {table.kind} has neither prompt nor text; found {', '.join(map(shown, columns)) or 'nothing'}. "
            "Rename what the model is asked to 'prompt'"
        )
    _refuse_settings(table, columns)
    others = {name: values for name, values in columns.items() if name not in ARGUMENTS}
    nested = tuple(name for name, values in others.items() if any(map(_is_nested, values)))
    values = {
        ARGUMENTS[name]: values
        for name, values in columns.items()
        if name in ARGUMENTS and (name in {"prompt", "text"} or not all(map(is_missing, values)))
    }
    return TextArguments(
        values=values,
        others={name: values for name, values in others.items() if name not in nested},
        left_out=nested,
    )


def _refuse_settings(table: TextTable, columns: Iterable[str]) -> None:
    """Refuse a column that would be a slice, and looks like a setting of each prompt."""
    for name in SETTINGS & set(columns):
        instead = ", or put a message of the role 'system' first into each prompt" if name == "system" else ""
        raise DataError(
            f"the {table.kind} has a column {name!r}, and {name}= is one setting for all prompts. Write it beside "
            f"the {table.kind}{instead}. If the column names slices, rename it"
        )


def _with_one_of_references(table: TextTable) -> Mapping[str, list[Any]]:
    """Return the columns with `reference` of the rows that have no `references` among the latter."""
    columns = dict(table.columns)
    if "reference" not in columns or "references" not in columns:
        return columns
    singles = columns.pop("reference")
    for position, (single, several) in enumerate(zip(singles, columns["references"], strict=True)):
        if not is_missing(single) and not is_missing(several):
            raise DataError(f"{table.place(position)} has both reference and references. Remove one of them")
    columns["references"] = [
        single if is_missing(several) else several
        for single, several in zip(singles, columns["references"], strict=True)
    ]
    return columns


def _is_nested(value: Any) -> bool:
    return isinstance(value, list | tuple | dict | bytes) or bool(getattr(value, "shape", ()))
