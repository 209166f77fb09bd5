"""Copies that change the form of activations only."""

from __future__ import annotations

import torch
from subjects import mlp, subject_of
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.conversions import casts, layout_copies, layouts_kept


class BackAndForth(nn.Module):
    """Light convolutions, with a change of the memory layout before and after each of them."""

    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(32, 32, 1, groups=32) for _ in range(depth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x.to(memory_format=torch.channels_last).relu().contiguous())
        return x


class Transposed(nn.Module):
    """A view that cannot be made without the copy before it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2).contiguous().view(x.shape[0], -1).relu()


class Cast(nn.Module):
    """Elementwise work in another type, layer by layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(4):
            x = x.to(torch.float64).relu().to(torch.float32)
        return x


def test_changes_of_layout_are_left_out() -> None:
    """The outputs are the same in one layout, and time is given back; torch's own methods are back after it."""
    contiguous, to = torch.Tensor.contiguous, torch.Tensor.to
    with subject_of(BackAndForth(), None, torch.randn(4, 32, 64, 64)) as subject:
        found = layout_copies(subject)
    assert found is not None
    assert found.gives_back is not None
    assert found.gives_back.value > 0.1
    assert found.counterfactual == "one memory layout throughout"
    assert found.evidence["copies"] == 8
    assert torch.Tensor.contiguous is contiguous
    assert torch.Tensor.to is to


def test_a_copy_that_is_needed_is_timed_alone() -> None:
    """Without it the view fails."""
    with subject_of(Transposed(), None, torch.randn(8, 128, 256)) as subject:
        found = layout_copies(subject)
    assert found is not None
    assert found.gives_back is not None
    assert found.counterfactual == "without the copies, run alone"
    assert 0.05 < found.gives_back.value <= 1.2


def test_a_model_of_one_layout_and_type_gives_no_sign() -> None:
    """Its operators compute."""
    with subject_of(mlp(64, 64), None, torch.randn(4, 64)) as subject:
        assert layout_copies(subject) is None
        assert casts(subject) is None


def test_layouts_kept_still_converts_types() -> None:
    """Only the layout is left as it is."""
    image = torch.randn(1, 2, 3, 3)
    with layouts_kept():
        assert image.to(torch.float64, memory_format=torch.channels_last).dtype == torch.float64
        assert image.to(memory_format=torch.channels_last) is image


def test_casts_of_activations_are_timed_alone() -> None:
    """There and back in every layer."""
    with subject_of(Cast(), None, torch.randn(64, 4096)) as subject:
        found = casts(subject)
    assert found is not None
    assert found.gives_back is not None
    assert found.gives_back.value > 0.2
    assert found.evidence["operators"] == {"_to_copy": 8}


def test_casts_of_weights_are_another_cause() -> None:
    """They do not depend on the input."""

    class Dequantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.ones(256, 256, dtype=torch.int8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.get_buffer("weight").float()

    with subject_of(Dequantised(), None, torch.randn(4, 256)) as subject:
        assert casts(subject) is None
