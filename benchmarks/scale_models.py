"""Models and shards of `benchmarks/scale.py`, which workers import."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench import EvalData
from pytest_modelbench.data.shards.sharded import ShardedData

WIDTH = 8
WEIGHTS = np.random.default_rng(0).standard_normal((WIDTH, 10)).astype(np.float32)
TURNS = "MODELBENCH_SCALE_TURNS"
"""The variable that says how much work a row is; workers inherit it."""
KILL = "MODELBENCH_SCALE_KILL"
"""The variable that names a file by which one worker is killed."""
BLOCK = 1000


class Costly:
    """A linear classifier that computes for a while beside: so many turns of 2,000 tangents a row."""

    def __init__(self, off: float, turns: float) -> None:
        self.weights = WEIGHTS + off * np.random.default_rng(1).standard_normal(WEIGHTS.shape).astype(np.float32)
        self._turns = turns
        self._work = np.linspace(0, 1, 2_000)

    def __call__(self, batch: Any) -> Any:
        """Return logits, (rows, 10)."""
        for _ in range(round(len(batch) * self._turns)):
            np.tanh(self._work)
        rows = np.asarray(batch)
        scores = np.zeros((len(rows), self.weights.shape[1]), dtype=np.float32)
        for feature, weights in enumerate(self.weights):  # a matrix product may round a row by its place in the batch
            scores += rows[:, feature, None] * weights
        return scores


def teacher() -> Costly:
    """Return the teacher, which costs nothing."""
    return Costly(0.0, 0.0)


def student() -> Costly:
    """Return the student, which costs what the variable says."""
    return Costly(0.05, float(os.environ.get(TURNS, "0")))


def block(number: int) -> tuple[Any, Any]:
    """Return `BLOCK` samples, which are the same in any shard."""
    rng = np.random.default_rng(number)
    inputs = rng.standard_normal((BLOCK, WIDTH)).astype(np.float32)
    targets = (inputs @ WEIGHTS).argmax(axis=1)
    targets[rng.random(BLOCK) < 0.1] = 0
    return inputs, targets


def kill_once() -> None:
    """Kill this process if a file asks for that, which goes with it."""
    asked = Path(os.environ.get(KILL, "/none"))
    if asked.is_file():
        asked.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def load(name: str) -> EvalData:
    """Return the samples of a shard that is named by the first and the last of them."""
    first, last = map(int, Path(name).stem.split("-"))
    kill_once()
    blocks = [block(number) for number in range(first // BLOCK, (last - 1) // BLOCK + 1)]
    inside = slice(first % BLOCK, first % BLOCK + last - first)
    inputs, targets = (np.concatenate(parts)[inside] for parts in zip(*blocks, strict=True))
    return EvalData(inputs, targets, ids=range(first, last), task="multiclass", outputs="logits", batch_size=4096)


def shards(folder: str, rows: int, count: int) -> ShardedData:
    """Return data of so many samples in so many shards, whose files are empty: `load` makes the samples."""
    edges = np.linspace(0, rows, count + 1).astype(int).tolist()
    names = [Path(folder, f"{first}-{last}.rows") for first, last in itertools.pairwise(edges)]
    for name in names:
        name.touch()
    settings: dict[str, Any] = {"task": "multiclass", "outputs": "logits", "batch_size": 4096}
    return ShardedData(list(map(str, names)), load="scale_models:load", **settings)
