"""Does peak_memory see what a model takes? Models that add a known number of megabytes, held or for a moment.

Every model is launched in a fresh process, as the gate does it. In the same process two threads sample resident
memory every 10 ms and every 100 ms, as memory profilers do: how far is each of the three from the truth?
Then one net as plain torch and through transformers, whose imports are no part of it.

Usage: python benchmarks/memory.py [--runs 3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

HELD = (50, 200, 800, 2000)
SPIKES = ((20, 50), (20, 100), (50, 200), (50, 400))  # held, and added for some milliseconds in a call
TOLERANCE, FLOOR_BYTES = 0.02, 2e6
CONFTEST = """
import threading, time
from pathlib import Path
import numpy as np
import psutil
import pytest
from pytest_modelbench import EvalData

MB = 10**6
HIGHEST = {{}}

def sample(every):
    process = psutil.Process()
    while True:
        HIGHEST[every] = max(HIGHEST.get(every, 0), process.memory_info().rss)
        time.sleep(every)

class Net:
    def __init__(self):
        self.base = psutil.Process().memory_info().rss
        for every in (0.01, 0.1):
            threading.Thread(target=sample, args=(every,), daemon=True).start()
        time.sleep(0.15)
        self.weights = np.ones({held} * MB // 8)
        time.sleep(0.25)  # long enough for any sampler
    def __call__(self, batch):
        spike = np.empty({spike} * MB // 8)
        spike[::512] = 1  # a page each: the spike is as short as the kernel can make it
        del spike
        found = {{str(every): highest - self.base for every, highest in HIGHEST.items()}}
        Path(__file__).with_name("sampled.json").write_text(__import__("json").dumps(found))
        return np.eye(3)[np.asarray(batch)[:, 0].astype(int) % 3]

@pytest.fixture(scope="session")
def student_model():
    return Net()

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(np.zeros((1, 1)), np.zeros(1, dtype=int))  # one call
"""
BERT = """
import numpy as np
import pytest
import torch
from torch import nn
from pytest_modelbench import EvalData

WORDS, LONGEST, WIDTH, INNER, HEADS, LAYERS = {words}, 128, {width}, {inner}, 4, 2

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places, self.kinds = (nn.Embedding(n, WIDTH) for n in (WORDS, LONGEST, 2))
        self.norm = nn.LayerNorm(WIDTH)
        layer = lambda: nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, activation="gelu", batch_first=True)
        self.layers = nn.Sequential(*(layer() for _ in range(LAYERS)))  # no prototype that is copied and thrown away
        self.pool, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, x):
        places = torch.arange(x.shape[1])
        seen = self.norm(self.words(x) + self.places(places) + self.kinds(torch.zeros_like(x)))
        return self.head(torch.tanh(self.pool(self.layers(seen)[:, 0])))

@pytest.fixture(scope="session")
def teacher_model():
    return Plain()

@pytest.fixture(scope="session")
def student_model():
    from transformers import BertConfig, BertForSequenceClassification

    sizes = dict(hidden_size=WIDTH, intermediate_size=INNER, num_attention_heads=HEADS, num_hidden_layers=LAYERS)
    return BertForSequenceClassification(BertConfig(vocab_size=WORDS, max_position_embeddings=LONGEST, **sizes))

@pytest.fixture(scope="session")
def eval_data():
    return EvalData(torch.ones(4, 32, dtype=torch.long), np.zeros(4, dtype=int))
"""
SIZES = ((2000, 64, 128), (8000, 256, 1024), (30000, 768, 3072))
BERT_SUITE = """
import pytest

@pytest.mark.kpi("peak_memory", "difference <= 1 GB")
def test_memory(): ...
"""
SUITE = """
import pytest

@pytest.mark.kpi("peak_memory")
def test_memory(): ...
"""


def measure(held: int, spike: int) -> dict[str, float]:
    """Return megabytes that each method saw of one model."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conftest.py").write_text(CONFTEST.format(held=held, spike=spike))
        (folder / "test_sla.py").write_text(SUITE)
        gate = judged(folder)
        sampled = json.loads((folder / "sampled.json").read_text())
    return {"peak_memory": gate["readings"]["student"]["value"] / 1e6} | {
        f"sampled every {1000 * float(every):g} ms": size / 1e6 for every, size in sampled.items()
    }


def judged(folder: Path) -> dict[str, Any]:
    """Return the one gate of a suite."""
    command = [sys.executable, "-m", "pytest", "--modelbench", "--modelbench-json=report.json", "-q", "."]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(ended.stdout + ended.stderr)
    gate: dict[str, Any] = json.loads((folder / "report.json").read_text())["gates"][0]
    return gate


def through_transformers(words: int, width: int, inner: int) -> None:
    """Print what one net takes as plain torch and through transformers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conftest.py").write_text(BERT.format(words=words, width=width, inner=inner))
        (folder / "test_sla.py").write_text(BERT_SUITE)
        gate = judged(folder)
    values = {role: reading["value"] / 1e6 for role, reading in gate["readings"].items() if reading}
    parts = {row["name"]: row for row in gate["breakdown"]}
    weights, imported = (parts["student"][part] / 1e6 for part in ("weights_bytes", "imported_bytes"))
    apart = abs(values["student"] - values["teacher"])
    within = apart <= max(TOLERANCE * values["teacher"], FLOOR_BYTES / 1e6)
    cells = (weights, values["teacher"], values["student"], imported)
    print(f"| {' | '.join(f'{cell:,.1f}' for cell in cells)} | {'yes' if within else 'no'} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3, help="of every model")
    parser.add_argument("--only-transformers", action="store_true", help="leave the known megabytes out")
    arguments = parser.parse_args()
    if not arguments.only_transformers:
        known_megabytes(arguments.runs)
    print(
        "| weights, MB | plain torch | through transformers | imported | within 2% or 2 MB |\n|---|---|---|---|---|"
    )
    for sizes in SIZES:
        through_transformers(*sizes)


def known_megabytes(runs: int) -> None:
    """Print what three methods see of models of known size."""
    available = psutil.virtual_memory().available / 1e6
    models = [(held, 0) for held in HELD] + list(SPIKES)
    right: dict[str, list[bool]] = {}
    worst: dict[str, float] = {}
    print(
        "| held, MB | spike, MB | peak_memory | sampled every 10 ms | sampled every 100 ms |\n|---|---|---|---|---|"
    )
    for _ in range(runs):
        for held, spike in models:
            if 2 * (held + spike) > available:
                print(f"| {held} | {spike} | left out: {available:,.0f} MB are available | | |")
                continue
            truth, found = held + spike, measure(held, spike)
            for method, size in found.items():
                error = abs(size - truth)
                right.setdefault(method, []).append(error <= max(TOLERANCE * truth, FLOOR_BYTES / 1e6))
                worst[method] = max(worst.get(method, 0.0), error / truth)
            print(f"| {held} | {spike} | " + " | ".join(f"{size:,.1f}" for size in found.values()) + " |", flush=True)
    for method, hits in right.items():
        print(f"{method}: within 2% or 2 MB in {sum(hits)} of {len(hits)}, at worst {worst[method]:.1%} off")


if __name__ == "__main__":
    main()
