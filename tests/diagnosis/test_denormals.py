"""Denormal numbers are found where operators make them, and timed as zeros."""

from __future__ import annotations

import pytest
import torch
from diagnosed import Written, diagnosed, perceptron
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.denormals import denormals

BATCH = torch.ones(64, 512)


class Faded(nn.Module):
    """Multiplies its inputs with weights that have almost vanished, and takes the square root."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((512,), 1e-40))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(torch.sqrt(x * self.weight)) + torch.sqrt(x * self.weight)


@pytest.fixture(autouse=True)
def _kept() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot take denormal numbers for zero")
    torch.set_flush_denormal(False)


def keeps_denormals() -> bool:
    return bool(float(torch.full((1,), torch.finfo(torch.float32).tiny) * 0.5))


def test_student_is_timed_with_denormals_as_zeros() -> None:
    """The variant flushes them, and the processor's setting is restored after each call."""
    kept: list[bool] = []
    student, watch = Faded(), Written([0.6])
    student.register_forward_hook(lambda *_: kept.append(keeps_denormals()))
    with diagnosed(student, BATCH, watch) as subject:
        finding = denormals(subject)
        kept.clear()
        watch.variants[0]()
        assert kept == [False]
        assert keeps_denormals()
    assert finding is not None
    assert finding.gives_back is not None
    assert finding.evidence["share"] == pytest.approx(1 / 3, abs=0.01)
    assert finding.evidence["operators"] == ["aten.mul"]


def test_setting_is_restored_after_a_failure() -> None:
    """A call that raises leaves the processor as it was."""
    student = Faded()
    with diagnosed(student, BATCH, Written([])) as subject:
        calls = iter([0, 0, 0])
        student.register_forward_hook(lambda *_: next(calls))
        with pytest.raises(StopIteration):
            [denormals(subject) for _ in range(2)]
    assert keeps_denormals()


def test_user_who_flushes_already_keeps_the_setting() -> None:
    """There is nothing left to gain."""
    torch.set_flush_denormal(True)
    try:
        with diagnosed(Faded(), BATCH, Written([])) as subject:
            assert denormals(subject) is None
        assert not keeps_denormals()
    finally:
        torch.set_flush_denormal(False)


def test_usual_numbers_are_no_sign() -> None:
    """Zeros are not denormal."""
    with diagnosed(perceptron(512, 64), torch.zeros(4, 512), Written([])) as subject:
        assert denormals(subject) is None
