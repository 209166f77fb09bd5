"""Factors of a matrix that are slower than the matrix: half the operations, twice the operators."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pytest_modelbench.diagnosis.counterfactual import call_of, copied, timed
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.layers import students_calls
from pytest_modelbench.diagnosis.subject import Subject

TOLERANCE = 1e-2
"""How far outputs may lie apart: the product of factors rounds otherwise than the factors do."""


def low_rank_overhead(subject: Subject) -> Finding | None:
    """Time the student with the factors of each matrix multiplied once, at load."""
    pairs = _pairs(subject)
    if not pairs:
        return None
    copy = copied(subject)
    for first, second in pairs:
        _multiply(copy, first, second)
    rank = min(subject.module.get_submodule(first).out_features for first, _ in pairs)
    finding = Finding(
        cause="low_rank_overhead",
        text=f"{len(pairs)} matrices are stored as two factors (rank from {rank}), which run one after the other",
        evidence={"pairs": len(pairs), "least_rank": rank, "layers": [f"{a}, {b}" for a, b in pairs[:10]]},
        counterfactual="the factors multiplied",
        remedy="Multiply the factors of layers that are too small to gain from them, or choose a lower rank",
        explains=("dispatch_bound",),
    )
    finding = timed(subject, finding, call_of(subject, copy), TOLERANCE)
    if finding.gives_back is None:
        return finding
    return replace(
        finding, text=f"{finding.text}; multiplied they save {100 * finding.gives_back.value:.0f}% of the time"
    )


def _pairs(subject: Subject) -> list[tuple[str, str]]:
    """Return the paths of linear layers whose output is the next one's input as it is, through a narrower middle."""
    linears = {path: layer for path, layer in subject.module.named_modules() if _is_plain(layer)}
    calls = students_calls(subject, linears)
    times = [call.path for call in calls]
    pairs = []
    for first, second in itertools.pairwise(calls):
        direct = bool(second.args) and second.args[0] is first.output
        once = times.count(first.path) == times.count(second.path) == 1
        if direct and once and _narrows(first.layer, second.layer):
            pairs.append((first.path, second.path))
    return pairs


def _narrows(first: Any, second: Any) -> bool:
    return bool(first.out_features < min(first.in_features, second.out_features))


def _is_plain(layer: nn.Module) -> bool:
    """Whether it is a linear layer whose weight is not computed from others."""
    return type(layer) is nn.Linear and isinstance(layer.weight, nn.Parameter)


def _multiply(module: nn.Module, first: str, second: str) -> None:
    """Put the product of two layers in place of the first, and nothing in place of the second."""
    before: Any = module.get_submodule(first)
    after: Any = module.get_submodule(second)
    with torch.inference_mode(mode=False), torch.no_grad():
        product = nn.Linear(
            before.in_features, after.out_features, bias=before.bias is not None or after.bias is not None
        )
        product.to(after.weight.device, after.weight.dtype)
        product.weight.copy_(after.weight @ before.weight)
        if product.bias is not None:
            product.bias.zero_()
            if before.bias is not None:
                product.bias.add_(after.weight @ before.bias)
            if after.bias is not None:
                product.bias.add_(after.bias)
    _replace(module, first, product.eval())
    _replace(module, second, nn.Identity().eval())


def _replace(module: nn.Module, path: str, part: nn.Module) -> None:
    """Put another module in a place, with the hooks of the one that was there: they are another cause."""
    above, _, name = path.rpartition(".")
    before = module.get_submodule(path)
    for hooks in ("_forward_hooks", "_forward_pre_hooks"):
        getattr(part, hooks).update(getattr(before, hooks))
    setattr(module.get_submodule(above), name, part)
