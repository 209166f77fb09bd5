"""Find the tensors that one forward pass of a torch module multiplies its inputs by, in any container."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pytest_modelbench.data.arrays import leaves

_PRODUCTS = {str(operator).partition(".")[2] for operator in flop_registry} | {
    *(
        "mv",
        "addmv",
        "dot",
        "vdot",
        "addr",
        "linear",
        "matmul",
        "conv1d",
        "conv2d",
        "conv3d",
        "bilinear",
        "_trilinear",
    ),
    *("_int_mm", "_weight_int4pack_mm", "_weight_int4pack_mm_for_cpu", "_weight_int8pack_mm", "mkldnn_linear"),
    *(
        "mkldnn_rnn_layer",
        "_cudnn_rnn",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "mkldnn_convolution",
        "conv_transpose2d",
    ),
    *("_scaled_dot_product_flash_attention_for_cpu", "_cdist_forward", "_euclidean_dist", "_sparse_addmm"),
}
_SCALINGS = {
    *("native_layer_norm", "native_group_norm", "native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit"),
    *(
        "_native_batch_norm_legit_no_training",
        "_batch_norm_with_update",
        "_fused_rms_norm",
        "rms_norm",
        "_prelu_kernel",
    ),
}
_EMBEDDINGS = {"embedding", "_embedding_bag", "_embedding_bag_forward_only"}
_PICKS = {"index", "index_select", "gather", "take"}
_TORCH_NAMESPACES = {"aten", "prim", "prims", "profiler", "quantized", "quantized_decomposed", "torchao"}
_STATISTICS = {"running_mean", "running_var"}


def address(tensor: torch.Tensor) -> int:
    """Return what tells one tensor's memory from another's; views share it."""
    if type(tensor) in {torch.Tensor, nn.Parameter, nn.Buffer} and tensor.layout == torch.strided:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    return id(tensor)


@dataclass(frozen=True, kw_only=True)
class Use:
    """An operand that the inputs were multiplied with, and that does not depend on them.

    `sources` are the addresses of the tensors that it was made of. `elements` is how many numbers it has; where the
    operator itself unpacks it, how many a product of these sizes has. `picked` says that an index picked rows of it,
    as from a table of weights or of positions.
    """

    sources: frozenset[int]
    elements: int
    zeros: int
    place: tuple[Any, ...]
    picked: bool = False


class Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows a forward pass: which tensors it reads and did not make, and which of them meet the inputs, and where.

    Attributes:
        held: tensors that were read, and neither made by the pass nor given to it, by address.
        uses: operands of products, normalisations, lookups and unknown operators.
        statistics: addresses of the tensors that normalisations read as mean and variance.
        products: how many products of matrices ran that the inputs take part in.
        opaque: whether the outputs do not come from the inputs by operators of torch, so that not all was seen.
    """

    def __init__(self, inputs: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        tensors = [leaf for leaf in leaves(inputs) if isinstance(leaf, torch.Tensor)]
        self._made: dict[int, frozenset[int] | None] = {address(leaf): None for leaf in tensors}
        self._of_texts = not tensors  # what such a pass makes of Python numbers are its inputs
        self.held: dict[int, torch.Tensor] = {}
        self.uses: list[Use] = []
        self.statistics: set[int] = set()
        self.products = 0
        self.opaque = False

    def end(self, output: Any) -> None:
        """Take note of what the pass gave."""
        plain = vars(output) if hasattr(output, "__dataclass_fields__") else output
        parts = leaves(tuple(plain) if isinstance(plain, list) else plain)
        addresses = [address(part) for part in parts if isinstance(part, torch.Tensor)]
        from_inputs = any(self._made.get(key, frozenset()) is None for key in addresses)
        self.opaque = not from_inputs if addresses else not self.products  # an array may be made of what was seen

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        operands = [*_named(func, args, kwargs or {})]
        origins = [self._origin(tensor) for _, tensor in operands]
        output = func(*args, **(kwargs or {}))
        name = str(getattr(func, "overloadpacket", func)).rpartition(".")[2]
        from_inputs = any(origin is None for origin in origins) or (self._of_texts and name == "lift_fresh")
        if from_inputs:
            self._note(func, name, [*zip(operands, origins, strict=True)], output)
        origin = None if from_inputs else frozenset().union(*(sources or () for sources in origins))
        for tensor in _tensors(output):
            self._made[address(tensor)] = origin
        for (argument, tensor), _ in zip(operands, origins, strict=True):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._made[address(tensor)] = origin
        return output

    def _origin(self, tensor: torch.Tensor) -> frozenset[int] | None:
        """Return what a tensor was made of; None where the inputs are part of it."""
        key = address(tensor)
        if key not in self._made:
            self.held[key] = tensor
            self._made[key] = frozenset({key})
        return self._made[key]

    def _note(self, func: Any, name: str, operands: list[Any], output: Any) -> None:
        namespace = str(getattr(func, "namespace", ""))
        if name in _PRODUCTS:
            self.products += 1
            chosen = operands
        elif name in _SCALINGS:
            chosen = [operand for operand in operands if operand[0][0].name in {"weight", "bias"}]
            for (argument, _), origin in operands:
                self.statistics |= (origin or frozenset()) if argument.name in _STATISTICS else frozenset()
        elif name in _EMBEDDINGS | _PICKS:
            chosen = operands[:1]
        elif namespace not in _TORCH_NAMESPACES:
            chosen = operands  # an operator of somebody's own may multiply with all that it is given
        else:
            return
        inner = next((tensor for (_, tensor), origin in operands if origin is None), None)
        for (_, tensor), origin in chosen:
            if origin:
                self.uses.append(replace(_use(tensor, origin, inner, output), picked=name in _PICKS))


def _use(tensor: torch.Tensor, sources: frozenset[int], inner: torch.Tensor | None, output: Any) -> Use:
    place = (tensor.storage_offset() if tensor.layout == torch.strided else 0, tuple(sorted(tensor.shape)))
    if tensor.is_floating_point() or tensor.is_complex() or inner is None:
        zeros = 0 if tensor.device.type == "meta" else int((_plain(tensor) == 0).sum())
        return Use(sources=sources, elements=tensor.numel(), zeros=zeros, place=place)
    wide = next(iter(_tensors(output)), None)  # a kernel that unpacks by itself: rows of `inner` times weights
    elements = (
        tensor.numel() if wide is None or not wide.dim() or not inner.dim() else wide.shape[-1] * inner.shape[-1]
    )
    return Use(sources=sources, elements=int(elements), zeros=0, place=place)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _named(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[tuple[Any, torch.Tensor]]:
    """Yield every tensor that an operator is given, with the argument of its schema."""
    arguments = func._schema.arguments  # noqa: SLF001 - torch has no other name for it
    by_name = {argument.name: argument for argument in arguments}
    pairs = [*zip(arguments, args, strict=False), *((by_name[key], value) for key, value in kwargs.items())]
    for argument, value in pairs:
        for tensor in _tensors(value):
            yield argument, tensor


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def follow(call: Callable[[], Any], inputs: Any) -> Reads:
    """Run a forward pass and follow it.

    Args:
        call: the pass, in evaluation mode, with gradients off.
        inputs: the tensors that it is given.
    """
    reads = Reads(inputs)
    with torch.inference_mode(mode=False), torch.no_grad(), reads:
        output = call()
    reads.end(output)
    return reads
