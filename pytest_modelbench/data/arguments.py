"""Check what evaluation data are made of, and refuse each mistake by its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import is_sparse, is_tensor
from pytest_modelbench.data.missing import as_values, missing_of
from pytest_modelbench.data.tasks.names import ALL_TASKS, OWN_CLASSES, task_of, tasks_with
from pytest_modelbench.errors import DataError, shown

OUTPUTS = ("logits", "probabilities", "labels", "values")


OF_TEXT: Mapping[str, str] = {
    **dict.fromkeys(("prompts", "texts"), "task='text'"),
    **{
        name: f"task='text', prompts=[...], {name}=..."
        for name in ("references", "choices", "answers", "max_new_tokens", "stop", "system", "chat")
    },
    **{name: f"task= one of {', '.join(OWN_CLASSES)}" for name in ("group", "collate")},
}
"""What to write for arguments that labels and numbers do not have."""


def refuse_unknown(
    whose: str, unknown: Iterable[str], known: Sequence[str], instead: Mapping[str, str] = OF_TEXT
) -> None:
    """Refuse arguments that do not exist.

    Args:
        whose: the call that got them, in the message.
        unknown: their names.
        known: the names that it takes.
        instead: what to write in the place of some others.

    Raises:
        DataError: naming the first one, and the nearest that exists.
    """
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=1)
        advice = f". Write {instead[name]}" if name in instead else f"; did you mean {near[0]}=?" if near else ""
        raise DataError(f"{whose} takes no argument {name}={advice or '; it takes ' + ', '.join(known)}")


def check_task(task: Any, arguments: Iterable[str], targets: Any) -> str | None:
    """Return the task that is stated, or that arguments or targets leave no doubt of; None for labels and numbers.

    Args:
        task: as it is stated.
        arguments: the names of the arguments that labels and numbers do not have.
        targets: those of `EvalData`.

    Raises:
        DataError: there is no such task, or an argument is one of another task.
    """
    if task is not None and not (isinstance(task, str) and task in ALL_TASKS):
        near = difflib.get_close_matches(task, ALL_TASKS, n=1) if isinstance(task, str) else []
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"task: found {shown(task)}, expected one of {', '.join(ALL_TASKS)}{advice}")
    likely: str | None = task_of(task, arguments, targets)
    for name in arguments:
        tasks = tasks_with(name)
        if tasks and likely not in tasks and "text" not in {likely, *tasks}:
            raise DataError(f"{name}= is for {' or '.join(tasks)}{_instead(name, task, likely, tasks)}")
    return likely


def _instead(name: str, task: str | None, likely: str | None, tasks: Sequence[str]) -> str:
    """Say what to write for an argument of other tasks than the stated or the likely one."""
    write = " or ".join(f"task={own!r}" for own in tasks)
    if task is not None:
        return f", and the task is {task}. Remove {name}=, or write {write}"
    if likely is not None:
        return f", and the other arguments are for {likely}. State task=, and only arguments of that task"
    return f". Write {write}"


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse anything but one of a few texts.

    Raises:
        DataError: naming the argument and the choices.
    """
    if value is not None and not (isinstance(value, str) and value in choices):
        raise DataError(f"{name}: found {shown(value)}, expected one of {', '.join(choices)}")


