"""The other end of the pipe: what a spawned process of the engine `processes` does. It imports nothing heavy."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing import connection
from multiprocessing.connection import Connection

from pytest_modelbench.bench.engines.runner import Runner, limit_threads


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
    runner = Runner()
    with contextlib.suppress(EOFError, OSError):  # the session's process closed the pipe, or ended
        while True:
            task = pipe.recv_bytes() or runner.task
            pipe.send_bytes(runner.run(task, pipe.recv_bytes()))


def _end_with_parent() -> None:
    """End at once where the session's process was killed, also in the middle of a shard."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
