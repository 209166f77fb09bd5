"""Weights that are kept in another form than parameters: packed bits, packed objects, constants of graphs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_modelbench.data.arrays import leaves
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.holders import Held, graph_constants

_BITS = 4
"""The fewest bits that a packed weight is taken to have, where only a bound is asked for."""
_PACKING = {torch.int8, torch.uint8, torch.int16, torch.int32}


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Weights that are kept in other numbers than they are, such as eight of four bits in one int32."""

    elements: int
    zeros: int = 0


def is_packed(tensor: torch.Tensor) -> bool:
    """Whether a tensor may pack weights: integers of few bits, or floats of eight."""
    return tensor.dtype in _PACKING or (tensor.is_floating_point() and tensor.element_size() == 1)


def most_in_one(tensor: torch.Tensor) -> int:
    """Return how many weights one element of a tensor holds at most."""
    return max(1, 8 * tensor.element_size() // _BITS) if tensor.dtype in _PACKING else 1


def elements_of(tensor: torch.Tensor) -> int:
    """Return how many weights a parameter is: bitsandbytes packs two into each element, and says what they were."""
    shape = getattr(getattr(tensor, "quant_state", None), "shape", None)
    return math.prod(shape) if isinstance(shape, torch.Size | tuple) else tensor.numel()


def inner_tensors(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield a tensor and, of a subclass that packs others (torchao's), those that it is made of."""
    yield tensor
    if hasattr(tensor, "__tensor_flatten__"):
        for name in tensor.__tensor_flatten__()[0]:
            yield from inner_tensors(getattr(tensor, name))


def packed_layers(module: nn.Module) -> Iterator[tuple[str, Packed]]:
    """Yield linear layers with packed buffers in the place of a weight, as GPTQ, AWQ and HQQ make them."""
    for path, part in module.named_modules():
        widths = [getattr(part, name, None) for name in ("in_features", "out_features")]
        widths = (
            widths if None not in widths else [getattr(part, name, None) for name in ("infeatures", "outfeatures")]
        )
        if not all(isinstance(width, int) and width > 0 for width in widths) or type(part).__module__ == "torch.nn":
            continue
        elements = math.prod(width for width in widths if width is not None)
        own = [*part.parameters(recurse=False), *part.buffers(recurse=False)]
        buffers = [b for b in part.buffers(recurse=False) if b.dtype in _PACKING and b.dim() > 1]
        fits = any(b.numel() <= elements <= b.numel() * most_in_one(b) * 2 for b in buffers)
        if fits and not any(t.is_floating_point() and t.numel() >= elements for t in own):
            yield path, Packed(elements=elements)


def packed_weights(module: nn.Module, name: str) -> Iterator[torch.Tensor]:
    """Yield weights and biases that torch's quantised modules keep in objects.

    Raises:
        MeasurementError: an object that cannot be opened.
    """
    opened: list[str] = []
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule) or any(path.startswith(outer) for outer in opened):
            continue
        opener = getattr(part, "_weight_bias", None) if hasattr(type(part), "_weight_bias") else None
        if callable(opener):
            opened.append(f"{path}." if path else "")
            packed = opener()
            yield from _stored(tuple(packed) if isinstance(packed, list | tuple) else packed)
        elif any(isinstance(value, torch.ScriptObject) for value in vars(part).values()):
            raise _sealed(name, path or "the module", type(part).__name__)


def graph_tensors(module: nn.Module, name: str) -> tuple[list[Held], list[torch.Tensor]]:
    """Return the constants of TorchScript that may be weights, and the packed weights that its code holds.

    Raises:
        MeasurementError: packed weights that cannot be opened.
    """
    constants, packed, inside = [], [], ""
    for path, part in module.named_modules():
        if not isinstance(part, torch.jit.ScriptModule) or (inside and path.startswith(inside)):
            continue
        inside = f"{path}." if path else "."
        for key, value in graph_constants(part):
            if isinstance(value, torch.ScriptObject):
                packed += _opened(value, name, key)
            elif value.dim() and (value.is_floating_point() or (value.dtype == torch.int8 and value.dim() > 1)):
                constants.append(Held(name=f"{path}.{key}" if path else key, owner=path, tensor=value))
        if not path:
            break
    return constants, packed


def _opened(value: Any, name: str, key: str) -> list[torch.Tensor]:
    try:
        return [*_stored(tuple(value.unpack()))]
    except (AttributeError, RuntimeError) as error:
        raise _sealed(name, key, "TorchScript") from error


def _sealed(name: str, where: str, kind: str) -> MeasurementError:
    return MeasurementError(f"{name}: the packed weights of {where} ({kind}) cannot be counted")


def _stored(tree: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of a tree, quantised ones as the integers that are stored."""
    for leaf in leaves(tree):
        if isinstance(leaf, torch.Tensor):
            yield leaf.int_repr() if leaf.is_quantized else leaf.detach()


def folded_weights(module: nn.Module) -> Iterator[torch.Tensor]:
    """Yield the weights that quantising an exported graph has turned into buffers (torchao's `convert_pt2e`)."""
    for part in module.modules():
        if isinstance(part, torch.fx.GraphModule):
            yield from (b for name, b in part.named_buffers(recurse=False) if name.startswith("_frozen_param"))


def left_over(module: nn.Module) -> set[str]:
    """Return the names of parameters that a graph does not read any more: `convert_pt2e` leaves the float weights."""
    unread: set[str] = set()
    inside: tuple[str, ...] = ()
    for path, part in module.named_modules():
        if isinstance(part, torch.fx.GraphModule) and not path.startswith(inside or ("\0",)):
            inside = (*inside, f"{path}." if path else "")
            prefix = f"{path}." if path else ""
            read = [str(node.target) for node in part.graph.nodes if node.op in {"get_attr", "call_module"}]
            names = [name for name, _ in part.named_parameters()]
            unread |= {
                prefix + name for name in names if not any(f"{name}.".startswith(f"{target}.") for target in read)
            }
    return unread
