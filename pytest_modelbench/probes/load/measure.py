"""Offer the same schedule to several models in alternating segments, until everything is decided."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.load.arrivals import Arrivals
from pytest_modelbench.probes.load.driver import Batching, Driver, Served
from pytest_modelbench.probes.load.lanes import Clock, Lane
from pytest_modelbench.stats.intervals import mean_interval

MOST_SEGMENTS, FEWEST_SEGMENTS = 40, 8
FEWEST_REQUESTS = FEWEST_SEGMENTS
REQUESTS_IN_SEGMENT = 50
LOOKS = (0.25, 0.5, 1.0)
"""The shares of the segments after which limits are judged."""
SPENT = (0.1, 0.2, 0.7)
"""The share of the error that each of these looks may make: it is known when the last one is."""
PATIENCE_IN_SEGMENTS = 2.0
SURELY_OVERLOADED = 0.001
SEGMENTS_FOR_OVERLOAD = 3

Progress = Callable[[float, float], None]
Lanes = Mapping[str, Sequence[Lane]]


@dataclass(frozen=True, kw_only=True)
class Lone:
    """What a server needs for a call that it answers alone, and how many calls it answers at once.

    Calls over several connections wait for each other inside of the server, so that their times depend on the rate.
    """

    service_s: tuple[float, ...]
    servers: int


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """How a model is measured under load.

    Attributes:
        arrivals: of the requests.
        batching: how requests are gathered.
        workers: by role, how many calls a model answers at once; 1 where it is not stated.
        budget_s: of all models together, in seconds.
        seed: of the schedule.
        patience_s: how long a request waits until its segment ends; two lengths of a segment by default.
        whole: whether the measurement goes on where the backlog grows.
        lone: of a student behind an endpoint, for replays of other rates.
    """

    arrivals: Arrivals
    batching: Batching = field(default_factory=Batching)
    workers: Mapping[str, int] = field(default_factory=dict)
    budget_s: float = 60.0
    seed: int = 0
    patience_s: float | None = None
    whole: bool = False
    lone: Lone | None = None

    def workers_of(self, role: str) -> int:
        """Return how many calls a model answers at once."""
        return self.workers.get(role, 1)


@dataclass(frozen=True, kw_only=True)
class LoadMeasurement:
    """What happened to the requests of each model, by segment.

    Attributes:
        served: by role, a `Served` for each segment; the same number of a segment means the same schedule.
        settings: how it was measured.
        looks: the numbers of segments at which limits were judged.
        elapsed_s: the seconds spent by then.
        planned: segments, if nothing is decided before.
        overloaded: by role, the requests in a second that a model whose backlog grew can serve; no such model: empty.
        memo: what was derived at each look, shared by all looks.
    """

    served: Mapping[str, Sequence[Served]]
    settings: LoadSettings
    looks: tuple[int, ...]
    elapsed_s: tuple[float, ...]
    planned: int
    overloaded: Mapping[str, float] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def until(self, look: int, role: str) -> Sequence[Served]:
        """Return the segments of a model that were known at a look (from 0)."""
        return self.served[role][: self.looks[look]]


def alpha_at(alpha: float, look: int) -> float:
    """Return the error that a look (from 0) may make on one side."""
    return alpha * SPENT[look]


def segments_of(rate: float, budget_s: float) -> int:
    """Return how many segments one model's share of the budget is cut into, each with enough requests.

    >>> segments_of(200.0, 60.0), segments_of(1.0, 60.0)
    (40, 8)
    """
    return int(min(MOST_SEGMENTS, max(FEWEST_SEGMENTS, rate * budget_s / REQUESTS_IN_SEGMENT)))


def clock_of(models: Iterable[Model]) -> Clock:
    """Return the clock of all models.

    Raises:
        MeasurementError: they are on different clocks.
    """
    clocks = {model.clock_ns for model in models}
    if len(clocks) != 1:
        raise MeasurementError("teacher and student are on different clocks; give both fakes the same FakeClock")
    return clocks.pop()


def measure_load(
    clock: Clock,
    lanes: Lanes,
    settings: LoadSettings,
    decided: Callable[[LoadMeasurement], bool],
    progress: Progress = lambda _elapsed_s, _budget_s: None,
    beat: Callable[[], None] = lambda: None,
) -> LoadMeasurement:
    """Measure models under the same load.

    A segment ends when all of its requests are answered, or when one has waited for too long.

    Args:
        clock: of all lanes.
        lanes: by role, called a few times before.
        settings: the schedule and the budget.
        decided: called at every look; True ends the measurement.
        progress: told the seconds elapsed and the budget.
        beat: called after each call of a model, and while requests are waited for.

    Raises:
        MeasurementError: the budget holds too few requests.
    """
    settings = replace(settings, workers={role: len(own) for role, own in lanes.items()})
    return _Run(clock, lanes, settings, beat).run(decided, progress)


class _Run:
    """The state of one measurement."""

    def __init__(self, clock: Clock, lanes: Lanes, settings: LoadSettings, beat: Callable[[], None]) -> None:
        self.clock = clock
        self.drivers = {role: Driver(clock, own, settings.batching, beat) for role, own in lanes.items()}
        self.settings = settings
        self.served: dict[str, list[Served]] = {role: [] for role in lanes}
        rate, own_s = settings.arrivals.rate, settings.budget_s / len(lanes)
        if rate * own_s < FEWEST_REQUESTS:
            raise MeasurementError(
                f"{own_s:.3g} s at {rate:.3g}/s hold {math.floor(rate * own_s)} requests, expected at least "
                f"{FEWEST_REQUESTS}. Raise --modelbench-budget by a factor of {FEWEST_REQUESTS / rate / own_s:.2g}"
            )
        self.planned = segments_of(rate, own_s)
        self.count = max(1, round(rate * own_s / self.planned))
        self.rng = np.random.default_rng(settings.seed)

    def run(self, decided: Callable[[LoadMeasurement], bool], progress: Progress) -> LoadMeasurement:
        looks: list[int] = []
        seconds: list[float] = []
        due = [max(2, round(share * self.planned)) for share in LOOKS]
        memo: dict[Any, Any] = {}
        start = self.clock()
        for number in range(self.planned):
            self._segment(number)
            elapsed_s = (self.clock() - start) / 1e9
            progress(elapsed_s, self.settings.budget_s)
            overloaded = self._overloaded()
            if number + 1 not in due and "student" not in overloaded:
                continue
            looks.append(number + 1)
            seconds.append(elapsed_s)
            measurement = LoadMeasurement(
                served=self.served,
                settings=self.settings,
                looks=tuple(looks),
                elapsed_s=tuple(seconds),
                planned=self.planned,
                overloaded=overloaded,
                memo=memo,
            )
            if "student" in overloaded or decided(measurement):
                break
        return measurement

    def _segment(self, number: int) -> None:
        """Let each model answer one segment, in a random order."""
        arrivals = self.settings.arrivals.segment(self.count, number, self.settings.seed)
        patience_s = self.settings.patience_s or PATIENCE_IN_SEGMENTS * self.count / self.settings.arrivals.rate
        roles = list(self.drivers)
        for role in roles if self.rng.random() < 0.5 else roles[::-1]:
            self.served[role].append(self.drivers[role].serve(arrivals, patience_s))

    def _overloaded(self) -> dict[str, float]:
        """Return the capacity of each model that surely needs more time for its requests than there is."""
        settings = self.settings
        if settings.whole:
            return {}
        return {
            role: capacity
            for role, served in self.served.items()
            if (capacity := capacity_of(served, settings.batching.max_batch, settings.workers_of(role)))
            and _grows(served, settings, settings.workers_of(role))
        }


def busy_until(served: Served) -> float:
    """Return when the last call of a segment ended, in seconds from its start."""
    return float(served.ends[np.isfinite(served.ends)].max(initial=1e-9))


def capacity_of(served: Sequence[Served], max_batch: int, workers: int = 1) -> float:
    """Return how many requests a second a model answers while it does nothing else, in its largest batches.

    It is 0 as long as there is none with `max_batch` requests.
    """
    times = np.concatenate([segment.service_s[segment.sizes == max_batch] for segment in served])
    return 0.0 if not len(times) else workers * max_batch * len(times) / max(float(times.sum()), 1e-12)


def _grows(served: Sequence[Served], settings: LoadSettings, workers: int) -> bool:
    """Whether full batches surely take longer than until as many requests have arrived."""
    full, rate = settings.batching.max_batch, settings.arrivals.rate / workers
    by_segment = [segment.service_s[segment.sizes == full] for segment in served]
    needed = [times.mean() * rate / full for times in by_segment if len(times)]
    if len(needed) < SEGMENTS_FOR_OVERLOAD:
        return False
    low = mean_interval(needed, SURELY_OVERLOADED).low
    return low is not None and low > 1.0
