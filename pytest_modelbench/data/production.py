"""Predictions that a model made in production: a file of rows, each with an answer and perhaps its true label."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.table_values import labels, latencies, numbers, plain, seconds_of, texts_of, times
from pytest_modelbench.data.tables import Rows, Table, open_table
from pytest_modelbench.errors import DataError, UsageMistake, shown

Array = npt.NDArray[Any]
USUAL = {"id": "id", "prediction": "prediction", "label": "label", "latency": "latency_ms", "time": "timestamp"}
"""The columns that are read without being named, if the file has them, by what they hold."""
USUAL_SCORES = "score_*"
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Named:
    """The columns that a user names; None for those that may be there under their usual name.

    `scores` is a pattern in which `*` is the name of the class. `sensitive` and `slices` are columns of groups.
    """

    id: str | None = None
    prediction: str | None = None
    label: str | None = None
    latency: str | None = None
    time: str | None = None
    scores: str | None = None
    sensitive: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Production:
    """Rows of production in the order of time, or of the file where it has no times.

    Attributes:
        path: of the file.
        row: the number of each row in the file, from 1, (rows,).
        outputs: labels or values, (rows,), or scores, (rows, classes).
        classes: the names of the columns of scores; None for labels and values.
        labels: true labels or values, (rows,); None without a column of them.
        labelled: which rows have one, (rows,).
        ids: one for each row; None without a column of them.
        latency_ms: (rows,), or None.
        seconds: when each row was answered, since 1970, (rows,); None without times.
        groups: sensitive features and slices by the name of their option, each by the name of its column.
    """

    path: Path
    row: Array
    outputs: Array
    classes: tuple[Any, ...] | None
    labels: Array | None
    labelled: npt.NDArray[np.bool_]
    ids: Sequence[str] | None = None
    latency_ms: Array | None = None
    seconds: Array | None = None
    groups: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def names(self) -> Sequence[Any]:
        """What messages call the rows: their ids, or their numbers in the file."""
        return self.row.tolist() if self.ids is None else self.ids

    def only(self, rows: Array) -> Production:
        """Return some of the rows, by their positions."""
        taken: dict[str, Any] = {
            attribute.name: value[rows]
            for attribute in fields(self)
            if isinstance(value := getattr(self, attribute.name), np.ndarray)
        }
        groups = {what: {name: column[rows] for name, column in of.items()} for what, of in self.groups.items()}
        ids = None if self.ids is None else [self.ids[at] for at in rows]
        return replace(self, **taken, ids=ids, groups=groups)


def read_production(path: Path, named: Named) -> Production:
    """Read a file of predictions in one pass, chunk by chunk; only the named columns stay in memory.

    Raises:
        UsageMistake: a column is not in the file; the message lists those that are.
        DataError: the file is empty or broken, or a column holds what it cannot.
    """
    table = open_table(path)
    columns, scores = _columns(table, named), _scores(table, named)
    groups = {"sensitive": named.sensitive, "slices": named.slices}
    for option, names in groups.items():
        for name in names:
            _refuse_absent(table, option, name)
    if not scores and "prediction" not in columns:
        usual = shown(USUAL["prediction"]), shown(USUAL_SCORES)
        absence = f"has neither a column {usual[0]} nor any like {usual[1]}"
        raise UsageMistake(
            f"{path} {absence}. Write --prediction COLUMN or --scores PATTERN. {_listed(table.columns)}"
        )
    gathered = _Gathered(path, columns, list(scores), [*named.sensitive, *named.slices])
    wanted = dict.fromkeys([*columns.values(), *scores, *named.sensitive, *named.slices])
    for rows in table.chunks(list(wanted)):
        gathered.add(rows)
    if not gathered.count:
        raise DataError(f"{path} has no rows, only the names of its columns: {', '.join(table.columns)}")
    return gathered.production(tuple(scores.values()) or None, groups)


def _columns(table: Table, named: Named) -> dict[str, str]:
    """Return the column of each thing that one column holds; scores take the place of predictions."""
    columns = {}
    for what, usual in USUAL.items():
        stated = getattr(named, what)
        if stated is not None:
            _refuse_absent(table, what, stated)
        elif usual not in table.columns or (what == "prediction" and named.scores is not None):
            continue
        columns[what] = stated or usual
    return columns


def _scores(table: Table, named: Named) -> dict[str, str]:
    """Return the class of each column of scores."""
    pattern = named.scores or USUAL_SCORES
    if pattern.count("*") != 1:
        raise UsageMistake(f"--scores: found {shown(pattern)}, expected one * where the class is, such as 'score_*'")
    if named.scores is None and named.prediction is not None:
        return {}
    start, _, end = pattern.partition("*")
    names = [name for name in table.columns if fnmatch.fnmatchcase(name, _escaped(start) + "*" + _escaped(end))]
    if named.scores is not None and len(names) < 2:
        raise UsageMistake(
            f"--scores: {len(names)} columns of {table.path} are like {shown(pattern)}, expected one for each class. "
            f"{_listed(table.columns)}"
        )
    return {name: name[len(start) : len(name) - len(end)] for name in names} if len(names) > 1 else {}


def _escaped(text: str) -> str:
    return "".join(f"[{character}]" if character in "?[" else character for character in text)


def _refuse_absent(table: Table, option: str, name: str) -> None:
    if name not in table.columns:
        near = difflib.get_close_matches(name, table.columns, n=1)
        nearest = f"; did you mean {shown(near[0])}?" if near else "."
        raise UsageMistake(f"--{option}: {table.path} has no column {shown(name)}{nearest} {_listed(table.columns)}")


def _listed(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
    return f"Its columns: {', '.join(map(shown, columns[:20]))}{more}"


class _Gathered:
    """The columns of a file while it is read."""

    def __init__(self, path: Path, columns: Mapping[str, str], scores: list[str], groups: list[str]) -> None:
        self.count = 0
        self._path, self._columns, self._scores, self._groups = path, columns, scores, groups
        self._parts: dict[str, list[Array]] = {}

    def add(self, rows: Rows) -> None:
        """Take the rows of one chunk."""
        start = self.count + 1
        for what, name in self._columns.items():
            read: Callable[[Iterable[Any], str, int], Array] = _READ[what]
            self._parts.setdefault(what, []).append(read(rows[name], f"{self._path}: {name}", start))
        if self._scores:
            columns = [numbers(rows[name], f"{self._path}: {name}", start) for name in self._scores]
            self._parts.setdefault("scores", []).append(np.stack(columns, axis=1))
        for name in self._groups:
            self._parts.setdefault(f"group {name}", []).append(texts_of(rows[name], "", start))
        self.count += len(next(iter(rows.values())))

    def _whole(self, name: str) -> Array | None:
        return np.concatenate(self._parts.pop(name)) if name in self._parts else None

    def production(self, classes: tuple[str, ...] | None, groups: Mapping[str, Sequence[str]]) -> Production:
        """Return what was read, in the order of time."""
        outputs, labels = self._whole("scores"), self._whole("label")
        predicted = self._whole("prediction")
        if labels is not None:
            labelled = labels != ""
            labels = np.where(labelled, labels, labels[labelled][0]) if labelled.any() else None
        if labels is None:
            labelled = np.zeros(self.count, dtype=bool)
        if outputs is None and predicted is not None:
            outputs = self._answers(predicted)
        ids = self._whole("id")
        production = Production(
            path=self._path,
            row=np.arange(1, self.count + 1),
            outputs=np.asarray(outputs),
            classes=None if classes is None else tuple(plain(np.array(classes)).tolist()),
            labels=None if labels is None else plain(labels),
            labelled=labelled,
            ids=None if ids is None else self._unique(ids.tolist()),
            latency_ms=self._whole("latency"),
            seconds=self._whole("time"),
            groups={what: {name: self._group(name) for name in names} for what, names in groups.items()},
        )
        if production.seconds is None or bool(np.all(production.seconds[1:] >= production.seconds[:-1])):
            return production
        return production.only(np.argsort(production.seconds, kind="stable"))

    def _group(self, name: str) -> Array:
        values = self._parts[f"group {name}"]
        joined = plain(np.concatenate(values))
        if joined.dtype.kind != "U":
            return joined
        named = joined.astype(object)
        named[joined == ""] = None
        return named

    def _answers(self, predicted: Array) -> Array:
        """Return predictions as labels or values; missing numbers are NaN."""
        gone = predicted == ""
        if not gone.any():
            return plain(predicted)
        rest = plain(predicted[~gone]) if not gone.all() else np.zeros(0)
        if rest.dtype.kind != "f":
            raise DataError(
                f"{self._path}: {self._columns['prediction']} has no value in {int(gone.sum()):,} of {len(gone):,} "
                f"rows (rows {_first(np.flatnonzero(gone) + 1)}): a prediction that is missing is neither right nor "
                "wrong. Remove these rows, or fill them in"
            )
        values = np.full(len(predicted), np.nan)
        values[~gone] = rest
        return values

    def _unique(self, ids: list[str]) -> list[str]:
        if "" in ids:
            raise DataError(f"{self._path}: row {ids.index('') + 1:,} has no {self._columns['id']}")
        if len(set(ids)) == len(ids):
            return ids
        seen: dict[str, int] = {}
        for row, sample in enumerate(ids, start=1):
            if sample in seen:
                raise DataError(
                    f"{self._path}: rows {seen[sample]:,} and {row:,} have the same {self._columns['id']}, "
                    f"{shown(sample)}; expected one row for each prediction. Remove the copies, or name another "
                    "column by --id"
                )
            seen[sample] = row
        return ids


def _first(rows: Array) -> str:
    more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
    return ", ".join(f"{row:,}" for row in rows[:NAMED]) + more


def window(production: Production, since: str | None, last: int | None) -> Production:
    """Return the rows since a time, and of these the last ones.

    Args:
        production: all rows.
        since: a time as ISO 8601, or seconds since 1970.
        last: how many rows.

    Raises:
        UsageMistake: the rows have no times, `since` is not a time, or no row is left.
    """
    if since is not None:
        if production.seconds is None:
            raise UsageMistake(f"--since: {production.path} has no column of times. Name it by --time COLUMN")
        try:
            start = seconds_of(since)
        except ValueError as error:
            raise UsageMistake(
                f"--since: found {shown(since)}, expected a time as ISO 8601, such as 2026-11-28T09:30:00Z"
            ) from error
        kept = np.flatnonzero(production.seconds >= start)
        if not len(kept):
            newest = datetime.fromtimestamp(float(production.seconds[-1]), UTC).isoformat()
            raise UsageMistake(
                f"--since: no row of {production.path} is as new as {since}; the newest is of {newest}"
            )
        production = production.only(kept)
    if last is not None and last < len(production):
        production = production.only(np.arange(len(production) - last, len(production)))
    return production


_READ: Mapping[str, Callable[[Iterable[Any], str, int], Array]] = {
    "id": texts_of,
    "prediction": labels,
    "label": labels,
    "latency": latencies,
    "time": times,
}
