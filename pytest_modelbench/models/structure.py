"""Describe the structure of a model without its weights: two builds of equal structure cost the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from pytest_modelbench.models.base import Model


def structure_of(model: Model) -> str:
    """Return a text that is equal for models of the same parts, shapes and types, in every process.

    Of a torch module these are its modules, parameters and buffers, and an adapter may know better; of anything else
    only its class is known.
    """
    inner = getattr(model, "inner", model)
    if own := inner.structure():
        return f"{model.kind}:{own}"
    module = getattr(inner, "module", None)
    if not hasattr(module, "named_modules"):
        return f"{model.kind}:{type(model).__qualname__}"
    digest = hashlib.blake2b(digest_size=8)
    for line in _lines(module):
        digest.update(line.encode() + b"\n")
    return f"{model.kind}:{digest.hexdigest()}"


def _lines(module: Any) -> Iterator[str]:
    for path, part in module.named_modules(remove_duplicate=False):
        yield f"{path} {type(part).__qualname__} {getattr(part, 'original_name', '')}"
    for tensors in (module.named_parameters, module.named_buffers):
        for name, tensor in tensors(remove_duplicate=False):
            shape = "lazy" if "Uninitialized" in type(tensor).__name__ else tuple(tensor.shape)
            yield f"{name} {type(tensor).__qualname__} {tensor.dtype} {shape} {tensor.layout}"
