"""Real torch modules and scikit-learn estimators, several folders, several ways to give students."""

from __future__ import annotations

import pytest
from suites import Judge, read_report

TORCH = """
import pytest, torch
from torch import nn
from pytest_modelbench import EvalData

def net(width):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 4)).train()

@pytest.fixture(scope="session")
def teacher_model(): return net(256)

@pytest.fixture(scope="session")
def student_model(): return net(8)

@pytest.fixture(scope="session")
def eval_data():
    inputs = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        targets = net(256).eval()(inputs).argmax(1)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), batch_size=20, shuffle=True)
"""
SUITE = """
import pytest, torch

@pytest.mark.kpi("top1_accuracy", ">= 1%", "increase <= 0%", allow_reversed=True)
@pytest.mark.kpi("agreement", ">= 1%")
@pytest.mark.kpi("log_loss", "<= 10")
def test_quality(): ...

@pytest.mark.kpi("parameters", "reduction >= 90%")
@pytest.mark.kpi("nonzero_parameters", "<= 200")
@pytest.mark.kpi("sparsity", "<= 1%", allow_reversed=True)
@pytest.mark.kpi("size_on_disk", "reduction >= 80%")
def test_size(): ...

@pytest.mark.kpi("latency_p50", "<= 10 s", "ratio <= 20")
def test_speed(): ...

def test_threads(student_model):
    assert torch.get_num_threads() == 1
    assert student_model.training
"""


def test_torch_modules_from_a_shuffled_loader(judge: Judge) -> None:
    """A real pair passes; the options reach torch; the modules' own mode is untouched."""
    finished = judge(SUITE, "--modelbench-threads=1", "--modelbench-device=cpu", fakes=TORCH)
    assert finished.result.ret == 0, finished.text
    assert finished.gate("parameters")["readings"]["student"]["value"] == 16 * 8 + 8 + 8 * 4 + 4
    assert finished.report["models"]["students"]["student"]["forward_passes"] == 1
    assert finished.report["models"]["teacher"]["device"] == "cpu"
    assert finished.report["environment"]["torch_threads"] == 1


def test_device_that_this_machine_lacks(judge: Judge) -> None:
    """A device is tried when a model is moved, and its absence is an error of the gates."""
    finished = judge(SUITE, "--modelbench-device=cuda:99", fakes=TORCH)
    assert finished.result.ret == 1
    assert "cannot be moved to device 'cuda:99'" in finished.text
    assert {gate["verdict"] for gate in finished.report["gates"]} == {"error"}


def test_estimators_with_text_labels(judge: Judge) -> None:
    """Pipelines over a DataFrame whose labels are texts: quality, size and agreement."""
    finished = judge(
        """
        import pytest
        @pytest.mark.kpi("top1_accuracy", ">= 80%", "drop <= 10 pp")
        @pytest.mark.kpi("roc_auc", ">= 90%")
        @pytest.mark.kpi("f1", ">= 80%")
        @pytest.mark.kpi("agreement", ">= 80%")
        @pytest.mark.kpi("size_on_disk", "reduction >= 20%")
        def test_iris(): ...

        @pytest.mark.kpi("parameters", "<= 5k")
        def test_parameters(): ...
        """,
        fakes="""
import pandas as pd, pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from pytest_modelbench import EvalData
bunch = load_iris(as_frame=True)
frame = bunch.data.assign(species=bunch.target_names[bunch.target])
inputs, species = frame.drop(columns="species"), frame["species"]

@pytest.fixture(scope="session")
def teacher_model(): return RandomForestClassifier(20, random_state=0).fit(inputs, species)

@pytest.fixture(scope="session")
def student_model(): return DecisionTreeClassifier(max_depth=2, random_state=0).fit(inputs, species)

@pytest.fixture(scope="session")
def eval_data(): return EvalData(frame, target="species")
""",
    )
    assert {gate["verdict"] for gate in finished.report["gates"] if gate["kpi"] != "parameters"} == {"pass"}
    assert finished.gate("parameters")["verdict"] == "not_applicable"


FOLDER = """
import numpy as np, pytest
from pytest_modelbench import EvalData
TARGETS = np.arange(20) % 2

@pytest.fixture(scope="session")
def teacher_model(): return lambda batch: np.eye(2)[TARGETS[: len(batch)]]

@pytest.fixture(scope="session")
def student_model(): return lambda batch: np.eye(2)[(TARGETS[: len(batch)] + {shift}) % 2]

@pytest.fixture(scope="session")
def eval_data(): return EvalData(np.arange(20.0)[:, None], TARGETS)
"""


def test_two_folders_with_models_of_their_own(pytester: pytest.Pytester) -> None:
    """Each folder's conftest defines teacher, student and data; none is judged on the other's."""
    for shift, folder in enumerate(("right", "wrong")):
        path = pytester.mkdir(folder)
        path.joinpath("conftest.py").write_text(FOLDER.format(shift=shift))
        path.joinpath(f"test_{folder}.py").write_text(
            "import pytest\n"
            '@pytest.mark.kpi("top1_accuracy", "drop <= 1 pp")\n'
            "def test_accuracy(student, teacher): assert student([0]).shape == teacher([0]).shape\n"
        )
    pytester.runpytest_inprocess("--modelbench", "--modelbench-json=report.json").assert_outcomes(passed=1, failed=1)
    verdicts = {gate["nodeid"]: gate["verdict"] for gate in read_report(pytester)["gates"]}
    assert verdicts == {
        "right/test_right.py::test_accuracy": "pass",
        "wrong/test_wrong.py::test_accuracy": "fail",
    }


def test_students_and_data_by_parametrize(judge: Judge) -> None:
    """Students from a parametrize mark have its ids as labels; data may be a parametrised fixture."""
    finished = judge(
        """
        import pytest
        from conftest import answers, student
        @pytest.mark.parametrize("student_model", [student(), pytest.param(student(outputs=answers(90)), id="bad")],
                                 ids=["good", None])
        @pytest.mark.kpi("top1_accuracy", ">= 90%")
        def test_accuracy(): ...
        """,
        more="""
@pytest.fixture(scope="session", params=["all", "half"])
def eval_data(request): return EvalData(INPUTS, TARGETS) if request.param == "all" else (INPUTS[:100], TARGETS[:100])
""",
    )
    verdicts = {(gate["student"], gate["nodeid"]): gate["verdict"] for gate in finished.report["gates"]}
    assert {label for label, _ in verdicts} == {"good", "bad"}
    assert [verdict for (label, _), verdict in verdicts.items() if label == "good"] == ["pass", "pass"]
    assert [verdict for (label, _), verdict in verdicts.items() if label == "bad"] == ["fail", "fail"]
