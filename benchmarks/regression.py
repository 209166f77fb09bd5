"""How often is a regression told rightly, from one session to the next? Four ways to compare, in fresh processes.

Each run writes a baseline in one process and judges in another: an unchanged student and one with 10% more work, by
`regression <= 5%` on the median. By bare time the two medians are compared, as tools do that keep numbers of the last
run; by the teacher and by the reference workload our baselines are; `previous` is measured in the same rounds. Quiet,
and beside one busy process for each processor.

Results are kept line by line: a run that was stopped goes on where it was.

Usage: python benchmarks/regression.py [--runs 20] [--minutes 20] [--report] [--fresh]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

RESULTS = Path(__file__).parent / "results" / "regression.jsonl"
LIMIT, WORK = 0.05, (0, 10)
WAYS = ("bare time", "teacher", "workload", "previous")
SECONDS = 8.0
CONFTEST = """
import os
import pytest, torch
from torch import nn

torch.set_num_threads(1)
RECORDED = os.environ["WAY"].startswith("record")

class Steps(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.register_buffer("scale", torch.full((8000,), 0.999))
    def forward(self, x):
        x = x * self.scale
        for _ in range(self.steps):
            x.sin_()
        return x

@pytest.fixture(scope="session")
def teacher_model():
    return Steps(120)

@pytest.fixture(scope="session", params=[0, 10], ids=str)
def student_model(request):
    return Steps(100 if RECORDED else 100 + request.param)

if os.environ["WAY"] == "previous":
    @pytest.fixture(scope="session")
    def previous_model():
        return Steps(100)

@pytest.fixture(scope="session")
def eval_data():
    return torch.rand(16, 8000), torch.zeros(16, 8000)
"""
SUITE = """
import pytest

@pytest.mark.kpi("latency_p50", "regression <= 5%")
def test_p50(): ...
"""
SPINNER = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"  # dies with this


def judge(folder: Path, way: str, *options: str) -> dict[int, dict[str, Any]]:
    """Run the suite in a fresh process and return its gates by the work that was added."""
    report = folder / f"{way}.json"
    given = (f"--modelbench-budget={SECONDS:g}", f"--modelbench-json={report}", *options)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--modelbench", *given, "."]
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "WAY": way}
    )
    if not report.exists():
        raise SystemExit(ended.stdout + ended.stderr)
    return {int(gate["student"]): gate for gate in json.loads(report.read_text())["gates"]}


def one_run(busy: bool) -> list[dict[str, Any]]:
    """Write both baselines, judge by all four ways, and return a row for each way and student."""
    rows = []
    with tempfile.TemporaryDirectory() as name, busy_neighbours(busy):
        folder = Path(name)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_sla.py").write_text(SUITE)
        found: dict[str, dict[int, dict[str, Any]]] = {}
        for kind in ("teacher", "workload"):
            saved = f"--modelbench-save-baseline={kind}.baseline.json"
            before = judge(folder, f"record-{kind}", saved, f"--modelbench-reference={kind}")
            found[kind] = judge(folder, kind, f"--modelbench-baseline={kind}.baseline.json")
            if kind == "teacher":
                bare = {work: _median(found[kind][work]) / _median(before[work]) - 1 for work in WORK}
        found["previous"] = judge(folder, "previous")
        for work in WORK:
            verdict = "fail" if bare[work] > LIMIT else "pass"
            rows.append({"busy": busy, "way": "bare time", "work": work, "verdict": verdict, "value": bare[work]})
            for way, gates in found.items():
                gate = gates[work]
                value = gate["limits"][0]["value"]
                rows.append({"busy": busy, "way": way, "work": work, "verdict": gate["verdict"], "value": value})
    return rows


def _median(gate: dict[str, Any]) -> float:
    return float(gate["readings"]["student"]["value"])


@contextlib.contextmanager
def busy_neighbours(wanted: bool) -> Iterator[None]:
    """Keep every processor busy with one process."""
    count = (os.cpu_count() or 1) if wanted else 0
    spinners = [subprocess.Popen([sys.executable, "-c", SPINNER]) for _ in range(count)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20, help="runs for each load (default: 20)")
    parser.add_argument("--minutes", type=float, default=20.0, help="stop after so long")
    parser.add_argument("--report", action="store_true", help="measure nothing, print what is known")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    if arguments.fresh:
        RESULTS.unlink(missing_ok=True)
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    end, each = time.monotonic() + 60 * arguments.minutes, len(WAYS) * len(WORK)
    for number in range(0 if arguments.report else arguments.runs):
        for busy in (False, True):  # in turn, so that a slow hour hits both
            if sum(row["busy"] is busy for row in rows) // each > number or time.monotonic() > end:
                continue
            start = time.monotonic()
            found = one_run(busy)
            rows += found
            with RESULTS.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
            print(f"{number + 1:3} {'busy' if busy else 'quiet'} {time.monotonic() - start:5.1f} s", flush=True)
    for line in table(rows):
        print(line)


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the rates of each verdict in Markdown, with Wilson's 95% intervals."""
    yield "| load | compared by | work | runs | pass | fail | inconclusive | furthest from the truth |"
    yield "|---|---|---|---|---|---|---|---|"
    for busy in (False, True):
        for way in WAYS:
            for work in WORK:
                own = [row for row in rows if (row["busy"], row["way"], row["work"]) == (busy, way, work)]
                counts = Counter(row["verdict"] for row in own)
                if not own:
                    continue
                truth = work / 100
                off = max(abs(row["value"] - truth) for row in own if row["value"] is not None)
                shares = " | ".join(_share(counts[one], len(own)) for one in ("pass", "fail", "inconclusive"))
                load = "busy" if busy else "quiet"
                yield f"| {load} | {way} | +{work}% | {len(own)} | {shares} | {100 * off:.1f} points |"


def _share(count: int, total: int) -> str:
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return f"{count / total:.0%} ({interval.low:.0%} to {interval.high:.0%})"


if __name__ == "__main__":
    main()
