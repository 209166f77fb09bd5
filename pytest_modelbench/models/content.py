"""A hash of what a torch module computes: weights, attributes, and the code of its classes and functions."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

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
)


class ContentHash:
    """Hashes content, the same in every process.

    Attributes:
        by_identity: whether something had no content to hash, and only counts as the object that it is: then nothing
            else ever has this hash, in another process not even the same model.
    """

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)
        self.by_identity = False
        self._open: set[Any] = set()

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
        if isinstance(value, torch.Tensor | np.ndarray):
            inner = ContentHash()
            inner.add_state(torch.as_tensor(value))
            return inner.hexdigest()
        if isinstance(value, type):
            return self._class_text(value)
        if isinstance(value, types.FunctionType):
            return self._function_text(value)
        if isinstance(value, types.MethodType):
            return f"{_name(type(value.__self__))}.{self.text_of(value.__func__)}"
        if isinstance(value, functools.partial):
            return f"partial{self.text_of([value.func, value.args, value.keywords])}"
        if isinstance(value, types.BuiltinFunctionType) and value.__module__:
            return _name(value)
        if dataclasses.is_dataclass(value):
            return f"{type(value).__qualname__}{self.text_of(vars(value))}"
        self.by_identity = True
        return f"{type(value).__qualname__}|{identity(value)}"

    def _class_text(self, kind: type) -> str:
        """Name a class, with the code of its methods where it is the user's: two may have the same name."""
        parts = [_name(kind)]
        if kind in self._open:
            return parts[0]
        self._open.add(kind)
        for base in kind.__mro__:
            if base.__module__.partition(".")[0] in {"builtins", "torch", "typing", "abc"}:
                continue
            for name, member in sorted(vars(base).items()):
                function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
                function = function.fget if isinstance(function, property) else function
                if isinstance(function, types.FunctionType):
                    parts.append(f"{name}:{self._function_text(function)}")
                elif isinstance(function, _NUMBERS) and not name.startswith("__"):
                    parts.append(f"{name}={function!r}")
        self._open.discard(kind)
        return "|".join(parts)

    def _function_text(self, function: types.FunctionType) -> str:
        """Name a function, with its code and what it closes over; one that closes over itself is named there."""
        if function in self._open:
            return _name(function)
        self._open.add(function)
        cells = [_content_of(cell) for cell in function.__closure__ or ()]
        text = f"{_name(function)}({self._code_text(function.__code__)}{self.text_of(cells)})"
        self._open.discard(function)
        return text

    def _code_text(self, code: types.CodeType) -> str:
        constants = [self._code_text(c) if isinstance(c, types.CodeType) else self.text_of(c) for c in code.co_consts]
        inner = hashlib.blake2b(code.co_code, digest_size=16)
        inner.update(repr((code.co_names, code.co_varnames, constants)).encode())
        return inner.hexdigest()


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _content_of(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
