"""Fixtures of the digits suite: the teacher, its two students, and the digits that neither has seen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_modelbench import EvalData

sys.path.insert(0, str(Path(__file__).parent))

from models import ConvNet, digits, load


@pytest.fixture(scope="session")
def teacher_model() -> ConvNet:
    """Return the convolutional network that both students learned from."""
    return load("teacher")


@pytest.fixture(scope="session", params=["distilled", "pruned"])
def student_model(request: pytest.FixtureRequest) -> ConvNet:
    """Return a student; every test runs for both."""
    return load(request.param)


@pytest.fixture(scope="session")
def eval_data() -> EvalData:
    """Return the test digits."""
    _, _, images, labels = digits()
    ink = images.flatten(1).mean(dim=1)
    slices = {"nines": (labels == 9).numpy(), "faint": (ink < ink.quantile(0.25)).numpy()}
    return EvalData(images, labels, task="multiclass", outputs="logits", slices=slices)
