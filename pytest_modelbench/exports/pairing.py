"""Pairs the outputs of two models: by name if both have names, otherwise by position. Says what has no partner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.arrays import as_array, is_tensor
from pytest_modelbench.errors import ModelError

Array = npt.NDArray[Any]
_KINDS = {"f": "floats", "c": "complex numbers", "i": "integers", "u": "integers", "b": "truth values"}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One output of the reference, and that of the candidate that answers to it."""

    name: str
    reference: Array
    candidate: Array

    @property
    def whole(self) -> bool:
        """Whether values are equal or not, with nothing between: integers, truth values and texts."""
        return self.reference.dtype.kind not in "fc"

    @property
    def mismatch(self) -> str:
        """How the two differ in kind or shape; "" if they do not."""
        kinds = [_kind(array) for array in (self.reference, self.candidate)]
        if kinds[0] != kinds[1]:
            return f"the output {self.name!r} is of {kinds[1]}, expected {kinds[0]}"
        shapes = [array.shape for array in (self.reference, self.candidate)]
        return (
            "" if shapes[0] == shapes[1] else f"the output {self.name!r} has shape {shapes[1]}, expected {shapes[0]}"
        )


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The outputs of one batch.

    Attributes:
        pairs: the outputs that both have, in the reference's order.
        broken: what does not fit in words, such as "the output 'aux' is missing"; "" if all fit.
        by_position: whether at least one side has no names for several outputs, so that their order pairs them.
    """

    pairs: tuple[Pair, ...] = ()
    broken: str = ""
    by_position: bool = False


def pair(reference: Any, candidate: Any) -> Paired:
    """Pair two trees of outputs.

    Two mappings are paired by name. A tuple has no names, so it is paired with a mapping in the mapping's order, and
    one bare array with a mapping of one.

    Raises:
        ModelError: an output is not an array.
    """
    ours, theirs = _flat(reference), _flat(candidate)
    names, others = list(ours), list(theirs)
    by_name = _has_names(reference) and _has_names(candidate)
    if by_name:
        broken = _unpaired(names, others)
        matched = [(name, name, name) for name in names if name in theirs]
    else:
        broken = _count(names, others) + _alone(list(ours.values()), theirs)
        labels = others if _has_names(candidate) and not _has_names(reference) else names
        matched = list(zip(labels, names, others, strict=False))
    pairs = tuple(Pair(name=label, reference=ours[name], candidate=theirs[other]) for label, name, other in matched)
    broken = broken or next(filter(None, (output.mismatch for output in pairs)), "")
    return Paired(pairs=pairs, broken=broken, by_position=not by_name and len(names) > 1)


def chosen(tree: Any, names: Sequence[str], model: str) -> Any:
    """Return the outputs of a tree that have some names, or all if there are none; those that are None are left out.

    The names of a tuple's outputs are their positions, such as "0". A bare array has no name and stays.

    Raises:
        ModelError: the model has no such output.
    """
    outputs = _entries(tree)
    if outputs is None:
        return tree
    lacking = [name for name in names if name not in outputs]
    if lacking:
        raise ModelError(f"{model} has no output {lacking[0]!r}. Its outputs are {_listed(list(outputs))}")
    kept = {name: outputs[name] for name in (names or outputs)}
    return kept if _has_names(tree) else tuple(kept.values())


def named_like(names: Sequence[str], tree: Any, other: Any) -> Sequence[str]:
    """Return what outputs are called in a tree: in a tuple, the positions that they have in another model's mapping.

    Args:
        names: as the user wrote them.
        tree: the outputs of one model.
        other: those of the other model.
    """
    ours, theirs = _entries(tree), _entries(other)
    if ours is None or theirs is None or _has_names(tree) or not _has_names(other) or len(ours) != len(theirs):
        return names
    order = list(theirs)
    return [str(order.index(name)) if name in theirs else name for name in names]


def _has_names(tree: Any) -> bool:
    return isinstance(tree, Mapping) or hasattr(tree, "_fields")


def _entries(tree: Any) -> dict[str, Any] | None:
    """Return a tree's outputs by name or position, without those that are None; None for a bare array."""
    if isinstance(tree, Mapping):
        outputs = {str(name): value for name, value in tree.items()}
    elif hasattr(tree, "_fields"):
        outputs = dict(zip(tree._fields, tree, strict=True))
    elif isinstance(tree, tuple) or (isinstance(tree, list) and any(map(_is_array, tree))):
        outputs = {str(at): value for at, value in enumerate(tree)}
    else:
        return None
    return {name: value for name, value in outputs.items() if value is not None}


def _is_array(value: Any) -> bool:
    return is_tensor(value) or (hasattr(value, "shape") and value.shape != ())


def _flat(tree: Any, name: str = "") -> dict[str, Array]:
    """Return all arrays of a tree by their names; those of inner trees get the outer name before a dot."""
    outputs = _entries(tree)
    if outputs is not None:
        inner = {key: f"{name}.{key}" if name else key for key in outputs}
        return {full: array for key in outputs for full, array in _flat(outputs[key], inner[key]).items()}
    try:
        return {name or "output": as_array(tree)}
    except ModelError as error:
        raise ModelError(
            f"the output {name or type(tree).__name__!r} cannot be compared: {error}. Name the outputs to compare, "
            "such as outputs=['logits']"
        ) from error


def _unpaired(names: Sequence[str], others: Sequence[str]) -> str:
    missing, extra = [name for name in names if name not in others], [name for name in others if name not in names]
    if missing and extra:
        return f"outputs are renamed: found {_listed(others)}, expected {_listed(names)}"
    if missing:
        return f"the output {missing[0]!r} is missing: found {_listed(others)}, expected {_listed(names)}"
    return f"there is an extra output {extra[0]!r}: expected {_listed(names)}" if extra else ""


def _count(names: Sequence[str], others: Sequence[str]) -> str:
    if len(others) == len(names):
        return ""
    counts = f"found {len(others)} ({_listed(others)}), expected {len(names)} ({_listed(names)})"
    if len(others) < len(names):
        return f"the output {names[len(others)]!r} is missing: {counts}"
    return f"there is an extra output {others[len(names)]!r}: {counts}"


def _alone(ours: Sequence[Array], theirs: Mapping[str, Array]) -> str:
    """Say how to compare the only output of the reference, if one of several of the candidate's has its form."""
    if len(ours) != 1 or len(theirs) < 2:
        return ""
    fits = [name for name, array in theirs.items() if not Pair(name="", reference=ours[0], candidate=array).mismatch]
    return f". To compare it alone, write outputs=[{fits[0]!r}]" if len(fits) == 1 else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _kind(array: Array) -> str:
    return _KINDS.get(array.dtype.kind, "texts")


def rows_of(array: Array, rows: int) -> npt.NDArray[np.intp]:
    """Return for each element which row it belongs to; -1 for all of an array that has not one row per sample."""
    if array.ndim == 0 or len(array) != rows:
        return np.full(array.size, -1)
    return np.repeat(np.arange(rows), array.size // rows) if rows else np.zeros(0, dtype=np.intp)
