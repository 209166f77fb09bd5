"""Pruning masks that are still attached: every call multiplies them with the weights anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_modelbench.diagnosis.counterfactual import call_of, copied, timed, torch_module
from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Subject

if TYPE_CHECKING:
    from torch import nn


def masks_attached(subject: Subject) -> Finding | None:
    """Time the student with its masks made permanent; None if it has no masks of torch.nn.utils.prune."""
    masks = masked_tensors(torch_module(subject))
    if not masks:
        return None
    finding = Finding(
        cause="masks_attached",
        text=f"{len(masks)} pruning masks are multiplied with their weights in every call",
        evidence={"masks": len(masks), "tensors": [f"{path}.{name}".lstrip(".") for path, name in masks][:10]},
        counterfactual="the masks made permanent",
        remedy="Call torch.nn.utils.prune.remove(module, name) for each pruned tensor after the last training step",
        explains=("memory_bound", "dispatch_bound"),
    )
    return timed(subject, finding, call_of(subject, _permanent(copied(subject))))


def masked_tensors(module: nn.Module) -> list[tuple[str, str]]:
    """Return the path of each module and the name of each of its tensors that a pruning mask is attached to."""
    from torch.nn.utils import prune

    return [
        (path, hook._tensor_name)  # noqa: SLF001 - torch says it nowhere else
        for path, part in module.named_modules()
        for hook in part._forward_pre_hooks.values()  # noqa: SLF001
        if isinstance(hook, prune.BasePruningMethod)
    ]


def _permanent(module: nn.Module) -> nn.Module:
    import torch
    from torch.nn.utils import prune

    with torch.inference_mode(mode=False), torch.no_grad():
        for path, name in masked_tensors(module):
            prune.remove(module.get_submodule(path), name)  # type: ignore[no-untyped-call]
    return module
