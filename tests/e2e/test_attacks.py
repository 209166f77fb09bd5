"""Gates on what survives attacks: verdicts of bounds, notes, and mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from suites import Judge

from pytest_modelbench.probes.attacks.attacked import Attacked
from pytest_modelbench.probes.attacks.gradient import Climbed, descended

SUITE = """
import pytest
@pytest.mark.kpi("pgd_accuracy", ">= 30%", "drop <= 5 pp", eps="0.02", range=(0, 1), samples=200)
@pytest.mark.kpi("robust_accuracy", ">= {least}%", eps="0.02", range=(0, 1), samples=200{more})
def test_gate(): ...
"""
MODELS = """
import pytest
import numpy as np
import torch
from torch import nn
from pytest_modelbench import EvalData


def net():
    torch.manual_seed(0)
    layer = nn.Linear(8, 4, bias=False)
    with torch.no_grad():
        layer.weight -= layer.weight.mean(dim=1, keepdim=True)
    return layer


INPUTS = np.random.default_rng(0).uniform(0.2, 0.8, (400, 8)).astype(np.float32)
LABELS = net()(torch.from_numpy(INPUTS)).argmax(1).numpy()


class Rounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, inputs):
        return self.net((inputs * 100).round() / 100)


@pytest.fixture(scope="session")
def teacher_model():
    return net()


@pytest.fixture(scope="session")
def student_model():
    return STUDENT()


@pytest.fixture(scope="session")
def eval_data():
    return EvalData(INPUTS, LABELS)
"""


def models(student: str) -> str:
    """Return a conftest.py whose student is one of its models."""
    return MODELS.replace("STUDENT()", student)


def test_a_sound_student_is_judged(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A student that is its teacher loses nothing; the report says how it was attacked and where lost samples are.

    The two gates share one run of PGD for each model and block, and the checks for each model.
    """
    climbs: list[tuple[str, str]] = []

    def counted(judged: Attacked, guide: Attacked, *args: Any, **options: Any) -> Climbed:
        climbs.append((judged.model.name, guide.model.name))
        return descended(judged, guide, *args, **options)

    monkeypatch.setattr("pytest_modelbench.probes.attacks.fight.descended", counted)
    finished = judge(SUITE.format(least=30, more=""), "--modelbench-artifacts=kept", fakes=models("net()"))
    assert sorted(climbs) == 2 * [("student", "student")] + 2 * [("student", "teacher")] + 2 * [
        ("teacher", "teacher")
    ]
    assert finished.result.ret == 0, finished.text
    gates = {gate["kpi"]: gate for gate in finished.report["gates"]}
    assert [gate["verdict"] for gate in gates.values()] == ["pass", "pass"]
    method = gates["robust_accuracy"]["readings"]["student"]["method"]
    assert (
        "attacks fgsm, pgd, targeted, surrogate, noise on the margin, eps 0.02 (linf), range 0 to 1, 40 steps"
        in method
    )


def test_a_bound_proves_no_pass(judge: Judge) -> None:
    """A hidden gradient makes a lower limit INCONCLUSIVE, with the reason; a bound below the limit fails."""
    finished = judge(SUITE.format(least=1, more=""), fakes=models("Rounded()"))
    gates = {gate["kpi"]: gate for gate in finished.report["gates"]}
    assert gates["robust_accuracy"]["verdict"] == "inconclusive"
    assert "an upper bound: the gradient of student is zero or not finite for 100% of samples" in finished.text
    assert [limit["verdict"] for limit in gates["pgd_accuracy"]["limits"]] == ["inconclusive", "inconclusive"]
    assert "the student survives more than its teacher by" in " ".join(gates["pgd_accuracy"]["notes"])
    finished = judge(SUITE.format(least=95, more=""), fakes=models("Rounded()"))
    gates = {gate["kpi"]: gate for gate in finished.report["gates"]}
    assert gates["robust_accuracy"]["verdict"] == "fail"


