"""Response times under load: estimates whose error is what they say, though responses are not independent.

Responses share queues, so one burst makes many of them slow. Rules that count them as independent pass a system
whose share over a bound is exactly the allowed one far more often than they state. The estimate here is a difference
estimate (Särndal, Swensson and Wretman, Model Assisted Survey Sampling, 1992, chapter 6): a long replay of fresh
arrivals through the queue with the measured service times, plus the mean difference by segment of what was measured
and a replay of the schedule that really ran. The first term is free of the luck of the schedule, the second is
unbiased for everything that the replay does not know.

What is rare may not be in the sample at all. So the upper end of a share is never below a bound that counts episodes,
the busy cycles with a response over the limit, as a Poisson number of clusters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaincinv, stdtrit

from pytest_modelbench.results import Estimate
from pytest_modelbench.stats.intervals import FloatArray
from pytest_modelbench.stats.queueing import Queue, Services, ends_of, new_cycles, replay

STREAMS, WARM_SHARE = 20, 1 / 3
LONG, LONG_LOOPED = 300_000, 24_000
REDRAWS = 4
GRID, MEASURED = 500, 200
ENOUGH_EPISODES = 5

Fresh = Callable[[int, int, np.random.Generator], FloatArray]
"""Returns the times of fresh arrivals, (streams, count)."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One segment of a measurement, with an empty queue at its start. Times in one unit, in order of arrival.

    Attributes:
        arrivals: when requests were due.
        ends: when they were answered, or failed.
        responses: from the due arrival to the answer; infinite for those that failed.
        prompt: the same without what the generator of the requests was late.
        services: of the calls.
    """

    arrivals: FloatArray
    ends: FloatArray
    responses: FloatArray
    prompt: FloatArray
    services: Services


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Busy cycles with a response over each value of a grid.

    Attributes:
        count: of such cycles.
        size: responses over the value in such a cycle, on average.
        dispersion: 1 + the squared coefficient of variation of the sizes.
    """

    count: FloatArray
    size: FloatArray
    dispersion: FloatArray


@dataclass(frozen=True, kw_only=True)
class UnderLoad:
    """Shares of responses over each value of a grid, and their mean, as estimated from the segments of one model.

    Attributes:
        n: responses.
        grid: values, ascending.
        share: of responses over each value, from 0 to 1.
        least: the same without what the generator was late.
        seen: the plain measured share, without what the generator was late, and its standard error over segments.
        error: the standard error of the share.
        episodes: measured, with sizes that are at least those of the replay.
        mean: of the responses, with its standard error.
        freedom: degrees of freedom of the standard errors.
    """

    n: int
    grid: FloatArray
    share: FloatArray
    least: FloatArray
    seen: tuple[FloatArray, FloatArray]
    error: FloatArray
    episodes: Episodes
    mean: float
    mean_least: float
    mean_error: float
    freedom: int

    def upper(self, alpha: float) -> FloatArray:
        """Return an upper bound of the share over each value: the larger of the two bounds."""
        reach = float(stdtrit(self.freedom, 1 - alpha))
        counted, episodes = self.episodes.count / self.episodes.dispersion, self.episodes
        most = gammaincinv(counted + 1, 1 - alpha) * episodes.dispersion * episodes.size / self.n
        return np.minimum(1.0, np.maximum(self.share + reach * self.error, most))

    def lower(self, alpha: float) -> FloatArray:
        """Return a lower bound of the share over each value: the smaller of two.

        The replay is too slow where services depend on the queue, such as longer ones after a pause. So the plain
        measured share must show it too; segments begin with an empty queue, so that it is rather too small.
        """
        reach, (seen, error) = float(stdtrit(self.freedom, 1 - alpha)), self.seen
        return np.maximum(0.0, np.minimum(self.least - reach * self.error, seen - reach * error))

    def without_lower(self) -> UnderLoad:
        """Return the same without lower ends: responses may be slower than the model makes them."""
        return replace(self, least=np.zeros_like(self.least), mean_least=0.0)

    def share_over(self, at: float, alpha: float) -> Estimate:
        """Return the share of responses over a value, with its interval."""
        place = int(np.searchsorted(self.grid, at, side="right")) - 1  # the share over a smaller value is no less
        below = max(place, 0)
        above = min(int(np.searchsorted(self.grid, at, side="left")), len(self.grid) - 1)
        high = 1.0 if place < 0 else float(self.upper(alpha)[below])
        low = float(self.lower(alpha)[above])  # beyond the grid only requests that failed are left
        value = min(max(float(self.share[below]), low), high) if place >= 0 else 1.0
        return Estimate(value=value, low=low, high=high)

    def quantile(self, p: float, alpha: float) -> Estimate:
        """Return the p-quantile of the responses, with its interval; an end that is not supported is infinite."""
        value = self._last_over(self.share, 1 - p)
        low, high = self._first_within(self.lower(alpha), 1 - p), self._last_over(self.upper(alpha), 1 - p)
        return Estimate(value=value, low=min(low, value), high=max(high, value))

    def _last_over(self, shares: FloatArray, most: float) -> float:
        """Return the least value of the grid from which on no share is over `most`."""
        over = np.flatnonzero(shares > most)
        if not len(over):
            return float(self.grid[0])
        return math.inf if over[-1] + 1 == len(self.grid) else float(self.grid[over[-1] + 1])

    def _first_within(self, shares: FloatArray, most: float) -> float:
        """Return the greatest value of the grid up to which all shares are over `most`; 0 if there is none."""
        within = np.flatnonzero(shares <= most)
        if not len(within):
            return math.inf
        return float(self.grid[within[0] - 1]) if within[0] else 0.0

    def average(self, alpha: float) -> Estimate:
        """Return the mean response with its interval."""
        if math.isinf(self.mean):
            return Estimate(value=math.inf, low=0.0, high=math.inf)
        reach = float(stdtrit(self.freedom, 1 - alpha)) * self.mean_error
        return Estimate(value=self.mean, low=max(0.0, self.mean_least - reach), high=self.mean + reach)

    def needed(self, p: float, alpha: float) -> int:
        """Return about how many responses bound the p-quantile from above if no episode is over the limit."""
        at = min(int(np.searchsorted(-self.share, -(1 - p))), len(self.grid) - 1)
        size = float(self.episodes.size[at] * self.episodes.dispersion[at])
        return math.ceil(float(gammaincinv(1, 1 - alpha)) * size / (1 - p))


