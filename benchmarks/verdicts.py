"""How often is a timed verdict right? Unchanged and slowed copies of a model, judged in fresh processes.

Each run starts one pytest on a suite of its own. With `--modelbench`, four students are judged against a teacher
with `ratio <= 1.05` on the median: a separately built copy (A/A) and three with 2, 5 and 10% more operations. With
pytest-benchmark, the same models are timed in every run, and each run is compared with the one before it, as
`--benchmark-compare-fail=median:5%` does. Both have the same seconds for a comparison. The cells are two models
(about 50 µs and 5 ms a call), quiet and beside one busy process for each processor, and one with the limit 1%.

Results are kept line by line: a run that was stopped goes on where it was, and a second run adds to the first.

Usage: python benchmarks/verdicts.py [--full] [--minutes 10] [--only CELL] [--report] [--fresh]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import binomtest

RESULTS = Path(__file__).parent / "results" / "verdicts.jsonl"
OPERATIONS = {"50us": 91, "5ms": 100}  # what else a call does is worth the rest of a hundred
WIDTH = {"50us": 16, "5ms": 40_000}
RUNS, FULL_RUNS = 30, 100
VERDICTS = ("pass", "fail", "inconclusive", "error")


class Cell(NamedTuple):
    """One condition: tool, model, load, limit in percent, seconds for a comparison, injected work in percent."""

    name: str
    tool: str
    model: str
    busy: bool
    limit: int
    seconds: float
    works: tuple[int, ...]


CELLS = [
    *(
        Cell(f"{tool} {model} {'busy' if busy else 'quiet'}", tool, model, busy, 5, seconds, (0, 2, 5, 10))
        for model, seconds, busy in (
            ("50us", 3.0, False),
            ("50us", 3.0, True),
            ("5ms", 10.0, False),
            ("5ms", 10.0, True),
        )
        for tool in ("modelbench", "pytest-benchmark")
    ),
    Cell("modelbench 50us quiet limit 1%", "modelbench", "50us", False, 1, 10.0, (0, 2)),
]
MODEL = """
import torch
from torch import nn

