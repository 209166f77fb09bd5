"""Hooks that are still attached: Python functions that run at every call of a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_modelbench.diagnosis.counterfactual import call_of, copied, timed, torch_module
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject

if TYPE_CHECKING:
    from torch import nn


def hooks_left(subject: Subject) -> Finding | None:
    """Time the student without its forward hooks; None if it has none but those that make its weights."""
    module = torch_module(subject)
    hooks = [(path, hook) for path, part in module.named_modules() for _, hook in _hooks(part)]
    if not hooks:
        return None
    names = sorted({getattr(hook, "__qualname__", type(hook).__qualname__) for _, hook in hooks})
    finding = Finding(
        cause="hooks_left",
        text=f"{len(hooks)} hooks run in every call",
        evidence={"hooks": len(hooks), "functions": names[:10], "modules": [path for path, _ in hooks][:10]},
        counterfactual="without the hooks",
        remedy="Remove the hooks: keep the handle that register_forward_hook returns, and call its remove()",
        explains=("dispatch_bound", "memory_bound"),
    )
    return timed(subject, finding, call_of(subject, _without(copied(subject))))


def _without(module: nn.Module) -> nn.Module:
    for part in module.modules():
        for key, _ in list(_hooks(part)):
            part._forward_hooks.pop(key, None)  # noqa: SLF001 - torch removes hooks by handles only
            part._forward_pre_hooks.pop(key, None)  # noqa: SLF001
    return module


def _hooks(part: nn.Module) -> list[tuple[int, Callable[..., Any]]]:
    """Return a module's own forward hooks by their keys, without those that make weights."""
    held = [*part._forward_hooks.items(), *part._forward_pre_hooks.items()]  # noqa: SLF001
    return [(key, hook) for key, hook in held if not _makes_weights(hook)]


def _makes_weights(hook: Callable[..., Any]) -> bool:
    """Return whether a hook is torch's, for pruning or normalising weights; torch hides some of their classes."""
    from torch.nn.utils import prune

    kind = type(hook)
    normalises = kind.__module__.startswith("torch.nn.utils.") and kind.__name__ in {"WeightNorm", "SpectralNorm"}
    return normalises or isinstance(hook, prune.BasePruningMethod)
