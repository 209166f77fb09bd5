"""Fewer parameters that compute as much."""

from __future__ import annotations

import torch
from subjects import mlp, subject_of
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.same_flops import same_flops, shared_weights


class Repeated(nn.Module):
    """One layer six times, or six layers."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        made = [nn.Linear(256, 256) for _ in range(1 if shared else 6)]
        self.layers = nn.ModuleList(made * 6 if shared else made)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x).relu()
        return x


def tower(width: int, *, pooled: bool) -> nn.Sequential:
    """Return convolutions at full or at half resolution."""
    first = [nn.MaxPool2d(2)] if pooled else []
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), *first, nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Flatten()
    )


def test_a_layer_that_is_called_six_times_costs_six() -> None:
    """Five sixths of the time are in the calls after the first, and the teacher with six sets shows none."""
    with subject_of(Repeated(shared=True), Repeated(shared=False), torch.randn(64, 256)) as subject:
        found = shared_weights(subject)
    assert found is not None
    assert found.gives_back is not None
    assert 0.5 < found.gives_back.value < 0.95
    assert found.evidence["calls_of_layers"] == 6
    assert found.evidence["sets_of_weights"] == 1


def test_a_teacher_that_shares_as_much_gives_no_sign() -> None:
    """Sharing is not what changed."""
    with subject_of(Repeated(shared=True), Repeated(shared=True), torch.randn(4, 256)) as subject:
        assert shared_weights(subject) is None


def test_tied_weights_of_two_layers_are_one_set() -> None:
    """As in ALBERT, or where the output layer is the embedding."""
    student = Repeated(shared=False)
    for layer in list(student.layers)[1:]:
        layer.weight = student.layers[0].weight
    with subject_of(student, Repeated(shared=False), torch.randn(64, 256)) as subject:
        found = shared_weights(subject)
    assert found is not None
    assert found.evidence["sets_of_weights"] == 1


def test_resolution_that_is_kept_costs_what_parameters_save() -> None:
    """Fewer channels at four times as many positions; at the teacher's resolution they would be faster."""
    with subject_of(tower(32, pooled=False), tower(48, pooled=True), torch.randn(1, 3, 48, 48)) as subject:
        found = same_flops(subject)
    assert found is not None
    assert found.gives_back is not None
    assert found.gives_back.value > 0.3
    assert found.evidence["flops_ratio"] > 0.9 > found.evidence["parameters_ratio"]


def test_fewer_flops_give_no_sign() -> None:
    """Neither do shared weights, which are another cause."""
    with subject_of(tower(16, pooled=True), tower(32, pooled=True), torch.randn(1, 3, 32, 32)) as subject:
        assert same_flops(subject) is None
    with subject_of(Repeated(shared=True), Repeated(shared=False), torch.randn(4, 256)) as subject:
        assert same_flops(subject) is None
    with subject_of(mlp(8, 4), None, torch.randn(4, 8)) as subject:
        assert same_flops(subject) is None
