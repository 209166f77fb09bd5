"""Floating-point operations of a forward pass, with the operators that no formula is known for.

Counted by `torch.utils.flop_counter` with formulas for what it leaves out: attention and LSTM as the CPU runs them,
matrix times vector, int8. A multiplication and an addition are two operations. Biases, element-wise operators,
normalisations, poolings and copies are counted as nothing, as published figures do.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from pytest_modelbench.data.drawn import Drawn
from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.base import Model

Shape = Sequence[int]

_FREE = frozenset(Path(__file__).with_name("free_operators.txt").read_text(encoding="ascii").split())
"""Operators of `aten` that move, compare, reduce or normalise: none multiplies matrices."""
_ROUNDING = frozenset({"quantized_decomposed", "torchao"})
"""Namespaces of exported quantised graphs, in which weights and activations are rounded by operators of their own."""


@dataclass(frozen=True, kw_only=True)
class FlopCount:
    """Operations of one forward pass of a batch, by operator, and how often operators without a formula ran.

    Where inputs are of different sizes the batch is one of `size` elements, the median; `largest_per_sample` are the
    operations for a sample of the largest, of `largest_size` elements.
    """

    by_operator: Mapping[str, int]
    uncounted: Mapping[str, int]
    batch_size: int
    size: int | None = None
    largest_size: int | None = None
    largest_per_sample: float | None = None

    @property
    def per_sample(self) -> float:
        """Operations for each sample of the batch."""
        return sum(self.by_operator.values()) / self.batch_size


def count_flops(model: Model, batch: Any, batch_size: int) -> FlopCount:
    """Count the operations of one forward pass.

    Args:
        model: a torch module.
        batch: what is run.
        batch_size: how many samples it has.

    Raises:
        NotApplicable: the model is not a torch module.
        ModelError: the model raised.
    """
    if not isinstance(model, TorchModel):
        raise NotApplicable(f"{model.name} is a {model.kind}: FLOPs are counted for torch modules")
    seen = _Seen()
    counter = FlopCounterMode(display=False, custom_mapping=_formulas())
    with model.running(), torch.inference_mode(mode=False), torch.no_grad(), _without_fast_path():
        call = model.bind(batch)
        try:
            with seen, counter:
                call()
        except BaseException as error:
            raise model.failure(batch, error) from error
    if not seen.operators:
        raise NotApplicable(f"{model.name} runs no operator of torch, so its FLOPs cannot be counted")
    counts = counter.get_flop_counts().get("Global", {})
    return FlopCount(
        by_operator={str(packet): int(count) for packet, count in counts.items()},
        uncounted=dict(seen.uncounted),
        batch_size=batch_size,
    )


def with_largest(typical: FlopCount, largest: FlopCount, drawn: Drawn) -> FlopCount:
    """Return the count of a batch of median size beside that of the largest, with what either lacks a formula for."""
    return replace(
        typical,
        uncounted={**largest.uncounted, **typical.uncounted},
        size=drawn.sizes[0],
        largest_size=drawn.largest_size,
        largest_per_sample=largest.per_sample,
    )


class _Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operator that reaches the dispatcher and that neither a formula nor the list above knows."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.uncounted: Counter[str] = Counter()
        self.operators = 0
        self.known = {*flop_registry, *_formulas()}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.operators += 1
        packet = getattr(func, "overloadpacket", func)
        if packet not in self.known and not _is_free(func):
            self.uncounted[str(packet)] += 1
        return func(*args, **(kwargs or {}))


def _is_free(func: Any) -> bool:
    """Whether an operator multiplies no matrices, by torch's own tags, as a view, or by name."""
    if torch.Tag.pointwise in getattr(func, "tags", ()) or getattr(func, "is_view", False):
        return True
    namespace, _, name = str(getattr(func, "name", lambda: str(func))()).partition("::")
    name = name.partition(".")[0]
    if namespace in _ROUNDING:
        return name.startswith(("quantize_", "dequantize_", "choose_qparams_"))
    if namespace not in {"aten", "prim", "profiler"}:
        return False
    return (
        namespace == "profiler" or name in _FREE or (name.endswith("_") and _is_free_out_of_place(name.rstrip("_")))
    )


