"""Number types: inputs are cast to the model's at the border, and what cannot be cast is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_modelbench.data.arrays import as_array
from pytest_modelbench.errors import ModelError
from pytest_modelbench.models.adapters.torch_module import TorchModel

HALVES = [torch.float16, torch.bfloat16]


def convolving() -> nn.Module:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ]
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("dtype", [*HALVES, torch.float64])
@pytest.mark.parametrize("inputs", [torch.rand(2, 3, 8, 8), np.random.default_rng(0).random((2, 3, 8, 8))])
def test_floating_inputs_get_the_type_of_the_model(inputs: Any, dtype: torch.dtype) -> None:
    """Tensors are cast as arrays are, outside of the timed call, and the report says so."""
    model = TorchModel(convolving().to(dtype), "student")
    call = model.bind(inputs)
    assert call.args[0].dtype == dtype  # type: ignore[attr-defined]
    assert np.isfinite(as_array(model(inputs))).all()
    assert model.describe()["inputs"] == f"floating-point inputs cast to {str(dtype).removeprefix('torch.')}"


def test_doubles_are_cast_for_a_model_of_singles() -> None:
    """As NumPy data always were; nothing is said of the usual type."""
    model = TorchModel(convolving(), "student")
    assert model(torch.rand(2, 3, 8, 8, dtype=torch.float64)).dtype == torch.float32
    assert "inputs" not in model.describe()


@pytest.mark.parametrize("dtype", HALVES)
def test_ids_and_masks_stay_what_they_are(dtype: torch.dtype) -> None:
    """Whole numbers and booleans are not cast."""

    class Texts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 4, dtype=dtype)

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            assert (ids.dtype, mask.dtype) == (torch.int64, torch.bool)
            found: torch.Tensor = self.table(ids).masked_fill(~mask[..., None], 0)
            return found

    ids, mask = torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool)
    assert TorchModel(Texts(), "student")({"ids": ids, "mask": mask}).dtype == dtype


def test_weights_of_eight_bits_do_not_name_the_type_of_inputs() -> None:
    """Inputs are cast to a type that is computed in."""
    module = nn.Linear(2, 2)
    module.weight = nn.Parameter(module.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    assert TorchModel(module, "student").dtype == torch.float32


@pytest.mark.parametrize(
    "inputs", [torch.zeros(2, 3, 8, 8, dtype=torch.uint8), np.zeros((2, 3, 8, 8), dtype=np.uint8)]
)
def test_images_of_bytes_are_told_what_to_write(inputs: Any) -> None:
    """Whether bytes are to be scaled is the user's to say."""
    with pytest.raises(
        ModelError, match=r"inputs are uint8, and the model computes in float32: convert them, or write "
    ):
        TorchModel(convolving(), "student")(inputs)


class Unpacking(nn.Module):
    """Weights of eight bits with scales of half precision, unpacked into floats of 32 bits, as GPTQ's kernels may."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randint(-9, 9, (3, 8), dtype=torch.int8))
        self.register_buffer("scale", torch.ones(3, 1, dtype=torch.float16))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(inputs, self.get_buffer("weight").float() * self.get_buffer("scale").float())


@pytest.mark.parametrize("inputs", [torch.rand(2, 8), np.random.default_rng(0).random((2, 8))])
def test_buffers_alone_do_not_say_what_a_model_computes_in(inputs: Any) -> None:
    """Scales of half precision make no half-precision model; the failure of a real one names dtype=."""
    model = TorchModel(Unpacking(), "student")
    assert model(inputs).dtype == torch.float32
    assert "inputs" not in model.describe()
    with pytest.raises(ModelError, match=r"write EvalData\(\.\.\., dtype='float16'\)"):
        model(torch.rand(2, 8, dtype=torch.float16))
