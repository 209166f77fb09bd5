"""The engine whose models the extension makes measurable."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.extend import Loading, Model


class Engine:
    """Answers ten logits for each sample, by the remainder of its only feature."""

    def __init__(self, wrong: int) -> None:
        self.wrong = wrong

    def infer(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return logits, (samples, 10)."""
        found = rows[:, 0].astype(int)
        logits: np.ndarray[Any, Any] = 5.0 * np.eye(10)[np.where(found < self.wrong, found + 1, found) % 10]
        return logits


class EngineModel(Model):
    """Adapter for `Engine`."""

    kind = "acme"

    def __init__(self, engine: Engine, name: str) -> None:
        super().__init__(name)
        self.engine = engine

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Return a call that runs a batch."""
        rows = np.asarray(inputs)
        return lambda: self.engine.infer(rows)


def load(path: str, loading: Loading) -> EngineModel:
    """Load an engine from a file."""
    return EngineModel(Engine(**json.loads(Path(path).read_text(encoding="utf-8"))), loading.name)
