"""Queues on arrays: against formulas, against each other, and the law that holds for every run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modelbench.stats.queueing import (
    Queue,
    Services,
    batched_ends,
    fifo_ends,
    new_cycles,
    replay,
    servers_ends,
)

TIMES = st.lists(st.floats(0.0, 10.0), min_size=1, max_size=30)


def in_system(arrivals: np.ndarray, ends: np.ndarray) -> float:
    """Return the area under the number of requests in the system, by walking through all events."""
    events = sorted([*((at, 1) for at in arrivals), *((at, -1) for at in ends)])
    area, count, before = 0.0, 0, 0.0
    for at, change in events:
        area += count * (at - before)
        count, before = count + change, at
    return area


@given(TIMES, st.integers(0, 1000), st.integers(1, 4))
def test_littles_law_holds_exactly(gaps: list[float], seed: int, servers: int) -> None:
    """The area under the number in the system is the sum of the responses, for any run and number of servers."""
    arrivals, services = np.cumsum(gaps), np.random.default_rng(seed).exponential(size=len(gaps))
    ends = servers_ends(arrivals, services, servers)
    assert in_system(arrivals, ends) == pytest.approx(float((ends - arrivals).sum()), abs=1e-6)


@given(TIMES, st.integers(0, 1000))
def test_one_server_is_one_of_several(gaps: list[float], seed: int) -> None:
    """The unrolled recursion, the heap with one server, and batches of one answer at the same times."""
    arrivals, services = np.cumsum(gaps), np.random.default_rng(seed).exponential(size=len(gaps))
    ends = fifo_ends(arrivals, services)
    assert ends == pytest.approx(servers_ends(arrivals, services, 1))
    queue = iter(services.tolist())
    assert ends == pytest.approx(batched_ends(arrivals, lambda _: next(queue), Queue()))


def test_a_batch_waits_for_others_or_for_its_time() -> None:
    """It starts when it is full, and else when its first request has waited for long enough."""
    arrivals = np.array([0.0, 0.1, 5.0, 9.0])
    assert batched_ends(arrivals, float, Queue(max_batch=2, max_wait=1.0)).tolist() == [2.1, 2.1, 7.0, 10.0]


def test_a_cycle_begins_in_an_empty_system() -> None:
    """A request that arrives when the last one is answered begins a new one."""
    arrivals, ends = np.array([[0.0, 1.0, 4.0, 4.5]]), np.array([[2.0, 4.0, 5.0, 6.0]])
    assert new_cycles(arrivals, ends).tolist() == [[True, False, True, False]]


def test_batches_take_the_times_of_their_size() -> None:
    """A size that was never measured takes those of the nearest."""
    services = Services(times=np.array([1.0, 1.0, 3.0]), sizes=np.array([1, 1, 4]))
    assert [times.tolist() for times in services.by_size(4)] == [[1.0, 1.0], [1.0, 1.0], [3.0], [3.0]]
    arrivals, drawn = np.array([[0.0, 0.0, 0.0, 0.0]]), np.zeros((1, 4))
    assert replay(arrivals, services, Queue(max_batch=4), drawn).tolist() == [[3.0] * 4]


@pytest.mark.parametrize(
    ("servers", "fixed", "rho", "p99"),
    [(1, True, 0.5, 4.33626), (1, False, 0.5, 9.21034), (2, False, 0.5, 5.66596), (1, True, 0.8, 11.3559)],
)
def test_queues_have_the_formulas_p99(servers: int, fixed: bool, rho: float, p99: float) -> None:
    """M/D/1 (Crommelin's series), M/M/1 and M/M/2 within 4%: their own spread in so many arrivals."""
    rng, n = np.random.default_rng(3), 200_000
    arrivals = np.cumsum(rng.exponential(1 / (servers * rho), size=(1, n)), axis=1)
    services = Services(times=np.ones(1) if fixed else rng.exponential(size=50_000), sizes=np.ones(1, dtype=np.int64))
    ends = replay(arrivals, services, Queue(servers=servers), rng.random((1, n)))
    assert np.quantile(ends - arrivals, 0.99) == pytest.approx(p99, rel=0.04)