class Steps(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.register_buffer("scale", torch.full(({width},), 0.999))
    def forward(self, x):
        x = x * self.scale
        for _ in range(self.steps):
            x.{operation}_()
        return x
"""
CONFTEST = """
import pytest, torch
from models import Steps

torch.set_num_threads(1)

@pytest.fixture(scope="session")
def teacher_model():
    return Steps({operations})

@pytest.fixture(scope="session", params={works}, ids=str)
def student_model(request):
    return Steps({operations} + request.param)

@pytest.fixture(scope="session")
def eval_data():
    return torch.rand(16, {width}), torch.zeros(16, {width})
"""
SPINNER = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"  # dies with this
OURS = """
import pytest

@pytest.mark.kpi("latency_p50", "ratio <= {limit}")
def test_p50(): ...
"""
THEIRS = """
import pytest, torch
from models import Steps

torch.set_num_threads(1)

@pytest.mark.parametrize("work", {works}, ids=str)
def test_model(benchmark, work):
    model, x = Steps({operations} + work).eval(), torch.rand(1, {width})
    with torch.inference_mode():
        benchmark(model, x)
"""


def run_ours(cell: Cell, folder: Path) -> list[dict[str, Any]]:
    """Judge the students of a cell in a fresh process: one row for each."""
    fill = {"operations": OPERATIONS[cell.model], "works": cell.works, "width": WIDTH[cell.model]}
    (folder / "conftest.py").write_text(CONFTEST.format(**fill))
    (folder / "test_sla.py").write_text(OURS.format(limit=1 + cell.limit / 100))
    report = folder / "report.json"
    _pytest(folder, "--modelbench", f"--modelbench-json={report}", f"--modelbench-budget={cell.seconds:g}")
    rows = []
    for gate in json.loads(report.read_text())["gates"]:
        limit = gate["limits"][0] if gate["limits"] else {}
        rows.append(
            {
                "work": int(gate["student"]),
                "verdict": gate["verdict"],
                "ratio": limit.get("value"),
                "low": limit.get("ci_low"),
                "high": limit.get("ci_high"),
                "reason": gate["reason"],
            }
        )
    return rows


def run_theirs(cell: Cell, folder: Path) -> list[dict[str, Any]]:
    """Time the models of a cell with pytest-benchmark in a fresh process, half of the seconds for each model."""
    fill = {"operations": OPERATIONS[cell.model], "works": cell.works, "width": WIDTH[cell.model]}
    (folder / "test_benchmark.py").write_text(THEIRS.format(**fill))
    report = folder / "report.json"
    seconds = f"--benchmark-max-time={cell.seconds / 2:g}"
    _pytest(folder, f"--benchmark-json={report}", seconds)
    found = json.loads(report.read_text())["benchmarks"]
    return [{"work": int(one["param"]), "median": one["stats"]["median"]} for one in found]


def _pytest(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "."]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not (folder / "report.json").exists():
        raise SystemExit(ended.stdout + ended.stderr)


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


def measure(cell: Cell) -> list[dict[str, Any]]:
    """Run one fresh process of a cell."""
    operation = "neg" if cell.model == "50us" else "sin"
    with tempfile.TemporaryDirectory() as name, busy_neighbours(cell.busy):
        folder = Path(name)
        (folder / "models.py").write_text(MODEL.format(width=WIDTH[cell.model], operation=operation))
        return run_ours(cell, folder) if cell.tool == "modelbench" else run_theirs(cell, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help=f"{FULL_RUNS} runs a cell, however long that takes")
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after so long (not with --full)")
    parser.add_argument("--only", default="", help="only cells whose name contains this")
    parser.add_argument("--report", action="store_true", help="measure nothing, print what is known")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    if arguments.fresh:
        RESULTS.unlink(missing_ok=True)
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    end = time.monotonic() + (float("inf") if arguments.full else 60 * arguments.minutes)
    cells = [cell for cell in CELLS if arguments.only in cell.name]
    longest = 0.0
    for number in range(0 if arguments.report else FULL_RUNS if arguments.full else RUNS):
        for cell in cells:  # the cells take turns, so that a slow hour hits all of them
            if sum(row["cell"] == cell.name for row in rows) // len(cell.works) > number:
                continue
            start = time.monotonic()
            if start + longest > end:
                break
            found = [{"cell": cell.name, **row} for row in measure(cell)]
            longest = max(longest, time.monotonic() - start)
            rows += found
            with RESULTS.open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
            print(f"{number + 1:3} {cell.name:32} {time.monotonic() - start:5.1f} s", flush=True)
    for line in table(rows, cells):
        print(line)


def table(rows: list[dict[str, Any]], cells: list[Cell]) -> Iterator[str]:
    """Yield the rates of each verdict in Markdown, with Wilson's 95% intervals."""
    yield ""
    yield "| cell | work | runs | pass | fail | inconclusive | median ratio |"
    yield "|---|---|---|---|---|---|---|"
    for cell in cells:
        known = [row for row in rows if row["cell"] == cell.name]
        for work in cell.works:
            counts, ratios = _judged(known, work) if cell.tool == "modelbench" else _compared(known, work, cell.limit)
            total = sum(counts.values())
            if not total:
                continue
            shares = " | ".join(_share(counts[verdict], total) for verdict in ("pass", "fail", "inconclusive"))
            errors = f" ({counts['error']} errors)" if counts["error"] else ""
            yield f"| {cell.name} | +{work}% | {total}{errors} | {shares} | {statistics.median(ratios):.4f} |"


def _share(count: int, total: int) -> str:
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return f"{count / total:.0%} ({interval.low:.0%} to {interval.high:.0%})"


def _judged(rows: list[dict[str, Any]], work: int) -> tuple[Counter[str], list[float]]:
    own = [row for row in rows if row["work"] == work]
    return Counter(row["verdict"] for row in own), [row["ratio"] or float("nan") for row in own]


def _compared(rows: list[dict[str, Any]], work: int, limit: int) -> tuple[Counter[str], list[float]]:
    """Compare each run's median with that of the unchanged model in the run before it."""
    base, own = ([row["median"] for row in rows if row["work"] == one] for one in (0, work))
    pairs = [(before, now) for (before, _), (_, now) in zip(pairwise(base), pairwise(own), strict=True)]
    ratios = [now / before for before, now in pairs]
    return Counter("fail" if ratio > 1 + limit / 100 else "pass" for ratio in ratios), ratios


if __name__ == "__main__":
    main()
