"""A model's structure: equal for other values of the same weights, another for other shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_modelbench import FakeModel
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.models.structure import structure_of


def torch_model(module: nn.Module) -> TorchModel:
    return TorchModel(module, "student")


def test_values_do_not_count_and_shapes_do() -> None:
    """Nor does the name; types of weights and of layers do."""
    first = structure_of(torch_model(nn.Linear(4, 3)))
    assert structure_of(TorchModel(nn.Linear(4, 3), "teacher")) == first
    others = [nn.Linear(4, 2), nn.Linear(4, 3).half(), nn.Sequential(nn.Linear(4, 3)), nn.Linear(4, 3, bias=False)]
    assert len({first, *(structure_of(torch_model(other)) for other in others)}) == 5


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is:DeprecationWarning")
def test_scripts_lazy_modules_and_models_without_one() -> None:
    """Each has a structure; of a callable only its kind is known."""
    script = torch_model(torch.jit.script(nn.Sequential(nn.Linear(4, 3))))
    assert structure_of(script) == structure_of(script)
    assert structure_of(torch_model(nn.LazyLinear(3))) != structure_of(torch_model(nn.Linear(4, 3)))
    assert structure_of(FakeModel()) == structure_of(FakeModel())
