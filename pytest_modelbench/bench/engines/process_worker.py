"""The other end of the pipe: what a spawned process of the engine `processes` does. It imports nothing heavy."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from multiprocessing import connection
from multiprocessing.connection import Connection
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


def serve(pipe: Connection, gpus: str | None) -> None:
    """Run tasks over shards until the pipe closes.

    Args:
        pipe: brings a task, or nothing for the last one again, and a shard, each pickled; takes a result.
        gpus: what CUDA shows to this process; None for all.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_threads()
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    task = b""
    call: Any = None
    with contextlib.suppress(EOFError, OSError):  # the session's process closed the pipe, or ended
        while True:
            sent = pipe.recv_bytes()
            shard = pipe.recv_bytes()
            if sent and sent != task:
                task, call = sent, None  # frees the models of the one before
            result: Any
            try:
                call = _received("the task", task) if call is None else call
                result = call(_received("the shard", shard))
            except Unpicklable as mistake:
                result = mistake.raised
            except BaseException as error:  # noqa: BLE001 - the session decides
                result = Raised.of(error)
            pipe.send_bytes(_pickled(result))
            del result


def limit_threads() -> None:
    """Leave numerical libraries one thread: there is a worker for each processor, and sums are the same everywhere."""
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _pickled(result: Any) -> bytes:
    try:
        return pickle.dumps(result, protocol=5)
    except Exception as error:  # noqa: BLE001 - of the object's own __reduce__
        return pickle.dumps(unpicklable("the result", error), protocol=5)


def _received(what: str, sent: bytes) -> Any:
    """Return an object that the session sent.

    Raises:
        Unpicklable: its class or function cannot be imported here.
    """
    try:
        return pickle.loads(sent)  # noqa: S301 - of our own session
    except Exception as error:
        raise Unpicklable(unpicklable(what, error)) from error


def _end_with_parent() -> None:
    """End at once where the session's process was killed, also in the middle of a shard."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
