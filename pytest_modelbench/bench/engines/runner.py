"""What every worker does, of any engine: it runs a pickled task over a pickled shard. It imports nothing heavy."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from typing import Any

from pytest_modelbench.bench.engines.engine import Raised
from pytest_modelbench.bench.engines.travel import Unpicklable, unpicklable

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
"""Environment variables that libraries read when they are first imported."""


class Runner:
    """Runs one shard at a time, and keeps the last task with the models that it has built."""

    def __init__(self) -> None:
        self.task = b""
        self._call: Any = None
        self._turn = threading.Lock()

    def run(self, task: bytes, shard: bytes) -> bytes:
        """Return what came of a shard, pickled: the result, or a `Raised`.

        Args:
            task: pickled; built anew only where it differs from the last one.
            shard: pickled.
        """
        with self._turn:
            result: Any
            try:
                if task != self.task or self._call is None:
                    self.task, self._call = task, None  # frees the models of the one before
                    self._call = _received("the task", task)
                result = self._call(_received("the shard", shard))
            except Unpicklable as mistake:
                result = mistake.raised
            except BaseException as error:  # noqa: BLE001 - the session decides
                result = Raised.of(error)
            return _pickled(result)


def limit_threads() -> None:
    """Leave numerical libraries one thread: a worker has one processor, and sums are the same everywhere."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _received(what: str, sent: bytes) -> Any:
    """Return an object that the session sent.

    Raises:
        Unpicklable: its class or function cannot be imported here.
    """
    try:
        return pickle.loads(sent)  # noqa: S301 - of our own session
    except Exception as error:
        raise Unpicklable(unpicklable(what, error)) from error


def _pickled(result: Any) -> bytes:
    try:
        return pickle.dumps(result, protocol=5)
    except Exception as error:  # noqa: BLE001 - of the object's own __reduce__
        return pickle.dumps(unpicklable("the result", error), protocol=5)
