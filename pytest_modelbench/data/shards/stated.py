"""Arguments of data in shards: plain values, and all that would be inferred from one shard alone is stated."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pytest_modelbench.data.arguments import check_task, refuse_unknown
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.data.shards.functions import Named, named_function
from pytest_modelbench.data.tasks.names import ALL_TASKS, ARGUMENTS
from pytest_modelbench.errors import DataError, shown

OF_LABELS = ("target", "columns", "outputs", "select", "classes", "batch_size")
TAKES = (*OF_LABELS, "sensitive", "slices", "dtype", "missing", "bins")
READING = ("outputs", "select", "classes", "batch_size")
"""What may be stated beside a function that returns EvalData, which state the rest themselves."""
FEATURES = ("sensitive", "slices")
SCORED = ("multiclass", "binary", "multilabel")
IN_ONE_PIECE: Mapping[str, str] = {
    "text": "a file of prompts is read as one. Write EvalData(prompts=...)",
    "embedding": "neighbours are searched among all samples. Write EvalData(..., task='embedding')",
}
"""The tasks whose samples do not stand alone, and what to write."""
_PLAIN = str | int | float | bool | None
_OUTPUTS = "outputs= ('logits', 'probabilities', or 'labels' if models return labels)"


def check_stated(task: Any, arguments: Mapping[str, Any], *, loaded: bool) -> str:
    """Return the task, if all is stated that the samples of one shard may suggest otherwise than those of another.

    Args:
        task: as stated.
        arguments: what else is stated.
        loaded: whether a function of the user's reads the shards, and may return EvalData.

    Raises:
        DataError: an unknown argument, a task that needs all samples at once, or all that is missing.
    """
    others = [name for name in arguments if name not in TAKES]
    if task is not None:
        check_task(task, (), None)
        if task in IN_ONE_PIECE:
            raise DataError(f"task={task!r} is not read from shards: {IN_ONE_PIECE[task]}")
        own = ARGUMENTS.get(task, ((), ()))[0]
        refuse_unknown("EvalData.from_shards", [name for name in others if name not in own], (*TAKES, *own), _OF_ROWS)
    missing = list(_missing(task, arguments, loaded=loaded))
    if missing:
        raise DataError(
            f"data in shards: a shard alone may read otherwise than all of them. State {' and '.join(missing)}"
        )
    if "block" in arguments:
        raise DataError("block= would count windows anew in each shard. Return EvalData(..., group=...) from load=")
    return str(task)


_OF_ROWS: Mapping[str, str] = dict.fromkeys(
    (*(name for _, others in ARGUMENTS.values() for name in others), "group", "collate", "ood"),
    'load="module:function", which returns EvalData with it: each shard has its own samples',
)


def _missing(task: Any, arguments: Mapping[str, Any], *, loaded: bool) -> Iterator[str]:
    if task is None:
        yield f"task= ({', '.join(name for name in ALL_TASKS if name not in IN_ONE_PIECE)})"
    if task in SCORED and arguments.get("outputs") is None:
        yield _OUTPUTS
    if task == "tagging" and arguments.get("scheme", "auto" if not loaded or "scheme" in arguments else "") == "auto":
        yield "scheme= ('IOB2', 'IOBES', ..., or None for plain tags)"
    if counted_bins(arguments.get("bins")):
        yield "the edges of bins=, such as bins=[30, 50]: groups of equal size depend on all samples"


def counted_bins(bins: Any) -> bool:
    """Whether bins are a number of groups, for some feature at least, rather than edges.

    >>> counted_bins(4), counted_bins([30, 50]), counted_bins({"age": [30], "income": 4})
    (True, False, True)
    """
    values = bins.values() if isinstance(bins, Mapping) else [bins]
    return any(isinstance(value, int | np.integer) for value in values)


def check_read(data: EvalData) -> None:
    """Refuse data of one shard that would be read otherwise with others.

    Raises:
        DataError: a scheme that is inferred, blocks, or bins of equal size.
    """
    own = getattr(data, "own", {})
    if own.get("scheme") == "auto":
        raise DataError("scheme='auto' may find another scheme in each shard. State it, such as scheme='IOB2'")
    if own.get("block") is not None:
        raise DataError("block= would count windows anew in each shard. Write EvalData(..., group=...)")
    bins = data._treatment.bins  # noqa: SLF001 - of this very room
    by_feature = dict(bins) if isinstance(bins, tuple) and isinstance(bins[0], tuple) else bins
    if counted_bins(by_feature):
        raise DataError("bins of equal size depend on all samples. State their edges, such as bins=[30, 50]")


def plain_arguments(arguments: Mapping[str, Any], folder: str) -> tuple[dict[str, Any], dict[str, dict[str, Named]]]:
    """Return arguments that any process can be given: plain values, and features by functions that have a name.

    Args:
        arguments: as given; those that are None are left out, `scheme` excepted, for which it is a value.
        folder: where modules are looked for, besides Python's path.

    Raises:
        DataError: a value is neither, such as an array with a value for each sample.
    """
    plain: dict[str, Any] = {}
    named: dict[str, dict[str, Named]] = {}
    for name, value in arguments.items():
        if value is None and name != "scheme":
            continue
        if name in FEATURES and (callable(value) or isinstance(value, Mapping)):
            functions, columns = _features(name, value, folder)
            named |= {name: functions} if functions else {}
            plain |= {name: columns} if columns else {}
            continue
        plain[name] = _plain(name, value)
    return plain, named


def _features(what: str, value: Any, folder: str) -> tuple[dict[str, Named], dict[str, str]]:
    features = {getattr(value, "__name__", what): value} if callable(value) else value
    functions: dict[str, Named] = {}
    columns: dict[str, str] = {}
    for name, feature in features.items():
        if isinstance(feature, str):
            columns[str(name)] = feature
        elif callable(feature):
            functions[str(name)] = named_function(feature, f"{what}[{name!r}]", folder)
        else:
            raise _of_samples(f"{what}[{name!r}]", feature)
    return functions, columns


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic) and name in {"classes", "bins", "quantiles", "batch_size"}:
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(name, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, inner) for inner in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if not isinstance(value, _PLAIN):
        raise _of_samples(name, value)
    return value


def _of_samples(name: str, value: Any) -> DataError:
    advice = "the name of a column, or a function at the top of a module" if name.startswith(FEATURES) else "text"
    shape = getattr(value, "shape", None)
    found = shown(value) if shape is None else f"an array of shape {tuple(shape)}"
    return DataError(
        f"{name}: found {found}, which cannot be sent to another process or belongs to some samples only. "
        f'Write {advice}; what belongs to samples is given by load="module:function", which returns EvalData'
    )
