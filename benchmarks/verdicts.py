"""How often is a timed verdict right? Unchanged and slowed copies of a model, judged in fresh processes.

Each run starts one pytest on a suite of its own. With `--modelbench`, four students are judged against a teacher
with `ratio <= 1.05` on the median: a separately built copy (A/A) and three with 2, 5 and 10% more operations. With
pytest-benchmark, the same models are timed in every run, and each run is compared with the one before it, as
`--benchmark-compare-fail=median:5%` does. Both have the same seconds for a comparison. The cells are two models
(about 50 µs and 5 ms a call), quiet and beside one busy process for each processor, and one with the limit 1%.

With `--text`, a small random language model answers 40 prompts of 8 to 150 words: a copy of the teacher, and students
whose every layer does 10 and 30% more, with `ratio <= 1.15` on four KPIs of times of tokens.

Results are kept line by line: a run that was stopped goes on where it was, and a second run adds to the first.

Usage: python benchmarks/verdicts.py [--text] [--full] [--minutes 10] [--only CELL] [--report] [--fresh]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
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
    """One condition: tool, model, load, limit in percent, seconds for a comparison, injected work in percent.

    `kpis` are those of a cell with several.
    """

    name: str
    tool: str
    model: str
    busy: bool
    limit: int
    seconds: float
    works: tuple[int, ...]
    kpis: tuple[str, ...] = ("",)


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
TEXT_KPIS = ("time_to_first_token_p50", "time_per_output_token_p50", "generation_latency_mean", "tokens_per_second")
TEXT_CELLS = [
    Cell(f"text {'busy' if busy else 'quiet'}", "modelbench", "text", busy, 15, 20.0, (0, 10, 30), TEXT_KPIS)
    for busy in (False, True)
]
TEXT_MODEL = """
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = [f"w{n}" for n in range(200)]

class Slower(torch.nn.Module):
    def __init__(self, layer, share):
        super().__init__()
        self.layer, self.share = layer, share
    def forward(self, x):
        rows = self.layer.weight[: int(self.share * len(self.layer.weight))]
        torch.nn.functional.linear(x, rows)
        return self.layer(x)

def tokenizer():
    known = {"<unk>": 0, "</s>": 1, **{word: at + 2 for at, word in enumerate(WORDS)}}
    made = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>", pad_token="</s>")

def model(work):
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=202, hidden_size=256, intermediate_size=1024, num_hidden_layers=4,
                         num_attention_heads=4, max_position_embeddings=512, bos_token_id=None, eos_token_id=1)
    made = LlamaForCausalLM(config).eval()
    for name, layer in list(made.named_modules()):
        if isinstance(layer, torch.nn.Linear) and work:
            home, _, last = name.rpartition(".")
            setattr(made.get_submodule(home), last, Slower(layer, work / 100))
    return made, tokenizer()
"""
TEXT_CONFTEST = """
import pytest, torch
import numpy as np
from models import WORDS, model
from pytest_modelbench import EvalData

torch.set_num_threads(1)

@pytest.fixture(scope="session")
def teacher_model():
    return model(0)

@pytest.fixture(scope="session", params={works}, ids=str)
def student_model(request):
    return model(request.param)

@pytest.fixture(scope="session")
def eval_data():
    rng = np.random.default_rng(0)
    prompts = [" ".join(rng.choice(WORDS, size)) for size in np.geomspace(8, 150, 40).astype(int)]
    return EvalData(task="text", prompts=prompts, max_new_tokens=32)
"""
TEXT_GATE = '@pytest.mark.kpi("{kpi}", "{limit}", tokens=32)\n'
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
    return [row for _, row in _judged_here(cell, folder)]


def _judged_here(cell: Cell, folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each gate of a run, and what it came to."""
    report = folder / "report.json"
    _pytest(folder, "--modelbench", f"--modelbench-json={report}", f"--modelbench-budget={cell.seconds:g}")
    for gate in json.loads(report.read_text())["gates"]:
        limit = gate["limits"][0] if gate["limits"] else {}
        row = {"work": int(gate["student"]), "verdict": gate["verdict"], "reason": gate["reason"]}
        yield gate, {**row, "ratio": limit.get("value"), "low": limit.get("ci_low"), "high": limit.get("ci_high")}


def run_text(cell: Cell, folder: Path) -> list[dict[str, Any]]:
    """Judge the students of a cell of generated text in a fresh process: one row for each."""
    most = 1 + cell.limit / 100
    limits = {
        kpi: f"ratio >= {1 / most:.4f}" if kpi == "tokens_per_second" else f"ratio <= {most}" for kpi in TEXT_KPIS
    }
    gates = "".join(TEXT_GATE.format(kpi=kpi, limit=limit) for kpi, limit in limits.items())
    (folder / "models.py").write_text(TEXT_MODEL)
    (folder / "conftest.py").write_text(TEXT_CONFTEST.format(works=cell.works))
    (folder / "test_sla.py").write_text("import pytest\n" + gates + "def test_tokens(): ...\n")
    return [{"kpi": gate["kpi"], **row} for gate, row in _judged_here(cell, folder)]


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
        if cell.model == "text":
            return run_text(cell, folder)
        (folder / "models.py").write_text(MODEL.format(width=WIDTH[cell.model], operation=operation))
        return run_ours(cell, folder) if cell.tool == "modelbench" else run_theirs(cell, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help=f"{FULL_RUNS} runs a cell, however long that takes")
    parser.add_argument("--minutes", type=float, default=10.0, help="stop after so long (not with --full)")
    parser.add_argument("--only", default="", help="only cells whose name contains this")
    parser.add_argument("--text", action="store_true", help="only times of tokens")
    parser.add_argument("--report", action="store_true", help="measure nothing, print what is known")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    arguments = parser.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    if arguments.fresh:
        RESULTS.unlink(missing_ok=True)
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    end = time.monotonic() + (float("inf") if arguments.full else 60 * arguments.minutes)
    cells = [cell for cell in (TEXT_CELLS if arguments.text else CELLS) if arguments.only in cell.name]
    longest = 0.0
    for number in range(0 if arguments.report else FULL_RUNS if arguments.full else RUNS):
        for cell in cells:  # the cells take turns, so that a slow hour hits all of them
            if sum(row["cell"] == cell.name for row in rows) // len(cell.works) // len(cell.kpis) > number:
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
        for kpi, work in itertools.product(cell.kpis, cell.works):
            known = [row for row in rows if row["cell"] == cell.name and row.get("kpi", "") == kpi]
            counts, ratios = (
                _compared(known, work, cell.limit) if cell.tool == "pytest-benchmark" else _judged(known, work)
            )
            total = sum(counts.values())
            if not total:
                continue
            shares = " | ".join(_share(counts[verdict], total) for verdict in ("pass", "fail", "inconclusive"))
            errors = f" ({counts['error']} errors)" if counts["error"] else ""
            name = f"{cell.name} {kpi}".rstrip()
            yield f"| {name} | +{work}% | {total}{errors} | {shares} | {statistics.median(ratios):.4f} |"


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