def check_batch_size(value: Any) -> int:
    """Return a batch size.

    Raises:
        DataError: it is not an integer of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise DataError(f"batch_size: found {shown(value)}, expected an integer of at least 1")
    return int(value)


def check_select(value: Any) -> None:
    """Refuse a head that is neither named nor counted from 0.

    Raises:
        DataError: it is something else.
    """
    counted = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if value is not None and not counted and not (isinstance(value, str) and value):
        raise DataError(
            f"select: found {shown(value)}, expected the name of a head, or its position as an integer from 0"
        )


def check_sequence(name: str, values: Any) -> None:
    """Refuse anything but an ordered collection of a known length with one row for each entry.

    Raises:
        DataError: a text, a set, a mapping, a generator or a single value.
    """
    ordered = hasattr(values, "__len__") and hasattr(values, "__getitem__")
    single = isinstance(values, str | bytes | Mapping) or getattr(values, "ndim", 1) == 0
    if not ordered or single:
        raise DataError(f"{name}: found {_kind(values)}, expected a list or an array with one entry for each sample")


def check_classes(classes: Any) -> None:
    """Refuse labels that do not identify the output columns.

    Raises:
        DataError: a text, a set, none, or one label twice.
    """
    if classes is None:
        return
    if isinstance(classes, str | bytes | Mapping | set | frozenset) or not isinstance(classes, Sequence | np.ndarray):
        raise DataError(f"classes: found {_kind(classes)}, expected a list with the label of each output column")
    listed = list(classes)
    if len(listed) < 2:
        raise DataError(f"classes: found {shown(listed)}, expected at least two labels, one for each output column")
    twice = next((label for place, label in enumerate(listed) if label in listed[:place]), None)
    if twice is not None:
        raise DataError(
            f"classes: {shown(twice)} stands twice in {shown(listed)}; expected one label for each column"
        )


def check_targets(targets: Any) -> Any:
    """Return targets that have one row for each sample.

    Raises:
        DataError: a text, a set, a mapping, a single value, or masked values.
    """
    check_sequence("targets", targets)
    refuse_masked(targets, "targets")
    return targets


def check_inputs(inputs: Any) -> None:
    """Refuse inputs that have no rows, or numbers that no model takes.

    Raises:
        DataError: naming the input.
    """
    filled = False
    for place, leaf in named_leaves(inputs):
        filled = True
        check_leaf(place, leaf)
    if not filled:
        raise DataError(
            f"the inputs are an empty {type(inputs).__name__}; expected arrays with one row for each sample"
        )


def check_leaf(place: str, leaf: Any) -> None:
    """Refuse one input as `check_inputs` does."""
    if isinstance(leaf, str | bytes | set | frozenset) or not _has_rows(leaf):
        raise DataError(
            f"{place}: found {_kind(leaf)}, expected an array, a tensor or a list with one row per sample"
        )
    kind = getattr(getattr(leaf, "dtype", None), "kind", "")
    if kind == "c" or (is_tensor(leaf) and leaf.is_complex()):
        raise DataError(
            f"{place}: found complex numbers ({leaf.dtype}), expected real ones. Give their real and imaginary parts"
        )
    if is_tensor(leaf) and (leaf.is_nested or leaf.device.type == "meta"):
        what = "a nested tensor" if leaf.is_nested else "a tensor on the device 'meta', which has no values"
        advice = "a padded tensor, or a list of tensors" if leaf.is_nested else "a tensor with values"
        raise DataError(f"{place}: found {what}, expected {advice}")
    refuse_masked(leaf, place)


def _has_rows(leaf: Any) -> bool:
    if is_sparse(leaf) or is_tensor(leaf):
        return bool(leaf.ndim > 0)
    return hasattr(leaf, "__len__") and hasattr(leaf, "__getitem__") and getattr(leaf, "ndim", 1) > 0


def refuse_masked(values: Any, place: str) -> None:
    """Refuse masked values: the numbers under the mask would count.

    Raises:
        DataError: how many there are, and the position of the first.
    """
    if not isinstance(values, np.ma.MaskedArray):
        return
    mask = np.ma.getmaskarray(values)
    if mask.any():
        first = int(np.argwhere(mask)[0][0])
        raise DataError(
            f"{place}: {int(mask.sum())} of {mask.size} values are masked, the first at position {first}. Leave "
            "these samples out, or write .filled(...)"
        )


def named_leaves(tree: Any, place: str = "inputs") -> Iterator[tuple[str, Any]]:
    """Yield every array of a batch with its place."""
    if isinstance(tree, Mapping | tuple):
        for key, item in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from named_leaves(item, f"{place}[{key!r}]")
    else:
        yield place, tree


def _kind(value: Any) -> str:
    named = value is None or isinstance(value, str | bytes | int | float)
    return shown(value) if named else f"a {type(value).__name__}"


def refuse_missing(targets: Any, ids: Sequence[Any]) -> None:
    """Refuse targets that are missing among texts or objects, and texts among numbers.

    NaN among numbers is found by `probes.meaning`, which has all of them.

    Raises:
        DataError: how many of a batch are missing, and the first one's id.
    """
    if is_tensor(targets):
        return
    try:
        values = as_values(targets)
    except ValueError:
        return  # rows of several lengths, which are refused where they become an array
    listed = isinstance(targets, list | tuple)
    if values.ndim != 1 or (values.dtype.kind != "O" and not listed):
        return
    missing = missing_of(values) if values.dtype.kind == "O" else np.zeros(len(values), dtype=bool)
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of the {len(values)} targets of a batch are missing, the first for sample "
            f"{shown(ids[int(np.argmax(missing))])}. Leave these samples out, or give them a separate class, "
            "such as 'unknown'"
        )
    _refuse_mixed(targets if listed else values)


def _refuse_mixed(targets: Any) -> None:
    """Refuse texts among numbers, which numpy would make texts of."""
    texts = [isinstance(value, str) for value in targets]
    if any(texts) and not all(texts):
        text, other = targets[texts.index(True)], targets[texts.index(False)]
        raise DataError(
            f"the targets mix texts and other values, such as {shown(text)} and {shown(other)}. Give one kind"
        )


def check_named(what: str, value: object) -> Mapping[str, Any]:
    """Return sets of inputs by name; none for None.

    Raises:
        DataError: it is something else, such as bare inputs.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not value or not all(isinstance(name, str) and name for name in value):
        raise DataError(
            f"{what} is of type {type(value).__name__}, expected a mapping of names to inputs: "
            f"{what}={{'name': inputs}}"
        )
    return value
