"""Hooks that are still attached are found, and timed as if they were removed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diagnosed import Written, diagnosed, linears, perceptron
from torch import nn
from torch.nn.utils import prune

from pytest_modelbench.diagnosis.counterfactual import CHANGES_OUTPUTS
from pytest_modelbench.diagnosis.hypotheses.hooks_left import hooks_left
from pytest_modelbench.errors import NotApplicable

BATCH = torch.ones(8, 32)


def observing(layer: nn.Module, given: tuple[Any, ...], output: torch.Tensor) -> None:
    """Look at the range of an output, as observers of quantisation do."""
    layer.seen = (float(output.min()), float(output.max()), float(output.std()))  # type: ignore[assignment]


def hooked() -> nn.Sequential:
    student = perceptron(32, 32, 32, 32, 32)
    for layer in linears(student):
        layer.register_forward_hook(observing)
    return student


def test_removed_hooks_give_time_back() -> None:
    """An observer of a small layer takes longer than the layer."""
    with diagnosed(hooked(), BATCH) as subject:
        finding = hooks_left(subject)
    assert finding is not None
    assert finding.holds
    assert finding.evidence["functions"] == ["observing"]
    assert finding.evidence["hooks"] == 4


def test_student_keeps_its_hooks() -> None:
    """Hooks are removed in a copy."""
    student, watch = hooked(), Written([0.5])
    with diagnosed(student, BATCH, watch) as subject:
        hooks_left(subject)
    assert all(layer._forward_hooks for layer in linears(student))
    assert not any(layer._forward_hooks for layer in watch.variants[0].func.modules())  # type: ignore[attr-defined]


def test_hook_that_makes_the_output_is_not_timed() -> None:
    """Without it the student would be another model."""
    student = perceptron(32, 32)
    student.register_forward_hook(lambda layer, given, output: output * 2)
    with diagnosed(student, BATCH, Written([])) as subject:
        finding = hooks_left(subject)
    assert finding is not None
    assert finding.skipped == CHANGES_OUTPUTS


def test_masks_are_not_hooks_left() -> None:
    """Pruning attaches its masks by hooks, which are another cause."""
    student = perceptron(32, 32)
    prune.random_unstructured(student[0], "weight", 0.5)  # type: ignore[no-untyped-call]
    with diagnosed(student, BATCH, Written([])) as subject:
        assert hooks_left(subject) is None


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_compiled_module_is_not_looked_into() -> None:
    """Its operators are fused: what its layers would do by themselves is not what takes its time."""
    student = torch.compile(perceptron(32, 32))
    with diagnosed(perceptron(32, 32), BATCH, Written([])) as subject:
        subject.student.module = student  # type: ignore[attr-defined]
        with pytest.raises(NotApplicable, match=r"compiled by torch\.compile"):
            hooks_left(subject)


def test_hooks_of_all_modules_are_found_and_put_back() -> None:
    """`register_module_forward_hook` reaches every module, also copies: it is taken away while the variant runs."""
    seen: list[str] = []
    handle = nn.modules.module.register_module_forward_hook(lambda layer, _given, _output: seen.append(str(layer)))
    try:
        with diagnosed(perceptron(32, 32), BATCH, Written([0.5])) as subject:
            finding = hooks_left(subject)
            seen.clear()
            subject.watch.variants[0]()  # type: ignore[attr-defined]
            assert not seen
            subject.call()
            assert seen
    finally:
        handle.remove()
    assert finding is not None
    assert finding.evidence["modules"] == ["every module"]
