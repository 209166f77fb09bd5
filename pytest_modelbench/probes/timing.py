"""Time models against each other: interleaved randomised blocks, re-copied placements, looks on a schedule."""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.outputs import content
from pytest_modelbench.probes.allocator import minor_faults, steady_allocator, system_allocator
from pytest_modelbench.probes.interference import Counters, read_counters
from pytest_modelbench.stats.intervals import FloatArray
from pytest_modelbench.stats.sequential import look_schedule

BLOCK_NS = 5e6
PLACEMENT_NS = 60e6
WARM_UP_NS = 300e6
LONGEST_BLOCK = 500
SWITCHES_IN_PILOT = 12
SLOW_CALL_NS = 20e6
SETTLED = 1.02
RESOLUTION_FLOOR = 0.01
_FILLER_BYTES = 2**18

Call = Callable[[], Any]
Progress = Callable[[float, float], None]


def _silent(_elapsed_s: float, _budget_s: float) -> None:
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class TimingSettings:
    """How a timed measurement is taken; `budget_s` bounds all of it, in seconds."""

    budget_s: float = 60.0
    seed: int = 0
    allocator: str = "steady"


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """What the pilot found for one model: calls per block, and calls discarded after a switch."""

    call_ns: float
    calls: int
    discarded: int


@dataclass(frozen=True, kw_only=True)
class TimingMeasurement:
    """Per-call times in nanoseconds, `series[role][placement][round]`, and how they were taken.

    `looks` are the numbers of placements at which limits were judged, `elapsed_s` the seconds spent by then.
    `copied` says whether placements really differ; where they do not, `floor` widens every comparison.
    `memo` keeps what was derived at each look and is shared by all looks of one measurement.
    """

    series: Mapping[str, Sequence[Sequence[FloatArray]]]
    looks: tuple[int, ...]
    elapsed_s: tuple[float, ...]
    copied: bool
    exhausted: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def floor(self) -> float:
        """Half-width that placement, not varied, may be worth on the log-ratio."""
        return 0.0 if self.copied else RESOLUTION_FLOOR

    def until(self, look: int, role: str) -> Sequence[Sequence[FloatArray]]:
        """Return what was known of a model at a look (from 0)."""
        return self.series[role][: self.looks[look]]


def measure_timing(
    models: Mapping[str, Model],
    batches: Sequence[Any],
    settings: TimingSettings,
    decided: Callable[[TimingMeasurement], bool],
    progress: Progress = _silent,
) -> TimingMeasurement:
    """Time models in the same rounds until everything is decided or the budget ends.

    Every placement copies the models to new addresses (where they can be copied) and times a few rounds; a
    round is ABBA or BAAB by lot. Nothing is dropped but the calls after a switch, whose number the pilot fixes.

    Args:
        models: by role, `student` and possibly `teacher`; all on one clock.
        batches: real batches of one size that the calls rotate through, the same for both models.
        settings: budget, seed, allocator.
        decided: called at every look of the schedule; True ends the measurement.
        progress: told the seconds elapsed and the budget.

    Raises:
        ModelError: a model raised in a call.
        MeasurementError: the models are on different clocks, or the clock does not move.
    """
    clock = _one_clock(models)
    allocator = steady_allocator() if settings.allocator == "steady" else system_allocator()
    rng = np.random.default_rng(settings.seed)
    session = _Session(models, batches, clock, rng)
    with _garbage_collection_off():
        return session.run(settings, allocator, decided, progress)


