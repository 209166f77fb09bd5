"""The driver on a scripted clock: responses from the schedule, nothing dropped, batches as a server makes them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from pytest_modelbench import FakeClock
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.probes.load.driver import Batching, Driver, Served, wait_until
from pytest_modelbench.probes.load.lanes import Lane, OwnLane
from pytest_modelbench.stats.queueing import servers_ends

MS = 1e6


def serve(
    arrivals: list[float],
    cost_ms: Callable[[int], float],
    batching: Batching | None = None,
    patience_s: float = 1e9,
    workers: int = 1,
) -> Served:
    """Serve a schedule with a model whose call costs some milliseconds, given the number of requests in it."""
    clock, batching = FakeClock(), batching or Batching()
    clock.advance(12345)

    def bound(size: int) -> Callable[[], None]:
        return lambda: clock.advance(cost_ms(size) * MS)

    calls = [[bound(size)] for size in range(1, batching.max_batch + 1)]
    return Driver(clock, [OwnLane(clock, calls)] * workers, batching).serve(np.array(arrivals), patience_s)


def every(gap_s: float, count: int) -> list[float]:
    return [gap_s * number for number in range(1, count + 1)]


def test_without_a_queue_a_response_is_the_service_time() -> None:
    """D/D/1: each request finds the model idle."""
    served = serve(every(0.01, 100), lambda _: 5.0)
    assert served.responses == pytest.approx(np.full(100, 0.005))
    assert served.late_s.max() == 0.0


def test_one_stall_is_many_slow_responses() -> None:
    """A second at 100 requests a second: 1 ms by service time, 900 ms from the schedule."""
    costs = itertools.chain([1.0] * 300, [1000.0], itertools.repeat(1.0))
    served = serve(every(0.01, 1000), lambda _: next(costs))
    assert np.quantile(served.service_s, 0.99) == pytest.approx(0.001)
    assert np.quantile(served.responses, 0.99) > 0.8
    assert served.backlog.max() == pytest.approx(100, abs=2)


def test_a_failed_request_is_over_every_bound() -> None:
    """It is counted, and the ones after it are answered."""
    clock, numbers = FakeClock(), itertools.count()

    def call() -> None:
        clock.advance(MS)
        if next(numbers) == 2:
            raise ValueError("no such row")

    served = Driver(clock, [OwnLane(clock, [[call]])], Batching()).serve(np.array(every(0.01, 5)), 1.0)
    assert np.isinf(served.responses).tolist() == [False, False, True, False, False]
    assert served.error == "ValueError: no such row"
    assert served.complete


def test_an_interrupt_is_not_a_failed_request() -> None:
    """Ctrl-C ends the measurement."""

    def call() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Driver(FakeClock(), [OwnLane(FakeClock(), [[call]])], Batching()).serve(np.array([0.0]), 1.0)


def test_a_hopeless_segment_ends_and_drops_nothing() -> None:
    """What was not reached when a request had waited for too long has an infinite response."""
    served = serve(every(0.01, 100), lambda _: 100.0, patience_s=0.5)
    assert len(served.responses) == 100
    assert not served.complete
    assert np.isinf(served.responses[-1])
    assert np.isfinite(served.responses[:4]).all()


@pytest.mark.parametrize(("max_batch", "least", "most"), [(1, 0.2, 2.0), (8, 0.002, 0.006)])
def test_batches_serve_what_single_calls_cannot(max_batch: int, least: float, most: float) -> None:
    """2 + 0.2 k ms for k requests at 480 a second: the p99 of single calls grows with the run."""
    gaps = np.random.default_rng(0).exponential(1 / 480, 4000)
    served = serve(np.cumsum(gaps).tolist(), lambda size: 2 + 0.2 * size, Batching(max_batch=max_batch))
    assert least < np.quantile(served.responses, 0.99) < most
    assert served.sizes.sum() == 4000
    assert served.sizes.max() <= max_batch


def test_two_lanes_answer_at_once() -> None:
    """Each request goes to the first lane that is free: responses are those of a queue with two servers."""
    gaps, costs = np.random.default_rng(1).exponential(1 / 300, 2000), np.random.default_rng(2).exponential(5, 2000)
    arrivals, drawn = np.cumsum(gaps), iter(costs.tolist())
    served = serve(arrivals.tolist(), lambda _: next(drawn), workers=2)
    assert served.ends == pytest.approx(servers_ends(arrivals, costs / 1e3, 2), abs=1e-6)
    assert served.backlog.min() == 1


def test_lanes_in_threads_take_the_requests_in_their_order() -> None:
    """On a real clock: four calls that wait for each other end only if all four run at once; none is lost."""
    together, clock = threading.Barrier(4, timeout=30), time.perf_counter_ns
    lanes = [OwnLane(clock, [[together.wait]], elsewhere=True) for _ in range(4)]
    served = Driver(clock, lanes, Batching()).serve(np.repeat(every(0.002, 25), 4), 30.0)
    assert served.complete
    assert not served.failed.any(), served.error
    assert np.all(np.diff(served.starts.reshape(-1, 4).min(axis=1)) > 0)
    assert served.backlog.max() >= 4
    assert served.processor_s > 0


def test_an_error_of_one_lane_ends_the_others() -> None:
    """A worker that is gone ends the measurement, and nothing waits for the rest of the schedule."""

    class Gone:
        elsewhere = True

        def __call__(self, size: int) -> tuple[int, int, str]:
            asked.set()
            raise MeasurementError(f"the worker ended with {size} request open")

    clock, asked = time.perf_counter_ns, threading.Event()
    lanes: list[Lane] = [OwnLane(clock, [[lambda: asked.wait(30)]]), Gone()]
    with pytest.raises(MeasurementError, match="the worker ended with 1 request open"):
        Driver(clock, lanes, Batching()).serve(np.array([0.0, 0.0, 0.1, 3600.0]), 9e9)


def test_the_first_of_a_batch_waits_no_longer_than_it_may() -> None:
    """A batch starts when it is full, or when its first request has waited for `max_wait`."""
    served = serve([0.0, 0.001, 0.1, 0.2], lambda _: 1.0, Batching(max_batch=2, max_wait_s=0.01))
    assert served.sizes.tolist() == [2, 1, 1]
    assert served.responses == pytest.approx([0.002, 0.001, 0.011, 0.001], abs=1e-6)


def test_lateness_is_what_the_model_did_not_cause() -> None:
    """A clock on which every wait ends 3 ms too late: the next call is late, one that had to wait is not."""

    class Late(FakeClock):
        def advance(self, duration_ns: float) -> None:
            super().advance(duration_ns + (3 * MS if self.waiting else 0))

        waiting = True

    clock = Late()

    def call() -> None:
        clock.waiting = False
        clock.advance(20 * MS)
        clock.waiting = True

    served = Driver(clock, [OwnLane(clock, [[call]])], Batching()).serve(np.array([0.01, 0.015, 0.1]), 1.0)
    assert served.late_s[0] == pytest.approx(0.003)
    assert served.late_s[2] == pytest.approx(0.003)


def test_a_real_clock_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sleeps until shortly before the time, and then looks at the clock until it has come."""
    now, slept = [0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += int(seconds * 1e9)

    def ticks() -> Iterator[int]:
        while True:
            now[0] += 10_000
            yield now[0]

    clock = ticks()
    monkeypatch.setattr("pytest_modelbench.probes.load.driver.time.sleep", sleep)
    wait_until(lambda: next(clock), 5_000_000)
    assert sum(slept) == pytest.approx(0.00484, abs=1e-4)
    assert 5_000_000 <= now[0] <= 5_020_000
