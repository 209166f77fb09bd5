"""How often is a timed verdict right? Unchanged and slowed copies of one model, each pair in a fresh process.

Every run starts `pytest --modelbench` on a suite of its own with the gate `latency_p50`, `ratio <= 1.05`. The
teacher is a stack of linear layers; the student is a separately built copy (A/A), or one with a tenth more layers
(10% more work). Results are kept line by line, so that a stopped run goes on where it was.

Usage: python benchmarks/verdicts.py [--runs 20] [--fresh]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

RESULTS = Path(__file__).parent / "results" / "verdicts.jsonl"
LAYERS = 30
CASES = {"A/A": LAYERS, "10% more work": LAYERS + LAYERS // 10}

CONFTEST = """
import pytest, torch
from torch import nn

def stack(layers):
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(64, 64) for _ in range(layers)))

@pytest.fixture(scope="session")
def teacher_model():
    return stack({teacher})

@pytest.fixture(scope="session")
def student_model():
    return stack({student})

@pytest.fixture(scope="session")
def eval_data():
    return torch.randn(64, 64), torch.zeros(64, 64)
"""
SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "ratio <= 1.05")
def test_p50(): ...
"""


def run_once(layers: int) -> dict[str, Any]:
    """Judge one pair in a fresh process and return the verdict with its evidence."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "conftest.py").write_text(CONFTEST.format(teacher=LAYERS, student=layers))
        Path(folder, "test_sla.py").write_text(SUITE)
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pytest", "-q", "--modelbench", f"--modelbench-json={report}", folder]
        start = time.perf_counter()
        finished = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
        seconds = time.perf_counter() - start
        if not report.exists():
            raise SystemExit(finished.stdout + finished.stderr)
        gate = json.loads(report.read_text())["gates"][0]
    limit = gate["limits"][0] if gate["limits"] else {}
    return {
        "verdict": gate["verdict"],
        "ratio": limit.get("value"),
        "low": limit.get("ci_low"),
        "high": limit.get("ci_high"),
        "calls": limit.get("n"),
        "seconds": seconds,
        "exit_code": finished.returncode,
    }


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20, help="fresh processes for each case")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    if arguments.fresh:
        RESULTS.unlink(missing_ok=True)
    done = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    for number in range(arguments.runs):
        for case, layers in CASES.items():  # the cases take turns, so that a busy minute hits both
            if sum(row["case"] == case for row in done) > number:
                continue
            row = {"case": case, **run_once(layers)}
            done.append(row)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            ends = f"[{row['low']:.4f}, {row['high']:.4f}]" if row["low"] is not None else ""
            print(
                f"{number + 1:3} {case:14} {row['verdict']:12} {row['ratio'] or 0:.4f} {ends} {row['seconds']:.1f} s"
            )
    summarise(done)


def summarise(rows: list[dict[str, Any]]) -> None:
    """Print the rates of each verdict with their 95% binomial intervals."""
    print(f"\n{'case':16}{'verdict':14}{'runs':>10}  95% interval (Wilson)")
    for case in CASES:
        verdicts = Counter(row["verdict"] for row in rows if row["case"] == case)
        total = sum(verdicts.values())
        for verdict in ("pass", "fail", "inconclusive", "error"):
            interval = binomtest(verdicts[verdict], total).proportion_ci(method="wilson")
            share = f"{verdicts[verdict]}/{total}"
            print(f"{case:16}{verdict:14}{share:>10}  {interval.low:.0%} to {interval.high:.0%}")
        ratios = sorted(row["ratio"] for row in rows if row["case"] == case and row["ratio"])
        seconds = sorted(row["seconds"] for row in rows if row["case"] == case)
        middle = len(ratios) // 2
        print(
            f"{'':16}median ratio {ratios[middle]:.4f}, {ratios[0]:.4f} to {ratios[-1]:.4f}; "
            f"median {seconds[len(seconds) // 2]:.1f} s a run with start-up"
        )


if __name__ == "__main__":
    main()
