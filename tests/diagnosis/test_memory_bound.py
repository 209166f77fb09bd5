"""Elementwise work on large tensors."""

from __future__ import annotations

import torch
from subjects import mlp, subject_of
from torch import nn

from pytest_modelbench.diagnosis.counterfactual import CHANGES_OUTPUTS
from pytest_modelbench.diagnosis.hypotheses.memory_bound import bandwidth, memory_bound


class Gated(nn.Module):
    """Several elementwise operators in a row, without a matrix."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix, self.gate = nn.Parameter(torch.rand(width)), nn.Parameter(torch.rand(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        moved = torch.roll(x, 1, dims=-1)
        mixed = x * self.mix + moved * (1 - self.mix)
        return x + mixed * nn.functional.hardsigmoid(x * self.gate)


class Centred(nn.Module):
    """Subtracts the mean of the batch, so that a sample's output depends on its neighbours."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0)


def test_elementwise_work_on_large_tensors_is_faster_in_tiles() -> None:
    """The same operators on tiles give time back, and the bytes are named."""
    with subject_of(nn.Sequential(*[Gated(512) for _ in range(4)]), None, torch.randn(8192, 512)) as subject:
        found = memory_bound(subject)
    assert found is not None
    assert found.gives_back is not None
    assert found.gives_back.value > 0.05
    assert found.evidence["share_at_the_bandwidth_of_a_copy"] > 0.3
    assert "MB" in found.text


def test_small_tensors_give_no_sign() -> None:
    """They stay in a cache."""
    with subject_of(mlp(64, 64, 64), None, torch.randn(16, 64)) as subject:
        assert memory_bound(subject) is None


def test_a_model_whose_samples_depend_on_each_other_is_not_tiled() -> None:
    """Its outputs would be others."""
    with subject_of(Centred(), None, torch.randn(2048, 512)) as subject:
        found = memory_bound(subject)
    assert found is not None
    assert found.skipped == CHANGES_OUTPUTS


def test_one_sample_cannot_be_split() -> None:
    """The reason is told, and nothing is timed."""
    with subject_of(Gated(2**19), None, torch.randn(1, 2**19)) as subject:
        found = memory_bound(subject)
    assert found is not None
    assert found.skipped == "the batch cannot be split into tiles"
    assert found.gives_back is None


def test_the_bandwidth_is_measured_once() -> None:
    """It is that of a memory, and the same at the second look."""
    assert 1e8 < bandwidth() < 1e13
    assert bandwidth() == bandwidth()
