"""Pruning masks that are still attached are found, and timed as if they were permanent."""

from __future__ import annotations

import threading

import pytest
import torch
from diagnosed import Written, diagnosed, linears, perceptron
from torch import nn
from torch.nn.utils import prune

from pytest_modelbench.diagnosis.hypotheses.masks_attached import masks_attached
from pytest_modelbench.errors import NotApplicable

BATCH = torch.ones(2, 512)


def masked() -> nn.Sequential:
    student = perceptron(512, 512, 512, 64)
    for layer in linears(student):
        prune.l1_unstructured(layer, "weight", 0.6)  # type: ignore[no-untyped-call]
    return student


def test_permanent_masks_give_time_back() -> None:
    """At a batch of two, a mask costs about as much as the product that it precedes."""
    with diagnosed(masked(), BATCH) as subject:
        finding = masks_attached(subject)
    assert finding is not None
    assert finding.holds
    assert finding.gives_back is not None
    assert 0.15 < finding.gives_back.value < 0.95
    assert finding.evidence["masks"] == 3


def test_student_keeps_its_masks() -> None:
    """The student's masks, outputs and mode are what they were, also after a call with gradients."""
    student = masked()
    student(BATCH).sum().backward()  # which leaves weights that torch refuses to copy
    expected = student.eval()(BATCH)
    with diagnosed(student, BATCH, Written([0.4])) as subject:
        finding = masks_attached(subject)
    assert finding is not None
    assert not finding.skipped
    assert all(prune.is_pruned(layer) for layer in linears(student))
    assert torch.equal(student(BATCH), expected)


def test_variant_has_no_masks_and_the_same_outputs() -> None:
    """What is timed is the counterfactual that the finding names."""
    watch = Written([0.4])
    with diagnosed(masked(), BATCH, watch) as subject:
        masks_attached(subject)
        assert torch.allclose(watch.variants[0](), subject.call(), atol=1e-5)
    assert not prune.is_pruned(watch.variants[0].func)  # type: ignore[attr-defined]


def test_student_without_masks_has_no_such_cause() -> None:
    """Zeros alone are another cause."""
    with diagnosed(perceptron(512, 64), BATCH, Written([])) as subject:
        assert masks_attached(subject) is None


def test_student_that_cannot_be_copied_is_not_timed() -> None:
    """Masks are only ever removed from a copy."""
    student = masked()
    student.lock = threading.Lock()  # type: ignore[assignment]
    with (
        diagnosed(student, BATCH, Written([])) as subject,
        pytest.raises(NotApplicable, match="student cannot be copied"),
    ):
        masks_attached(subject)
    assert all(prune.is_pruned(layer) for layer in linears(student))
