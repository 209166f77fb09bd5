"""Queues on plain arrays: when the requests of a schedule are answered, given how long each takes.

All times are in one unit. Requests are answered in the order of their arrivals.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_modelbench.stats.intervals import FloatArray

IntArray = npt.NDArray[np.int64]


def fifo_ends(arrivals: FloatArray, services: FloatArray) -> FloatArray:
    """Return when one server has answered each request; it is empty at the start.

    Lindley's recursion (Proc. Camb. Phil. Soc. 48, 1952) unrolled: a request ends when its busy period began plus all
    the service since then.

    Args:
        arrivals: ascending along the last axis, (..., n).
        services: of each request, of the same shape.

    >>> fifo_ends(np.array([0.0, 1.0, 5.0]), np.array([2.0, 2.0, 1.0])).tolist()
    [2.0, 4.0, 6.0]
    """
    worked = np.cumsum(services, axis=-1)
    ends: FloatArray = worked + np.maximum.accumulate(arrivals - worked + services, axis=-1)
    return ends


def servers_ends(arrivals: FloatArray, services: FloatArray, servers: int) -> FloatArray:
    """Return when each request is answered by the first of several servers that is free.

    >>> servers_ends(np.array([0.0, 0.0, 1.0]), np.array([3.0, 2.0, 2.0]), 2).tolist()
    [3.0, 2.0, 4.0]
    """
    ends: FloatArray = arrivals + services
    if (np.arange(len(arrivals)) - np.searchsorted(np.sort(ends), arrivals, side="right") < servers).all():
        return ends  # none has to wait
    free = [-np.inf] * servers
    for i, (arrival, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        ends[i] = end = max(arrival, free[0]) + service
        heapq.heapreplace(free, end)
    return ends


def ends_of(arrivals: FloatArray, services: FloatArray, servers: int) -> FloatArray:
    """Return when each request of several streams, (streams, n), is answered by one or more servers."""
    if servers == 1:
        return fifo_ends(arrivals, services)
    return np.array([servers_ends(due, times, servers) for due, times in zip(arrivals, services, strict=True)])


@dataclass(frozen=True, kw_only=True)
class Queue:
    """How requests are answered: by how many servers, in batches of up to how many, gathered for how long."""

    servers: int = 1
    max_batch: int = 1
    max_wait: float = 0.0


def batched_ends(arrivals: FloatArray, service: Callable[[int], float], queue: Queue) -> FloatArray:
    """Return when each request is answered, where the first server that is free gathers up to `max_batch` of them.

    A batch starts when the server is free and either it is full, or its first request has waited for `max_wait`.

    Args:
        arrivals: ascending, (n,).
        service: returns how long a batch of some size takes.
        queue: how requests are answered.

    >>> batched_ends(np.array([0.0, 0.5, 0.9]), lambda size: 1.0 + size, Queue(max_batch=2)).tolist()
    [2.0, 5.0, 5.0]
    """
    due, total, most = arrivals.tolist(), len(arrivals), queue.max_batch
    ends = np.empty(total)
    first, free = 0, [-np.inf] * queue.servers
    while first < total:
        last = min(first + most, total) - 1
        ready = max(free[0], due[first], min(due[last], due[first] + queue.max_wait))
        size = 1
        while size < most and first + size < total and due[first + size] <= ready:
            size += 1
        ends[first : first + size] = end = ready + service(size)
        heapq.heapreplace(free, end)
        first += size
    return ends


@dataclass(frozen=True, kw_only=True)
class Services:
    """Measured service times, and the number of requests in each call."""

    times: FloatArray
    sizes: IntArray

    @classmethod
    def joined(cls, parts: Sequence[Services]) -> Services:
        """Return the services of several segments together."""
        return cls(
            times=np.concatenate([part.times for part in parts]), sizes=np.concatenate([part.sizes for part in parts])
        )

    def by_size(self, most: int) -> list[FloatArray]:
        """Return the times of each batch size from 1 to `most`; one that was not measured has the nearest one's."""
        known = np.unique(self.sizes)
        nearest = [known[np.argmin(np.abs(known - size))] for size in range(1, most + 1)]
        return [self.times[self.sizes == size] for size in nearest]


def replay(arrivals: FloatArray, services: Services, queue: Queue, uniform: FloatArray) -> FloatArray:
    """Return when requests are answered if each takes one of the measured service times, drawn at random.

    Args:
        arrivals: (streams, n), each stream of its own with an empty queue at its start.
        services: measured.
        queue: how requests are answered.
        uniform: random numbers in 0..1 that choose the times, (streams, n): the same for two replays make them
            comparable.
    """
    if queue.max_batch == 1:
        return ends_of(arrivals, services.times[(uniform * len(services.times)).astype(np.int64)], queue.servers)
    pools = services.by_size(queue.max_batch)
    return np.array([_batched(due, pools, queue, row) for due, row in zip(arrivals, uniform, strict=True)])


def _batched(arrivals: FloatArray, pools: Sequence[FloatArray], queue: Queue, uniform: FloatArray) -> FloatArray:
    numbers = iter(uniform.tolist())
    lists = [pool.tolist() for pool in pools]

    def service(size: int) -> float:
        times = lists[size - 1]
        return float(times[int(next(numbers) * len(times))])

    return batched_ends(arrivals, service, queue)


def new_cycles(arrivals: FloatArray, ends: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which requests found an empty system: each begins a busy cycle; (streams, n)."""
    before = np.maximum.accumulate(ends, axis=-1)[..., :-1]
    first = np.ones((*arrivals.shape[:-1], 1), dtype=bool)
    return np.concatenate([first, arrivals[..., 1:] >= before], axis=-1)
