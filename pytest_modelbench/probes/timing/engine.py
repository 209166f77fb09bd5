"""Time models against each other: interleaved randomised blocks, re-copied placements, looks on a schedule."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.cost.resident import available_bytes, resident_bytes
from pytest_modelbench.probes.timing.allocator import minor_faults
from pytest_modelbench.probes.timing.blocks import (
    LONG_CALL_NS,
    MOST_OF_OTHER_THREADS,
    Block,
    BlockTimer,
    Call,
    other_threads,
    waiting_clock,
)
from pytest_modelbench.probes.timing.copies import Copies
from pytest_modelbench.probes.timing.interference import Counters, read_counters
from pytest_modelbench.probes.timing.pilot import make_first_calls, run_pilot
from pytest_modelbench.probes.timing.rotation import Called, Rotation
from pytest_modelbench.probes.timing.watchdog import LONGEST_CALL_IN_BUDGETS, Watchdog
from pytest_modelbench.stats.intervals import FloatArray
from pytest_modelbench.stats.sequential import look_schedule

RESOLUTION_FLOOR = 0.01
MOST_REPEATED = 0.2

Progress = Callable[[float, float], None]


def _silent(_elapsed_s: float, _budget_s: float) -> None:
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class TimingSettings:
    """How a timed measurement is taken.

    `budget_s` bounds all of it, in seconds. `batch_sizes` are those of the batches, by role. `told` is what the
    report says of it beside what is found out.
    """

    budget_s: float = 60.0
    seed: int = 0
    allocator: str = "steady"
    batch_sizes: Mapping[str, int] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TimingMeasurement:
    """Per-call times in nanoseconds, `series[role][placement][round]`, and how they were taken.

    `calm` is for means and medians: disturbed rounds are repeated, and the time is subtracted in which a call waited
    for a processor that others had. Tails are read from `series`, from which nothing is ever dropped. `batch_sizes`
    are those of the calls. `cluster` names what the outer list holds, the independent units: placements, or
    processes. `looks` are the numbers of them at which limits were judged,
    `elapsed_s` the seconds spent by then. `copied` says whether placements really differ; where they do not, `floor`
    widens every comparison. `memo` keeps what was derived at each look and is shared by all looks of a measurement.
    """

    series: Mapping[str, Sequence[Sequence[FloatArray]]]
    calm: Mapping[str, Sequence[Sequence[FloatArray]]]
    batch_sizes: Mapping[str, int]
    looks: tuple[int, ...]
    elapsed_s: tuple[float, ...]
    copied: bool
    exhausted: bool = False
    cluster: str = "placements"
    settings: Mapping[str, Any] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def floor(self) -> float:
        """Half-width that placement, not varied, may be worth on the log-ratio."""
        return 0.0 if self.copied else RESOLUTION_FLOOR

    @property
    def waits_subtracted(self) -> bool:
        """Whether any call of `calm` waited for a processor, and that time was subtracted."""
        return float(self.settings.get("waited_share", 0.0)) > 0

    def against(self, role: str) -> TimingMeasurement:
        """Return the same with another model of it in the teacher's place."""
        if role == "teacher":
            return self

        def of(series: Mapping[str, Sequence[Sequence[FloatArray]]]) -> dict[str, Sequence[Sequence[FloatArray]]]:
            return {"student": series["student"], "teacher": series[role]}

        sizes = {"student": self.batch_sizes["student"], "teacher": self.batch_sizes[role]}
        memo = self.memo.setdefault(("against", role), {})
        return replace(self, series=of(self.series), calm=of(self.calm), batch_sizes=sizes, memo=memo)

    def until(self, look: int, role: str, *, tail: bool) -> Sequence[Sequence[FloatArray]]:
        """Return what was known of a model at a look (from 0), for a tail or for a mean or median."""
        return (self.series if tail else self.calm)[role][: self.looks[look]]


def measure_timing(
    models: Mapping[str, Model],
    batches: Mapping[str, Sequence[Any]],
    settings: TimingSettings,
    decided: Callable[[TimingMeasurement], bool],
    progress: Progress = _silent,
) -> TimingMeasurement:
    """Time models in the same rounds until everything is decided or the budget ends.

    Every placement copies the models to new addresses (where they can be copied) and times a few rounds; a round is
    ABBA or BAAB, chosen at random. The calls after a switch, whose number the pilot fixes, are discarded.

    Args:
        models: by role, `student` and possibly `teacher`; all on one clock.
        batches: by role, real batches of one size that the calls rotate through.
        settings: budget, seed, allocator.
        decided: called at every look of the schedule; True ends the measurement.
        progress: told the seconds elapsed and the budget.

    Raises:
        ModelError: a model raised in a call.
        MeasurementError: the models are on different clocks, the clock does not move, jumps or runs backwards, a
            call does not return, or the models take ever more memory.
    """
    clock = _one_clock(models)
    patience = LONGEST_CALL_IN_BUDGETS * settings.budget_s
    names = " or ".join(model.name for model in models.values())
    with _garbage_collection_off(), waiting_clock() as waited, Watchdog(patience, names) as watchdog:
        session = _Session(models, batches, clock, settings, watchdog)
        session.waited = waited if all(model.computes_here for model in models.values()) else None
        return session.run(decided, progress)


