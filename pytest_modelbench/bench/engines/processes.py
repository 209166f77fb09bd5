"""Processes of this machine: spawned workers with a pipe each, which shows which one was killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from pytest_modelbench.bench.engines.engine import Engine, Lost, Raised, Task, processors
from pytest_modelbench.bench.engines.gpus import visible_gpus
from pytest_modelbench.bench.engines.process_worker import serve
from pytest_modelbench.bench.engines.travel import Outgoing, Unpicklable, pickled_task, result_of

_ENDING_S = 5.0
"""How long an idle worker may take to end by itself."""

_LOOK_S = 1.0
"""How often to look for workers that ended while a child of theirs keeps the pipe open."""

_STARTING = threading.Lock()


class Processes(Engine):
    """A pool of spawned processes, each with one thread of its own for numerics.

    A worker is started when there is a shard for it, keeps the last task with what that has built, and is replaced
    after it died. Nothing of `__main__` is imported in a worker, so that it does not matter how pytest was started.

    Args:
        workers: how many; None for the processors that this process may use.
        num_gpus: GPUs that each worker sees (`CUDA_VISIBLE_DEVICES`); with 0.5 two see the same one.

    Raises:
        UsageMistake: this machine does not have so many GPUs.
    """

    name = "processes"

    def __init__(self, *, workers: int | None = None, num_gpus: float | None = None) -> None:
        self.workers = workers or processors()
        self._gpus = visible_gpus(self.workers, num_gpus)
        self._pool: list[_Worker | None] = [None] * self.workers

    def describe(self) -> str:
        """Return one line for the terminal and the report."""
        return f"{self.workers} process{'es' if self.workers > 1 else ''} of this machine, 1 thread each"

    def map(self, task: Task, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield what came of each shard, in the order in which workers end."""
        try:
            pickled = pickled_task(task)
        except Unpicklable as mistake:
            yield from ((position, mistake.raised) for position in range(len(shards)))
            return
        outgoing = Outgoing(shards)
        busy: dict[_Worker, int] = {}
        try:
            while outgoing or busy:
                yield from self._hand_out(pickled, outgoing, busy)
                for worker in _ready(busy):
                    yield busy.pop(worker), worker.result()
        finally:
            if busy:  # the iteration was given up: what they still send belongs to nothing
                self.close()

    def _hand_out(self, task: bytes, outgoing: Outgoing, busy: dict[_Worker, int]) -> Iterator[tuple[int, Raised]]:
        """Give every idle worker a shard; yield the shards that cannot be sent."""
        idle = deque(number for number in range(self.workers) if self._pool[number] not in busy)
        while idle and outgoing:
            position, sent = outgoing.take()
            if isinstance(sent, Raised):
                yield position, sent
                continue
            worker = self._alive(idle.popleft())
            busy[worker] = position
            worker.send(task, sent)

    def _alive(self, number: int) -> _Worker:
        worker = self._pool[number]
        if worker is None or not worker.alive:
            started = time.perf_counter()
            worker = self._pool[number] = _Worker(number + 1, self._gpus[number])
            self.started_s += time.perf_counter() - started
        return worker

    def close(self) -> None:
        """End all workers, those that are busy at once."""
        workers = [worker for worker in self._pool if worker is not None]
        self._pool = [None] * self.workers
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.ended()


class _Worker:
    """A spawned process and this end of its pipe; it holds one shard at a time."""

    def __init__(self, number: int, gpus: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, gpus), name=f"modelbench-worker-{number}", daemon=True
        )
        with _STARTING, without_main(), _sigint_blocked():
            self._process.start()
        theirs.close()  # so that the pipe ends with the worker
        self._number = number
        self._has: bytes | None = None
        self._busy = False

    @property
    def alive(self) -> bool:
        return self._process.is_alive() and not self._pipe.closed

    @property
    def waited_for(self) -> tuple[Connection, int]:
        return self._pipe, self._process.sentinel

    def send(self, task: bytes, shard: bytes) -> None:
        """Give it a shard, after the task if it does not have it; that it died is found by `result`."""
        self._busy = True
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(task if task != self._has else b"")
            self._pipe.send_bytes(shard)
            self._has = task

    def result(self) -> Any:
        """Return what it sent of its shard, or that it was lost."""
        try:
            received = self._pipe.recv_bytes() if self._pipe.poll() else None
        except (EOFError, OSError):
            received = None
        if received is None:
            self._pipe.close()
            self._process.join(_ENDING_S)
            worker = f"worker {self._number} (process {self._process.pid})"
            return Lost(reason=_how(self._process.exitcode), worker=worker)
        self._busy = False
        return result_of(received)

    def end(self) -> None:
        """Let it end: by its closed pipe, or killed if it holds a shard."""
        self._pipe.close()
        if self._busy:
            self._process.kill()

    def ended(self) -> None:
        """Wait for its end, and free what it used."""
        self._process.join(_ENDING_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _ready(busy: dict[_Worker, int]) -> list[_Worker]:
    """Wait until at least one worker sent something or ended."""
    of: dict[Any, _Worker] = {thing: worker for worker in busy for thing in worker.waited_for}
    while busy:
        ready = [of[thing] for thing in connection.wait(list(of), _LOOK_S)]
        ready += [worker for worker in busy if not worker.alive]
        if ready:
            return list(dict.fromkeys(ready))
    return []


def _how(exitcode: int | None) -> str:
    if exitcode is None:
        return "its pipe closed, and it did not end"
    if exitcode >= 0:
        return f"it ended with exit code {exitcode}"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = f"signal {-exitcode}"
    return f"killed by {name}" + (" (often: out of memory)" if name == "SIGKILL" else "")


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Hide `__main__` while a process is spawned, which would import it: a script would start anew."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Let a process inherit that SIGINT is blocked, until it ignores it: Ctrl-C is for the session alone."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
