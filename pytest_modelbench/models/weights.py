"""The weights of a torch module: its parameters, and everything else that it computes with, in any container."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import ParameterCount
from pytest_modelbench.models.holders import ELSEWHERE, Held, held_outside
from pytest_modelbench.models.packing import (
    Packed,
    elements_of,
    folded_weights,
    graph_tensors,
    inner_tensors,
    is_packed,
    left_over,
    most_in_one,
    packed_layers,
    packed_weights,
)
from pytest_modelbench.models.reads import Reads, Use, address
from pytest_modelbench.models.zeros import ZeroCount

_STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}
_SMALL = 0.01
"""Buffers that are not saved, and hold less than this share of the weights, are constants that the code makes."""


class Weights:
    """Finds what a module computes with: first by what it holds, then by what one forward pass reads.

    Parameters, the packed weights of quantised modules and the constants of TorchScript are known without a pass. A
    buffer, or a tensor in an attribute, may be a weight or a constant: `look` tells them apart.

    Attributes:
        left_over: names of parameters that a graph does not read any more.
        reads: the forward pass that was followed; None before `look`.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module = module
        self.name = name
        self.reads: Reads | None = None
        self.left_over = left_over(module)
        self._parameters = {id(p): p.detach() for path, p in module.named_parameters() if path not in self.left_over}
        self._masks = dict(_masks(module))
        self._folded = [*folded_weights(module)]
        self._constants, in_graphs = graph_tensors(module, name)
        self._packed = [*packed_weights(module, name), *in_graphs]
        self._layers = dict(packed_layers(module))
        self._buffers = [*_buffers(module)]
        self._constants += [
            held for held in self._buffers if held.owner in self._layers and held.name.endswith("bias")
        ]
        self._more: dict[int, Held] = {}
        self._unpacked: dict[tuple[frozenset[int], tuple[object, ...]], Packed] = {}
        self._outside: list[Held] | None = None

    def doubtful(self) -> list[Held]:
        """Return what may be weights and may not; nothing after a look."""
        if self.reads is not None:
            return []
        settled = self._known()
        candidates = [held for held in self._all() if address(held.tensor) not in settled and _is_number(held.tensor)]
        total = max(self._total(), 1)
        own = sum(held.tensor.numel() for held in candidates if _is_made(held))
        return [held for held in candidates if own > _SMALL * total or not _is_made(held)]

    def unsure(self) -> bool:
        """Whether only a forward pass can tell what the weights are."""
        return self.reads is None and (self._total() == 0 or bool(self._placeholders()) or bool(self.doubtful()))

    def outside(self) -> list[Held]:
        """Return the weights that are neither parameters nor packed, found so far."""
        return [*self._constants, *self._more.values()]

    def tensors(self) -> list[torch.Tensor]:
        """Return the tensors that the module holds for sure: what is registered, and weights found so far."""
        return [*self.module.parameters(), *self.module.buffers(), *(held.tensor for held in self.outside())]

    def packed_bytes(self) -> int:
        """Return the least bytes that the packed weights of quantised modules take, which no tensor shows."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._packed)

    def count(self) -> ParameterCount:
        """Count parameters once where shared, packed weights in full, masked weights by what is left.

        Raises:
            MeasurementError: parameters without data, in a module that was not seen to run.
        """
        empty = self._without_data()
        counted = ZeroCount()
        for key, tensor in self._parameters.items():
            if key not in empty:
                counted.add(tensor * self._masks[key] if key in self._masks else tensor)
        for tensor in [*self._packed, *self._folded]:
            counted.add(tensor)
        registered = counted.total
        for held in self.outside():
            counted.add(held.tensor)
        unpacked = [*self._layers.values(), *self._unpacked.values()]
        total = counted.total + sum(weight.elements for weight in unpacked) + self._added_by_packing()
        return ParameterCount(
            total=total,
            nonzero=total - counted.zeros - sum(weight.zeros for weight in unpacked),
            buffers=self._apart(),
            in_zero_rows=counted.in_zero_rows,
            in_two_of_four=counted.in_two_of_four,
            elsewhere=counted.total - registered,
            packed=total - counted.total,
            unsure=sum(held.tensor.numel() * most_in_one(held.tensor) for held in self.doubtful()),
        )

    def look(self, reads: Reads) -> None:
        """Learn from a forward pass which tensors are weights.

        Raises:
            MeasurementError: what the pass multiplies with cannot be found, or it computes elsewhere than in torch.
        """
        if reads.opaque:
            raise MeasurementError(
                f"{self.name} does not get its outputs from its inputs by operators of torch (does it compute in "
                "numpy or another runtime?), so the weights that it computes with cannot be counted"
            )
        by_address = {address(held.tensor): held for held in self._all()}
        settled = self._known()
        for use in reads.uses:
            self._learn(use, reads.held, by_address, settled)
        self._add_neighbours(reads, by_address, settled)
        self._drop_constants()
        self.reads = reads
        if reads.products and self._total() == 0:
            raise MeasurementError(
                f"{self.name} multiplies matrices ({reads.products} products in one forward pass), and none of the "
                "weights that it does that with can be found. Keep them as parameters or buffers of the module"
            )

    def _learn(
        self, use: Use, tensors: Mapping[int, torch.Tensor], by_address: Mapping[int, Held], settled: set[int]
    ) -> None:
        """Take the sources of an operand as weights, but not what scales or masks weights that count already."""
        new = {key for key in use.sources - settled if tensors[key].numel() > 1}
        if any(tensors[key].numel() >= use.elements for key in use.sources & settled if key in tensors):
            new = {key for key in new if tensors[key].numel() >= use.elements and not _is_mask(tensors[key])}
        if use.picked:  # a table that the code makes itself is one of positions
            new = {key for key in new if key not in by_address or not _is_made(by_address[key])}
        if any(is_packed(tensors[key]) for key in new):
            self._unpacked[frozenset(new), use.place] = Packed(elements=use.elements, zeros=use.zeros)
            return
        for key in new:
            self._more[key] = by_address.get(key) or _unnamed(tensors[key])

    def _add_neighbours(self, reads: Reads, by_address: Mapping[int, Held], settled: set[int]) -> None:
        """Take what else a holder of weights has and the pass reads, such as a bias that is added to a product."""
        packed = {key for sources, _ in self._unpacked for key in sources}
        owners = {by_address[key].owner if key in by_address else ELSEWHERE for key in {*self._more, *packed}}
        alone = not owners and self._total() == 0
        for key in reads.held.keys() - settled - packed - reads.statistics - self._more.keys():
            held = by_address.get(key) or _unnamed(reads.held[key])
            number = held.tensor.is_floating_point() and held.tensor.numel() > 1
            if (alone or held.owner in owners) and number and not _is_mask(held.tensor):
                self._more[key] = held

    def _drop_constants(self) -> None:
        """Leave out small buffers that the code makes itself: blurring filters, frequencies of positions."""
        made = {key: held for key, held in self._more.items() if _is_made(held)}
        size = sum(held.tensor.numel() for held in made.values())
        if size <= _SMALL * (self._total() - size):
            self._more = {key: held for key, held in self._more.items() if key not in made}

    def _known(self) -> set[int]:
        """Return the addresses of what counts already, and of what is never a weight."""
        apart = [held.tensor for held in self._all() if _never(held, self._layers)]
        counted = [*self._parameters.values(), *self._folded, *(held.tensor for held in self._constants)]
        whole = [*counted, *self._masks.values(), *apart]
        return {address(inner) for tensor in whole for inner in inner_tensors(tensor)}

    def _all(self) -> Sequence[Held]:
        if self._outside is None:
            self._outside = held_outside(self.module)
        return [*self._buffers, *self._outside]

    def _total(self) -> int:
        tensors = [*self._packed, *self._folded, *(held.tensor for held in self.outside())]
        tensors += [tensor for tensor in self._parameters.values() if tensor.device.type != "meta"]
        packed = sum(weight.elements for weight in (*self._layers.values(), *self._unpacked.values()))
        return packed + sum(tensor.numel() for tensor in tensors)

    def _added_by_packing(self) -> int:
        return sum(elements_of(tensor) - tensor.numel() for tensor in self.module.parameters())

    def unused(self) -> set[str]:
        """Return the names in the state_dict of what the module does not compute with.

        Raises:
            MeasurementError: as for `count`.
        """
        self._without_data()
        empty = {name for name, value in self.module.state_dict().items() if getattr(value, "is_meta", False)}
        return self.left_over | empty

    def _without_data(self) -> set[int]:
        empty = self._placeholders()
        if empty and self.reads is None:
            raise MeasurementError(
                f"{self.name}: {len(empty)} of its parameters are on the meta device and have no values. "
                "Load the weights before the model is returned"
            )
        return empty

    def _placeholders(self) -> set[int]:
        """Return the parameters without data; where the module runs all the same, the pass brings others for them."""
        return {key for key, tensor in self._parameters.items() if tensor.device.type == "meta"}

    def _apart(self) -> int:
        """Return the number of buffer elements that are not weights."""
        more = {address(held.tensor) for held in self.outside()} | {id(mask) for mask in self._masks.values()}
        more |= {key for sources, _ in self._unpacked for key in sources} | {id(tensor) for tensor in self._folded}
        buffers = [t for t in self.module.buffers() if id(t) not in more and address(t) not in more]
        return sum(tensor.numel() for tensor in buffers)


def _masks(module: nn.Module) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the masks of torch's pruning, by the parameter that each hides a part of."""
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            original = getattr(part, name.removesuffix("_mask") + "_orig", None)
            if name.endswith("_mask") and isinstance(original, torch.Tensor):
                yield id(original), buffer