def estimate(segments: Sequence[Segment], fresh: Fresh, queue: Queue, seed: int) -> UnderLoad:
    """Estimate the distribution of responses from segments.

    The standard error is a jackknife over segments, in both terms together, and the error of the replay itself.

    Args:
        segments: at least two.
        fresh: arrivals of the same process.
        queue: how requests are answered.
        seed: of the replay.
    """
    return _Estimator(segments, fresh, queue, seed).estimate()


class _Estimator:
    def __init__(self, segments: Sequence[Segment], fresh: Fresh, queue: Queue, seed: int) -> None:
        self.segments = segments
        self.queue = queue
        rng = np.random.default_rng(seed)
        looped = queue.servers > 1 or queue.max_batch > 1
        count = (LONG_LOOPED if looped else LONG) // STREAMS
        self.warm = int(count * WARM_SHARE)
        self.fresh, self.fresh_drawn = fresh(STREAMS, count, rng), rng.random((STREAMS, count))
        self.ran = [
            (np.tile(segment.arrivals, (REDRAWS, 1)), rng.random((REDRAWS, len(segment.arrivals))))
            for segment in segments
        ]
        self.groups = min(len(segments), 8 if looped else 20)
        self.owner = np.arange(len(segments)) % self.groups

    def estimate(self) -> UnderLoad:
        everything = self._services(-1)
        ends = replay(self.fresh, everything, self.queue, self.fresh_drawn)
        self.grid = self._grid((ends - self.fresh)[:, self.warm :])
        measured, measured_means = self._measured([segment.responses for segment in self.segments])
        prompt, prompt_means = self._measured([segment.prompt for segment in self.segments])
        whole = self._both(-1, measured, measured_means)
        parts = [self._both(group, measured, measured_means) for group in range(self.groups)]
        streams = self._long(everything)
        share_error = _joined(_jackknifed([part[0] for part in parts]), _error_of_mean(streams[0]))
        mean_error = _joined(_jackknifed([part[1] for part in parts]), _error_of_mean(streams[1]))
        late = measured.mean(axis=0) - prompt.mean(axis=0)
        every = np.concatenate([segment.responses for segment in self.segments])
        mean = float(whole[1][0]) if np.isfinite(every).all() else math.inf
        share = np.clip(whole[0], 0.0, 1.0)
        return UnderLoad(
            n=sum(len(segment.arrivals) for segment in self.segments),
            grid=self.grid,
            share=share,
            least=np.clip(whole[0] - late, 0.0, 1.0),
            seen=(prompt.mean(axis=0), _error_of_mean(prompt)),
            error=share_error,
            episodes=self._episodes(ends),
            mean=mean,
            mean_least=float(whole[1][0] - (measured_means.mean() - prompt_means.mean())) if mean < math.inf else 0.0,
            mean_error=float(mean_error[0]),
            freedom=self.groups - 1,
        )

    def _services(self, left_out: int) -> Services:
        owned = zip(self.segments, self.owner, strict=True)
        return Services.joined([segment.services for segment, owner in owned if owner != left_out])

    def _grid(self, replayed: FloatArray) -> FloatArray:
        measured = np.concatenate([segment.responses for segment in self.segments])
        finite = measured[np.isfinite(measured)]
        values = np.concatenate([finite, [replayed.min(), replayed.max()]])
        low, high = max(float(values.min()), 1e-12), float(values.max())
        seen = np.quantile(finite, np.linspace(0, 1, MEASURED), method="inverted_cdf") if len(finite) else []
        return np.unique(np.concatenate([np.geomspace(low, max(high, low), GRID), seen]))

    def _measured(self, responses: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
        shares = np.array([shares_over(self.grid, values[None, :])[0] for values in responses])
        return shares, np.array([_finite_mean(values) for values in responses])

    def _both(self, left_out: int, measured: FloatArray, means: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return both terms together, of the share over each value and of the mean, without one group of segments."""
        services = self._services(left_out)
        shares, long_means = self._long(services)
        kept = np.flatnonzero(self.owner != left_out)
        gaps, mean_gaps = [], []
        for at in kept:
            due, drawn = self.ran[at]
            replayed = replay(due, services, self.queue, drawn) - due
            gaps.append(measured[at] - shares_over(self.grid, replayed).mean(axis=0))
            mean_gaps.append(means[at] - replayed.mean())
        return shares.mean(axis=0) + np.mean(gaps, axis=0), np.array([long_means.mean() + np.mean(mean_gaps)])

    def _long(self, services: Services) -> tuple[FloatArray, FloatArray]:
        """Return the shares over each value and the mean of each stream of fresh arrivals."""
        replayed = (replay(self.fresh, services, self.queue, self.fresh_drawn) - self.fresh)[:, self.warm :]
        return shares_over(self.grid, replayed), replayed.mean(axis=1)[:, None]

    def _episodes(self, ends: FloatArray) -> Episodes:
        """Return the measured episodes, with the larger of their own and the replay's sizes."""
        parts = [
            episode_sums(self.grid, segment.responses[None, :], segment.arrivals[None, :], segment.ends[None, :])
            for segment in self.segments
        ]
        count, first, second = np.sum(parts, axis=0)
        known, known_first, known_second = episode_sums(
            self.grid, (ends - self.fresh)[:, self.warm :], self.fresh[:, self.warm :], ends[:, self.warm :]
        )
        enough = np.flatnonzero(known >= ENOUGH_EPISODES)
        last = enough[-1] if len(enough) else 0
        at = np.minimum(np.arange(len(self.grid)), last)  # of values that hardly any cycle exceeds: the last known
        size = known_first[at] / np.maximum(known[at], 1)
        square = known_second[at] / np.maximum(known[at], 1)
        size, square = np.maximum(size, 1.0), np.maximum(square, 1.0)
        return Episodes(
            count=count,
            size=np.maximum(size, first / np.maximum(count, 1)),
            dispersion=np.maximum(square / size**2, _dispersion(count, first, second)),
        )


def _dispersion(count: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    known = count >= ENOUGH_EPISODES
    safe_first, safe_count = np.where(known, first, 1.0), np.where(known, count, 1.0)
    return np.where(known, second * safe_count / safe_first**2, 1.0)


def shares_over(grid: FloatArray, values: FloatArray) -> FloatArray:
    """Return the share of each row's values that is over each value of a grid, (rows, grid).

    >>> shares_over(np.array([1.0, 2.0]), np.array([[1.0, 1.5, 3.0, np.inf]])).tolist()
    [[0.75, 0.5]]
    """
    rows, count = values.shape
    exceeded = np.searchsorted(grid, values, side="left")
    offsets = np.arange(rows)[:, None] * (len(grid) + 1)
    counts = np.bincount((exceeded + offsets).ravel(), minlength=rows * (len(grid) + 1)).reshape(rows, -1)
    shares: FloatArray = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1][:, 1:] / count
    return shares


def episode_sums(grid: FloatArray, responses: FloatArray, arrivals: FloatArray, ends: FloatArray) -> FloatArray:
    """Return how many busy cycles have a response over each value, and the sums of their sizes and squared sizes.

    Args:
        grid: values, ascending.
        responses: (streams, n), infinite ones of requests that failed.
        arrivals: of the same shape, ascending.
        ends: of the same shape.

    Returns:
        (3, grid).
    """
    cycle = np.cumsum(new_cycles(arrivals, ends).ravel())
    over = np.searchsorted(grid, responses.ravel(), side="left")
    order = np.lexsort((-over, cycle))
    cycle, over = cycle[order], over[order]
    starts = np.flatnonzero(np.concatenate([[True], cycle[1:] != cycle[:-1]]))
    rank = np.arange(len(cycle)) - np.repeat(starts, np.diff(np.concatenate([starts, [len(cycle)]])))
    weights = (np.where(rank == 0, 1.0, 0.0), np.ones(len(cycle)), 2.0 * rank + 1)
    sums = [np.bincount(over, weights=weight, minlength=len(grid) + 1) for weight in weights]
    return np.array([np.cumsum(row[::-1])[::-1][1:] for row in sums])


def _finite_mean(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else 0.0


def _jackknifed(parts: Sequence[FloatArray]) -> FloatArray:
    """Return the standard error from estimates that each leave out one group."""
    array = np.array(parts)
    groups = len(array)
    error: FloatArray = np.sqrt((groups - 1) / groups * ((array - array.mean(axis=0)) ** 2).sum(axis=0))
    return error


def _error_of_mean(streams: FloatArray) -> FloatArray:
    error: FloatArray = streams.std(axis=0, ddof=1) / math.sqrt(len(streams))
    return error


def _joined(first: FloatArray, second: FloatArray) -> FloatArray:
    error: FloatArray = np.sqrt(first**2 + second**2)
    return error


def without_lateness(
    arrivals: FloatArray, responses: FloatArray, services: Services, late: FloatArray, servers: int = 1
) -> FloatArray:
    """Return responses as they would be if no call had started later than it could; none gets larger.

    Args:
        arrivals: (n,).
        responses: as measured, (n,).
        services: of the calls, in their order.
        late: for each call, how much later it started than it could have.
        servers: that answer calls at once.
    """
    if len(services.times) == len(arrivals):
        prompt = ends_of(arrivals[None], services.times[None], servers)[0] - arrivals
    else:
        prompt = responses - np.concatenate(
            [np.repeat(late, services.sizes), np.zeros(len(arrivals) - int(services.sizes.sum()))]
        )
    return np.where(np.isfinite(responses), np.minimum(np.maximum(prompt, 0.0), responses), responses)


def largest_rate(services: Services, fresh: Fresh, queue: Queue, bound: float, quantile: float, seed: int) -> float:
    """Return the largest rate at which a quantile of replayed responses keeps a bound, to a thousandth.

    Args:
        services: measured.
        fresh: arrivals at the rate 1.
        queue: how requests are answered.
        bound: on the quantile of the responses.
        quantile: from 0 to 1.
        seed: of the replay; all rates have the same arrivals, closer together.
    """
    rng = np.random.default_rng(seed)
    count = (LONG_LOOPED if queue.servers > 1 or queue.max_batch > 1 else LONG) // STREAMS
    unit, drawn, warm = fresh(STREAMS, count, rng), rng.random((STREAMS, count)), int(count * WARM_SHARE)

    def keeps(rate: float) -> bool:
        responses = (replay(unit / rate, services, queue, drawn) - unit / rate)[:, warm:]
        return float((responses > bound).mean()) <= 1 - quantile

    low, high = 0.0, queue.servers * float(services.sizes.mean()) * queue.max_batch / float(services.times.mean())
    while high - low > high / 1000:
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low
