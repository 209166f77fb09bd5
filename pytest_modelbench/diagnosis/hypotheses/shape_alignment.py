"""Widths that kernels pad, or have no fast path for: channels that are not multiples of 8 or 16."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from pytest_modelbench.diagnosis.counterfactual import part_saved
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.layers import LayerCall, again, students_calls
from pytest_modelbench.diagnosis.subject import Subject

USUAL_BLOCK, WIDE_BLOCK = 8, 16
"""Channels that kernels compute together: floats of a vector of 256 or 512 bits, elements of a tensor core."""
LEAST_WIDTH = 16
_CONVOLUTIONS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}


def shape_alignment(subject: Subject) -> Finding | None:
    """Time layers of uneven widths alone, and the same layers at the next smaller multiple.

    The smaller layer's time is divided by its share of the work, so that less work does not count as a gain.
    """
    block = _block(getattr(getattr(subject.student, "device", None), "type", "cpu"))
    uneven = [call for call in students_calls(subject) if _is_uneven(call, block)]
    even = [_at_multiple(call, block) for call in uneven]
    if not uneven:
        return None
    work = sum(_work(call) for call in even) / sum(_work(call) for call in uneven)
    gain = part_saved(subject, again(uneven), again(even), work=work)
    widths = sorted({width for call in uneven for width in _widths(call.layer) if width % block and width >= block})
    shown = ", ".join(map(str, widths[:6]))
    return Finding(
        cause="shape_alignment",
        text=f"{len(uneven)} calls of layers have widths that are not multiples of {block} ({shown}); at the next "
        f"smaller multiple the same work would save {100 * gain.value:.0f}% of the time",
        evidence={"calls": len(uneven), "widths": widths, "block": block, "work_of_the_smaller": work},
        counterfactual=f"these layers alone at the next smaller multiple of {block}, for the same work",
        gives_back=gain,
        remedy=f"Prune to multiples of {block} (round_to in torch-pruning), or pad to the next one",
    )


def _block(device: str) -> int:
    wide = device == "cuda" or "AVX512" in torch.backends.cpu.get_cpu_capability()
    return WIDE_BLOCK if wide else USUAL_BLOCK


def _widths(layer: Any) -> tuple[int, ...]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if type(layer) in _CONVOLUTIONS and layer.groups == 1:
        return layer.in_channels, layer.out_channels
    return ()


def _is_uneven(call: LayerCall, block: int) -> bool:
    """Whether a width is neither a multiple nor so small that it has none below it."""
    plain = type(call.layer) in {nn.Linear, *_CONVOLUTIONS} and bool(call.args)
    return plain and any(width % block and width >= LEAST_WIDTH for width in _widths(call.layer))


def _work(call: LayerCall) -> int:
    weight, width = call.layer.weight, _widths(call.layer)[1]
    return int(weight.numel() * call.output.numel() // width) if isinstance(weight, torch.Tensor) else 0


def _at_multiple(call: LayerCall, block: int) -> LayerCall:
    """Return the call of a narrower layer on a part of its input, with random weights."""
    layer: Any = call.layer
    before, after = (width - width % block if width >= LEAST_WIDTH else width for width in _widths(layer))
    options = {"bias": layer.bias is not None, "device": layer.weight.device, "dtype": layer.weight.dtype}
    part = call.args[0].narrow(-1 if isinstance(layer, nn.Linear) else -1 - _spatial(layer), 0, before).contiguous()
    with torch.inference_mode(mode=False), torch.no_grad():
        if isinstance(layer, nn.Linear):
            made: nn.Module = nn.Linear(before, after, **options)
        else:
            kept = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
            made = type(layer)(before, after, **{name: getattr(layer, name) for name in kept}, **options)
    with torch.inference_mode():
        output = made(part)
    return replace(call, layer=made, args=(part,), output=output)


def _spatial(layer: nn.Module) -> int:
    return _CONVOLUTIONS[type(layer)]  # type: ignore[index]