class _Session:
    """The state of one measurement."""

    def __init__(
        self, models: Mapping[str, Model], batches: Sequence[Any], clock: Callable[[], int], rng: np.random.Generator
    ) -> None:
        self.models = models
        self.batches = batches
        self.clock = clock
        self.rng = rng
        self.series: dict[str, list[list[FloatArray]]] = {role: [] for role in models}
        self.plans: dict[str, BlockPlan] = {}
        self.copied = True
        self.faults = dict.fromkeys(models, 0)
        self.turns = dict.fromkeys(models, 0)
        self.interference: list[Counters] = []
        self.memo: dict[Any, Any] = {}

    def run(
        self,
        settings: TimingSettings,
        allocator: str,
        decided: Callable[[TimingMeasurement], bool],
        progress: Progress,
    ) -> TimingMeasurement:
        start = self.clock()
        looks: list[int] = []
        seconds: list[float] = []
        schedule = look_schedule()
        next_look = next(schedule)
        replicas: Mapping[str, Model] = self.models
        with self._calls(replicas) as calls:
            self.plans = self._pilot(calls, settings.budget_s)
        rounds, placement_s, done = self._rounds_per_placement(), 0.0, False
        while not done:
            before = self.clock()
            replicas = self._replicate(replicas)
            self._placement(replicas, rounds)
            now = self.clock()
            elapsed = (now - start) / 1e9
            placement_s = max(placement_s, (now - before) / 1e9)
            progress(elapsed, settings.budget_s)
            exhausted = elapsed + placement_s > settings.budget_s
            placements = len(self.series["student"])
            if placements < next_look and not exhausted:
                continue
            next_look = next(schedule)
            looks.append(placements)
            seconds.append(elapsed)
            measurement = TimingMeasurement(
                series=self.series,
                looks=tuple(looks),
                elapsed_s=tuple(seconds),
                copied=self.copied,
                exhausted=exhausted,
                settings=self._settings(settings, allocator, rounds),
                memo=self.memo,
            )
            done = decided(measurement) or exhausted
        return measurement

    @contextlib.contextmanager
    def _calls(self, replicas: Mapping[str, Model]) -> Iterator[dict[str, list[Call]]]:
        """Put models into inference mode and bind every batch, so that a timed call does nothing else."""
        with contextlib.ExitStack() as stack:
            for model in replicas.values():
                stack.enter_context(model.running())
            calls = {}
            for role, model in replicas.items():
                try:
                    calls[role] = [model.bind(batch) for batch in self.batches]
                except Exception as error:
                    raise model.failure(self.batches[0], error) from error
            yield calls

    def _replicate(self, held: Mapping[str, Model]) -> Mapping[str, Model]:
        """Copy the models while the last copies and random fillers hold their places in memory."""
        if not self.copied:
            return held
        fillers, replicas = [], {}
        for role in sorted(self.models, key=lambda _: self.rng.random()):
            fillers.append(np.empty(64 * int(self.rng.integers(0, _FILLER_BYTES // 64)), dtype=np.uint8))
            copy = self.models[role].replicate()
            if copy is None:
                self.copied = False
                return self.models
            replicas[role] = copy
        del fillers
        return replicas

    def _placement(self, replicas: Mapping[str, Model], rounds: int) -> None:
        gc.collect(1)
        roles = list(self.models)
        taken: dict[str, list[FloatArray]] = {role: [] for role in roles}
        with self._calls(replicas) as calls:
            for role in roles:
                self._block(role, calls[role], 0, self.plans[role].discarded + 1)
            for _ in range(rounds):
                before = read_counters()
                order = roles if self.rng.random() < 0.5 else roles[::-1]
                halves: dict[str, list[FloatArray]] = {role: [] for role in roles}
                for ordered in (order, order[::-1]):
                    for role in ordered:
                        plan = self.plans[role]
                        offset = self.turns[role]  # goes on over blocks and placements, so that all batches are used
                        self._block(role, calls[role], offset, plan.discarded)
                        faults = minor_faults()
                        halves[role].append(self._block(role, calls[role], offset, plan.calls))
                        self.faults[role] += minor_faults() - faults
                        self.turns[role] += plan.calls
                self.interference.append(read_counters().since(before))
                for role in roles:
                    taken[role].append(np.concatenate(halves[role]))
        for role in roles:
            self.series[role].append(taken[role])

    def _block(self, role: str, calls: Sequence[Call], offset: int, count: int) -> FloatArray:
        """Time calls one by one, rotating through the batches."""
        clock, batches = self.clock, len(calls)
        times = [0] * count
        i = 0
        try:
            for i in range(count):
                call = calls[(offset + i) % batches]
                start = clock()
                call()
                times[i] = clock() - start
        except Exception as error:
            raise self.models[role].failure(self.batches[(offset + i) % batches], error) from error
        return np.asarray(times, dtype=np.float64)

    def _pilot(self, calls: Mapping[str, Sequence[Call]], budget_s: float) -> dict[str, BlockPlan]:
        """Warm the models up, then find the length of a call and how many calls a switch disturbs."""
        typical = {role: self._warm_up(role, calls[role], budget_s) for role in calls}
        disturbed = dict.fromkeys(calls, 0)
        if len(calls) > 1 and max(typical.values()) < SLOW_CALL_NS:
            disturbed = self._disturbed_calls(calls, typical)
        plans = {}
        for role, call_ns in typical.items():
            count = min(LONGEST_BLOCK, max(1, round(BLOCK_NS / call_ns), 4 * disturbed[role]))
            plans[role] = BlockPlan(call_ns=call_ns, calls=count, discarded=disturbed[role])
        return plans

    def _warm_up(self, role: str, calls: Sequence[Call], budget_s: float) -> float:
        enough = min(WARM_UP_NS, budget_s * 1e9 / 50)
        before = [content(batch) for batch in self.batches[:2]]
        times = list(self._block(role, calls, 0, 2))
        if [content(batch) for batch in self.batches[:2]] != before:
            raise self.models[role].wrote_into(self.batches[0])
        while sum(times) < enough and len(times) < 100_000:
            times.extend(self._block(role, calls, len(times), max(1, len(times) // 2)))
        typical = float(statistics.median(times[len(times) // 2 :]))
        if typical <= 0:
            raise MeasurementError(f"the clock did not move during a call of {role}; nothing can be timed with it")
        return typical

    def _disturbed_calls(self, calls: Mapping[str, Sequence[Call]], typical: Mapping[str, float]) -> dict[str, int]:
        """Return after how many calls from a switch a model has settled within 2% of its later calls."""
        seen: dict[str, list[FloatArray]] = {role: [] for role in calls}
        span = {role: int(min(40, max(6, BLOCK_NS / typical[role]))) for role in calls}
        for _ in range(SWITCHES_IN_PILOT):
            for role in calls:
                seen[role].append(self._block(role, calls[role], 0, span[role]))
        disturbed = {}
        for role in calls:
            by_position = np.median(np.stack(seen[role]), axis=0)
            settled = float(np.median(by_position[span[role] // 2 :]))
            late = np.flatnonzero(by_position[: span[role] // 2] > SETTLED * settled)
            disturbed[role] = int(late[-1]) + 1 if len(late) else 1
        return disturbed

    def _rounds_per_placement(self) -> int:
        round_ns = sum(2 * (plan.calls + plan.discarded) * plan.call_ns for plan in self.plans.values())
        return min(10, max(1, math.ceil(PLACEMENT_NS / round_ns)))

    def _settings(self, settings: TimingSettings, allocator: str, rounds: int) -> dict[str, Any]:
        calls = {role: sum(len(r) for placement in self.series[role] for r in placement) for role in self.series}
        return {
            "design": "randomised ABBA blocks" if len(self.series) > 1 else "blocks of one model",
            "rounds_per_placement": rounds,
            "calls_per_block": {role: plan.calls for role, plan in self.plans.items()},
            "discarded_after_switch": {role: plan.discarded for role, plan in self.plans.items()},
            "distinct_batches": min(len(self.batches), *self.turns.values()),
            "placements_copied": self.copied,
            "allocator": allocator,
            "rounds": len(self.interference),
            "disturbed_rounds": sum(seen.involuntary_switches > 0 for seen in self.interference),
            "involuntary_switches": sum(seen.involuntary_switches for seen in self.interference),
            "cpu_pressure_s": sum(seen.pressure_us for seen in self.interference) / 1e6,
            "stolen_s": sum(seen.stolen_s for seen in self.interference),
            "minor_faults_per_call": {role: self.faults[role] / max(calls[role], 1) for role in calls},
            "budget_s": settings.budget_s,
            "seed": settings.seed,
        }


def _one_clock(models: Mapping[str, Model]) -> Callable[[], int]:
    clocks = {model.clock_ns for model in models.values()}
    if len(clocks) != 1:
        raise MeasurementError(
            "teacher and student are timed by different clocks; give both fakes the same FakeClock"
        )
    return clocks.pop()


@contextlib.contextmanager
def _garbage_collection_off() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
