"""The table [data] of a `modelbench.toml`: keys, which task has them, and mistakes. Standard library only."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_modelbench.data.prompts import CHATS, is_text_file
from pytest_modelbench.data.tasks.names import ALL_TASKS, tasks_with
from pytest_modelbench.data.treatment import MISSING
from pytest_modelbench.errors import shown
from pytest_modelbench.grammar.option_values import Number

DATA_KEYS: Mapping[str, tuple[type, ...]] = {
    "eval": (str,),
    "shards": (str, list),  # of strings
    "load": (str,),
    "ids": (str,),
    "manifest": (str,),
    "task": (str,),
    "outputs": (str,),
    "select": (str, int),
    "target": (str,),
    "columns": (str, list),
    "classes": (list,),  # of strings or numbers
    "batch_size": (int,),
    "sensitive": (str, list),
    "slices": (str, list),
    "dtype": (str,),
    "missing": (str,),
    "bins": (int, list),
    "max_new_tokens": (int,),
    "stop": (str, list),
    "system": (str,),
    "chat": (str,),
    "box_format": (str,),
    "output_format": (str,),
    "normalized": (bool,),
    "output_normalized": (bool,),
    "score_threshold": (float, int),
    "max_detections": (int,),
    "ignore_index": (int,),
    "resize": (str,),
    "scheme": (str,),
    "season": (int,),
    "quantiles": (list,),  # of numbers
    "block": (int,),
    "metric": (str,),
    "pooling": (str,),
}
NOT_OF_PROMPTS = ("outputs", "select", "target", "columns", "classes", "dtype")
"""Keys of [data] that prompts do not have."""
OF_SHARDS = ("load", "ids", "manifest")
"""Keys of [data] that go with `shards`."""
_FORMATS = ("xyxy", "xywh", "cxcywh")
DATA_CHOICES: Mapping[str, tuple[str, ...]] = {
    "task": ALL_TASKS,
    "outputs": ("logits", "probabilities", "labels", "values"),
    "dtype": ("float16", "bfloat16", "float32", "float64"),
    "missing": MISSING,
    "chat": CHATS,
    "box_format": _FORMATS,
    "output_format": _FORMATS,
    "resize": ("bilinear",),
    "scheme": ("auto", "IOB1", "IOB2", "IOE1", "IOE2", "IOBES", "BILOU"),
}
_COUNT = Number(least=1, most=10_000_000, whole=True)
DATA_NUMBERS: Mapping[str, Number] = {
    "select": Number(least=0, most=1_000_000, whole=True),
    "batch_size": _COUNT,
    "max_new_tokens": _COUNT,
    "score_threshold": Number(least=0, most=1),
    "max_detections": _COUNT,
    "ignore_index": Number(least=-(2**15), most=2**15 - 1, whole=True),
    "season": _COUNT,
    "block": _COUNT,
}
TYPES = {str: "a string", int: "an integer", list: "an array", dict: "a table", float: "a float", bool: "a boolean"}


def kind_of(value: Any) -> str:
    """Return a value of a file in TOML's own words: a string as it is, the type of anything else."""
    if isinstance(value, str):
        return shown(value)
    detail = "" if isinstance(value, dict) else f" ({shown(value)})"
    return TYPES.get(type(value), f"a {type(value).__name__}") + detail


def fault_of(key: str, value: Any) -> str | None:
    """Return what is wrong with the value of a key of [data]; None if it has the key's type and range."""
    if not _is_typed(value, DATA_KEYS[key]):
        wanted = " or ".join(TYPES[kind] for kind in DATA_KEYS[key] if (kind, key) != (int, "score_threshold"))
        wanted += " of strings or numbers" if DATA_KEYS[key] == (list,) else ""
        return f"{key} is {kind_of(value)}, expected {wanted}"
    number = DATA_NUMBERS.get(key)
    if number is not None and not isinstance(value, str) and not number.fits(value):
        return f"{key} is {shown(value)}, expected {number.expected}"
    if key in DATA_CHOICES and value not in DATA_CHOICES[key]:
        near = difflib.get_close_matches(value, DATA_CHOICES[key], n=1) if key == "task" else []
        advice = f"; did you mean {near[0]!r}?" if near else ""
        return f"{key} is {shown(value)}, expected one of {', '.join(DATA_CHOICES[key])}{advice}"
    return None


def _is_typed(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in types
    plain = not isinstance(value, list) or all(isinstance(element, str | int | float) for element in value)
    return isinstance(value, types) and plain


def wrong_source(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the key of [data] that does not go with where the samples come from, and what to write."""
    if "eval" in data and "shards" in data:
        yield "shards", "both eval and shards are in [data]. Write one of them"
    for key in OF_SHARDS:
        if key in data and "shards" not in data:
            yield key, f'{key} is for data in shards. Write shards = ["data/*.parquet"], or remove {key}'
    listed = data.get("shards")
    if isinstance(listed, list) and not all(isinstance(name, str) for name in listed):
        yield "shards", f"shards is {shown(listed)}, expected an array of strings"


def wrong_task(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each key of [data] that its task does not have, and what to write."""
    file, task = is_text_file(data.get("eval")), data.get("task")
    if file and task not in {None, "text"} and isinstance(task, str):
        yield "task", f"task is {shown(task)}, and {data['eval']} has prompts. Remove task"
        return
    if task is not None and task not in ALL_TASKS:
        return  # the one mistake to mend first
    task = "text" if file else task
    for key in data:
        tasks = tasks_with(key)
        if task == "text" and key in NOT_OF_PROMPTS:
            yield key, f"{key} is for labels and numbers, and the task is text. Remove {key}"
        elif tasks and task is None:
            yield key, f"{key} is for {_spoken(tasks)}. Write " + " or ".join(f'task = "{name}"' for name in tasks)
        elif tasks and task not in tasks:
            yield key, f"{key} is for {_spoken(tasks)}, and the task is {task}. Remove {key}"


def _spoken(tasks: tuple[str, ...]) -> str:
    return " or ".join("generated text" if name == "text" else name for name in tasks)
