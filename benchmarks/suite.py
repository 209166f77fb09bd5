"""What does a usual suite cost? 40 gates on two students of a small torch model, with processor seconds by kind.

The suite is a real pytest run of its own. Each item notes the processor time that it and its fresh processes
took; what several gates share is paid by the first of them.

Usage: python benchmarks/suite.py [--only WORD]
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFTEST = """
import json, os, time
from pathlib import Path
import numpy as np
import pytest
import torch
from torch import nn
from pytest_modelbench import EvalData

ROWS, WIDTH, CLASSES = 2000, 64, 10
SPENT = {}

class Net(nn.Module):
    def __init__(self, hidden, noise=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.rule = nn.Parameter(torch.randn(WIDTH, CLASSES) / 4)
        self.body = nn.Sequential(nn.Linear(WIDTH, hidden), nn.ReLU(), nn.Linear(hidden, CLASSES))
        self.noise = nn.Parameter(noise * torch.randn(WIDTH, CLASSES))

    def forward(self, x):
        return 0.1 * self.body(x) + x @ (self.rule + self.noise)

def inputs():
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(1))

@pytest.fixture(scope="session")
def teacher_model():
    return Net(1024)

@pytest.fixture(scope="session", params=["half", "small"])
def student_model(request):
    return Net({"half": 512, "small": 64}[request.param], noise=0.01)

@pytest.fixture(scope="session")
def eval_data():
    torch.manual_seed(0)
    x = inputs()
    with torch.inference_mode():
        right = Net(1024)(x).argmax(1).numpy()
    rng = np.random.default_rng(2)
    wrong = rng.random(ROWS) < 0.1
    targets = np.where(wrong, rng.integers(0, CLASSES, ROWS), right)
    groups = rng.choice(["a", "b", "c"], ROWS)
    return EvalData(x, targets, sensitive={"group": groups}, slices={"first": np.arange(ROWS) < 500})

if "--modelbench-child" not in " ".join(__import__("sys").argv):
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(item):
        before = os.times()
        try:
            return (yield)
        finally:
            now = os.times()
            SPENT[item.nodeid] = {
                "kind": item.originalname.removeprefix("test_").partition("__")[0],
                "here": now.user + now.system - before.user - before.system,
                "children": now.children_user + now.children_system - before.children_user - before.children_system,
                "wall": now.elapsed - before.elapsed,
            }
            Path(__file__).with_name("spent.json").write_text(json.dumps(SPENT))
"""
GATES = {
    "quality": (
        ("top1_accuracy", "'>= 60%', 'drop <= 5 pp'"),
        ("f1", "'drop <= 5 pp'"),
        ("balanced_accuracy", "'drop <= 5 pp'"),
        ("log_loss", "'increase <= 60%'"),
        ("roc_auc", "'drop <= 5 pp'"),
        ("agreement", "'>= 90%'"),
        ("negative_flip_rate", "'<= 5%'"),
        ("ece", "'<= 60%'"),
        ("class_drop", "'<= 20 pp'"),
        ("slice_drop", "'<= 10 pp'"),
    ),
    "fairness": (
        ("demographic_parity_drift", "'<= 10 pp', positive=3"),
        ("equalized_odds_drift", "'<= 25 pp', positive=3"),
        ("equal_opportunity_drift", "'<= 25 pp', positive=3"),
    ),
    "size": (
        ("parameters", "'reduction >= 20%'"),
        ("size_on_disk", "'reduction >= 20%'"),
        ("flops", "'reduction >= 20%'"),
    ),
    "timing": (
        ("latency_p50", "'ratio <= 1.5'"),
        ("latency_p99", "'<= 50 ms'"),
        ("throughput", "'>= 1000 samples/s'"),
    ),
    "memory": (
        ("peak_memory", "'<= 200 MB', 'difference <= 5 MB'"),
        ("hardware_tier", "'<= T4'"),
    ),
    "cold_start": (("cold_start", "'<= 5 s', 'ratio <= 3'"),),
    "energy": (("energy_per_1k", "'reduction >= -100%'"),),
}


def suite() -> str:
    """Return the test file: a test for each gate, named after its kind."""
    lines = ["import pytest", ""]
    for kind, gates in GATES.items():
        for name, limits in gates:
            lines += [f"@pytest.mark.kpi({name!r}, {limits})", f"def test_{kind}__{name}(): ...", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="run the tests that have this word in their name (pytest's -k)")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_suite.py").write_text(suite())
        command = [sys.executable, "-m", "pytest", "--modelbench", "--modelbench-json=report.json", "-q", "."]
        command += ["--modelbench-energy-window=1", "--modelbench-budget=10", "-p", "no:randomly"]
        before, start = os.times(), time.monotonic()
        ended = subprocess.run(
            [*command, *(["-k", only] if only else [])], cwd=folder, capture_output=True, text=True, check=False
        )
        wall, now = time.monotonic() - start, os.times()
        if not (folder / "spent.json").exists():
            raise SystemExit(ended.stdout + ended.stderr)
        report = json.loads((folder / "report.json").read_text())
        spent = json.loads((folder / "spent.json").read_text())
    total = now.children_user + now.children_system - before.children_user - before.children_system
    rows: dict[str, list[dict[str, float]]] = collections.defaultdict(list)
    for item in spent.values():
        rows[item["kind"]].append(item)
    print("| kind | gates | processor time, s | of it in fresh processes, s |\n|---|---|---|---|")
    for kind, items in rows.items():
        here, children = (sum(item[part] for item in items) for part in ("here", "children"))
        print(f"| {kind} | {len(items)} | {here + children:.1f} | {children:.1f} |")
    inside = sum(item["here"] + item["children"] for items in rows.values() for item in items)
    print(f"| start, collection, reports | | {total - inside:.1f} | 0.0 |")
    print(f"| all | {len(spent)} | {total:.1f} | {sum(one['children'] for one in spent.values()):.1f} |")
    verdicts = collections.Counter(gate["verdict"] for gate in report["gates"])
    print(f"\nwall {wall:.0f} s; {', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}")
    for gate in report["gates"]:
        if gate["verdict"] != "pass":
            print(f"  {gate['nodeid']}: {gate['verdict']}: {gate['reason'][:150]}", file=sys.stderr)


if __name__ == "__main__":
    main()
