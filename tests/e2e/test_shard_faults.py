"""Data in shards, used wrongly or changed between runs: no stale result, and nothing that is left out unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from suites import checked

ZOO = '''
import numpy as np
from pytest_modelbench import EvalData
import steps

WEIGHTS = np.random.default_rng(0).standard_normal((4, 3))

class Linear:
    """A model without torch: only its code and its attributes say what it is."""
    def __init__(self, weights):
        self.weights = weights
    def __call__(self, batch):
        return steps.scaled(np.asarray(batch)) @ self.weights

def teacher():
    return Linear(WEIGHTS)

def student():
    return Linear(WEIGHTS + 0.1)

def read(name):
    with np.load(name) as part:
        return EvalData(part["x"], part["y"] + 0, ids=part["id"])

class Held(Linear):
    """A model that holds what has no content to hash."""
    def __init__(self, weights):
        super().__init__(weights)
        self.rng = np.random.default_rng(0)

def held():
    return Held(WEIGHTS)
'''
STEPS = "def scaled(batch):\n    return batch * 1\n"
SUITE = """
[models]
teacher = "zoo:teacher"
student = "zoo:student"
[data]
shards = ["data/*.npz"]
load = "zoo:read"
task = "multiclass"
outputs = "logits"
[kpi]
top1_accuracy = ">= 1%"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A suite with three shards of forty samples."""
    for name, text in {
        "zoo.py": ZOO,
        "steps.py": STEPS,
        "modelbench.toml": SUITE,
        "pytest.ini": "[pytest]\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(1)
    for part in range(3):
        x = rng.standard_normal((40, 4))
        y = (x @ np.random.default_rng(0).standard_normal((4, 3)) + rng.gumbel(size=(40, 3))).argmax(axis=1)
        np.savez(tmp_path / f"data/part-{part}.npz", x=x, y=y, id=np.arange(40) + 40 * part)
    return tmp_path


def run(project: Path, *arguments: str) -> dict[str, Any]:
    """Run the suite in a process of its own; return its only gate, with the notes on the data."""
    command = [sys.executable, "-m", "pytest", "--modelbench", "--modelbench-json=report.json", "-q", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=300, check=False)
    assert "INTERNALERROR" not in done.stdout + done.stderr
    report = checked(json.loads((project / "report.json").read_text(encoding="utf-8")))
    (gate,) = report["gates"]
    notes = [note for data in report["data"].values() for note in data["notes"]]
    return {**gate, "notes": notes, "value": gate["readings"]["student"] and gate["readings"]["student"]["value"]}


def rewrite(project: Path, name: str, old: str, new: str) -> None:
    """Change a file of the user's."""
    text = (project / name).read_text(encoding="utf-8")
    assert old in text
    (project / name).write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
def test_a_run_resumes_nothing_of_other_models_or_other_code(project: Path) -> None:
    """Weights of a plain object, a module it calls, and the function that reads shards: each makes a new pass."""
    before = run(project)["value"]
    again = run(project, "--modelbench-resume")
    assert again["value"] == before
    assert "3 shards from an earlier run" in again["notes"]
    changes = [
        ("zoo.py", "WEIGHTS + 0.1", "WEIGHTS[:, ::-1]"),
        ("steps.py", "batch * 1", "batch * 1 + 2"),
        ("zoo.py", 'part["y"] + 0', '(part["y"] + 1) % 3'),
    ]
    for name, old, new in changes:
        rewrite(project, name, old, new)
        resumed = run(project, "--modelbench-resume")
        assert not any("earlier run" in note for note in resumed["notes"])
        assert resumed["value"] != before
        before = resumed["value"]
    assert before == run(project)["value"]


def test_a_model_of_unknown_content_is_not_resumed(project: Path) -> None:
    """The report says why."""
    rewrite(project, "modelbench.toml", "zoo:student", "zoo:held")
    first = run(project)
    notes = run(project, "--modelbench-resume")["notes"]
    assert any("nothing is resumed: the content of student has no hash" in note for note in notes)
    assert first["value"] is not None