def test_the_named_parent_is_followed(judge: Judge) -> None:
    """`surrogate=` loads the float model; its gradient counts, and the reading says so."""
    named = judge(SUITE.format(least=1, more=", surrogate='conftest:net'"), fakes=models("Rounded()"))
    gate = next(gate for gate in named.report["gates"] if gate["kpi"] == "robust_accuracy")
    assert gate["options"]["surrogate"] == "conftest:net"
    assert gate["verdict"] == "inconclusive"
    assert "Write surrogate=" not in gate["reason"]


def test_a_teacher_that_is_lost_anchors_nothing(judge: Judge) -> None:
    """Where nearly nothing of the teacher is left, a drop from it says nothing."""
    suite = SUITE.format(least=1, more="").replace('eps="0.02"', 'eps="0.6"')
    finished = judge(suite, fakes=models("net()"))
    gate = next(gate for gate in finished.report["gates"] if gate["kpi"] == "pgd_accuracy")
    assert gate["verdict"] == "error"
    assert "a drop from that says nothing. Write a smaller eps=" in gate["reason"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (", attack='nowhere:found'", "attack"),
        (", surrogate='nowhere:found'", "surrogate"),
        (", steps=0", "steps=0, expected"),
        (", norm='l1'", "norm='l1', expected one of linf, l2"),
        (
            ", mean=0.5",
            "mean= and std= say together how inputs were normalised, and one of them is missing. Write both",
        ),
        (", mean=[0.5, 0.5], std=[1, 0]", "std=[1, 0], expected a number above 0, or a list"),
        (
            ", mean=[0.5, 0.5, 0.5], std=[1, 1]",
            "mean= has 3 numbers and std= has 2. Write one number, or one for each channel",
        ),
        (", attack=3", "attack=3, expected a function that returns attacked inputs"),
    ],
)
def test_mistakes(judge: Judge, more: str, words: str) -> None:
    """Each is told before anything is measured."""
    finished = judge(SUITE.format(least=1, more=more), fakes=models("net()"))
    assert finished.result.ret == pytest.ExitCode.USAGE_ERROR
    assert words in finished.text


TOML = """
[kpi.robust_accuracy]
eps = "0.02"
range = [0, 1]
norm = "l2"
samples = 50
"""


def test_the_suite_leaves_out_what_the_data_do_not_say(judge: Judge) -> None:
    """Attacks without eps= and OOD KPIs without sets are left out with what to write; a table states eps."""
    Path("modelbench.toml").write_text(TOML)
    chosen = ("-k", "ood or robust or fgsm", "-rs", "--modelbench-suite=robustness")
    finished = judge("", *chosen, fakes=models("net()"))
    assert finished.result.ret == 0, finished.text
    assert finished.verdicts == {
        "modelbench.toml::robust_accuracy:robust_accuracy": "reported",
        "conftest.py::robust_accuracy:robust_accuracy": "not_applicable",
        "conftest.py::fgsm_accuracy:fgsm_accuracy": "not_applicable",
        "conftest.py::ood_auroc:ood_auroc": "not_applicable",
        "conftest.py::ood_fpr95:ood_fpr95": "not_applicable",
    }
    finished.result.stdout.fnmatch_lines_random(
        ["*[[]kpi.robust_accuracy[]] with eps = *", "*Write EvalData(..., ood=*"]
    )
    sets = models("net()").replace("EvalData(INPUTS, LABELS)", "EvalData(INPUTS, LABELS, ood={'far': INPUTS + 3})")
    finished = judge("", "-k", "ood", "--modelbench-suite=robustness", fakes=sets)
    assert set(finished.verdicts.values()) == {"reported"}


def test_the_plan_states_what_attacks_come_to(judge: Judge) -> None:
    """Samples, forward passes and seconds, before anything runs."""
    finished = judge(SUITE.format(least=30, more=", steps=10"), "--modelbench-plan", fakes=models("net()"))
    pgd = "pgd      student and teacher: pgd_accuracy (steps= steps *; up to 200 samples: up to about 98,000 forward passes "
    several = "robustness student: robust_accuracy (several attacks; *up to about 200,000 forward passes*60 s for each model)"
    seconds = "of one sample for each model; at most about 60 s for each model)"
    finished.result.stdout.fnmatch_lines([pgd + seconds, several])
