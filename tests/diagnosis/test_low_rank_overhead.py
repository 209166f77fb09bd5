"""Factors of matrices."""

from __future__ import annotations

import torch
from subjects import mlp, subject_of
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.low_rank_overhead import low_rank_overhead


def factored(rank: int, *, bias: bool = True) -> nn.Sequential:
    """Return three layers as factors, with ReLU between the products."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Linear(64, rank, bias=bias), nn.Linear(rank, 64), nn.ReLU()]
    return nn.Sequential(*layers)


def test_small_factors_are_slower_than_their_product() -> None:
    """Multiplied they give time back: the outputs are the same and the operators half as many."""
    student = factored(16)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    with subject_of(student, mlp(64, 64, 64, 64), torch.randn(2, 64)) as subject:
        found = low_rank_overhead(subject)
    assert found is not None
    assert found.skipped == ""
    assert found.gives_back is not None
    assert found.gives_back.value > 0.05
    assert found.evidence["pairs"] == 3
    assert found.explains == ("dispatch_bound",)
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.state_dict().items())


def test_factors_without_bias_have_the_same_product() -> None:
    """The second layer's bias alone is left."""
    with subject_of(factored(16, bias=False), None, torch.randn(2, 64)) as subject:
        found = low_rank_overhead(subject)
    assert found is not None
    assert found.skipped == ""


def test_layers_with_something_between_them_are_no_factors() -> None:
    """An activation, or a middle that is wider."""
    wide = nn.Sequential(nn.Linear(16, 64), nn.Linear(64, 16))
    for module in (mlp(64, 16, 64), wide):
        with subject_of(module, None, torch.randn(2, next(module.parameters()).shape[1])) as subject:
            assert low_rank_overhead(subject) is None
