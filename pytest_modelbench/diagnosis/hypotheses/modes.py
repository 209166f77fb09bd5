"""Modes that a service does not need: training mode, recorded gradients, settings of torch for debugging."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_modelbench.diagnosis.counterfactual import call_of, copied, timed, torch_module
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject

if TYPE_CHECKING:
    from torch import nn


def training_mode(subject: Subject) -> Finding | None:
    """Time the student with all layers kept in evaluation mode; None if no layer runs in training mode.

    Students are timed after `eval()`: a layer still trains if the model switches it back in `forward`.
    """
    training = _training(subject, torch_module(subject))
    if not training:
        return None
    finding = Finding(
        cause="training_mode",
        text=f"{len(training)} layers run in training mode, after eval()",
        evidence={"layers": training[:10]},
        counterfactual="these layers kept in evaluation mode",
        remedy="Remove the call of train() from the model's forward, and call eval() once before the service starts",
    )
    variant = copied(subject)
    for part in variant.modules():
        part.train = _stay(part)  # type: ignore[method-assign, assignment]
    return timed(subject, finding, call_of(subject, variant))


def autograd_left_on(subject: Subject) -> Finding | None:
    """Time the student in torch.inference_mode(); None if no output carries a graph for gradients."""
    if "torch" not in sys.modules:
        return None
    import torch
    from torch.utils._pytree import tree_leaves

    outputs = [leaf for leaf in tree_leaves(subject.call()) if isinstance(leaf, torch.Tensor)]
    subject.beat()
    recorded = sum(output.requires_grad for output in outputs)
    if not recorded:
        return None
    finding = Finding(
        cause="autograd_left_on",
        text=f"{recorded} outputs carry a graph for gradients, which every call builds and drops",
        evidence={"outputs": recorded},
        counterfactual="torch.inference_mode()",
        remedy="Call the model under torch.inference_mode()",
        explains=("dispatch_bound",),
    )

    def without_gradients() -> Any:
        with torch.inference_mode():
            return subject.call()

    return timed(subject, finding, without_gradients)


def debug_settings(subject: Subject) -> Finding | None:
    """Time the student without anomaly detection and deterministic algorithms; None if both are off.

    CUDA_LAUNCH_BLOCKING makes the processor wait for each kernel of a GPU, and holds for the whole process.
    """
    settings = _debugging() if "torch" in sys.modules else {}
    if _is_blocking(subject):
        return Finding(
            cause="debug_settings",
            text="CUDA_LAUNCH_BLOCKING=1: the processor waits for each kernel of the GPU",
            evidence={"settings": ["CUDA_LAUNCH_BLOCKING", *settings]},
            remedy="Start the process without CUDA_LAUNCH_BLOCKING, and time it again",
        ).because("CUDA_LAUNCH_BLOCKING holds for the whole process and cannot be turned off in it")
    if not settings:
        return None
    finding = Finding(
        cause="debug_settings",
        text=f"torch is set to debugging: {', '.join(settings)}",
        evidence={"settings": list(settings)},
        counterfactual="these settings off",
        remedy=f"Leave out {' and '.join(settings)} where the model is served",
    )

    def without() -> Any:
        with contextlib.ExitStack() as stack:
            for turned_off in settings.values():
                stack.enter_context(turned_off())
            return subject.call()

    return timed(subject, finding, without)


def _is_blocking(subject: Subject) -> bool:
    device = getattr(getattr(subject.student, "device", None), "type", "cpu")
    return device == "cuda" and os.environ.get("CUDA_LAUNCH_BLOCKING", "0") not in {"", "0"}


def _training(subject: Subject, module: nn.Module) -> list[str]:
    """Run the student once and return the paths of layers that are in training mode when they run."""
    paths: list[str] = []

    def note(path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(layer: nn.Module, _: tuple[Any, ...]) -> None:
            if layer.training and next(layer.children(), None) is None:
                paths.append(path)

        return hook

    handles = [layer.register_forward_pre_hook(note(path)) for path, layer in module.named_modules()]
    try:
        subject.call()
    finally:
        for handle in handles:
            handle.remove()
    subject.beat()
    return list(dict.fromkeys(paths))


def _stay(part: nn.Module) -> Callable[[bool], nn.Module]:
    def train(mode: bool = True) -> nn.Module:  # noqa: ARG001 - torch's signature
        return part

    return train


def _debugging() -> dict[str, Callable[[], contextlib.AbstractContextManager[Any]]]:
    """Return the settings for debugging that are on, each with a context that turns it off."""
    import torch

    settings: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {}
    if torch.is_anomaly_enabled():
        settings["torch.autograd.set_detect_anomaly"] = lambda: torch.autograd.set_detect_anomaly(mode=False)
    if torch.are_deterministic_algorithms_enabled():
        settings["torch.use_deterministic_algorithms"] = _undetermined
    return settings


@contextlib.contextmanager
def _undetermined() -> Iterator[None]:
    import torch

    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(mode=False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=True, warn_only=warns)
