"""A type of number that this device is slow with: 16-bit floats on many processors, 64-bit floats anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_modelbench.diagnosis.counterfactual import call_of, copied, timed, torch_module
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject

if TYPE_CHECKING:
    import torch
    from torch import nn

_TOLERANCE = 0.02
"""Sums of 16-bit floats differ from those of 32 bits in the third digit."""


def dtype_without_kernel(subject: Subject) -> Finding | None:
    """Time the student in float32; None if it has no other floats that its device may be slow with.

    float16 and bfloat16 count on the CPU only: GPUs have kernels for them.
    """
    import torch

    module = torch_module(subject)
    slow = _slow_types(module)
    if not slow:
        return None
    names = sorted(str(dtype).removeprefix("torch.") for dtype in slow)
    device = subject.student.device.type if hasattr(subject.student, "device") else "cpu"
    finding = Finding(
        cause="dtype_without_kernel",
        text=f"the student computes in {' and '.join(names)}, which this {device} is slow with",
        evidence={"dtypes": names, "device": device, "processor": torch.backends.cpu.get_cpu_capability()},
        counterfactual="the same weights in float32",
        remedy="Keep float32 on this device, or quantise to 8 bits; 16-bit floats need a GPU or a processor with "
        "instructions for them (AVX512-FP16, AVX512-BF16, AMX)",
        explains=("memory_bound", "casts", "layout_copies"),
    )
    return timed(subject, finding, call_of(subject, _in_float32(copied(subject), slow)), _TOLERANCE)


def _slow_types(module: nn.Module) -> set[torch.dtype]:
    import torch

    half = {tensor.dtype for tensor in module.parameters() if tensor.device.type == "cpu"} & {
        torch.float16,
        torch.bfloat16,
    }
    return half | {tensor.dtype for tensor in module.parameters() if tensor.dtype == torch.float64}


def _in_float32(module: nn.Module, slow: set[torch.dtype]) -> nn.Module:
    """Turn a copied module's weights into float32, and the types that its parts keep to cast their inputs to."""
    import torch

    with torch.inference_mode(mode=False), torch.no_grad():
        module.float()
    for part in module.modules():
        for key, value in list(vars(part).items()):
            if _is_type(value, slow):
                setattr(part, key, torch.float32)
    return module


def _is_type(value: Any, slow: set[torch.dtype]) -> bool:
    import torch

    return isinstance(value, torch.dtype) and value in slow
