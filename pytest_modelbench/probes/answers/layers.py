"""What goes through a torch module, layer by layer: the largest number, what is lost, where NaN begins."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from pytest_modelbench.data.arrays import leaves, take
from pytest_modelbench.data.evaldata import EvalData
from pytest_modelbench.errors import DoesNotFit, ModelbenchError, NotApplicable
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.base import Model

DTYPES = {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32", "float64")}
SAME_DB = 300.0
"""The ratio that is stated for a layer without any difference."""
OUTPUT = "(output)"

Seen = Callable[[str, nn.Module, list[torch.Tensor], list[torch.Tensor]], None]


@dataclass(frozen=True, kw_only=True)
class LayerRange:
    """The outputs of one layer over some samples.

    `highest` is the largest absolute value, `elements` how many numbers there were, `subnormal` how many of them are
    smaller than the target type's smallest normal number, and not zero.
    """

    name: str
    highest: float
    elements: int
    subnormal: int


def module_of(model: Model) -> nn.Module:
    """Return the torch module whose layers can be looked into.

    Raises:
        NotApplicable: it is not a torch module, or one that takes no hooks.
    """
    if not isinstance(model, TorchModel):
        raise NotApplicable(f"{model.name} is a {model.kind}: layers are those of a torch module")
    if isinstance(model.module, torch.jit.ScriptModule):
        raise NotApplicable(f"{model.name} is a TorchScript module, whose layers cannot be looked into")
    if model.kind == "keras":
        raise NotApplicable(f"{model.name} is a Keras model, whose layers are not submodules that take hooks")
    return model.module


@contextlib.contextmanager
def _watched(model: Model, seen: Seen) -> Iterator[None]:
    """Call `seen` with the floating tensors that each layer was given and gave, in the order in which they end."""
    module = module_of(model)

    def hook(name: str) -> Callable[..., None]:
        def ended(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            seen(name, layer, _floats((args, kwargs)), _floats(output))

        return ended

    handles = [
        layer.register_forward_hook(hook(name or OUTPUT), with_kwargs=True) for name, layer in module.named_modules()
    ]
    try:
        with model.running():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _floats(tree: Any) -> list[torch.Tensor]:
    plain = vars(tree) if hasattr(tree, "__dataclass_fields__") else tree
    if isinstance(plain, list):
        plain = tuple(plain)
    tensors = [leaf for leaf in leaves(plain) if isinstance(leaf, torch.Tensor)] if plain is not None else []
    return [
        tensor.dequantize() if tensor.is_quantized else tensor
        for tensor in tensors
        if tensor.is_floating_point() or tensor.is_quantized
    ]


def run_layers(model: Model, inputs: Any, seen: Seen) -> None:
    """Run one batch, and show every layer's tensors to `seen`.

    Raises:
        ModelError: the model raised.
        NotApplicable: it has no layers that can be looked into.
    """
    with _watched(model, seen):
        try:
            model.bind(inputs)()
        except BaseException as error:
            raise model.failure(inputs, error) from error


def first_nonfinite(model: Model, inputs: Any) -> str | None:
    """Name the first layer that turns finite inputs into NaN or infinite outputs; None where no layer does."""
    layers: list[str] = []

    def seen(name: str, layer: nn.Module, received: list[torch.Tensor], gave: list[torch.Tensor]) -> None:
        if not layers and all(map(_finite, received)) and not all(map(_finite, gave)):
            layers.append(f"{name} ({type(layer).__name__})")

    run_layers(model, inputs, seen)
    return layers[0] if layers else None


def _finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def layer_ranges(model: Model, inputs: Any, dtype: str) -> list[LayerRange]:
    """Return the range of every innermost layer's outputs over one batch, for a target type.

    Raises:
        ModelError: as for `run_layers`.
        DoesNotFit: no layer gives floating-point numbers.
    """
    smallest = torch.finfo(DTYPES[dtype]).tiny
    ranges: dict[str, LayerRange] = {}

    def seen(name: str, layer: nn.Module, _received: list[torch.Tensor], gave: list[torch.Tensor]) -> None:
        if name != OUTPUT and any(True for _ in layer.children()):
            return
        for tensor in gave:
            sizes = tensor.detach().abs()
            earlier = ranges.get(name)
            highest = float(sizes.max()) if sizes.numel() else 0.0
            highest = highest if math.isfinite(highest) else math.inf  # which no other call takes back
            ranges[name] = LayerRange(
                name=name,
                highest=max(highest, earlier.highest if earlier else 0.0),
                elements=sizes.numel() + (earlier.elements if earlier else 0),
                subnormal=int(((sizes > 0) & (sizes < smallest)).sum()) + (earlier.subnormal if earlier else 0),
            )

    run_layers(model, inputs, seen)
    if not ranges:
        raise DoesNotFit(f"no layer of {model.name} gives floating-point numbers")
    return list(ranges.values())


def headroom_bits(highest: float, dtype: str) -> float:
    """Return how many times a layer's largest value could double before it overflows the target type.

    >>> headroom_bits(65504.0, "float16")
    0.0
    """
    most = float(torch.finfo(DTYPES[dtype]).max)
    if not math.isfinite(highest):
        return -math.inf
    return math.log2(most / highest) if highest > 0 else math.log2(most)


def signal_to_noise(teacher: Model, student: Model, inputs: Any) -> Mapping[str, float]:
    """Return the signal-to-quantisation-noise ratio of each layer that both models have, in dB.

    20 log10(norm(x_T) / norm(x_T - x_S)), over one batch, for layers of one name whose outputs have one shape; the
    whole models' outputs count as `(output)`.

    Raises:
        ModelError: as for `run_layers`.
        DoesNotFit: not even the outputs have one shape.
    """
    kept: dict[str, torch.Tensor] = {}
    ratios: dict[str, float] = {}

    def keep(name: str, _layer: nn.Module, _received: list[torch.Tensor], gave: list[torch.Tensor]) -> None:
        if len(gave) == 1 and name not in kept:
            kept[name] = gave[0].detach().clone()

    def compare(name: str, _layer: nn.Module, _received: list[torch.Tensor], gave: list[torch.Tensor]) -> None:
        before = kept.get(name)
        if before is None or name in ratios or len(gave) != 1 or gave[0].shape != before.shape:
            return
        reference = before.cpu().double()
        noise = float((reference - gave[0].detach().cpu().double()).norm())
        signal = float(reference.norm())
        if noise == 0:
            ratios[name] = SAME_DB
        elif signal > 0 and math.isfinite(noise):
            ratios[name] = min(SAME_DB, 20 * math.log10(signal / noise))
        else:
            ratios[name] = -SAME_DB  # nothing of the signal is left

    run_layers(teacher, inputs, keep)
    run_layers(student, inputs, compare)
    if not ratios:
        raise DoesNotFit(
            f"{teacher.name} and {student.name} have no layer of one name and shape, not even the output"
        )
    return ratios


def layer_of_nonfinite(model: Callable[[], Model], data: EvalData, index: npt.NDArray[np.intp]) -> str | None:
    """Name the layer of a model where NaN or infinity begins for one of some samples of some data.

    Args:
        model: returns it.
        data: the samples.
        index: positions among them.
    """
    start = 0
    for batch in data.batches():
        inside = index[(index >= start) & (index < start + len(batch.ids))] - start
        if len(inside):
            sample = take(batch.inputs, int(inside[0]), int(inside[0]) + 1)
            with contextlib.suppress(ModelbenchError):  # no torch module has layers that can be seen
                return first_nonfinite(model(), sample) or first_nonfinite(model(), batch.inputs)
            return None
        start += len(batch.ids)
    return None
