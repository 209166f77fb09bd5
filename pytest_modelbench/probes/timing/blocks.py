"""The timed loop: calls one by one, and how long each of them waited for a processor that others had."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modelbench.stats.intervals import FloatArray

LONG_CALL_NS = 200_000
MOST_OF_OTHER_THREADS = 0.05
_SCHEDSTAT = Path("/proc/thread-self/schedstat")

Call = Callable[[], Any]
Failed = Callable[[int, BaseException], Exception]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Calls of one model in a row: nanoseconds of each, as measured and without run-queue waits."""

    wall: FloatArray
    calm: FloatArray


@dataclass
class BlockTimer:
    """Times calls; where `waited` is set it also reads, outside of the timed span, what each of them waited.

    Attributes:
        clock: nanoseconds.
        waited: nanoseconds for which this thread could have run and had no processor; None where that is not read.
    """

    clock: Callable[[], int]
    waited: Callable[[], int] | None = None

    def time(self, calls: Sequence[Call], offset: int, count: int, failed: Failed) -> Block:
        """Time calls, rotating through the batches.

        Args:
            calls: one for every batch.
            offset: the number of the first.
            count: how many.
            failed: makes the error to raise from the number of a batch and what its call raised.
        """
        times, waits = [0] * count, [0] * count
        clock, waited, batches, i = self.clock, self.waited, len(calls), 0
        try:
            if waited is None:
                for i in range(count):
                    call = calls[(offset + i) % batches]
                    start = clock()
                    call()
                    times[i] = clock() - start
            else:
                for i in range(count):
                    call = calls[(offset + i) % batches]
                    before, ran = waited(), time.thread_time_ns()
                    start = clock()
                    call()
                    times[i] = took = clock() - start
                    idle = took - (time.thread_time_ns() - ran)
                    waits[i] = max(0, min(idle, waited() - before))
        except BaseException as error:
            raise failed((offset + i) % batches, error) from error
        wall = np.asarray(times, dtype=np.float64)
        return Block(wall=wall, calm=wall - waits if any(waits) else wall)


@contextlib.contextmanager
def waiting_clock(path: Path = _SCHEDSTAT) -> Iterator[Callable[[], int] | None]:
    """Open the clock of this thread's run-queue waits, in nanoseconds; None if the platform has none.

    It is the second field of `schedstat` (Documentation/scheduler/sched-stats.rst of Linux): time spent on a run
    queue. A thread that sleeps, or waits for a device, a lock or a socket, is on none.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield lambda: int(os.pread(handle, 64, 0).split()[1])
    finally:
        os.close(handle)


@contextlib.contextmanager
def other_threads() -> Iterator[Callable[[], float]]:
    """Yield what tells the processor time that other threads of this process took, over this thread's own."""
    own, all_ = time.thread_time_ns(), time.process_time_ns()

    def share() -> float:
        mine = max(time.thread_time_ns() - own, 1)
        return max(0.0, (time.process_time_ns() - all_) / mine - 1)

    yield share
