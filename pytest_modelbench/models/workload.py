"""The reference workload: what this machine takes for a fixed amount of work, timed beside a student.

Across sessions and machines the student's time over the workload's is compared, never a bare time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pytest_modelbench.models.adapters.fake import FakeModel
from pytest_modelbench.models.base import Model

COMPUTE_ROUNDS, COMPUTE_SIDE = 12, 96
MEMORY_BYTES = 8 * 2**20
DISPATCHES = 160
FAKE_COST_NS = 1e6


class Workload(Model):
    """Products of small matrices, a copy beyond the first caches, and many tiny calls: compute, memory, dispatch.

    It answers its inputs.
    """

    kind = "workload"
    computes_here = True

    def __init__(self, name: str = "workload") -> None:
        super().__init__(name)
        rng = np.random.default_rng(0)
        self._left, self._right = rng.random((2, COMPUTE_SIDE, COMPUTE_SIDE)).astype(np.float32)
        self._product = np.empty_like(self._left)
        self._source = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
        self._target = np.empty_like(self._source)
        self._few = rng.random(16).astype(np.float32)

    def bind(self, inputs: Any) -> Callable[[], Any]:
        """Return a call that does the work and returns the inputs."""

        def call() -> Any:
            for _ in range(COMPUTE_ROUNDS):
                np.matmul(self._left, self._right, out=self._product)
            np.copyto(self._target, self._source)
            for _ in range(DISPATCHES):
                np.add(self._few, 1.0, out=self._few)
                np.subtract(self._few, 1.0, out=self._few)
            return inputs

        return call

    def replicate(self) -> Model:
        """Return another one, with buffers of its own."""
        return Workload(self.name)

    def fingerprint(self) -> str:
        """Name the work that is done; a change of it makes earlier ratios incomparable."""
        return f"workload:{COMPUTE_ROUNDS}x{COMPUTE_SIDE}-{MEMORY_BYTES}-{DISPATCHES}"


def workload_for(student: Model) -> Model:
    """Return the workload on a student's clock: a scripted one where the student's is."""
    if isinstance(student, FakeModel):
        return _Scripted(cost_ns=FAKE_COST_NS, clock=student.clock, name="workload")
    return Workload()


class _Scripted(FakeModel):
    def fingerprint(self) -> str:
        return "workload:scripted"
