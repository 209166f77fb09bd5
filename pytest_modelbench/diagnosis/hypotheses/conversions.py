"""Work that only changes the form of activations: their memory layout, their type, or their quantisation."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from pytest_modelbench.diagnosis.counterfactual import same_outputs
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.operators import Operator, replay, trace
from pytest_modelbench.diagnosis.subject import Subject

LEAST_BYTES_SHARE = 0.05
"""The share of all moved bytes below which copies are no sign."""


def layout_copies(subject: Subject) -> Finding | None:
    """Time the student with its own changes of layout left out; if it cannot do without them, the copies alone."""
    operators = trace(subject)
    copies = [operator for operator in operators if _is_layout_copy(operator) and not _of_weights(operator, subject)]
    if not _is_much(copies, operators):
        return None
    finding = Finding(
        cause="layout_copies",
        text=f"{len(copies)} copies a call change the memory layout of activations only",
        evidence={"copies": len(copies), "bytes_of_copies": _moved(copies), "bytes_a_call": _moved(operators)},
        counterfactual="one memory layout throughout",
        remedy="Keep one layout from the input to the output: convert module and input to channels_last once, and "
        "leave contiguous() and to(memory_format=) out of forward",
        explains=("memory_bound",),
    )

    def kept() -> Any:
        with layouts_kept():
            return subject.call()

    if _runs_alike(subject, kept):
        gain = subject.watch.gives_back(kept)
    else:
        finding = replace(finding, counterfactual="without the copies, run alone")
        gain = subject.watch.ratio(replay(copies), subject.call)
    return replace(
        finding, text=f"{finding.text}; without them {100 * gain.value:.0f}% of the time is saved", gives_back=gain
    )


def casts(subject: Subject) -> Finding | None:
    """Time the operators that cast or quantise activations alone."""
    operators = trace(subject)
    conversions = [
        operator
        for operator in operators
        if (_is_cast(operator) or operator.quantises) and not _of_weights(operator, subject)
    ]
    if not _is_much(conversions, operators):
        return None
    gain = subject.watch.ratio(replay(conversions), subject.call).map(lambda value: min(value, 1.0))
    names = Counter(operator.name for operator in conversions)
    return Finding(
        cause="casts",
        text=f"{len(conversions)} operators cast or quantise activations and take "
        f"{100 * gain.value:.0f}% of the time",
        evidence={"operators": dict(names), "bytes_a_call": _moved(conversions)},
        counterfactual="without these operators, which are run alone",
        gives_back=gain,
        remedy="Convert once at the input and once at the output, and quantise only the large layers",
        explains=("memory_bound", "dispatch_bound"),
    )


def _is_much(some: Sequence[Operator], operators: Sequence[Operator]) -> bool:
    return bool(some) and _moved(some) >= LEAST_BYTES_SHARE * _moved(operators)


def _moved(operators: Sequence[Operator]) -> int:
    return sum(operator.moved_bytes for operator in operators)


def _is_layout_copy(operator: Operator) -> bool:
    """Whether an operator copies a tensor into other strides, in the same type."""
    if operator.name not in {"clone", "_to_copy", "contiguous"} or len(operator.inputs) != 1:
        return False
    memory_format = operator.kwargs.get("memory_format")
    tensor = operator.inputs[0]
    same_type = operator.kwargs.get("dtype") in {None, tensor.dtype}
    return same_type and memory_format not in {None, torch.preserve_format}


def _is_cast(operator: Operator) -> bool:
    """Whether an operator copies a tensor into another type."""
    if operator.name == "_to_copy":
        return operator.kwargs.get("dtype") not in {None, operator.inputs[0].dtype}
    return (
        operator.name == "copy_"
        and len(operator.inputs) == 2
        and operator.inputs[0].dtype != operator.inputs[1].dtype
    )


def _of_weights(operator: Operator, subject: Subject) -> bool:
    """Whether an operator reads a parameter or buffer: that work does not depend on the input."""
    module = subject.module
    held = {tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers()) if tensor.numel()}
    return any(tensor.data_ptr() in held for tensor in operator.inputs if tensor.layout == torch.strided)


def _runs_alike(subject: Subject, variant: Any) -> bool:
    try:
        return same_outputs(subject, variant)
    except RuntimeError:  # such as a view, which needs the copy
        return False


@contextlib.contextmanager
def layouts_kept() -> Iterator[None]:
    """Let `contiguous()` return the tensor itself, and `to()` keep its layout; restored after the block."""
    to = torch.Tensor.to

    def contiguous(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return tensor

    def to_type(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        kwargs.pop("memory_format", None)
        return to(tensor, *args, **kwargs) if args or kwargs else tensor

    torch.Tensor.contiguous = contiguous  # type: ignore[method-assign,assignment]
    torch.Tensor.to = to_type  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del torch.Tensor.contiguous  # both are inherited
        del torch.Tensor.to
