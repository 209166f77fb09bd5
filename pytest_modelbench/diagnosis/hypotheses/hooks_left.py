"""Hooks that are still attached: Python functions that run at every call of a layer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_modelbench.diagnosis.counterfactual import call_of, copied, timed, torch_module
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject

if TYPE_CHECKING:
    from torch import nn


def hooks_left(subject: Subject) -> Finding | None:
    """Time the student without its forward hooks and those of all modules; None if it has none of either.

    Hooks that make its weights do not count.
    """
    module = torch_module(subject)
    hooks = [(path, hook) for path, part in module.named_modules() for _, hook in _hooks(part)]
    hooks += [("every module", hook) for registered in _of_all_modules() for hook in registered.values()]
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
    bare = call_of(subject, _without(copied(subject)))

    def without() -> Any:
        with _nothing_registered():
            return bare()

    return timed(subject, finding, without if any(_of_all_modules()) else bare)


def _of_all_modules() -> list[dict[int, Callable[..., Any]]]:
    """Return what torch calls for every module, such as by register_module_forward_hook."""
    from torch.nn.modules import module

    return [module._global_forward_pre_hooks, module._global_forward_hooks]  # noqa: SLF001 - torch lists them nowhere


@contextlib.contextmanager
def _nothing_registered() -> Iterator[None]:
    """Take the hooks of all modules away, and put them back."""
    kept = [dict(registered) for registered in _of_all_modules()]
    try:
        for registered in _of_all_modules():
            registered.clear()
        yield
    finally:
        for registered, hooks in zip(_of_all_modules(), kept, strict=True):
            registered.update(hooks)


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
