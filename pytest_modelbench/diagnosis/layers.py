"""The layers with weights of a torch module, and the calls that one call of the module makes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pytest_modelbench.diagnosis.operators import in_turn
from pytest_modelbench.diagnosis.subject import Call, Subject
from pytest_modelbench.models.base import Model
from pytest_modelbench.results import Estimate


@dataclass(frozen=True, kw_only=True)
class LayerCall:
    """One call of a layer, with what it was given and what it returned."""

    path: str
    layer: nn.Module
    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    output: Any = field(repr=False)


def weighted_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the innermost modules that hold weights, by path: parameters, matrices in buffers, or packed ones."""
    holders = {path: part for path, part in module.named_modules() if path and _holds_weights(part)}
    wholes = {path for path, part in holders.items() if _is_whole(part)}
    return {
        path: part
        for path, part in holders.items()
        if not any(path.startswith(f"{whole}.") for whole in wholes)
        and (path in wholes or not any(other.startswith(f"{path}.") for other in holders))
    }


def _holds_weights(part: nn.Module) -> bool:
    own = (*part.parameters(recurse=False), *(b for b in part.buffers(recurse=False) if b.dim() > 1))
    return bool(own) or hasattr(part, "parametrizations") or hasattr(part, "_packed_params")


def _is_whole(part: nn.Module) -> bool:
    """Whether modules inside of a layer are not called by themselves: attention, parametrisations, packed weights."""
    packed = isinstance(getattr(part, "_packed_params", None), nn.Module)
    return packed or isinstance(part, nn.MultiheadAttention) or hasattr(part, "parametrizations")


def parameters_of(layer: nn.Module) -> int:
    """Return the number of a layer's parameters."""
    return sum(parameter.numel() for parameter in layer.parameters())


def matrices_of(layer: nn.Module) -> tuple[int, ...]:
    """Return the identities of a layer's weights of two or more dimensions: equal for layers that share them."""
    return tuple(id(parameter) for parameter in layer.parameters() if parameter.dim() > 1)


def calls_of(model: Model, call: Call, layers: Mapping[str, nn.Module]) -> list[LayerCall]:
    """Run a call of a model once and return the calls of some of its layers, in the order in which they end.

    A call inside of another one that is recorded is part of that one. Calls in other threads are left out: their time
    is not that of the calling thread.
    """
    here = threading.get_ident()
    calls: list[LayerCall] = []
    entered: list[nn.Module] = []

    def enter(layer: nn.Module, _args: Any, _kwargs: Any) -> None:
        if threading.get_ident() == here:
            entered.append(layer)

    def leave(path: str) -> Callable[..., None]:
        def hook(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if threading.get_ident() != here:
                return
            entered.pop()
            if not entered:
                calls.append(LayerCall(path=path, layer=layer, args=args, kwargs=kwargs, output=output))

        return hook

    handles = [
        handle
        for path, layer in layers.items()
        for handle in (
            layer.register_forward_pre_hook(enter, with_kwargs=True),
            layer.register_forward_hook(leave(path), with_kwargs=True),
        )
    ]
    try:
        with model.running():
            call()
    finally:
        for handle in handles:
            handle.remove()
    return calls


def students_calls(subject: Subject, layers: Mapping[str, nn.Module] | None = None) -> list[LayerCall]:
    """Return the calls of the student's layers in one call of it; of all layers with weights unless given."""
    chosen = weighted_layers(subject.module) if layers is None else layers
    calls = calls_of(subject.student, subject.call, chosen)
    subject.beat()
    return calls


def teachers_module(subject: Subject) -> nn.Module | None:
    """Return the teacher's torch module, or None."""
    module = getattr(subject.teacher, "module", None)
    return module if isinstance(module, nn.Module) else None


def teachers_calls(subject: Subject, layers: Mapping[str, nn.Module] | None = None) -> list[LayerCall]:
    """Return the same of the teacher; none without a torch module as teacher."""
    teacher, module = subject.teacher, teachers_module(subject)
    if teacher is None or module is None:
        return []
    chosen = weighted_layers(module) if layers is None else layers
    calls = calls_of(teacher, teacher.bind(subject.inputs), chosen)
    subject.beat()
    return calls


def again(calls: Sequence[LayerCall]) -> Call:
    """Return a call that runs layers alone, on what they were given."""
    return in_turn([(call.layer, call.args, call.kwargs) for call in calls])


def share_of(subject: Subject, calls: Sequence[LayerCall]) -> Estimate:
    """Return the share of the student's time that some calls of its layers take, run alone."""
    return subject.watch.ratio(again(calls), subject.call).map(lambda value: min(value, 1.0))
