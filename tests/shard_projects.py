"""A project whose samples are in shards or in memory, run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from suites import checked

SHOP = '''
import os, time
from pathlib import Path
import numpy as np
from pytest_modelbench import EvalData

HERE = Path(__file__).parent
WEIGHTS = np.random.default_rng(5).standard_normal((4, 3))

class Linear:
    """A linear classifier; the student's weights are off."""
    def __init__(self, off):
        self.weights = WEIGHTS + off * np.random.default_rng(6).standard_normal((4, 3))
    def __call__(self, batch):
        return np.asarray(batch) @ self.weights

def teacher():
    return Linear(0.0)

def student():
    return Linear(0.15)

def other():
    return Linear(np.random.default_rng().random())

def broken():
    raise OSError("the store is gone")

def samples():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6000, 4))
    y = np.where(rng.random(6000) < 0.1, 0, (x @ WEIGHTS).argmax(axis=1))
    return x, y, np.arange(6000), np.where(x[:, 0] > 0.5, "m", "f")

SETTINGS = dict(task="multiclass", outputs="logits", classes=[0, 1, 2])

def whole():
    x, y, ids, sex = samples()
    return EvalData(x, y, ids=ids.tolist(), sensitive={"sex": sex}, slices={"sex": sex}, **SETTINGS)

def load(name):
    fault = HERE / "fault"
    if fault.exists() and Path(name).name in fault.read_text():
        kind = fault.read_text().split()[0]
        if kind in ("kill-once", "raise-once"):
            fault.unlink()
        if kind.startswith("kill"):
            os.kill(os.getpid(), 9)
        if kind.startswith("raise"):
            raise ConnectionError("the store hung up")
        if kind == "slow":
            time.sleep(60)
    with open(HERE / "reads", "a") as reads:
        reads.write(Path(name).name + "\\n")
    with np.load(name) as part:
        sex = part["sex"]
        return EvalData(
            part["x"], part["y"], ids=part["id"], sensitive={"sex": sex}, slices={"sex": sex}, **SETTINGS
        )

def shards():
    return EvalData.from_shards(str(HERE / "data" / "*.npz"), load="shop:load", **SETTINGS)

def largest_gap(targets, scores):
    return float(np.abs(scores).mean())
'''
HOLED = """
class Holed(Linear):
    def __call__(self, batch):
        answers = super().__call__(batch)
        answers[np.asarray(batch)[:, 0] > 2] = np.nan
        return answers

def teacher():
    return Holed(0.0)

def student():
    return Holed(0.15)
"""
KPIS = {
    "f1": "drop <= 20 pp",
    "balanced_accuracy": "drop <= 20 pp",
    "matthews": "drop <= 90%",
    "log_loss": "<= 5",
    "brier": "<= 1",
    "ece": "<= 60%",
    "kl_divergence": "<= 5 nat",
    "kl_divergence_p99": "<= 20 nat",
    "top1_accuracy": "drop <= 30 pp",
    "agreement": ">= 50%",
    "flips": "<= 50%",
    "class_drop": "<= 60 pp",
    "slice_drop": "<= 60 pp",
    "demographic_parity_difference": "<= 60 pp",
    "equalized_odds_drift": "<= 60 pp",
    "roc_auc": ">= 50%",
    "nonfinite_outputs": "== 0",
}
FEW = ("f1", "kl_divergence", "top1_accuracy")


def write_project(folder: Path) -> Path:
    """Write a project with models by factories, and its samples in seven shuffled shards."""
    (folder / "shop.py").write_text(SHOP, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    cut(folder, 7)
    return folder


def cut(project: Path, parts: int, **changes: Any) -> None:
    """Write the samples into shards, in an order that depends on their number.

    Args:
        project: its folder.
        parts: how many shards.
        changes: of one array of the last shard, by its name: a function.
    """
    space: dict[str, Any] = {"__file__": str(project / "shop.py")}
    exec(SHOP, space)  # noqa: S102 - our own text
    columns = dict(zip(("x", "y", "id", "sex"), space["samples"](), strict=True))
    folder = project / "data"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    order = np.random.default_rng(parts).permutation(len(columns["x"]))
    for number, rows in enumerate(np.array_split(order, parts)):
        part = {name: values[rows] for name, values in columns.items()}
        if number == parts - 1:
            part |= {name: change(part[name]) for name, change in changes.items()}
        np.savez(folder / f"part-{number:02}.npz", **part)


def suite(project: Path, *, data: str = "shards", student: str = "student", kpis: Any = FEW, run: str = "") -> None:
    """Write the project's modelbench.toml."""
    limits = kpis if isinstance(kpis, dict) else KPIS
    lines = [f'{name} = "{limits[name]}"' for name in kpis]
    (project / "modelbench.toml").write_text(
        f'[models]\nteacher = "shop:teacher"\n[models.students]\nsmall = "shop:{student}"\n'
        f'[data]\neval = "shop:{data}"\n{run}\n[kpi]\n' + "\n".join(lines),
        encoding="utf-8",
    )


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "--modelbench", "--modelbench-json=report.json", "-q", *arguments]


def run(project: Path, *arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
    """Run the suite in a process of its own; return its report and what it printed."""
    (project / "report.json").unlink(missing_ok=True)
    done = subprocess.run(command(*arguments), cwd=project, capture_output=True, text=True, timeout=600, check=False)
    printed = done.stdout + done.stderr
    assert done.returncode == code, printed
    assert "INTERNALERROR" not in printed
    return checked(json.loads((project / "report.json").read_text(encoding="utf-8"))), printed


def readings(report: dict[str, Any]) -> dict[str, Any]:
    """Return everything of the gates but how long resampling took."""
    told = {}
    for gate in report["gates"]:
        values = {
            role: reading and {name: reading[name] for name in ("value", "ci_low", "ci_high", "n")}
            for role, reading in gate["readings"].items()
        }
        limits = [(one["value"], one["ci_low"], one["ci_high"], one["verdict"]) for one in gate["limits"]]
        told[gate["kpi"]] = (values, limits, gate.get("breakdown"), gate.get("worst_samples"))
    return told


def error(report: dict[str, Any], kpi: str = "f1") -> str:
    """Return the reason of a gate that is an error."""
    (gate,) = [gate for gate in report["gates"] if gate["kpi"] == kpi]
    assert gate["verdict"] == "error", gate
    return str(gate["reason"])
