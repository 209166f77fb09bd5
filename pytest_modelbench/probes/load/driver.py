"""The driver: one loop over an absolute schedule, on the model's own clock. Nothing is ever dropped.

A response is counted from the scheduled arrival. A driver that counted from the moment of sending would not see the
queue: a stall of one second at 100 requests a second would be one slow call, and not a hundred slow responses
(coordinated omission).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_modelbench.errors import message_of
from pytest_modelbench.models.base import keep_interrupt
from pytest_modelbench.stats.intervals import FloatArray
from pytest_modelbench.stats.queueing import IntArray

SPIN_NS = 150_000
"""The end of a wait that is spent looking at the clock: a sleep ends that much too late."""

Clock = Callable[[], int]
Calls = Sequence[Sequence[Callable[[], object]]]
"""Bound calls, `[batch size - 1][which batch]`."""


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How a server in this process gathers requests: up to `max_batch` at once, for which the first waits."""

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

    @property
    def responses(self) -> FloatArray:
        """The time from each scheduled arrival to its response; infinite for a request that failed."""
        return np.where(self.failed, np.inf, self.ends - self.arrivals)

    @property
    def complete(self) -> bool:
        """Whether every request was reached."""
        return bool(np.isfinite(self.ends).all())


def wait_until(clock: Clock, at_ns: int) -> None:
    """Wait until a clock shows a time; a scripted clock is moved on, so that no real time passes."""
    left = at_ns - clock()
    advance: Callable[[float], None] | None = getattr(clock, "advance", None)
    if advance is not None:
        advance(max(0, left))
        return
    while left > 0:
        if left > SPIN_NS:
            time.sleep((left - SPIN_NS) / 1e9)
        left = at_ns - clock()


class Driver:
    """Offers segments of requests to one model.

    Args:
        clock: in nanoseconds.
        calls: bound before, so that only the model runs.
        batching: how requests are gathered.
        beat: called after each call.
    """

    def __init__(
        self, clock: Clock, calls: Calls, batching: Batching, beat: Callable[[], None] = lambda: None
    ) -> None:
        self._clock = clock
        self._calls = calls
        self._batching = batching
        self._beat = beat
        self._turn = 0

    def serve(self, arrivals: FloatArray, patience_s: float) -> Served:
        """Answer all requests of a segment in their order.

        Args:
            arrivals: when they are due, ascending, in seconds from now.
            patience_s: the segment ends when a request has waited for so long: the backlog grows.
        """
        origin = self._clock()
        due: list[int] = (np.rint(arrivals * 1e9).astype(np.int64) + origin).tolist()
        total, patience_ns = len(due), int(patience_s * 1e9)
        calls: list[tuple[int, int, int, int, int, bool]] = []
        error, first, free = "", 0, origin
        while first < total and free - due[first] <= patience_ns:
            ready, size = self._gathered(due, first, free)
            wait_until(self._clock, ready)
            start = self._clock()
            failure = self._call(size)
            free = self._clock()
            self._beat()
            calls.append((ready, start, free, size, first, bool(failure)))
            error = error or failure
            first += size
        return _served(arrivals, origin, calls, error, due)

    def _gathered(self, due: list[int], first: int, free: int) -> tuple[int, int]:
        """Return when the next call can start, and how many requests are then in it."""
        most = self._batching.max_batch
        ready = max(free, due[first])
        if most > 1:
            last = due[min(first + most, len(due)) - 1]
            ready = max(ready, min(last, due[first] + int(self._batching.max_wait_s * 1e9)))
        size = 1
        while size < most and first + size < len(due) and due[first + size] <= ready:
            size += 1
        return ready, size

    def _call(self, size: int) -> str:
        """Call the model, and return the text of its error; "" for none."""
        bound = self._calls[size - 1]
        self._turn += 1
        try:
            bound[self._turn % len(bound)]()
        except BaseException as error:  # noqa: BLE001 - a model is foreign code; its failures are counted
            keep_interrupt(error)
            return f"{type(error).__name__}: {message_of(error)}"
        return ""


def _served(
    arrivals: FloatArray,
    origin: int,
    calls: Sequence[tuple[int, int, int, int, int, bool]],
    error: str,
    due: list[int],
) -> Served:
    table = np.array(calls, dtype=np.int64).reshape(-1, 6)
    ready, start, end, size, first, failed = table.T
    reached = int(size.sum())

    def spread(values: np.ndarray, rest: object) -> np.ndarray:
        return np.concatenate([np.repeat(values, size), np.full(len(arrivals) - reached, rest)])

    return Served(
        arrivals=arrivals,
        starts=spread((start - origin) / 1e9, np.inf),
        ends=spread((end - origin) / 1e9, np.inf),
        failed=spread(failed.astype(bool), rest=True),
        late_s=(start - ready) / 1e9,
        service_s=(end - start) / 1e9,
        sizes=size,
        backlog=np.searchsorted(np.array(due), start, side="right") - first,
        error=error,
    )
