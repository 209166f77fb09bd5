"""Teacher and student are two models, and making one leaves the other as it was."""

from __future__ import annotations

from suites import Judge

DATA = """
import copy
import numpy as np, pytest, torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from pytest_modelbench import EvalData

INPUTS = np.random.default_rng(0).normal(size=(200, 8)).astype("float32")
TARGETS = INPUTS[:, :3].argmax(axis=1)

def net():
    made = nn.Linear(8, 3)
    with torch.no_grad():
        made.weight.copy_(torch.eye(3, 8))
        made.bias.zero_()
    return made

@pytest.fixture(scope="session")
def eval_data(): return EvalData(INPUTS, TARGETS)
"""
GATE = "import pytest\n@pytest.mark.kpi('top1_accuracy', 'drop <= 5 pp')\ndef test_drop(): ...\n"
CHANGED = "fixture {} changed the teacher: its weights or modules are others than before"


def test_student_that_ruins_its_teacher_is_an_error(judge: Judge) -> None:
    """Pruning the teacher in place and returning it is an error that names deepcopy, for each student."""
    conftest = f"""{DATA}
@pytest.fixture(scope="session")
def teacher_model(): return net()

@pytest.fixture(scope="session", params=["pruned", "copied"])
def student_model(request, teacher_model):
    student = copy.deepcopy(teacher_model) if request.param == "copied" else teacher_model
    with torch.no_grad():
        student.weight[:, 1:] = 0
    return student
"""
    finished = judge(GATE, fakes=conftest)
    finished.result.assert_outcomes(errors=2)
    assert set(finished.verdicts.values()) == {"error"}
    for gate in finished.report["gates"]:
        assert CHANGED.format("student_model") in gate["reason"]
        assert gate["reason"].endswith("Work on a copy: student = copy.deepcopy(teacher_model)")


def test_fixture_between_teacher_and_student_counts(judge: Judge) -> None:
    """The fixture that altered the teacher is named, also where the student is only made from its result."""
    conftest = f"""{DATA}
@pytest.fixture(scope="session")
def teacher_model(): return LogisticRegression().fit(INPUTS, TARGETS)

@pytest.fixture(scope="session")
def smaller(teacher_model): return teacher_model.set_params(C=1e-6).fit(INPUTS, TARGETS)

@pytest.fixture(scope="session")
def student_model(smaller): return smaller
"""
    finished = judge(GATE, fakes=conftest)
    assert CHANGED.format("smaller") in finished.gate("top1_accuracy")["reason"]


def test_student_made_from_a_copy_is_judged(judge: Judge) -> None:
    """A student that reads its teacher, or alters a copy of it, is judged as any other."""
    conftest = f"""{DATA}
@pytest.fixture(scope="session")
def teacher_model(): return net()

@pytest.fixture(scope="session")
def student_model(teacher_model):
    teacher_model.train()
    student = copy.deepcopy(teacher_model)
    with torch.no_grad():
        student.weight.mul_(2)
    return student
"""
    finished = judge(GATE, fakes=conftest)
    assert finished.gate("top1_accuracy")["verdict"] == "pass"
    assert finished.gate("top1_accuracy")["notes"] == []


def test_equal_content_in_both_roles_is_told(judge: Judge) -> None:
    """A comparison of a model with itself says so beside its verdict."""
    conftest = f"""{DATA}
@pytest.fixture(scope="session")
def teacher_model(): return net()

@pytest.fixture(scope="session")
def student_model(): return net()
"""
    found = judge(GATE, fakes=conftest).gate("top1_accuracy")
    assert found["notes"] == ["student and the teacher have equal content: the model is compared with itself"]


def test_student_that_cannot_be_made_has_its_own_traceback(judge: Judge) -> None:
    """A fixture that takes the teacher and raises is told by the user's frames alone."""
    conftest = f"""{DATA}
@pytest.fixture(scope="session")
def teacher_model(): return net()

@pytest.fixture(scope="session")
def student_model(teacher_model): raise RuntimeError("no weights")
"""
    finished = judge(GATE, fakes=conftest)
    assert "RuntimeError: no weights" in finished.text
    assert "teacher_guard" not in finished.text
