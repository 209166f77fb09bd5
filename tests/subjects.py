"""Subjects of a diagnosis made of two torch modules, with the stopwatch of a diagnosis."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from pytest_modelbench.diagnosis.stopwatch import BlockStopwatch
from pytest_modelbench.diagnosis.subject import Subject
from pytest_modelbench.models.adapters.torch_module import TorchModel


@contextlib.contextmanager
def subject_of(student: nn.Module, teacher: nn.Module | None, inputs: Any) -> Iterator[Subject]:
    """Return a subject; the student is in evaluation and inference mode until the block ends."""
    adapter = TorchModel(student, "student")
    with adapter.running():
        call = adapter.bind(inputs)
        yield Subject(
            student=adapter,
            teacher=None if teacher is None else TorchModel(teacher.eval(), "teacher"),
            inputs=inputs,
            call=call,
            watch=BlockStopwatch(student=call, budget_s=60.0),
        )


def mlp(*widths: int) -> nn.Sequential:
    """Return linear layers with ReLU between them, the same for the same widths."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).eval()