def _buffers(module: nn.Module) -> Iterator[Held]:
    for path, part in module.named_modules():
        unsaved: set[str] = getattr(part, "_non_persistent_buffers_set", set())
        for name, buffer in part.named_buffers(recurse=False):
            full = f"{path}.{name}" if path else name
            yield Held(name=full, owner=path, tensor=buffer, saved=name not in unsaved)


def _never(held: Held, layers: Mapping[str, Packed]) -> bool:
    """Whether a buffer is one of those that are never weights: statistics, scales of a quantised graph or layer."""
    name = held.name.rpartition(".")[2].rstrip("]'")  # also of a state_dict that an attribute holds
    in_graph = name.startswith(("_scale_", "_zero_point_"))
    return name in _STATISTICS or in_graph or held.owner in layers


def _unnamed(tensor: torch.Tensor) -> Held:
    return Held(name="a tensor that the forward pass brings", owner=ELSEWHERE, tensor=tensor)


def _is_made(held: Held) -> bool:
    return held.owner != ELSEWHERE and not held.saved


def _is_number(tensor: torch.Tensor) -> bool:
    """Whether a tensor may hold weights, by its type and size."""
    if tensor.numel() <= 1 or tensor.device.type == "meta":
        return False
    return tensor.is_floating_point() or tensor.is_complex() or (is_packed(tensor) and tensor.dim() > 1)


def _is_mask(tensor: torch.Tensor) -> bool:
    """Whether a tensor only hides: its values are 0, 1 and minus infinity."""
    plain = tensor if tensor.layout == torch.strided else tensor.to_dense()
    return bool(((plain == 0) | (plain == 1) | (plain == -math.inf)).all())
