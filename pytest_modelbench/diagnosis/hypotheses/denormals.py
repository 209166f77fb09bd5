"""Denormal numbers, closer to zero than a float's exponent reaches: some operators take many times longer."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_modelbench.diagnosis.counterfactual import timed
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject


def denormals(subject: Subject) -> Finding | None:
    """Time the student while the processor takes denormal numbers for zero.

    None if no operator of torch makes one in a call, or the processor does so already or never does.
    """
    if "torch" not in sys.modules or not _are_kept():
        return None
    share, operators = _made(subject)
    if not share:
        return None
    finding = Finding(
        cause="denormals",
        text=f"{share:.1%} of the numbers that a call computes are denormal, which this processor is slow with",
        evidence={"share": share, "operators": operators},
        counterfactual="denormal numbers taken for zero",
        remedy="Call torch.set_flush_denormal(True) at the start of the service, and cut out or round off weights "
        "that are almost zero",
    )

    def flushed() -> Any:
        with _flushing():
            return subject.call()

    return timed(subject, finding, flushed)


@contextlib.contextmanager
def _flushing() -> Iterator[bool]:
    """Let this thread's processor take denormal numbers for zero; yield whether it can."""
    import torch

    try:
        yield torch.set_flush_denormal(True)
    finally:
        torch.set_flush_denormal(False)


def _are_kept() -> bool:
    """Return whether this thread computes with denormal numbers and could take them for zero."""
    import torch

    tiny = torch.full((1,), torch.finfo(torch.float32).tiny)
    if not float(tiny * 0.5):
        return False  # before the setting is touched: another's choice to flush stays
    with _flushing() as can:
        return can


def _made(subject: Subject) -> tuple[float, list[str]]:
    """Run the student once; return the share of denormal numbers, and the names of the operators that make them."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    counts = {"numbers": 0, "denormal": 0}
    names: set[str] = set()

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
            output = func(*args, **(kwargs or {}))
            for tensor in tree_leaves(output):
                if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.device.type == "cpu":
                    denormal = _denormal(tensor)
                    counts["numbers"] += tensor.numel()
                    counts["denormal"] += denormal
                    names.update([str(func.overloadpacket)] * bool(denormal))
            return output

    with Count():  # type: ignore[no-untyped-call]
        subject.call()
    subject.beat()
    return counts["denormal"] / max(counts["numbers"], 1), sorted(names)[:10]


def _denormal(tensor: Any) -> int:
    import torch

    if tensor.layout != torch.strided or hasattr(tensor, "__tensor_flatten__"):
        return 0
    size = tensor.detach().abs()
    return int(((size > 0) & (size < torch.finfo(tensor.dtype).tiny)).sum())
