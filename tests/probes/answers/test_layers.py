"""What goes through a module's layers: the layer at fault, the room that is left, the noise that was added."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pytest_modelbench import FakeModel
from pytest_modelbench.errors import DoesNotFit, NotApplicable
from pytest_modelbench.models.adapters.torch_module import TorchModel
from pytest_modelbench.probes.answers.layers import (
    SAME_DB,
    first_nonfinite,
    headroom_bits,
    layer_ranges,
    module_of,
    signal_to_noise,
)

INPUTS = torch.ones(4, 8)


class Block(nn.Module):
    """A linear layer, and an exponential that overflows where it is told to."""

    def __init__(self, scale: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return finite numbers unless `scale` is large."""
        found = torch.tanh(self.linear(x))
        return found + torch.exp(torch.full_like(found, self.scale)) if self.scale else found


def blocks(*scales: float) -> TorchModel:
    torch.manual_seed(0)
    return TorchModel(nn.Sequential(*(Block(scale) for scale in scales)), "student")


def block(model: TorchModel, number: int) -> Any:
    return list(model.module.children())[number]


def test_overflow_in_the_third_block_is_named() -> None:
    """The block whose inputs are finite, not those after it, and not the whole model."""
    assert first_nonfinite(blocks(0, 0, 1000.0, 0), INPUTS) == "2 (Block)"
    assert first_nonfinite(blocks(0, 0, 0), INPUTS) is None


def test_innermost_layer_is_named() -> None:
    """A layer inside of a block, where it is the one that overflows."""
    model = blocks(0, 0)
    with torch.no_grad():
        block(model, 1).linear.weight.fill_(3e38)
    assert first_nonfinite(model, INPUTS) == "1.linear (Linear)"


def test_hooks_are_gone_afterwards() -> None:
    """The module is as it was, also after an error."""
    model = blocks(0)
    first_nonfinite(model, INPUTS)
    with pytest.raises(Exception, match="raised RuntimeError"):
        first_nonfinite(model, torch.ones(4, 3))
    assert not any(layer._forward_hooks for layer in model.module.modules())


def test_ranges_by_hand() -> None:
    """The largest absolute activation of every innermost layer, and the subnormal numbers of the target type."""
    linear = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 1e-6]]))
    model = TorchModel(nn.Sequential(linear, nn.ReLU()), "student")
    ranges = {one.name: one for one in layer_ranges(model, torch.tensor([[-2.0, 1.0], [1.0, 1.0]]), "float16")}
    assert (ranges["0"].highest, ranges["0"].elements, ranges["0"].subnormal) == (6.0, 4, 2)
    assert (ranges["1"].highest, ranges["1"].subnormal) == (3.0, 2)
    assert {one.subnormal for one in layer_ranges(model, torch.ones(1, 2), "float32")} == {0}


@pytest.mark.parametrize(
    ("highest", "dtype", "bits"),
    [
        (65504, "float16", 0),
        (1, "float16", math.log2(65504)),
        (131008, "float16", -1),
        (math.inf, "float32", -math.inf),
    ],
)
def test_headroom(highest: float, dtype: str, bits: float) -> None:
    """How often the largest value could double."""
    assert headroom_bits(highest, dtype) == pytest.approx(bits)


def test_signal_to_noise_by_hand() -> None:
    """Noise of a hundredth is 40 dB, also in layers inside; the worst comes first in the KPI."""
    teacher, student = blocks(0, 0), blocks(0, 0)
    block(student, 0).register_forward_hook(lambda *_: _[2] * 1.01)
    found = signal_to_noise(teacher, student, INPUTS)
    assert found["0"] == pytest.approx(40, abs=0.1)
    assert found["0.linear"] == SAME_DB
    assert set(found) == {"0.linear", "0", "1.linear", "1", "(output)"}


def test_models_without_a_layer_in_common() -> None:
    """Refused; a student of another architecture still has its output."""
    other = TorchModel(nn.Linear(8, 3), "student")
    with pytest.raises(DoesNotFit, match="no layer of one name and shape, not even the output"):
        signal_to_noise(blocks(0), other, INPUTS)
    assert set(signal_to_noise(TorchModel(nn.Linear(8, 8), "teacher"), blocks(0), INPUTS)) == {"(output)"}


def test_quantised_layers_are_read_as_numbers() -> None:
    """Dynamic int8 against its teacher."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            module, {nn.Linear}, dtype=torch.qint8
        )
    found = signal_to_noise(TorchModel(module, "teacher"), TorchModel(quantised, "student"), torch.randn(64, 8))
    assert 20 < min(found.values()) < 60


def test_no_layers_to_look_into() -> None:
    """A callable and TorchScript: not applicable, with the reason."""
    with pytest.raises(NotApplicable, match="layers are those of a torch module"):
        module_of(FakeModel(np.asarray))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(nn.Linear(8, 3), INPUTS)  # type: ignore[no-untyped-call]
    with pytest.raises(NotApplicable, match="TorchScript"):
        module_of(TorchModel(traced, "student"))
