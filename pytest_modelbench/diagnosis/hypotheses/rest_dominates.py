"""The part that was made smaller is faster, and takes little of the time (Amdahl's law)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn

from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.layers import (
    again,
    parameters_of,
    share_of,
    students_calls,
    teachers_calls,
    teachers_module,
    weighted_layers,
)
from pytest_modelbench.diagnosis.operators import trace
from pytest_modelbench.diagnosis.subject import Subject

DOMINATES = 0.5
"""The share of the time that dominates it."""
SAME_WORK = 0.5
"""The share of the rest's bytes that the teacher must move in the same operators."""
MOST_OF_SAVED = 0.5


def rest_dominates(subject: Subject) -> Finding | None:
    """Time the layers that differ from the teacher's alone; what is left was not made smaller.

    It only counts if the teacher does the same rest, and if the student's layers are faster than the teacher's.
    """
    teacher = teachers_module(subject)
    if teacher is None:
        return None
    mine, theirs = _changed(subject.module, teacher), _changed(teacher, subject.module)
    calls, before = students_calls(subject, mine), teachers_calls(subject, theirs)
    if not calls or not before or not _same_rest(subject, calls, before):
        return None
    rest = share_of(subject, calls).map(lambda value: 1.0 - value)
    if (rest.low or 0.0) < DOMINATES:
        return None
    faster = subject.watch.ratio(again(before), again(calls))
    if (faster.low or 0.0) <= 1.0:
        return None
    return Finding(
        cause="rest_dominates",
        text=f"{100 * rest.value:.0f}% of the time is work that was not made smaller; the {len(calls)} layers that "
        f"were are {faster.value:.1f}x faster than the teacher's",
        evidence={
            "layers_made_smaller": len(mine),
            "share_of_the_rest": rest.value,
            "speedup_of_these_layers": faster.value,
            "most_speedup_left": 1.0 / max(rest.value, 1e-9),
        },
        counterfactual="only the work that was not made smaller",
        gives_back=rest,
        remedy="Make the rest faster: prepare inputs before the model, and profile the operators outside of the "
        "compressed layers",
    )


def _changed(module: nn.Module, other: nn.Module) -> dict[str, nn.Module]:
    """Return the layers with weights that another module has not with the same values at the same path."""
    there = weighted_layers(other)
    return {path: layer for path, layer in weighted_layers(module).items() if not _equal(layer, there.get(path))}


def _equal(layer: nn.Module, other: nn.Module | None) -> bool:
    if other is None or type(layer) is not type(other):
        return False
    mine, theirs = layer.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        isinstance(theirs[name], torch.Tensor)
        and tensor.shape == theirs[name].shape
        and bool(torch.equal(tensor, theirs[name]))
        for name, tensor in mine.items()
        if isinstance(tensor, torch.Tensor)
    )


def _same_rest(subject: Subject, calls: Any, before: Any) -> bool:
    """Whether the teacher moves at least half as many bytes in the same operators outside of changed layers."""
    teacher = subject.teacher
    if teacher is None:
        return False
    mine = _bytes(subject, subject.call) - _bytes(subject, again(calls))
    with teacher.running():
        theirs = _bytes(subject, teacher.bind(subject.inputs)) - _bytes(subject, again(before))
    return sum((mine & theirs).values()) >= SAME_WORK * sum(mine.values())


def _bytes(subject: Subject, call: Any) -> Counter[str]:
    moved: Counter[str] = Counter()
    for operator in trace(subject, call):
        moved[operator.name] += operator.moved_bytes
    return moved


def embeddings_saved(subject: Subject) -> Finding | None:
    """Find students most of whose saved parameters are rows of embeddings, which are looked up and not multiplied."""
    teacher = teachers_module(subject)
    if teacher is None:
        return None
    saved = parameters_of(teacher) - parameters_of(subject.module)
    rows = _in_embeddings(teacher) - _in_embeddings(subject.module)
    if saved <= 0 or rows < MOST_OF_SAVED * saved:
        return None
    lookups = {path: layer for path, layer in weighted_layers(subject.module).items() if _is_embedding(layer)}
    calls = students_calls(subject, lookups)
    if not calls:
        return None
    rest = share_of(subject, calls).map(lambda value: 1.0 - value)
    return Finding(
        cause="embeddings_saved",
        text=f"{100 * min(rows / saved, 1.0):.0f}% of the saved parameters are rows of embeddings, which take "
        f"{100 * (1 - rest.value):.1f}% of the time",
        evidence={"saved_parameters": saved, "saved_in_embeddings": rows, "share_of_embeddings": 1.0 - rest.value},
        counterfactual="only the layers that are not embeddings",
        gives_back=rest,
        remedy="Expect less memory, not less time; for less time make the layers smaller that multiply",
    )


def _is_embedding(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Embedding | nn.EmbeddingBag)


def _in_embeddings(module: nn.Module) -> int:
    return sum(parameters_of(part) for part in module.modules() if _is_embedding(part))
