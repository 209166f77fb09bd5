"""Variants of the student that hypotheses time: copies, and some layers alone; with a check of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_modelbench.diagnosis.finding import Finding
from pytest_modelbench.diagnosis.subject import Call, Subject
from pytest_modelbench.errors import NotApplicable, cause_of
from pytest_modelbench.results import Estimate

if TYPE_CHECKING:
    import torch
    from torch import nn

CHANGES_OUTPUTS = "the counterfactual changes the outputs"
TOLERANCE = 1e-3
"""How far outputs may lie apart, relative to the largest of the student's."""


def copied(subject: Subject) -> nn.Module:
    """Return a deep copy of the student's module, in evaluation mode.

    Raises:
        NotApplicable: it cannot be copied.
    """
    import torch

    from pytest_modelbench.models.adapters.torch_module import TorchModel

    subject.call()  # masks leave a tensor with a graph in training: only that of a call without gradients is copied
    subject.beat()
    student = subject.student
    with torch.inference_mode(mode=False), torch.no_grad():
        module = student.copied_module() if type(student) is TorchModel else None
    if module is None:
        raise NotApplicable(f"{student.name} cannot be copied")
    for part in module.modules():
        part.training = False
    return module


def call_of(subject: Subject, module: nn.Module) -> Call:
    """Return the call of a variant of the student's module on the same batch, without gradients."""
    from pytest_modelbench.models.adapters.torch_module import TorchModel

    return TorchModel(module, subject.student.name).bind(subject.inputs)


def timed(subject: Subject, finding: Finding, variant: Call, tolerance: float = TOLERANCE) -> Finding:
    """Return a finding with the time that a variant gives back, if its outputs are the student's."""
    try:
        same = same_outputs(subject, variant, tolerance)
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError) as error:
        return finding.because(f"the counterfactual cannot run: {cause_of(error)}")
    if not same:
        return finding.because(CHANGES_OUTPUTS)
    return replace(finding, gives_back=subject.watch.gives_back(variant))


def same_outputs(subject: Subject, variant: Call, tolerance: float = TOLERANCE) -> bool:
    """Return whether a variant's outputs are the student's, to a share of the largest one.

    The outputs of a student that differ from call to call are compared by their shapes only.
    """
    expected, again, actual = (_tensors(call()) for call in (subject.call, subject.call, variant))
    subject.beat()
    steady = _agree(expected, again, tolerance)
    return _agree(expected, actual, tolerance if steady else float("inf"))


def _tensors(output: Any) -> list[torch.Tensor]:
    import torch
    from torch.utils._pytree import tree_leaves

    return [leaf.detach().clone() for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]


def _agree(expected: list[torch.Tensor], actual: list[torch.Tensor], tolerance: float) -> bool:
    shapes = [tensor.shape for tensor in expected] == [tensor.shape for tensor in actual]
    return shapes and all(map(_near, expected, actual, [tolerance] * len(actual)))


def _near(expected: torch.Tensor, actual: torch.Tensor, tolerance: float) -> bool:
    if not expected.numel() or tolerance == float("inf"):
        return True
    if not expected.is_floating_point() or not actual.is_floating_point():
        return bool((expected == actual).all())
    wide, other = expected.double(), actual.double()
    scale = float(wide.nan_to_num(posinf=0.0, neginf=0.0).abs().max()) or 1.0
    return wide.allclose(other, rtol=0.0, atol=tolerance * scale, equal_nan=True)


@dataclass(frozen=True, kw_only=True)
class LayerCall:
    """One call of a layer inside of a call of the student: the layer's path, the layer, and its first input."""

    path: str
    layer: nn.Module
    given: torch.Tensor


def calls_of(subject: Subject, layers: Mapping[str, nn.Module]) -> list[LayerCall]:
    """Run the student once and return each call of some of its layers, in order, with what they were given."""
    calls: list[LayerCall] = []

    def note(path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(layer: nn.Module, args: tuple[Any, ...]) -> None:
            if args:
                calls.append(LayerCall(path=path, layer=layer, given=args[0]))

        return hook

    handles = [layer.register_forward_pre_hook(note(path)) for path, layer in layers.items()]
    try:
        subject.call()
    finally:
        for handle in handles:
            handle.remove()
    subject.beat()
    return calls


def part_saved(subject: Subject, part: Call, instead: Call, *, work: float = 1.0) -> Estimate:
    """Return the share of the student's time that is saved if one part of it takes another call's time.

    The part's share of the student's time, times the share of the part's time that the other call saves; both ends
    of the interval are those of both factors, which is wider than 95%. If the other call does only a share of the
    part's work, `work`, its time is divided by that share.
    """
    share = subject.watch.ratio(part, subject.call).within(0.0, 1.0)
    saves = subject.watch.ratio(instead, part).map(lambda ratio: 1.0 - ratio / work)
    ends = [first * second for first in (share.low, share.high) for second in (saves.low, saves.high)]  # type: ignore[operator]
    return Estimate(value=min(share.value, 1.0) * saves.value, low=min(ends), high=max(ends))


def torch_module(subject: Subject) -> nn.Module:
    """Return the student's torch module.

    Raises:
        NotApplicable: the student has none, or it is compiled: its operators are not those of its layers.
    """
    import torch

    if not isinstance(subject.module, torch.nn.Module):
        raise NotApplicable(f"{subject.student.name} is not a torch module")
    if hasattr(subject.module, "_orig_mod"):
        raise NotApplicable(f"{subject.student.name} is compiled by torch.compile")
    return subject.module
