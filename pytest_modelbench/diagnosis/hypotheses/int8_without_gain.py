"""Dynamically quantised layers that are slower than the float layers they replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pytest_modelbench.diagnosis.counterfactual import call_of, copied, timed
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject

TOLERANCE = 0.2
"""How far outputs may lie apart: activations are not rounded to 8 bits any more."""


def int8_without_gain(subject: Subject) -> Finding | None:
    """Time the student with its dynamic int8 linear layers as float ones, with their dequantised weights."""
    paths = [path for path, part in subject.module.named_modules() if path and _is_dynamic(part)]
    if not paths:
        return None
    copy = copied(subject)
    for path in paths:
        above, _, name = path.rpartition(".")
        setattr(copy.get_submodule(above), name, _as_float(copy.get_submodule(path)))
    finding = Finding(
        cause="int8_without_gain",
        text=f"{len(paths)} int8 layers quantise their inputs in every call",
        evidence={"layers": len(paths), "engine": str(torch.backends.quantized.engine), "paths": paths[:10]},
        counterfactual="float layers with the same weights",
        remedy="Quantise only layers that gain from it (large ones, on a processor with int8 instructions such as "
        "VNNI), or use a static int8 graph in a runtime",
        explains=("casts", "dispatch_bound"),
    )
    finding = timed(subject, finding, call_of(subject, copy), TOLERANCE)
    if finding.gives_back is None:
        return finding
    return replace(
        finding, text=f"{finding.text}; as float layers they save {100 * finding.gives_back.value:.0f}% of the time"
    )


def _is_dynamic(module: nn.Module) -> bool:
    kind = type(module)
    return kind.__name__ == "Linear" and "quantized.dynamic" in kind.__module__


def _as_float(layer: Any) -> nn.Module:
    with torch.inference_mode(mode=False), torch.no_grad():
        weight, bias = layer.weight().dequantize(), layer.bias()
        made = nn.Linear(layer.in_features, layer.out_features, bias=bias is not None)
        made.weight.copy_(weight)
        if bias is not None:
            made.bias.copy_(bias)
    return made.eval()
