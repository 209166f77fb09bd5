"""Where a torch module keeps numbers outside of its parameters and buffers: attributes, closures, globals, graphs."""

from __future__ import annotations

import functools
import types
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pytest_modelbench.models.content import cell_content, function_of, is_installed, is_library, names_read

_INTERNALS = frozenset(nn.Module().__dict__)
_MOST = 100_000
_RECOMPUTED = ("_orig", "_g", "_v")  # torch's prune and weight_norm write a weight anew before each call


@dataclass(frozen=True, kw_only=True)
class Held:
    """A tensor and the place where it was found.

    `owner` is the path of the module that it is a buffer of, or "()" for a tensor that no module owns. `saved` says
    whether a state_dict has it.
    """

    name: str
    owner: str
    tensor: torch.Tensor
    saved: bool = False


ELSEWHERE = "()"


def held_outside(module: nn.Module) -> list[Held]:
    """Return the tensors and arrays of numbers that a module can reach, and has not registered."""
    return [*_Walk(module)]


class _Walk:
    """Goes through attributes, containers, closures and the globals that the user's code names."""

    def __init__(self, root: nn.Module) -> None:
        self._seen: set[int] = {id(part) for part in root.modules()}
        self._kept: list[Any] = []  # an id is only worth something while its object lives
        self._open: deque[tuple[str, Any]] = deque()
        self._found: list[Held] = []
        for path, part in root.named_modules():
            self._enter(path, part)

    def __iter__(self) -> Iterator[Held]:
        while self._open and len(self._seen) < _MOST:
            path, value = self._open.popleft()
            if id(value) in self._seen:
                continue
            self._seen.add(id(value))
            self._kept.append(value)
            tensor = _numbers(value)
            if tensor is not None:
                yield Held(name=path, owner=ELSEWHERE, tensor=tensor)
            else:
                self._look_into(path, value)

    def _enter(self, path: str, part: nn.Module) -> None:
        """Look at what a module has beside its registered parts."""
        if isinstance(part, torch.jit.ScriptModule):
            return
        own = vars(part)
        for key, value in own.items():
            weights = own["_parameters"]
            if key not in _INTERNALS and not any(key + suffix in weights for suffix in _RECOMPUTED):
                self._push(f"{path}.{key}" if path else key, value)
        self._push(path, type(part))

    def _push(self, path: str, value: Any) -> None:
        if value is not None and not isinstance(value, bool | int | float | str | bytes):
            self._open.append((path, value))

    def _look_into(self, path: str, value: Any) -> None:
        if isinstance(value, nn.Module):  # one that is not registered, such as in a list
            for name, tensor in (*value.named_parameters(), *value.named_buffers()):
                self._push(f"{path}.{name}", tensor)
            for name, part in value.named_modules():
                self._seen.add(id(part))
                self._enter(f"{path}.{name}" if name else path, part)
        elif isinstance(value, type | types.FunctionType | types.ModuleType):
            self._look_into_code(path, value)
        elif isinstance(value, types.MethodType):
            self._push(path, value.__self__)
            self._push(path, value.__func__)
        elif isinstance(value, functools.partial):
            self._push(path, [value.func, value.args, value.keywords])
        elif isinstance(value, Mapping):
            for key, item in list(value.items()):
                self._push(f"{path}[{key!r:.40}]", item)
        elif isinstance(value, list | tuple | set | frozenset | deque):
            for number, item in enumerate(list(value)):
                self._push(f"{path}[{number}]", item)
        elif not is_library(type(value)) or isinstance(value, types.SimpleNamespace):
            self._look_into_object(path, value)

    def _look_into_object(self, path: str, value: Any) -> None:
        slots = {name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) or ()}
        own = getattr(value, "__dict__", None)
        for key, item in {**(own if isinstance(own, dict) else {}), **_slots(value, slots)}.items():
            self._push(f"{path}.{key}", item)
        self._push(path, type(value))

    def _look_into_code(self, path: str, value: Any) -> None:
        """Look at what code of the user's reads: closures, defaults, globals by name, attributes of classes."""
        if isinstance(value, types.ModuleType) or is_library(value):
            return
        if isinstance(value, type):
            for kind in value.__mro__:
                for key, member in list(vars(kind).items()) if not is_library(kind) else ():
                    if not key.startswith("__") or isinstance(member, types.FunctionType):
                        self._push(f"{path}.{key}", function_of(member))
            return
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            self._push(f"{path}:{name}", cell_content(cell))
        self._push(path, [value.__defaults__, value.__kwdefaults__, vars(value)])
        names = names_read(value.__code__)
        for name in names:
            bound = value.__globals__.get(name)
            self._push(name, bound)
            if isinstance(bound, types.ModuleType) and not is_installed(bound.__name__):
                for key in names:
                    self._push(f"{name}.{key}", vars(bound).get(key))


def _slots(value: Any, names: set[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names if not name.startswith("__") and hasattr(value, name)}


def _numbers(value: Any) -> torch.Tensor | None:
    """Return a tensor of a tensor or an array of numbers, None for anything else."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an array that cannot be written to is only read here
            return torch.from_numpy(value)
    except (TypeError, ValueError):  # a byte order or a type that torch has not
        return None


def graph_constants(module: torch.jit.ScriptModule) -> list[tuple[str, Any]]:
    """Return the tensors and packed weights that TorchScript has in its code or as plain attributes.

    `torch.jit.freeze` makes constants of all parameters and buffers; statistics of a normalisation are left out.
    """
    registered = {tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    constants: dict[int | str, tuple[str, Any]] = {}
    graph: Any = module.inlined_graph  # nodes die with it
    for node in graph.findAllNodes("prim::Constant"):
        if node.hasAttribute("value") and not _is_statistic(node):
            kind = node.kindOf("value")
            value = node.t("value") if kind == "t" else node.ival("value") if kind == "ival" else None
            _remember(constants, node.output().debugName(), value)
    for node in graph.findAllNodes("prim::GetAttr"):
        path = _path(node)
        read: Any = module
        for name in path:
            read = getattr(read, name, None)
        if not isinstance(read, torch.Tensor) or read.data_ptr() not in registered:
            _remember(constants, ".".join(path), read)
    return list(constants.values())


def _remember(constants: dict[int | str, tuple[str, Any]], name: str, value: Any) -> None:
    if isinstance(value, torch.ScriptObject):
        constants[name] = (name, value)  # each access makes another object of Python's
    elif isinstance(value, torch.Tensor):
        constants[value.data_ptr()] = (name, value)


def _is_statistic(node: Any) -> bool:
    uses = [(use.user.kind(), use.offset) for use in node.output().uses()]
    return bool(uses) and all(kind.endswith("batch_norm") and offset in {3, 4} for kind, offset in uses)


def _path(node: Any) -> list[str]:
    """Return the names by which a node comes from the module to what it reads."""
    above = node.inputsAt(0).node()
    return [*(_path(above) if above.kind() == "prim::GetAttr" else []), node.s("name")]