class _Session:
    """The state of one measurement."""

    def __init__(
        self,
        models: Mapping[str, Model],
        batches: Mapping[str, Sequence[Any]],
        clock: Callable[[], int],
        settings: TimingSettings,
        watchdog: Watchdog,
    ) -> None:
        self.models = models
        self.batches = batches
        self.timer = BlockTimer(clock)
        self.waited: Callable[[], int] | None = None
        self.given = settings
        self.watchdog = watchdog
        self.rng = np.random.default_rng(settings.seed)
        self.series: dict[str, list[list[FloatArray]]] = {role: [] for role in models}
        self.calm: dict[str, list[list[FloatArray]]] = {role: [] for role in models}
        self.copies = Copies(models, batches, self.rng, settings.budget_s)
        self.rotation = Rotation(max(map(len, batches.values())))
        self.called = {role: Called(batches[role]) for role in models}
        self.faults = dict.fromkeys(models, 0)
        self.turns = dict.fromkeys(models, 0)
        self.timed = dict.fromkeys(models, 0)
        self.interference: list[Counters] = []
        self.repeated = 0
        self.waited_ns = self.wall_ns = 0.0
        self.memo: dict[Any, Any] = {}
        self.held_bytes = self.most_bytes = 0

    def run(
        self,
        decided: Callable[[TimingMeasurement], bool],
        progress: Progress,
    ) -> TimingMeasurement:
        budget_s = self.given.budget_s
        looks: list[int] = []
        seconds: list[float] = []
        schedule = look_schedule()
        next_look = next(schedule)
        replicas: Mapping[str, Model] = self.models
        with self._calls(replicas) as calls, other_threads() as of_others:
            self.first = make_first_calls(self.models, self.batches, calls, self._wall, budget_s=budget_s)
            start = self.timer.clock()
            self.pilot = run_pilot(self.models, calls, self._wall, budget_s=budget_s, allocator=self.given.allocator)
            shortest = min(plan.call_ns for plan in self.pilot.plans.values())
            if shortest >= LONG_CALL_NS and of_others() < MOST_OF_OTHER_THREADS:
                self.timer.waited = self.waited  # where a model's own threads take turns, waiting is its own doing
        rounds, placement_s, done = self.pilot.rounds_per_placement(), 0.0, False
        call_ns = {role: plan.call_ns for role, plan in self.pilot.plans.items()}
        while not done:
            before = self.timer.clock()
            replicas = self.copies.take(replicas, call_ns)
            self._placement(replicas, rounds)
            self._refuse_growth()
            now = self.timer.clock()
            elapsed = (now - start) / 1e9
            placement_s = max(placement_s, (now - before) / 1e9)
            progress(elapsed, budget_s)
            exhausted = elapsed + placement_s > budget_s
            placements = len(self.series["student"])
            if placements < next_look and not exhausted:
                continue
            next_look = next(schedule)
            looks.append(placements)
            seconds.append(elapsed)
            measurement = TimingMeasurement(
                series=self.series,
                calm=self.calm,
                batch_sizes=self.given.batch_sizes or dict.fromkeys(self.models, 1),
                looks=tuple(looks),
                elapsed_s=tuple(seconds),
                copied=self.copies.copied,
                exhausted=exhausted,
                settings=self._settings(rounds),
                memo=self.memo,
            )
            done = decided(measurement) or exhausted
            self.watchdog.beat()
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
                    calls[role] = [model.bind(batch) for batch in self.batches[role]]
                except BaseException as error:
                    raise model.failure(self.batches[role][0], error) from error
            yield calls

    def _placement(self, replicas: Mapping[str, Model], rounds: int) -> None:
        """Time some rounds, then repeat the disturbed ones, at most a fifth of all rounds so far."""
        gc.collect(1)
        roles = list(self.models)
        with self._calls(replicas) as calls:
            for role in roles:
                self._block(role, calls[role], 0, self.pilot.plans[role].discarded + 1)
            taken = [self._round(calls) for _ in range(rounds)]
            self.interference += [seen for _, seen in taken]
            calm = [blocks for blocks, _ in taken]
            for i, (_, seen) in enumerate(taken):
                if seen.disturbing and self.repeated + 1 <= MOST_REPEATED * len(self.interference):
                    self.repeated += 1
                    calm[i] = self._round(calls)[0]
        for role in roles:
            self.series[role].append([blocks[role].wall for blocks, _ in taken])
            self.calm[role].append([blocks[role].calm for blocks in calm])

    def _round(self, calls: Mapping[str, Sequence[Call]]) -> tuple[dict[str, Block], Counters]:
        """Time every model in two blocks, ABBA or BAAB, and read what disturbed them."""
        roles = list(self.models)
        before = read_counters()
        order = roles if self.rng.random() < 0.5 else roles[::-1]
        halves: dict[str, list[Block]] = {role: [] for role in roles}
        for ordered in (order, order[::-1]):
            offset = self.rotation.next()  # the same for all models, which may take longer for some batches
            for role in ordered:
                plan = self.pilot.plans[role]
                self._block(role, calls[role], offset, plan.discarded)
                faults = minor_faults()
                halves[role].append(self._block(role, calls[role], offset, plan.calls))
                self.faults[role] += minor_faults() - faults
                self.turns[role] += plan.calls
                self.called[role].note(offset, plan.calls)
        return {role: self._joined(blocks) for role, blocks in halves.items()}, read_counters().since(before)

    def _joined(self, blocks: Sequence[Block]) -> Block:
        wall, calm = (np.concatenate([getattr(block, kind) for block in blocks]) for kind in ("wall", "calm"))
        self.wall_ns += float(wall.sum())
        self.waited_ns += float((wall - calm).sum())
        return Block(wall=wall, calm=calm)

    def _block(self, role: str, calls: Sequence[Call], offset: int, count: int) -> Block:
        """Time a block of calls, and refuse what no call can take."""
        model, batches = self.models[role], self.batches[role]
        block = self.timer.time(calls, offset, count, lambda at, error: model.failure(batches[at], error))
        self.watchdog.beat()
        self.timed[role] += count
        self._refuse_jumps(role, block.wall)
        return block

    def _wall(self, role: str, calls: Sequence[Call], offset: int, count: int) -> FloatArray:
        return self._block(role, calls, offset, count).wall

    def _refuse_jumps(self, role: str, times: FloatArray) -> None:
        """Refuse times that no call can take.

        Raises:
            MeasurementError: the clock ran backwards, or a call took longer than the watchdog would wait.
        """
        if len(times) and times.min() < 0:
            raise MeasurementError(
                f"the clock went back by {-times.min() / 1e9:g} s during a call of {self.models[role].name}: "
                "what it measures cannot be trusted"
            )
        if len(times) and times.max() > self.watchdog.patience_s * 1e9:
            raise MeasurementError(
                f"by its clock a call of {self.models[role].name} took {humanise(times.max() / 1e9, 's')}, and the "
                f"whole budget is {self.given.budget_s:g} s: the machine slept, or the clock jumped, or the model is "
                "far too slow. Run it again, or raise --modelbench-budget"
            )

    def _refuse_growth(self) -> None:
        """Refuse to go on while every call takes memory that none gives back.

        Raises:
            MeasurementError: half of the memory that was available is taken.
        """
        held = resident_bytes()
        if len(self.series["student"]) <= 2:  # the copies of two placements are there at once, and are no leak
            self.held_bytes, self.most_bytes = held, held + available_bytes() // 2
            self.timed = dict.fromkeys(self.models, 0)
        elif held > self.most_bytes:
            calls = " and ".join(f"{self.models[role].name} {count:,} times" for role, count in self.timed.items())
            raise MeasurementError(
                f"the process grew by {humanise(held - self.held_bytes, 'B')} while it called {calls}, and half of "
                "the memory that was available is taken: a model keeps what it computes (a list or a cache that only "
                "grows is the usual cause)"
            )

    def _settings(self, rounds: int) -> dict[str, Any]:
        plans, pilot = self.pilot.plans, self.pilot
        calls = {role: self.turns[role] for role in self.models}
        return {
            "design": "randomised ABBA blocks" if len(self.series) > 1 else "blocks of one model",
            "rounds_per_placement": rounds,
            "calls_per_block": {role: plan.calls for role, plan in plans.items()},
            "discarded_after_switch": {role: plan.discarded for role, plan in plans.items()},
            "distinct_batches": min(len(self.called[role]) for role in self.models),
            "batches_called": {role: len(called) for role, called in self.called.items()},
            "calls_per_second": pilot.pace(),
            "first_calls": {role: asdict(first) for role, first in self.first.items()},
            "placements_copied": self.copies.copied,
            "not_copied": self.copies.refused,
            "allocator": pilot.allocator,
            "allocator_gap": {
                role: {"slower": slower, "minor_faults_per_call": faults}
                for role, (slower, faults) in pilot.gap.items()
            },
            "rounds": len(self.interference),
            "disturbed_rounds": sum(seen.disturbing for seen in self.interference),
            "repeated_rounds": self.repeated,
            "waits_subtracted": self.timer.waited is not None,
            "waited_share": self.waited_ns / max(self.wall_ns, 1.0),
            "involuntary_switches": sum(seen.involuntary_switches for seen in self.interference),
            "cpu_pressure_s": sum(seen.pressure_us for seen in self.interference) / 1e6,
            "stolen_s": sum(seen.stolen_s for seen in self.interference),
            "minor_faults_per_call": {role: self.faults[role] / max(calls[role], 1) for role in calls},
            "budget_s": self.given.budget_s,
            "seed": self.given.seed,
            **self.given.told,
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
