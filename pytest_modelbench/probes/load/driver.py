"""The driver: one absolute schedule for all lanes, on the model's own clock. Nothing is ever dropped.

A response is counted from the scheduled arrival. A driver that counted from the moment of sending would not see the
queue: a stall of one second at 100 requests a second would be one slow call, and not a hundred slow responses
(coordinated omission).
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pytest_modelbench.probes.load.lanes import Clock, Lane, is_scripted
from pytest_modelbench.stats.intervals import FloatArray
from pytest_modelbench.stats.queueing import IntArray

SPIN_NS = 150_000
"""The end of a wait that is spent looking at the clock: a sleep ends that much too late."""
LONGEST_SLEEP_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How requests are gathered into calls: up to `max_batch` at once, for which the first waits."""

    max_batch: int = 1
    max_wait_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Served:
    """What happened to one segment's requests, in their order. All times in seconds from the start of the segment.

    Attributes:
        arrivals: when they were due.
        starts: when the model was called for them; infinite for those that were not reached.
        ends: when that call returned or failed; infinite for those that were not reached.
        failed: whether it failed, or was not reached.
        late_s: for each call, how much later it started than it could have.
        service_s: for each call, how long it took.
        sizes: for each call, the requests in it.
        backlog: for each call, how many requests were due and not answered when it started.
        error: the first failure, as text; "" for none.
        processor_s: what the client took of processors meanwhile; 0 where the model runs in its process.
    """

    arrivals: FloatArray
    starts: FloatArray
    ends: FloatArray
    failed: np.ndarray
    late_s: FloatArray
    service_s: FloatArray
    sizes: IntArray
    backlog: IntArray
    error: str = ""
    processor_s: float = 0.0

    @property
    def responses(self) -> FloatArray:
        """The time from each scheduled arrival to its response; infinite for a request that failed."""
        return np.where(self.failed, np.inf, self.ends - self.arrivals)

    @property
    def answered_s(self) -> FloatArray:
        """How long the call of each request took that was answered."""
        answered = np.isfinite(self.ends) & ~self.failed
        taken: FloatArray = self.ends[answered] - self.starts[answered]
        return taken

    @property
    def complete(self) -> bool:
        """Whether every request was reached."""
        return bool(np.isfinite(self.ends).all())


def wait_until(
    clock: Clock, at_ns: int, stopped: threading.Event | None = None, beat: Callable[[], None] = lambda: None
) -> None:
    """Wait until a clock shows a time; a scripted clock is moved on, so that no real time passes.

    Args:
        clock: in nanoseconds.
        at_ns: the time.
        stopped: ends the wait, where other threads wait too; one that looks at the clock would hold the others up.
        beat: called in each second.
    """
    left = at_ns - clock()
    if is_scripted(clock):
        clock.advance(max(0, left))
        return
    sleep: Callable[[float], object] = time.sleep if stopped is None else stopped.wait
    while left > 0 and not (stopped and stopped.is_set()):
        if left > SPIN_NS:
            sleep(min((left - SPIN_NS) / 1e9, LONGEST_SLEEP_S))
            beat()
        elif stopped:
            time.sleep(0)
        left = at_ns - clock()


class Batch(NamedTuple):
    """Requests that are answered together: the first of them, how many, and when their call can start."""

    first: int
    size: int
    ready_ns: int


class Call(NamedTuple):
    """One call: its first request and how many it answered, when it could have started, its times, its failure."""

    first: int
    size: int
    ready_ns: int
    start_ns: int
    end_ns: int
    failure: str


class _Queue:
    """The requests of a segment, which lanes take in their order.

    Args:
        due: when they are due, ascending, in nanoseconds.
        batching: how they are gathered.
        patience_ns: no more are taken when the next one has waited for so long.
    """

    def __init__(self, due: Sequence[int], batching: Batching, patience_ns: int) -> None:
        self._due = due
        self._batching = batching
        self._patience_ns = patience_ns
        self._first = 0
        self._lock = threading.Lock()

    def take(self, free_ns: int) -> Batch | None:
        """Return the next requests for a lane that has been free since a time; None if there are none to take."""
        with self._lock:
            first = self._first
            if first >= len(self._due):
                return None
            if free_ns - self._due[first] > self._patience_ns:
                self._first = len(self._due)
                return None
            batch = self._gathered(first, free_ns)
            self._first += batch.size
            return batch

    def _gathered(self, first: int, free_ns: int) -> Batch:
        due, most = self._due, self._batching.max_batch
        ready = max(free_ns, due[first])
        if most > 1:
            last = due[min(first + most, len(due)) - 1]
            ready = max(ready, min(last, due[first] + int(self._batching.max_wait_s * 1e9)))
        size = 1
        while size < most and first + size < len(due) and due[first + size] <= ready:
            size += 1
        return Batch(first, size, ready)


