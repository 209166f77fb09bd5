"""A hash of what a torch module computes: weights, attributes, and the code of its classes and functions."""

from __future__ import annotations

import dataclasses
import dis
import enum
import functools
import hashlib
import logging
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from pytest_modelbench.models.base import identity

_NUMBERS = (
    bool
    | int
    | float
    | complex
    | str
    | bytes
    | enum.Enum
    | torch.dtype
    | torch.device
    | torch.layout
    | torch.memory_format
    | PurePath
)


class ContentHash:
    """Hashes content, the same in every process.

    Args:
        root: the module whose parts are known by their paths.
        before: whether nothing was called yet, so that lists and mappings that code may change are as they were made.

    Attributes:
        by_identity: whether something had no content to hash, and only counts as the object that it is: then nothing
            else ever has this hash, in another process not even the same model.
    """

    def __init__(self, root: nn.Module, *, before: bool = False) -> None:
        self._before = before
        self._digest = hashlib.blake2b(digest_size=16)
        self.by_identity = False
        self._seen: dict[Any, int] = {}
        self._paths = {id(module): path for path, module in root.named_modules(remove_duplicate=False)}

    def hexdigest(self) -> str:
        """Return the hash of everything so far."""
        return self._digest.hexdigest()

    def add(self, *texts: str) -> None:
        """Add texts."""
        for text in texts:
            self._digest.update(f"|{text}".encode())

    def add_state(self, value: Any) -> None:
        """Add an entry of a state_dict."""
        if isinstance(value, torch.Tensor):
            self._add_tensor(value)
        elif isinstance(value, tuple | list):
            for item in value:
                self.add_state(item)
        elif isinstance(value, torch.ScriptObject) and hasattr(value, "__getstate__"):
            self.add_state(value.__getstate__())
        else:
            self.add(self.text_of(value))

    def _add_tensor(self, value: torch.Tensor) -> None:
        if hasattr(value, "__tensor_flatten__"):  # a subclass that packs other tensors, such as torchao's
            names, context = value.__tensor_flatten__()
            self.add(f"{type(value).__qualname__}{tuple(value.shape)}", self.text_of(context))
            for name in names:
                self.add_state(getattr(value, name))
            return
        tensor = value.detach()
        if tensor.is_quantized:
            tensor = tensor.dequantize()
        self.add(f"{tensor.dtype}{tuple(tensor.shape)}")
        if tensor.device.type != "meta":
            data = tensor.to_dense() if tensor.layout != torch.strided else tensor
            self._digest.update(data.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def text_of(self, value: Any) -> str:
        """Return a text that is equal for values that are equal."""
        if value is None or value is ... or isinstance(value, _NUMBERS):
            return repr(value)
        if isinstance(value, set | frozenset):
            return f"{type(value).__name__}({', '.join(sorted(map(self.text_of, value)))})"
        if isinstance(value, tuple | list):
            return f"{type(value).__name__}({', '.join(map(self.text_of, value))})"
        if isinstance(value, Mapping):
            return "{" + ", ".join(f"{self.text_of(key)}: {self.text_of(item)}" for key, item in value.items()) + "}"
        if isinstance(value, torch.Tensor):
            inner = ContentHash(nn.Module())
            inner.add_state(value)
            return inner.hexdigest()
        if isinstance(value, np.ndarray):
            content = repr(value.tolist()).encode() if value.dtype == object else value.tobytes()
            return f"{value.dtype}{value.shape}{hashlib.blake2b(content, digest_size=16).hexdigest()}"
        if _is_of_jax(value) and hasattr(value, "__array__"):
            return f"jax{self.text_of(np.asarray(value))}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
            return f"{_name(type(value))}{self.text_of({**fields, **getattr(value, '__dict__', {})})}"
        if type(value).__module__.startswith("transformers.") and callable(getattr(value, "to_dict", None)):
            return f"{_name(type(value))}{self.text_of(value.to_dict())}"  # such as a generation configuration
        code = self._code_of(value)
        if code is not None:
            return code
        self.by_identity = True
        return f"{type(value).__qualname__}|{identity(value)}"

    def _code_of(self, value: Any) -> str | None:
        """Return a text for what is code or named by it, None for anything else."""
        if isinstance(value, type):
            return self._class_text(value)
        if isinstance(value, types.FunctionType):
            return self._function_text(value)
        if isinstance(value, types.MethodType):
            return f"{self._owner_text(value.__self__)}.{self.text_of(value.__func__)}"
        if isinstance(value, functools.partial):
            return f"partial{self.text_of([value.func, value.args, value.keywords])}"
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(value, logging.Logger):
            return value.name
        if isinstance(value, types.BuiltinFunctionType) and value.__module__:
            return _name(value)
        if _is_of_jax(value) and hasattr(value, "__wrapped__"):
            return f"jax{self.text_of(value.__wrapped__)}"  # what jax.jit, or a rule for gradients, is around
        return None

    def _owner_text(self, owner: Any) -> str:
        """Say whose bound method something is: a part of the model by its path, for its state is hashed there."""
        return f"module {self._paths[id(owner)]}" if id(owner) in self._paths else self.text_of(owner)

    def _class_text(self, kind: type) -> str:
        """Name a class, with its methods and attributes where it is the user's: two may have the same name."""
        if kind in self._seen:
            return f"{_name(kind)}#{self._seen[kind]}"
        self._seen[kind] = len(self._seen)
        if issubclass(kind, enum.Enum):
            return f"{_name(kind)}{[repr(member) for member in kind]}"
        parts = [_name(kind)]
        for base in kind.__mro__:
            if not is_library(base):
                parts += self._members(base)
        return "|".join(parts)

    def _members(self, kind: type) -> Iterator[str]:
        members = {name: function_of(member) for name, member in sorted(vars(kind).items())}
        codes = [member.__code__ for member in members.values() if isinstance(member, types.FunctionType)]
        stored = {name for code in codes for name in _stored(code)}
        for name, member in members.items():
            if isinstance(member, types.FunctionType):
                yield f"{name}:{self._function_text(member)}"
            elif not name.startswith(("__", "_abc_")) and name not in stored and not hasattr(member, "__set__"):
                yield f"{name}={self.text_of(member)}"

    def _function_text(self, function: types.FunctionType) -> str:
        """Name a function; the user's with its code, defaults, what it closes over and which globals it reads."""
        if function in self._seen:
            return f"{_name(function)}#{self._seen[function]}"
        if is_library(function):
            return _name(function)
        self._seen[function] = len(self._seen)
        cells = [cell_content(cell) for cell in function.__closure__ or ()]
        values = [cells, function.__defaults__, function.__kwdefaults__]
        read = "".join(self._globals(function))
        return f"{_name(function)}({self._code_text(function.__code__)}{self.text_of(values)}{read})"

    def _globals(self, function: types.FunctionType) -> Iterator[str]:
        """Yield the globals that a function reads; one that changes while models run is not part of their content."""
        stored = _stored(function.__code__)
        for name in names_read(function.__code__):
            if name in function.__globals__ and name not in stored:
                value = function.__globals__[name]
                if isinstance(value, dict | list | set) and not self._before:
                    self.by_identity = True
                if isinstance(value, types.ModuleType):
                    yield f"{name}={self._module_text(value, names_read(function.__code__))}"
                else:
                    yield f"{name}={type(value) if self.by_identity else self.text_of(value)}"

    def _module_text(self, module: types.ModuleType, names: list[str]) -> str:
        """Name a module; the user's with those of its contents whose names the code reads, too."""
        if is_installed(module.__name__) or module in self._seen:
            return module.__name__
        self._seen[module] = len(self._seen)
        parts = [module.__name__]
        for name in names:
            value = vars(module).get(name)
            if isinstance(value, types.ModuleType):
                parts.append(self._module_text(value, names))
            elif isinstance(value, type | types.FunctionType | _NUMBERS | torch.Tensor | np.ndarray):
                parts.append(f"{name}={self.text_of(value)}")
        del self._seen[module]  # another function may read other names of it
        return "|".join(parts)

    def _code_text(self, code: types.CodeType) -> str:
        constants = [self._code_text(c) if isinstance(c, types.CodeType) else self.text_of(c) for c in code.co_consts]
        inner = hashlib.blake2b(code.co_code, digest_size=16)
        inner.update(repr((code.co_names, code.co_varnames, constants)).encode())
        return inner.hexdigest()


def lasting_content(thing: Any) -> str | None:
    """Return a hash of a function, or of an object with the code of its class, that holds in other sessions, too.

    Args:
        thing: a callable of the user's.

    Returns:
        32 hexadecimal digits; None where some part has no content to hash, such as a session of a runtime.
    """
    content, kind = ContentHash(nn.Module(), before=True), type(thing)
    if isinstance(thing, dict | list | set | tuple | np.ndarray) or any("__slots__" in vars(c) for c in kind.__mro__):
        return None
    try:
        text = content.text_of(thing)
        if content.by_identity and hasattr(thing, "__dict__") and not is_library(kind):
            content = ContentHash(nn.Module(), before=True)
            text = f"{content.text_of(kind)}{content.text_of(vars(thing))}"
    except (RecursionError, AttributeError, TypeError, ValueError):  # objects that hold each other
        return None
    return None if content.by_identity else hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _is_of_jax(value: Any) -> bool:
    """Whether something is an object of JAX; JAX is not imported for the question."""
    return type(value).__module__.partition(".")[0] in {"jax", "jaxlib"}


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def names_read(code: types.CodeType) -> list[str]:
    """Return the global names that code may read, with that of functions defined in it."""
    inner = [
        name for constant in code.co_consts if isinstance(constant, types.CodeType) for name in names_read(constant)
    ]
    return sorted({*code.co_names, *inner})


def _stored(code: types.CodeType) -> set[str]:
    """Return the names that code assigns as globals or attributes, with that of functions defined in it."""
    names = {str(step.argval) for step in dis.get_instructions(code) if step.opname in {"STORE_GLOBAL", "STORE_ATTR"}}
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return names.union(*map(_stored, inner))


def function_of(member: Any) -> Any:
    """Return the function behind a member of a class, or the member itself."""
    function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
    return function.fget if isinstance(function, property) else function


def is_library(thing: Any) -> bool:
    """Whether a class or function is installed or Python's own, so that its name says what is in it."""
    return "<locals>" not in thing.__qualname__ and is_installed(thing.__module__ or "")


@functools.cache
def is_installed(module: str) -> bool:
    """Whether a module is Python's own or was installed, so that it is not the user's."""
    if module.partition(".")[0] in {*sys.stdlib_module_names, "torch", "pytest_modelbench"} and module != "__main__":
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and bool({"site-packages", "dist-packages"} & set(Path(file).parts))


def cell_content(cell: types.CellType) -> Any:
    """Return what a closure holds, None where it is not filled yet."""
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
