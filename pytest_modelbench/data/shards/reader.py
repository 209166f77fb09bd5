"""`ShardReader`: makes ordinary evaluation data of one shard, in any process."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.shards.archives import CLASS, KEY
from pytest_modelbench.data.shards.formats import ending_of, read_columns
from pytest_modelbench.data.shards.functions import Named
from pytest_modelbench.data.shards.stated import READING, check_read
from pytest_modelbench.errors import DataError, ModelbenchError, cause_of, shown

ID_NAMES = ("id", "ids", KEY)


@dataclass(frozen=True, kw_only=True)
class ShardReader:
    """How each shard is read: text and plain values only, so that any process can be given it.

    Attributes:
        task: of the data.
        load: the function that reads a shard by its name; None for files that are read by their ending.
        ids: the column with the ids of samples; None for one that is named `id`, `ids` or `__key__`.
        arguments: those of `EvalData` that are stated.
        features: functions of the inputs for `sensitive` and `slices`, by argument and name.
    """

    task: str
    load: Named | None = None
    ids: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Mapping[str, Named]] = field(default_factory=dict)

    def read(self, name: str) -> EvalData:
        """Return the samples of one shard, with their ids.

        Args:
            name: the path or the URL of the shard.

        Raises:
            DataError: it cannot be read, has no ids, or is of another task; the message names the shard.
        """
        try:
            data = self._read(name) if self.load is None else self._loaded(name, self.load)
            check_read(data)
        except ModelbenchError as error:
            raise DataError(f"shard {name}: {error}") from error
        except Exception as error:
            raise DataError(f"shard {name}: reading it raised {cause_of(error)}") from error
        return data

    def digest(self) -> str:
        """Return 32 hexadecimal digits that are equal for readers that read alike."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _read(self, name: str) -> EvalData:
        archive = (ending_of(name) or "").startswith((".tar", ".tgz"))
        return self._data(read_columns(name), archive=archive)

    def _loaded(self, name: str, load: Named) -> EvalData:
        function = load.function("load")
        try:
            value = function(name)
        except (Exception, SystemExit) as error:
            raise DataError(f"load={load.spec} raised {cause_of(error)}") from error
        if value is None:
            raise DataError(f"load={load.spec} returned None, expected EvalData or (inputs, targets)")
        return self._adopted(value) if isinstance(value, EvalData) else self._data(value)

    def _adopted(self, data: EvalData) -> EvalData:
        """Return EvalData of a function of the user's, read as stated.

        Raises:
            DataError: they state something else, or have no ids.
        """
        stated = {"task": self.task, **{name: value for name, value in self.arguments.items() if name in READING}}
        others = [name for name in (*self.arguments, *self.features) if name not in READING]
        if others:
            raise DataError(
                f"load returns EvalData, which state {', '.join(f'{name}=' for name in others)} themselves. Remove "
                "it from EvalData.from_shards, or return (inputs, targets)"
            )
        if data.ids is None:
            raise DataError("load returns EvalData without ids. Write EvalData(..., ids=...), equal in every reading")
        adopted = copy.copy(data)
        for name, value in stated.items():
            own = getattr(data, name)
            if own is not None and name != "batch_size" and _listed(own) != _listed(value):
                raise DataError(
                    f"load returns EvalData with {name}={shown(own)}, and {name}={shown(value)} is stated"
                )
            setattr(adopted, name, value)
        return adopted

    def _data(self, value: Any, *, archive: bool = False) -> EvalData:
        pair = isinstance(value, tuple) and len(value) == 2
        inputs, targets = value if pair else (value, None)
        inputs, ids, note = self._without_ids(inputs)
        arguments = dict(self.arguments)
        for what, functions in self.features.items():
            columns = arguments.get(what, {})
            arguments[what] = {**columns, **{name: named.function(what) for name, named in functions.items()}}
        if archive and CLASS in inputs:
            arguments.setdefault("target", CLASS)
        data = EvalData(inputs, targets, task=self.task, ids=ids, **arguments)
        if note:
            data.source.notes = [*data.source.notes, note]
        return data

    def _without_ids(self, inputs: Any) -> tuple[Any, Any, str]:
        """Return inputs without the column of ids, the ids, and a note on how they were found."""
        names = _column_names(inputs)
        if not names:
            raise DataError(
                f"its inputs are of type {type(inputs).__name__}, which has no ids, and ids= says which samples are "
                "the same. Return EvalData(..., ids=...), or a mapping or a frame with a column of ids"
            )
        likely = [name for name in ID_NAMES if name in names] if self.ids is None else [self.ids]
        if len(likely) != 1 or likely[0] not in names:
            listed = ", ".join(map(shown, names))
            several = len(likely) > 1
            told = "several columns may be the ids" if several else f"there is no column {shown(self.ids or 'id')}"
            raise DataError(f"{told} among {listed}. Write EvalData.from_shards(..., ids='column')")
        name = likely[0]
        note = "" if self.ids is not None else f"ids: the column {name!r}, by its name"
        ids = _plain_ids(inputs[name])
        if isinstance(inputs, Mapping):
            return {column: values for column, values in inputs.items() if column != name}, ids, note
        if hasattr(inputs, "remove_columns"):
            return inputs.remove_columns([name]), ids, note
        return (inputs.drop(columns=[name]) if hasattr(inputs, "iloc") else inputs.drop(name)), ids, note


def _column_names(inputs: Any) -> list[Any]:
    """Return the names of the columns of a mapping, a frame or a dataset of Hugging Face; none for anything else."""
    if isinstance(inputs, Mapping):
        return list(inputs)
    names = getattr(inputs, "column_names", None)
    return list(getattr(inputs, "columns", ()) if names is None else names)


def _plain_ids(ids: Any) -> list[Any]:
    """Return ids as Python's own values, as reports name them."""
    values = ids.tolist() if hasattr(ids, "tolist") else ids.to_list() if hasattr(ids, "to_list") else list(ids)
    return values if isinstance(values, list) else [values]


def _listed(value: Any) -> Any:
    return list(value) if not isinstance(value, str | int) and value is not None else value
