"""Zeros in weights that dense kernels multiply like any other number: scattered ones, and two in every four."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_modelbench.diagnosis.counterfactual import LayerCall, call_of, calls_of, part_saved, timed, torch_module
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Call, Subject

if TYPE_CHECKING:
    import torch
    from torch import nn

LEAST_SHARE = 0.3
"""Fewer zeros in a matrix than this share promise no time."""
_MOST_OF_A_PATTERN = 0.65
_SAME_TIME = 0.1
_TOLERANCE_OF_FLOAT16 = 0.02


class _Sparse(NamedTuple):
    layer: nn.Module
    zeros: float


def unstructured_zeros(subject: Subject) -> Finding | None:
    """Time the layers that hold zeros against dense ones with as many rows as their other numbers would fill.

    None if no linear layer or convolution has 30% of zeros that are not whole rows, or a 2:4 pattern.
    """
    layers = {path: layer for path, layer in _sparse_layers(torch_module(subject)).items() if not _is_pattern(layer)}
    if not layers:
        return None
    finding = Finding(
        cause="unstructured_zeros",
        text=f"{_share(layers.values()):.0%} of the weights of {len(layers)} layers are scattered zeros, and dense "
        "kernels multiply them",
        evidence={"layers": list(layers)[:10], "zeros": _share(layers.values())},
        counterfactual="these layers with as many weights as are not zero",
        remedy="Prune whole channels or heads instead (torch.nn.utils.prune.ln_structured, then cut them out), or "
        "choose a runtime with sparse kernels",
    )
    return _timed_promise(subject, finding, layers)


def two_of_four_without_kernel(subject: Subject) -> Finding | None:
    """Time the student with kernels for 2:4 sparsity if this device has them, otherwise layers of half the rows.

    None if no linear layer has two zeros in every four neighbours.
    """
    import torch

    from pytest_modelbench.models.semi_structured import sparse_matrices, with_sparse_kernels

    module = torch_module(subject)
    layers = {path: layer for path, layer in _sparse_layers(module).items() if _is_pattern(layer)}
    if not layers:
        return None
    matrices = [matrix for matrix in sparse_matrices(module) if matrix.path in layers]
    reasons = sorted({matrix.why_not for matrix in matrices if matrix.why_not})
    finding = Finding(
        cause="two_of_four_without_kernel",
        text=f"{len(layers)} layers have two zeros in every four weights, and dense kernels multiply them"
        + (f": kernels for 2:4 take none of them, because {reasons[0]}" if reasons else ""),
        evidence={"layers": list(layers)[:10], "zeros": _share(layers.values()), "why_not": reasons},
        counterfactual="these layers with half of the weights",
        remedy="Run it on an NVIDIA GPU of compute capability 8.0 or later with "
        "torch.sparse.to_sparse_semi_structured, or prune whole channels instead",
        explains=("unstructured_zeros",),
    )
    if not reasons:
        with torch.inference_mode(mode=False), torch.no_grad():
            sparse = with_sparse_kernels(module)
        finding = replace(finding, counterfactual="kernels for 2:4")
        return timed(subject, finding, call_of(subject, sparse), _TOLERANCE_OF_FLOAT16)
    return _timed_promise(subject, finding, layers)


def _timed_promise(subject: Subject, finding: Finding, layers: dict[str, _Sparse]) -> Finding:
    """Time layers alone: as they are, with the zeros filled, and with fewer rows.

    Layers that take longer with the zeros filled run on kernels that use zeros: then these are not the cause.
    """
    calls = calls_of(subject, {path: sparse.layer for path, sparse in layers.items()})
    if not calls:
        return finding.because("none of these layers is called as a module")
    as_is, filled, fewer = (_together(calls, layers, weight) for weight in (_given, _filled, _fewer_rows))
    ratio = subject.watch.ratio(filled, as_is)
    finding = replace(finding, evidence={**finding.evidence, "time_with_zeros_filled": ratio.value})
    if (ratio.low or 0.0) > 1.0 + _SAME_TIME:
        return finding.because(f"the zeros save time: filled with numbers, these layers take {ratio.value:.2f} of it")
    return replace(finding, gives_back=part_saved(subject, as_is, fewer))


def _sparse_layers(module: nn.Module) -> dict[str, _Sparse]:
    """Return linear layers and ungrouped convolutions with many zeros outside of rows that are zero as a whole."""
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
    layers = {}
    for path, layer in module.named_modules():
        if not isinstance(layer, kinds) or getattr(layer, "groups", 1) != 1:
            continue
        weight = layer.weight
        if weight.layout != torch.strided or hasattr(weight, "__tensor_flatten__") or not weight.numel():
            continue
        rows = weight.detach().flatten(1)
        scattered = (rows == 0)[(rows != 0).any(dim=1)]
        zeros = float(scattered.sum()) / weight.numel()
        if zeros >= LEAST_SHARE:
            layers[path] = _Sparse(layer, zeros)
    return layers


def _is_pattern(sparse: _Sparse) -> bool:
    from pytest_modelbench.models.semi_structured import sparse_matrices

    return sparse.zeros <= _MOST_OF_A_PATTERN and bool(sparse_matrices(sparse.layer))


def _share(layers: Any) -> float:
    sizes = [(sparse.layer.weight.numel(), sparse.zeros) for sparse in layers]
    return float(sum(count * zeros for count, zeros in sizes) / sum(count for count, _ in sizes))


def _given(weight: torch.Tensor, zeros: float) -> torch.Tensor:  # noqa: ARG001 - one of three of the same form
    return weight


def _filled(weight: torch.Tensor, zeros: float) -> torch.Tensor:  # noqa: ARG001 - the same
    import torch

    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(weight.shape, generator=generator).to(weight.device, weight.dtype)
    return weight.where(weight != 0, numbers * weight.std())


def _fewer_rows(weight: torch.Tensor, zeros: float) -> torch.Tensor:
    return weight[: max(1, round(len(weight) * (1.0 - zeros)))].clone()


def _together(
    calls: Sequence[LayerCall], layers: dict[str, _Sparse], weights: Callable[[torch.Tensor, float], torch.Tensor]
) -> Call:
    """Return one call that computes all layers with other weights, each on what it was given."""
    parts = [_part(call, weights(call.layer.weight.detach(), layers[call.path].zeros)) for call in calls]  # type: ignore[operator]

    def run() -> None:
        for part in parts:
            part()

    return run


def _part(call: LayerCall, weight: torch.Tensor) -> Call:
    import torch

    layer: Any = call.layer
    bias = None if layer.bias is None else layer.bias.detach()[: len(weight)]
    if isinstance(layer, torch.nn.Linear):
        return functools.partial(torch.nn.functional.linear, call.given, weight, bias)
    return functools.partial(layer._conv_forward, call.given, weight, bias)  # noqa: SLF001 - with its padding
