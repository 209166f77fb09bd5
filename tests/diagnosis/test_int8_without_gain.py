"""Dynamic int8 against the float layers that it replaced."""

from __future__ import annotations

import copy

import pytest
import torch
from subjects import mlp, subject_of

from pytest_modelbench.diagnosis.hypotheses.int8_without_gain import int8_without_gain


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor")
def test_int8_layers_are_timed_as_float_layers() -> None:
    """Tiny layers lose by quantising their inputs; the student keeps its own."""
    float_model = mlp(16, 16, 16, 16)
    student = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
        copy.deepcopy(float_model), {torch.nn.Linear}, dtype=torch.qint8
    )
    with subject_of(student, float_model, torch.randn(4, 16)) as subject:
        found = int8_without_gain(subject)
    assert found is not None
    assert found.skipped == ""
    assert found.gives_back is not None
    assert found.gives_back.value > 0.05
    assert found.evidence["layers"] == 3
    assert type(student[0]).__module__.endswith("quantized.dynamic.modules.linear")


def test_a_float_student_gives_no_sign() -> None:
    """It has no such layer."""
    with subject_of(mlp(8, 8), None, torch.randn(4, 8)) as subject:
        assert int8_without_gain(subject) is None
