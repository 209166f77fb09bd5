"""A type of number that a device is slow with is timed against float32."""

from __future__ import annotations

import torch
from diagnosed import Written, diagnosed, perceptron
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.dtype_without_kernel import dtype_without_kernel

BATCH = torch.linspace(-1, 1, 32 * 512).view(32, 512)


class Cast(nn.Module):
    """Computes in another type than its inputs have."""

    def __init__(self, inner: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner.to(dtype), dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.inner(x.to(self.dtype)))


class Fixed(nn.Module):
    """Casts its inputs to float16, however it is converted."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(512, 64).half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.inner(x.half()))


def test_float32_gives_time_back_to_float64() -> None:
    """Every processor computes half as many 64-bit floats at once."""
    with diagnosed(perceptron(512, 512, 512, 64).double(), BATCH) as subject:
        finding = dtype_without_kernel(subject)
    assert finding is not None
    assert finding.holds
    assert finding.evidence["dtypes"] == ["float64"]


def test_type_that_a_layer_casts_to_is_changed_as_well() -> None:
    """The variant computes in float32 throughout, and the student stays as it was."""
    student, watch = Cast(perceptron(512, 512, 64), torch.float16), Written([0.7])
    with diagnosed(student, BATCH, watch) as subject:
        finding = dtype_without_kernel(subject)
        assert watch.variants[0]().dtype == torch.float32
    assert finding is not None
    assert finding.gives_back is not None
    assert finding.gives_back.value == 0.7
    assert student.dtype == torch.float16
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float16}


def test_student_that_cannot_compute_in_float32_is_skipped_with_the_reason() -> None:
    """Its own cast meets weights of another type."""
    with diagnosed(Fixed(), BATCH, Written([])) as subject:
        finding = dtype_without_kernel(subject)
    assert finding is not None
    assert finding.skipped.startswith("the counterfactual cannot run: RuntimeError")


def test_float32_is_no_sign() -> None:
    """There is nothing to change."""
    with diagnosed(perceptron(512, 64), BATCH, Written([])) as subject:
        assert dtype_without_kernel(subject) is None
