"""Training mode, recorded gradients and settings for debugging are found, and timed as if they were off."""

from __future__ import annotations

import functools

import torch
from diagnosed import Written, diagnosed, perceptron
from torch import nn

from pytest_modelbench.diagnosis.hypotheses.modes import autograd_left_on, debug_settings, training_mode
from pytest_modelbench.diagnosis.stopwatch import BlockStopwatch
from pytest_modelbench.diagnosis.subject import Subject
from pytest_modelbench.models.adapters.function import CallableModel

BATCH = torch.ones(4, 32)


class Sampling(nn.Module):
    """Drops activations in service as well."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(32, 32), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.dropout.train()
        return torch.as_tensor(self.dropout(self.layer(x)))


def test_layer_that_is_switched_back_to_training_is_kept_in_evaluation() -> None:
    """Its outputs are random: they are compared by their shapes."""
    student, watch = Sampling(), Written([0.3])
    with diagnosed(student, BATCH, watch) as subject:
        finding = training_mode(subject)
        assert torch.equal(watch.variants[0](), watch.variants[0]())
    assert finding is not None
    assert not finding.skipped
    assert finding.evidence["layers"] == ["dropout"]
    assert not torch.equal(student(BATCH), student(BATCH))


def test_evaluation_mode_is_no_sign() -> None:
    """The model's own mode comes back after it was timed."""
    student = nn.Sequential(nn.Linear(32, 32), nn.Dropout(0.5)).train()
    with diagnosed(student, BATCH, Written([])) as subject:
        assert training_mode(subject) is None
    assert student[1].training


def shifted(weight: torch.Tensor) -> torch.Tensor:
    """Run many operators that are so small that recording them takes longer than they do."""
    for _ in range(100):
        weight = weight + 1.0
    return weight


def test_gradients_that_a_function_records_are_found() -> None:
    """A function runs in the mode that its author left on."""
    weight = torch.ones(8, requires_grad=True)
    call = functools.partial(shifted, weight)
    subject = Subject(
        student=CallableModel(shifted, "student"),
        teacher=None,
        inputs=weight,
        call=call,
        watch=BlockStopwatch(student=call, budget_s=60.0),
    )
    finding = autograd_left_on(subject)
    assert finding is not None
    assert finding.holds
    assert call().requires_grad


def test_inference_mode_is_no_sign() -> None:
    """Modules are timed without gradients."""
    with diagnosed(perceptron(32, 32), BATCH, Written([])) as subject:
        assert autograd_left_on(subject) is None
        assert debug_settings(subject) is None


def test_settings_for_debugging_are_off_in_the_variant_and_on_after_it() -> None:
    """Both, with the warning that the user chose instead of an error."""
    seen: list[tuple[bool, bool]] = []
    student, watch = perceptron(32, 32), Written([0.1])
    student.register_forward_hook(
        lambda *_: seen.append((torch.is_anomaly_enabled(), torch.are_deterministic_algorithms_enabled()))
    )
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        with torch.autograd.set_detect_anomaly(mode=True), diagnosed(student, BATCH, watch) as subject:
            finding = debug_settings(subject)
            seen.clear()
            watch.variants[0]()
            subject.call()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(mode=False)
    assert seen == [(False, False), (True, True)]
    assert finding is not None
    assert len(finding.evidence["settings"]) == 2
