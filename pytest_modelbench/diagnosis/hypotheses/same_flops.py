"""Fewer parameters that compute as much: weights that are shared, or applied at more positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pytest_modelbench.diagnosis.counterfactual import part_saved
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.layers import (
    LayerCall,
    again,
    matrices_of,
    parameters_of,
    share_of,
    students_calls,
    teachers_calls,
    teachers_module,
)
from pytest_modelbench.diagnosis.subject import Subject

SMALLER, AS_MUCH = 0.9, 0.9
"""Shares of the teacher's parameters and FLOPs that make a student smaller without computing less."""
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def shared_weights(subject: Subject) -> Finding | None:
    """Time the calls of layers after their first: storing weights once saves none of them."""
    calls = [call for call in students_calls(subject) if matrices_of(call.layer)]
    repeated = _repeated(calls)
    if len(repeated) <= len(_repeated([call for call in teachers_calls(subject) if matrices_of(call.layer)])):
        return None
    gain = share_of(subject, repeated)
    distinct = len(calls) - len(repeated)
    return Finding(
        cause="shared_weights",
        text=f"{len(calls)} calls of layers share {distinct} sets of weights; the {len(repeated)} calls after the "
        f"first of each take {100 * gain.value:.0f}% of the time",
        evidence={"calls_of_layers": len(calls), "sets_of_weights": distinct, "share_of_repeated_calls": gain.value},
        counterfactual="each set of weights called once",
        gives_back=gain,
        remedy="Expect less memory, not less time; for less time run fewer layers, or make them narrower",
    )


def _repeated(calls: Sequence[LayerCall]) -> list[LayerCall]:
    seen: set[tuple[int, ...]] = set()
    repeated = []
    for call in calls:
        key = matrices_of(call.layer)
        if key in seen:
            repeated.append(call)
        seen.add(key)
    return repeated


def same_flops(subject: Subject) -> Finding | None:
    """Time the layers at as many positions as the teacher's: resolution that is kept costs what parameters save."""
    teacher = teachers_module(subject)
    if teacher is None or subject.teacher is None:
        return None
    size = parameters_of(subject.module) / max(parameters_of(teacher), 1)
    mine, theirs = students_calls(subject), teachers_calls(subject)
    positions = _positions(mine) / max(_positions(theirs), 1e-9)
    if size > SMALLER or positions <= 1.0 or _flops(mine) < AS_MUCH * _flops(theirs) or _repeated(mine):
        return None
    whole = [call for call in mine if _is_matrix(call.layer)]
    fewer = [_at_fewer(call, positions) for call in whole]
    gain = part_saved(subject, again(whole), again(fewer))
    ratio = _flops(mine) / max(_flops(theirs), 1)
    return Finding(
        cause="same_flops",
        text=f"{100 * size:.0f}% of the teacher's parameters compute {100 * ratio:.0f}% of its FLOPs: each weight is "
        f"applied at {positions:.1f} times as many positions",
        evidence={"parameters_ratio": size, "flops_ratio": ratio, "positions_ratio": positions},
        counterfactual="the layers alone, at as many positions as the teacher's",
        gives_back=gain,
        remedy="Reduce the resolution earlier (strides, pooling, shorter sequences): parameters do not show the work",
    )


def _is_matrix(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Linear, *_CONVOLUTIONS))


def _weights(call: LayerCall) -> int:
    weight = getattr(call.layer, "weight", None)
    return weight.numel() if isinstance(weight, torch.Tensor) else 0


def _applied(call: LayerCall) -> int:
    """Return at how many positions a call applies its weights, over the samples of the batch."""
    if not isinstance(call.output, torch.Tensor):
        return 0
    width = call.output.shape[1] if isinstance(call.layer, _CONVOLUTIONS) else call.output.shape[-1]
    return call.output.numel() // max(width, 1)


def _flops(calls: Sequence[LayerCall]) -> int:
    return sum(2 * _weights(call) * _applied(call) for call in calls if _is_matrix(call.layer))


def _positions(calls: Sequence[LayerCall]) -> float:
    """Return at how many positions a weight is applied on average."""
    weights = sum(_weights(call) for call in calls if _is_matrix(call.layer))
    return _flops(calls) / (2 * weights) if weights else 0.0


def _at_fewer(call: LayerCall, times: float) -> LayerCall:
    """Return the call on a part of its input that has so many times fewer positions."""
    tensor: Any = call.args[0] if call.args else next(iter(call.kwargs.values()))
    inner = range(2, tensor.dim()) if isinstance(call.layer, _CONVOLUTIONS) else range(tensor.dim() - 1)[-1:]
    for dim in inner:
        left = max(1, round(tensor.shape[dim] / times ** (1 / len(inner))))
        tensor = tensor.narrow(dim, 0, left)
    return replace(call, args=(tensor.contiguous(), *call.args[1:]), kwargs={} if not call.args else call.kwargs)
