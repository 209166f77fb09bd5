"""Tasks for the tests of engines: other processes import them from here."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import DataError


def count(shard: int) -> tuple[int, int]:
    """Return a shard with its square, and the process that did it."""
    return shard, shard * shard


class Broken:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("has a lock")


@dataclass(frozen=True)
class Faulty:
    """Counts, and does something else on one shard: once, or always."""

    folder: str
    at: int
    what: str
    always: bool = False

    def __call__(self, shard: int) -> Any:
        if shard == self.at and (self.always or self._first()):
            return getattr(self, f"_{self.what}")()
        return count(shard)

    def _first(self) -> bool:
        marker = Path(self.folder, "happened")
        if marker.exists():
            return False
        marker.touch()
        return True

    def _dies(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _raises(self) -> None:
        raise ValueError("the disk is on fire")

    def _mistaken(self) -> None:
        raise DataError("shard 3: no column 'label'")

    def _exits(self) -> None:
        raise SystemExit(3)

    def _unpicklable(self) -> Any:
        return Broken()

    def _unreachable(self) -> Any:
        raise OSError("the network is down")

    def _dawdles(self) -> Any:
        time.sleep(1.0)
        return count(self.at)


def process_of(shard: int) -> int:
    """Return the id of the process."""
    return os.getpid()


@dataclass
class Building:
    """Builds something once in a process, and returns how often it has."""

    built: int = 0
    shards: int = 0

    def __call__(self, shard: int) -> tuple[int, int, int]:
        if not self.built:
            self.built += 1
        self.shards += 1
        return os.getpid(), self.built, self.shards


def threads(shard: int) -> tuple[str, int, str, list[str]]:
    """Return what limits the threads of a worker, its folder, and its path."""
    import sys

    import torch

    return os.environ["OMP_NUM_THREADS"], torch.get_num_threads(), str(Path.cwd()), sys.path


def array_of(shard: int) -> Any:
    """Return 4 MB of numbers."""
    import numpy as np

    return np.full(500_000, shard, dtype=np.float64)


def sleeping(shard: float) -> float:
    """Sleep for seconds."""
    time.sleep(shard)
    return shard
