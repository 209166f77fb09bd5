"""Estimates under load: hand-worked counts, and how often a rule is wrong where the truth is the bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from pytest_modelbench.stats.queueing import Queue, Services, fifo_ends
from pytest_modelbench.stats.under_load import (
    Fresh,
    Segment,
    UnderLoad,
    episode_sums,
    estimate,
    largest_rate,
    without_lateness,
)


def fresh(rho: float) -> Fresh:
    return lambda streams, count, rng: np.cumsum(rng.exponential(1 / rho, (streams, count)), axis=1)


def segments(rho: float, n: int, seed: int, *, fixed: bool = False) -> list[Segment]:
    """Return 20 segments of a queue."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(20):
        arrivals = np.cumsum(rng.exponential(1 / rho, n // 20))
        services = np.ones(n // 20) if fixed else rng.exponential(size=n // 20)
        ends = fifo_ends(arrivals, services)
        calls = Services(times=services, sizes=np.ones(len(services), dtype=np.int64))
        answered = ends - arrivals
        made.append(Segment(arrivals=arrivals, ends=ends, responses=answered, prompt=answered, services=calls))
    return made


def made(rho: float, n: int, seed: int, *, fixed: bool = False) -> UnderLoad:
    return estimate(segments(rho, n, seed, fixed=fixed), fresh(rho), Queue(), seed)


def test_episodes_are_counted_by_hand() -> None:
    """Two cycles of three and two requests: how many have a response over each value, and their sizes."""
    arrivals = np.array([[0.0, 1.0, 2.0, 10.0, 10.5]])
    ends = np.array([[3.0, 5.0, 6.0, 11.0, 12.0]])  # responses 3, 4, 4 and 1, 1.5
    count, first, second = episode_sums(np.array([0.5, 1.2, 3.5, 9.0]), ends - arrivals, arrivals, ends)
    assert count.tolist() == [2, 2, 1, 0]
    assert first.tolist() == [5, 4, 2, 0]
    assert second.tolist() == [13, 10, 4, 0]


def test_the_luck_of_a_schedule_is_taken_out() -> None:
    """With a fixed service time all of the noise is that of the schedule, and the estimate has nearly none of it."""
    bounds = [made(0.5, 2000, seed, fixed=True).quantile(0.99, 0.05) for seed in range(3)]
    assert [bound.value for bound in bounds] == pytest.approx([4.33626] * 3, rel=0.04)
    plain = [
        float(np.quantile(np.concatenate([s.responses for s in segments(0.5, 2000, seed, fixed=True)]), 0.99))
        for seed in range(10)
    ]
    assert np.std(plain) > 0.2


def test_what_the_replay_does_not_know_is_corrected() -> None:
    """Segments whose responses are all twice as long as their queue explains have twice the percentile."""
    slow = [
        Segment(arrivals=s.arrivals, ends=s.ends, responses=2 * s.responses, prompt=2 * s.prompt, services=s.services)
        for s in segments(0.5, 20_000, 1, fixed=True)
    ]
    assert estimate(slow, fresh(0.5), Queue(), 1).quantile(0.99, 0.05).value == pytest.approx(8.67, rel=0.1)


def test_requests_that_failed_are_over_every_bound() -> None:
    """With 2% of them no bound holds for 99%, and the mean is infinite."""
    failing = []
    for s in segments(0.5, 20_000, 2, fixed=True):
        responses = np.where(np.arange(len(s.arrivals)) % 50 == 0, np.inf, s.responses)
        failing.append(
            Segment(arrivals=s.arrivals, ends=s.ends, responses=responses, prompt=responses, services=s.services)
        )
    model = estimate(failing, fresh(0.5), Queue(), 2)
    assert model.quantile(0.99, 0.05).value == math.inf
    assert model.quantile(0.9, 0.05).value < math.inf
    assert model.average(0.05).value == math.inf
    assert model.share_over(1000.0, 0.05).low == pytest.approx(0.02, abs=0.002)


def test_a_short_run_proves_no_percentile() -> None:
    """Not one response was over the bound, and one burst more would change that; the needed number says so."""
    model = made(0.8, 1000, 3, fixed=True)
    assert model.quantile(0.999, 0.05).high == math.inf
    assert model.needed(0.999, 0.05) > 5 * model.n


def test_lateness_moves_the_lower_end_only() -> None:
    """A generator that is late makes responses longer, never shorter: without it they are the queue's own."""
    arrivals, services = np.array([0.0, 1.0, 9.0]), Services(times=np.full(3, 2.0), sizes=np.ones(3, dtype=np.int64))
    responses = np.array([2.5, 3.5, 2.0])  # the first call started 0.5 late
    assert without_lateness(arrivals, responses, services, np.array([0.5, 0.0, 0.0])).tolist() == [2.0, 3.0, 2.0]
    batch = Services(times=np.array([2.0, 2.0]), sizes=np.array([2, 1]))
    assert without_lateness(arrivals, responses, batch, np.array([0.5, 0.0])).tolist() == [2.0, 3.0, 2.0]


@pytest.mark.parametrize(("bound", "rate"), [(5.0, 0.560783), (10.0, 0.773487)])
def test_the_largest_rate_is_the_formulas(bound: float, rate: float) -> None:
    """M/D/1: the largest load whose p99 keeps a bound."""
    services = Services(times=np.ones(3), sizes=np.ones(3, dtype=np.int64))
    assert largest_rate(services, fresh(1.0), Queue(), bound, 0.99, 5) == pytest.approx(rate, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "n", "bound"), [(0.5, 6000, 9.21034), (0.8, 9600, 23.0259)])
def test_wrong_passes_where_the_truth_is_the_bound(
    rho: float, n: int, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M/M/1 with exactly 1% over the bound: at most 5% pass; LoadGen's rule, meant for 1%, passes far more."""
    monkeypatch.setattr("pytest_modelbench.stats.under_load.LONG", 60_000)
    ours = theirs = 0
    for seed in range(40):
        run = segments(rho, n, seed)
        share = estimate(run, fresh(rho), Queue(), seed).share_over(bound, 0.05)
        assert share.low is not None
        ours += (share.high or 0.0) <= 0.01
        over = int(sum((s.responses > bound).sum() for s in run))
        theirs += float(beta.ppf(0.99, over + 1, n - over)) <= 0.01
    assert ours <= 2
    assert theirs >= 6


def test_a_replay_that_is_too_slow_fails_nothing() -> None:
    """Services are longer after a pause, which a replay puts anywhere: it overstates, and the lower end does not."""
    made_of = []
    for seed in range(20):
        arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / 0.8, 240))
        ends, services, end = np.empty(240), np.empty(240), -math.inf
        for at, arrival in enumerate(arrivals.tolist()):
            services[at] = 1.3 if arrival - end > 0.5 else 1.0
            end = ends[at] = max(arrival, end) + services[at]
        calls = Services(times=services, sizes=np.ones(240, dtype=np.int64))
        answered = ends - arrivals
        made_of.append(Segment(arrivals=arrivals, ends=ends, responses=answered, prompt=answered, services=calls))
    model = estimate(made_of, fresh(0.8), Queue(), 0)
    seen = float(np.quantile(np.concatenate([segment.responses for segment in made_of]), 0.99))
    low = model.quantile(0.99, 0.05).low
    assert low is not None
    assert low <= seen
