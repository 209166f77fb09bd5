"""Fixtures of the shapes suite: the teacher, its student, and images that neither was trained on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_modelbench import EvalData

sys.path.insert(0, str(Path(__file__).parent))

from models import Detector, load
from shapes import CLASSES, shapes


@pytest.fixture(scope="session")
def teacher_model() -> Detector:
    """Return the detector that the student is distilled from."""
    return load("teacher")


@pytest.fixture(scope="session")
def student_model() -> Detector:
    """Return the student."""
    return load("distilled")


@pytest.fixture(scope="session")
def eval_data() -> EvalData:
    """Return images with the boxes of their shapes."""
    images, targets = shapes(300, seed=0)
    return EvalData(images, targets, task="detection", classes=CLASSES, batch_size=50)