class Driver:
    """Offers segments of requests to one model.

    Args:
        clock: in nanoseconds.
        lanes: of the model, each of which answers one call at a time.
        batching: how requests are gathered.
        beat: called after each call.
    """

    def __init__(
        self, clock: Clock, lanes: Sequence[Lane], batching: Batching, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._lanes = lanes
        self._batching = batching
        self._beat = beat

    def serve(self, arrivals: FloatArray, patience_s: float) -> Served:
        """Answer all requests of a segment, which lanes take in their order.

        Args:
            arrivals: when they are due, ascending, in seconds from now.
            patience_s: the segment ends when a request has waited for so long: the backlog grows.
        """
        processor_s, origin = time.process_time(), self._clock()
        due: list[int] = (np.rint(arrivals * 1e9).astype(np.int64) + origin).tolist()
        queue = _Queue(due, self._batching, int(patience_s * 1e9))
        calls = sorted(self._answered(queue, origin))
        processor_s = time.process_time() - processor_s if self._lanes[0].elsewhere else 0.0
        return _served(arrivals, origin, calls, due, processor_s)

    def _answered(self, queue: _Queue, origin: int) -> Iterator[Call]:
        if len(self._lanes) == 1:
            return self._by(self._lanes[0], queue, origin)
        if is_scripted(self._clock):
            return self._in_turn(queue, origin)
        return iter(self._at_once(queue, origin))

    def _by(self, lane: Lane, queue: _Queue, free: int, stopped: threading.Event | None = None) -> Iterator[Call]:
        """Let a lane answer what it can take."""
        while batch := queue.take(free):
            wait_until(self._clock, batch.ready_ns, stopped, self._beat)
            if stopped and stopped.is_set():
                return
            start, free, failure = lane(batch.size)
            self._beat()
            yield Call(*batch, start, free, failure)

    def _at_once(self, queue: _Queue, origin: int) -> list[Call]:
        """Let all lanes answer, each in a thread of its own."""

        def answer(lane: Lane) -> list[Call]:
            try:
                return list(self._by(lane, queue, origin, stopped))
            except BaseException:
                stopped.set()
                raise

        stopped = threading.Event()
        with ThreadPoolExecutor(len(self._lanes)) as pool:
            try:
                return [call for calls in list(pool.map(answer, self._lanes)) for call in calls]
            finally:
                stopped.set()

    def _in_turn(self, queue: _Queue, origin: int) -> Iterator[Call]:
        """Let all lanes answer on a scripted clock, which shows how long a call takes, not what runs beside it."""
        free = [(origin, number) for number in range(len(self._lanes))]
        while batch := queue.take(free[0][0]):
            start, end, failure = self._lanes[free[0][1]](batch.size)
            self._beat()
            heapq.heapreplace(free, (batch.ready_ns + end - start, free[0][1]))
            yield Call(*batch, batch.ready_ns, batch.ready_ns + end - start, failure)


def _served(
    arrivals: FloatArray, origin: int, calls: Sequence[Call], due: Sequence[int], processor_s: float
) -> Served:
    table = np.array([call[:5] for call in calls], dtype=np.int64).reshape(-1, 5)
    _, size, ready, start, end = table.T
    failed = np.array([bool(call.failure) for call in calls], dtype=bool)
    reached = int(size.sum())

    def spread(values: np.ndarray, rest: object) -> np.ndarray:
        return np.concatenate([np.repeat(values, size), np.full(len(arrivals) - reached, rest)])

    order = np.argsort(end, kind="stable")
    answered = np.concatenate([[0], np.cumsum(size[order])])[np.searchsorted(end[order], start, side="right")]
    return Served(
        arrivals=arrivals,
        starts=spread((start - origin) / 1e9, np.inf),
        ends=spread((end - origin) / 1e9, np.inf),
        failed=spread(failed, rest=True),
        late_s=(start - ready) / 1e9,
        service_s=(end - start) / 1e9,
        sizes=size,
        backlog=np.searchsorted(np.array(due), start, side="right") - answered,
        error=next((call.failure for call in calls if call.failure), ""),
        processor_s=processor_s,
    )
