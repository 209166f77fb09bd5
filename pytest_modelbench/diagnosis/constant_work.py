"""Which operators of a call depend on weights only, and could have run once instead of in every call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pytest_modelbench.diagnosis.subject import Call, Subject
from pytest_modelbench.models.reads import address


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator that ran in a call and whose inputs are weights, or were made of weights.

    Attributes:
        run: runs it again; its result is dropped.
        name: as torch writes it, such as "aten.mul".
        sources: the names of the weights.
        elements: the count of numbers that it makes.
    """

    run: Call
    name: str
    sources: frozenset[str]
    elements: int


def constant_operators(subject: Subject, module: nn.Module) -> list[Operator]:
    """Run the student once and return the operators that write new memory and depend on weights only, in order."""
    trace = _Trace(named_weights(module))
    with trace:
        subject.call()
    subject.beat()
    return trace.operators


def integer_weights(module: nn.Module) -> frozenset[str]:
    """Return the names of weights that are kept in 8-bit floats, or in integers of at most 32 bits."""
    return frozenset(name for name, tensor in named_weights(module) if _is_compressed(tensor))


def replay(operators: Sequence[Operator]) -> Call:
    """Return a call that runs operators again, on the inputs that they had."""

    def run() -> None:
        for operator in operators:
            operator.run()

    return run


def _is_compressed(tensor: torch.Tensor) -> bool:
    size = tensor.element_size()
    return size == 1 if tensor.is_floating_point() else tensor.dtype != torch.bool and size <= 4


def named_weights(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return parameters, buffers and plain attributes that are tensors, and the parts of packed ones, with names."""
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for path, part in module.named_modules():
        plain = [(key, value) for key, value in vars(part).items() if isinstance(value, torch.Tensor)]
        named += [(f"{path}.{key}".lstrip("."), value) for key, value in plain]
    return [part for name, tensor in named for part in _parts(name, tensor)]


def _parts(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    if not hasattr(tensor, "__tensor_flatten__"):
        yield name, tensor
        return
    for key in tensor.__tensor_flatten__()[0]:
        inner = getattr(tensor, key)
        if isinstance(inner, torch.Tensor):
            yield from _parts(f"{name}.{key}", inner)


class _Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows what is made of weights only; it keeps that alive, so that no address is used twice."""

    def __init__(self, weights: Sequence[tuple[str, torch.Tensor]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._sources = {address(tensor): frozenset({name}) for name, tensor in weights}
        self._alive: list[torch.Tensor] = []
        self._inputs_were_read = False
        self.operators: list[Operator] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if any(hasattr(kind, "__tensor_flatten__") for kind in types):
            return NotImplemented  # a packed tensor's own dispatch shows the operators that it runs
        addresses = [address(tensor) for tensor in _tensors((args, named))]
        output = func(*args, **named)
        made = _tensors(output)
        if self._is_constant(func, addresses):
            sources = frozenset[str]().union(*(self._sources[key] for key in addresses))
            new = [tensor for tensor in made if address(tensor) not in addresses]
            self._alive += made
            self._sources |= {address(tensor): sources for tensor in new}
            if new and sources:
                self.operators.append(_operator(func, args, named, sources, new))
        else:
            self._forget(func, args, named)
            self._inputs_were_read |= bool(addresses) and not made  # .item(): a number that a size may be made of
        return output

    def _is_constant(self, func: Any, addresses: Sequence[int]) -> bool:
        if func._schema.is_mutable or torch.Tag.nondeterministic_seeded in func.tags:  # noqa: SLF001
            return False
        return all(key in self._sources for key in addresses) and (bool(addresses) or not self._inputs_were_read)

    def _forget(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        for number, argument in enumerate(func._schema.arguments):  # noqa: SLF001
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = args[number] if number < len(args) else kwargs.get(argument.name)
                for tensor in _tensors(value):
                    self._sources.pop(address(tensor), None)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _operator(
    func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], sources: frozenset[str], new: Sequence[torch.Tensor]
) -> Operator:
    def run() -> Any:
        return func(*args, **kwargs)

    elements = sum(tensor.numel() for tensor in new)
    return Operator(run=run, name=str(func.overloadpacket), sources=sources, elements=elements)
