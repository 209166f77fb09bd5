"""Fixtures of the fairness suite: the teacher, its student, and the patients that neither has seen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

from pytest_modelbench import EvalData

sys.path.insert(0, str(Path(__file__).parent))

import diabetes


@pytest.fixture(scope="session")
def teacher_model() -> nn.Module:
    """Return the network that the student learned from."""
    return diabetes.teacher()


@pytest.fixture(scope="session")
def student_model() -> nn.Module:
    """Return the distilled student; `pruned_until_unfair` of diabetes.py is one that fails."""
    return diabetes.distilled()


@pytest.fixture(scope="session")
def eval_data() -> EvalData:
    """Return the test patients, with whom the models must not treat differently."""
    _, test = diabetes.patients()
    sensitive = {"sex": test.sex, "age": test.age}
    return EvalData(test.features, test.progresses, task="multiclass", outputs="logits", sensitive=sensitive)
