"""Work on the inputs before the first layer is found, unless the teacher does it too."""

from __future__ import annotations

from typing import Any

import torch
from diagnosed import Written, diagnosed, perceptron
from subjects import subject_of
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.preprocessing import preprocessing_in_forward
from pytest_modelbench.diagnosis.waterfall import CALL

BATCH = torch.ones(64, 256)


class Prepares(nn.Module):
    """Standardises its inputs many times before two small layers."""

    def __init__(self, times: int = 20) -> None:
        super().__init__()
        self.times, self.layers = times, perceptron(256, 8, 4)

    def forward(self, x: torch.Tensor) -> Any:
        for _ in range(self.times):
            x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1)
        return self.layers(x)


def test_its_share_is_the_time_until_the_first_layer() -> None:
    """Twenty standardisations take most of the time of two small layers."""
    with diagnosed(Prepares(), BATCH) as subject:
        finding = preprocessing_in_forward(subject)
    assert finding is not None
    assert finding.gives_back is not None
    assert finding.gives_back.value > 0.5
    assert finding.evidence["layer"] == "layers.0"
    assert {"mean", "std", "div"} <= set(finding.evidence["names"])


def test_the_student_is_left_as_it_was() -> None:
    """No call is replaced after it, and the outputs are those of before."""
    student = Prepares(1)
    with diagnosed(student, BATCH, Written([0.5])) as subject:
        before = subject.call()
        preprocessing_in_forward(subject)
        assert torch.equal(subject.call(), before)
    assert not any(CALL in vars(part) for part in student.modules())


def test_layers_alone_prepare_nothing() -> None:
    """Views before the first layer cost nothing."""
    student = nn.Sequential(nn.Flatten(), *perceptron(256, 8, 4))
    with diagnosed(student, BATCH, Written([])) as subject:
        assert preprocessing_in_forward(subject) is None


def test_what_the_teacher_does_too_is_no_cause() -> None:
    """The student is not slower than it for that; a teacher that gets prepared inputs is."""
    with subject_of(Prepares(), Prepares(), BATCH) as subject:
        assert preprocessing_in_forward(subject) is None
    with subject_of(Prepares(), perceptron(256, 64, 4), BATCH) as subject:
        assert preprocessing_in_forward(subject) is not None