@functools.cache
def _is_free_out_of_place(name: str) -> bool:
    """Whether the out-of-place twin of an in-place operator is free: only that twin declares its tags and views."""
    packet = getattr(torch.ops.aten, name, None)
    return packet is not None and any(_is_free(getattr(packet, overload)) for overload in packet.overloads())


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """Run attention and encoder layers operator by operator: the fused ones have no formula."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=enabled)


def _formulas() -> dict[Any, Callable[..., int]]:
    """Return formulas by operator, for operators that exist in this torch and that it has none for."""
    formulas = {}
    for name, formula in _FORMULAS.items():
        namespace, operator = name.split(".")
        packet = getattr(getattr(torch.ops, namespace), operator, None)
        if packet is not None and packet not in flop_registry:
            formulas[packet] = formula
    return formulas


def _raw(formula: Callable[..., int]) -> Callable[..., int]:
    """Let a formula have the tensors themselves, not their shapes."""
    formula._get_raw = True  # type: ignore[attr-defined] # noqa: SLF001 - how the counter asks for it
    return formula


def _matrix_vector(a: Shape, _b: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(a)


def _added_matrix_vector(_self: Shape, a: Shape, _b: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(a)


def _dot(a: Shape, _b: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(a)


def _outer(_self: Shape, a: Shape, b: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(a) * math.prod(b)


def _matrices(a: Shape, b: Shape, *_: Any, **__: Any) -> int:
    return 2 * math.prod(a) * b[-1]


def _attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    batch, heads, queries, width = query
    return 2 * batch * heads * queries * key[-2] * (width + value[-1])


def _rnn_layer(inputs: Shape, of_inputs: Shape, of_hidden: Shape, *_: Any, **__: Any) -> int:
    steps, batch = inputs[0], inputs[1]
    return 2 * steps * batch * (math.prod(of_inputs) + math.prod(of_hidden))


@_raw
def _cudnn_rnn(inputs: torch.Tensor, weights: Sequence[torch.Tensor], *_: Any, **__: Any) -> int:
    return 2 * math.prod(inputs.shape[:-1]) * sum(w.numel() for w in weights if w.dim() > 1)


@_raw
def _packed_linear(inputs: torch.Tensor, packed: Any, *_: Any, **__: Any) -> int:
    weight: torch.Tensor = packed.unpack()[0]
    return 2 * (inputs.numel() // inputs.shape[-1]) * math.prod(weight.shape)


@_raw
def _packed_convolution(_inputs: torch.Tensor, packed: Any, *_: Any, out_val: torch.Tensor, **__: Any) -> int:
    weight: torch.Tensor = packed.unpack()[0]
    return 2 * (out_val.numel() // out_val.shape[1]) * math.prod(weight.shape)


@_raw
def _packed_rnn(inputs: torch.Tensor, *more: Any, **__: Any) -> int:
    """Count layers of int8 or float16 weights, which are packed apart: each is applied at every step."""
    layers = next(
        argument
        for argument in more
        if isinstance(argument, list | tuple) and not isinstance(argument[0], torch.Tensor)
    )
    weights: list[torch.Tensor] = [packed.unpack()[0] for layer in layers for packed in layer.__getstate__()[0][4]]
    return 2 * math.prod(inputs.shape[:-1]) * sum(weight.numel() for weight in weights)


_FORMULAS: dict[str, Callable[..., int]] = {
    "aten.mv": _matrix_vector,
    "aten.addmv": _added_matrix_vector,
    "aten.dot": _dot,
    "aten.vdot": _dot,
    "aten.addr": _outer,
    "aten._int_mm": _matrices,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten.mkldnn_rnn_layer": _rnn_layer,
    "aten._cudnn_rnn": _cudnn_rnn,
    "aten.quantized_lstm": _packed_rnn,
    "aten.quantized_gru": _packed_rnn,
    "quantized.linear": _packed_linear,
    "quantized.linear_relu": _packed_linear,
    "quantized.linear_dynamic": _packed_linear,
    "quantized.linear_relu_dynamic": _packed_linear,
    "quantized.linear_dynamic_fp16": _packed_linear,
    **{
        f"quantized.conv{dimensions}d{suffix}": _packed_convolution
        for dimensions in (1, 2, 3)
        for suffix in ("", "_relu")
    },
}
