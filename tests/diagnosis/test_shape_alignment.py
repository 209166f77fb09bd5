"""Widths that are no multiple of what kernels compute together."""

from __future__ import annotations

import pytest
import torch
from subjects import mlp, subject_of
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.shape_alignment import shape_alignment


def tower(width: int) -> nn.Sequential:
    """Return four convolutions of one width."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
    for _ in range(3):
        layers += [nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)]
    return nn.Sequential(*layers)


def test_uneven_channels_are_timed_at_the_next_multiple() -> None:
    """What 65 channels cost over 64 for the same work, whichever processor this is."""
    with subject_of(tower(65), tower(80), torch.randn(1, 3, 28, 28)) as subject:
        found = shape_alignment(subject)
    assert found is not None
    assert found.gives_back is not None
    assert -0.5 < found.gives_back.value < 0.9
    assert found.evidence["widths"] == [65]
    assert found.evidence["work_of_the_smaller"] == pytest.approx((64 / 65) ** 2, abs=0.01)
    assert found.evidence["block"] in {8, 16}


def test_even_widths_give_no_sign() -> None:
    """Small ones neither: 3 channels of an image have no multiple below them."""
    with subject_of(tower(48), None, torch.randn(1, 3, 12, 12)) as subject:
        assert shape_alignment(subject) is None
    with subject_of(mlp(10, 16, 10), None, torch.randn(2, 10)) as subject:
        assert shape_alignment(subject) is None


def test_linear_layers_have_widths_too() -> None:
    """Of inputs and outputs."""
    with subject_of(mlp(100, 43, 64), None, torch.randn(4, 100)) as subject:
        found = shape_alignment(subject)
    assert found is not None
    assert found.evidence["widths"] == [43, 100]
