"""Memory of a second build in the same process: imports of the first are no part of the model."""

from __future__ import annotations

import sys

import pytest
from suites import Judge

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the exact high-water mark is Linux's")

MODELS = """
import functools
import numpy as np
import pytest
from pytest_modelbench import EvalData

MB = 10**6
LIBRARY = []

class Net:
    def __init__(self, megabytes):
        self.weights = np.ones(int(megabytes * MB) // 8)
    def __call__(self, batch):
        return np.eye(3)[np.asarray(batch)[:, 0].astype(int) % 3]

def through_library(megabytes):
    if not LIBRARY:
        LIBRARY.append(np.ones(60 * MB // 8))  # what a library imports when it builds its first model
    return Net(megabytes)

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(np.arange(60.0).reshape(60, 1), np.arange(60) % 3)
"""
SUITE = """
import pytest

@pytest.mark.kpi("peak_memory", "<= 100 MB", "reduction >= 10%")
def test_memory(): ...
"""


def test_imports_of_the_first_build_do_not_count(judge: Judge) -> None:
    """A small student built through a library shows its reduction; what was imported is told apart."""
    models = """
@pytest.fixture(scope="session")
def teacher_model():
    return Net(1.7)

@pytest.fixture(scope="session")
def student_model():
    return through_library(0.9)
"""
    gate = judge(SUITE, fakes=MODELS + models).gate("peak_memory")
    assert gate["verdict"] == "pass", gate["reason"]
    student, teacher = gate["readings"]["student"], gate["readings"]["teacher"]
    assert student["value"] == pytest.approx(0.9e6, abs=0.2e6)
    assert teacher["value"] == pytest.approx(1.7e6, abs=0.2e6)
    assert student["ci_low"] < student["value"] < student["ci_high"]
    assert "second build" in student["method"]
    rows = {row["name"]: row for row in gate["breakdown"]}
    assert rows["student"]["imported_bytes"] == pytest.approx(60e6, abs=2e6)
    assert rows["teacher"]["imported_bytes"] < 2e6
    assert gate["notes"] == []


def test_models_that_cannot_be_built_twice(judge: Judge) -> None:
    """The first build is measured, and a note says that imports may be in it, and why."""
    models = """
@functools.cache
def cached():
    return through_library(5)

@pytest.fixture(scope="session")
def teacher_model():
    return cached()

@pytest.fixture(scope="session")
def student_model():
    if LIBRARY:
        raise RuntimeError("only once")
    return through_library(2)
"""
    gate = judge(SUITE.replace(', "reduction >= 10%"', ', "difference <= 50 MB"'), fakes=MODELS + models).gate(
        "peak_memory"
    )
    assert gate["verdict"] == "pass", gate["reason"]
    assert gate["readings"]["student"]["value"] == pytest.approx(62e6, abs=2e6)
    assert gate["readings"]["teacher"]["value"] == pytest.approx(65e6, abs=2e6)
    student, teacher = gate["notes"]
    assert "library imports may be in the figure" in student
    assert "building it a second time raised RuntimeError: only once" in student
    assert "its fixture returns the very same object again" in teacher


def test_limit_within_the_resolution_is_inconclusive(judge: Judge) -> None:
    """Two equal models of a megabyte are not told apart by what allocators round to."""
    models = """
@pytest.fixture(scope="session")
def teacher_model():
    return Net(1)

@pytest.fixture(scope="session")
def student_model():
    return Net(1)
"""
    gate = judge(SUITE.replace("reduction >= 10%", "ratio <= 1.05"), fakes=MODELS + models).gate("peak_memory")
    absolute, relative = gate["limits"]
    assert absolute["verdict"] == "pass"
    assert relative["verdict"] == "inconclusive"
    assert "spans the limit" in relative["reason"]


def test_unseeded_weights_and_fixtures_that_change_the_folder(judge: Judge) -> None:
    """Memory needs equal shapes only, and no path that a fixture could break."""
    models = """
import os
import torch

@pytest.fixture(autouse=True)
def elsewhere(tmp_path):
    os.chdir(tmp_path)

@pytest.fixture(scope="session")
def teacher_model():
    return Net(1)

@pytest.fixture(scope="session")
def student_model():
    return torch.nn.Linear(1, 3)
"""
    suite = SUITE.replace(', "reduction >= 10%"', "")
    finished = judge(suite, fakes=MODELS.replace("(60.0)", "(60.0, dtype='float32')") + models)
    assert finished.result.parseoutcomes() == {"passed": 1}, finished.text
