"""Zeros that dense kernels multiply are found, and timed against layers with as many weights as are not zero."""

from __future__ import annotations

import pytest
import torch
from diagnosed import Written, diagnosed, linears, perceptron
from torch import nn
from torch.nn.utils import prune

from pytest_modelbench.diagnosis.hypotheses.zeros import two_of_four_without_kernel, unstructured_zeros

BATCH = torch.ones(16, 512)


def scattered(share: float = 0.9) -> nn.Sequential:
    student = perceptron(512, 512, 512, 64)
    for layer in linears(student):
        prune.l1_unstructured(layer, "weight", share)  # type: ignore[no-untyped-call]
        prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
    return student


def two_of_four() -> nn.Sequential:
    student = perceptron(512, 512, 512, 64)
    for layer in linears(student):
        layer.weight.data.view(-1, 4)[:, 1:3] = 0.0
    return student


def test_as_many_weights_in_a_narrower_layer_give_time_back() -> None:
    """The dense kernel takes as long for zeros as for numbers, and less for fewer rows."""
    with diagnosed(scattered(), BATCH) as subject:
        finding = unstructured_zeros(subject)
        assert two_of_four_without_kernel(subject) is None
    assert finding is not None
    assert finding.holds
    assert finding.evidence["zeros"] == pytest.approx(0.9, abs=0.01)
    assert finding.evidence["time_with_zeros_filled"] == pytest.approx(1.0, abs=0.2)


def test_convolutions_count() -> None:
    """They keep their padding and stride when they are computed alone."""
    student = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding="same", padding_mode="reflect"), nn.Conv2d(16, 8, 3, stride=2)
    )
    for layer in student:
        prune.random_unstructured(layer, "weight", 0.5)  # type: ignore[no-untyped-call]
    with diagnosed(student, torch.ones(1, 3, 12, 12), Written([1.0, 0.8, 0.5])) as subject:
        finding = unstructured_zeros(subject)
    assert finding is not None
    assert finding.gives_back is not None
    assert finding.gives_back.value == pytest.approx(0.8 * (1 - 0.5))


def test_kernels_that_use_zeros_are_no_cause() -> None:
    """Filled with numbers, these layers would take longer."""
    with diagnosed(scattered(), BATCH, Written([1.6])) as subject:
        finding = unstructured_zeros(subject)
    assert finding is not None
    assert finding.gives_back is None
    assert finding.skipped == "the zeros save time: filled with numbers, these layers take 1.60 of it"


def test_two_of_four_is_its_own_cause() -> None:
    """On a processor there is no kernel for the pattern: the reason is in the text."""
    with diagnosed(two_of_four(), BATCH, Written([1.0, 0.9, 0.5])) as subject:
        finding = two_of_four_without_kernel(subject)
        assert unstructured_zeros(subject) is None
    assert finding is not None
    assert finding.gives_back is not None
    assert finding.gives_back.value == pytest.approx(0.45)
    assert "they run on NVIDIA GPUs, and it is on cpu" in finding.text


@pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0), reason="needs kernels for 2:4"
)
def test_two_of_four_is_timed_with_its_kernels_on_a_gpu() -> None:
    """Where the device has them, they are the counterfactual."""
    student = two_of_four().half().cuda()
    with diagnosed(student, BATCH.half().repeat(4, 1), Written([0.2])) as subject:
        finding = two_of_four_without_kernel(subject)
    assert finding is not None
    assert finding.counterfactual == "kernels for 2:4"
    assert not finding.skipped


def test_zero_rows_and_few_zeros_are_no_sign() -> None:
    """Zero rows are structured: they can be cut out."""
    student = perceptron(512, 512, 64)
    first, second = linears(student)
    first.weight.data[:400] = 0.0
    second.weight.data.view(-1)[::5] = 0.0
    with diagnosed(student, BATCH, Written([])) as subject:
        assert unstructured_zeros(subject) is None
        assert two_of_four_without_kernel(subject) is None
