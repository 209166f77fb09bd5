"""What is found out before anything is measured: how long a call takes, how many calls a switch disturbs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_modelbench.data.arrays import content, shapes
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.timing.allocator import is_steady, minor_faults, set_allocator
from pytest_modelbench.probes.timing.blocks import Call
from pytest_modelbench.stats.intervals import FloatArray

BLOCK_NS = 5e6
PLACEMENT_NS = 60e6
SHORT_ROUND_NS = 200e6
WARM_UP_NS = 300e6
LONGEST_BLOCK = 500
SWITCHES_IN_PILOT = 12
SLOW_CALL_NS = 20e6
SETTLED = 1.02
STEADY = 0.9
FIRST_CALLS_IN_BUDGET = 0.1
MOST_FIRST_CALLS = 64

Timed = Callable[[str, Sequence[Call], int, int], FloatArray]


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """What the pilot found for one model: calls per block, and calls discarded after a switch.

    `call_ns` is the median call, `mean_ns` the mean one over batches that may be of different sizes.
    """

    call_ns: float
    mean_ns: float
    calls: int
    discarded: int


@dataclass(frozen=True, kw_only=True)
class FirstCalls:
    """Calls before the clock of the measurement starts, which may compile, load or allocate.

    `first_s` is the very first call, `seconds` all `calls` of them.
    """

    calls: int
    first_s: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """Findings of the pilot.

    Attributes:
        plans: by role.
        allocator: the allocator's mode from now on.
        gap: for each role the median call under the C library's defaults over that with allocator trimming disabled,
            and the page faults per call under the defaults; empty if this process has only had one of the two.
    """

    plans: Mapping[str, BlockPlan]
    allocator: str
    gap: Mapping[str, tuple[float, float]]

    @property
    def round_ns(self) -> float:
        """How long an ABBA round takes, in nanoseconds."""
        return sum(2 * (plan.calls + plan.discarded) * plan.mean_ns for plan in self.plans.values())

    def rounds_per_placement(self) -> int:
        """Return how many rounds fill a placement: where they are short at least 3, so that two outvote one."""
        least = 3 if self.round_ns <= SHORT_ROUND_NS else 1
        return min(10, max(least, math.ceil(PLACEMENT_NS / self.round_ns)))

    def pace(self) -> dict[str, float]:
        """Return how many calls of each model are timed in a second, by role."""
        return {role: 2e9 * plan.calls / self.round_ns for role, plan in self.plans.items()}


def make_first_calls(
    models: Mapping[str, Model],
    batches: Mapping[str, Sequence[Any]],
    calls: Mapping[str, Sequence[Call]],
    block: Timed,
    *,
    budget_s: float,
) -> dict[str, FirstCalls]:
    """Call each model with every form of batch, then until it gets no faster, for at most a tenth of the budget.

    What a first call takes (lazy compilation, loading, caches) is neither in a latency nor in the budget.

    Raises:
        ModelError: a model wrote into its inputs.
    """
    first_calls, most_ns = {}, FIRST_CALLS_IN_BUDGET * budget_s * 1e9 / len(models)
    for role, model in models.items():
        inputs = batches[role][:2]
        before = [content(batch) for batch in inputs]
        times = _first_times(role, batches[role], calls[role], block, most_ns)
        if [content(batch) for batch in inputs] != before:
            raise model.wrote_into(inputs[0])
        first_calls[role] = FirstCalls(calls=len(times), first_s=times[0] / 1e9, seconds=sum(times) / 1e9)
    return first_calls


def _first_times(
    role: str, batches: Sequence[Any], calls: Sequence[Call], block: Timed, most_ns: float
) -> list[float]:
    """Return the first calls: one for each form of batch, then one batch until three are as slow as three before."""
    times: list[float] = []
    forms = {shapes(batch): at for at, batch in reversed(list(enumerate(batches)))}
    for at in sorted({*forms.values(), min(1, len(batches) - 1)}):
        times.extend(block(role, calls, at, 1))
        if sum(times[1:]) > most_ns:
            return times
    latest: list[float] = []
    while len(latest) < MOST_FIRST_CALLS and sum(times[1:]) <= most_ns:
        latest.extend(block(role, calls, 0, 1))
        times.append(latest[-1])
        if len(latest) >= 6 and min(latest[-3:]) >= STEADY * min(latest[-6:-3]):
            break
    return times


def run_pilot(
    models: Mapping[str, Model],
    calls: Mapping[str, Sequence[Call]],
    block: Timed,
    *,
    budget_s: float,
    allocator: str,
) -> Pilot:
    """Warm the models up under both allocators where that is possible, and plan the blocks.

    Args:
        models: by role.
        calls: every batch bound, by role.
        block: times a block of calls: role, calls, first call, number of calls.
        budget_s: of the whole measurement.
        allocator: `steady` or `system`.

    Raises:
        MeasurementError: the clock does not move.
    """
    enough = min(WARM_UP_NS, budget_s * 1e9 / 50)
    before = {role: _warm_up(role, calls[role], block, enough) for role in models}
    fresh = not is_steady()
    mode = set_allocator(allocator)
    warm = dict(before)
    gap: dict[str, tuple[float, float]] = {}
    if fresh and mode == "steady":
        for role in calls:
            warm[role] = _warm_up(role, calls[role], block, enough / 2)
            gap[role] = (before[role].median_ns / warm[role].median_ns, before[role].faults)
    typical = {role: warmed.median_ns for role, warmed in warm.items()}
    disturbed = dict.fromkeys(calls, 0)
    if len(calls) > 1 and max(typical.values()) < SLOW_CALL_NS:
        disturbed = _disturbed_calls({role: bound[:1] for role, bound in calls.items()}, block, typical)
    plans = {}
    for role, call_ns in typical.items():
        count = min(LONGEST_BLOCK, max(1, round(BLOCK_NS / call_ns), 4 * disturbed[role]))
        plans[role] = BlockPlan(call_ns=call_ns, mean_ns=warm[role].mean_ns, calls=count, discarded=disturbed[role])
    return Pilot(plans=plans, allocator=mode, gap=gap)


@dataclass(frozen=True, kw_only=True)
class _Warm:
    """A model that is warm: the median and the mean call, and the page faults of one."""

    median_ns: float
    mean_ns: float
    faults: float


def _warm_up(role: str, calls: Sequence[Call], block: Timed, enough_ns: float) -> _Warm:
    """Call a model for a while, and longer while it still gets faster; the later half of the calls counts."""
    times = list(block(role, calls, 0, 1))
    faults, counted, steady = 0, 1, False
    while (sum(times) < enough_ns or (not steady and sum(times) < 5 * enough_ns)) and len(times) < 100_000:
        first, counted = minor_faults(), max(1, len(times) // 2)
        earlier = float(np.median(times[-counted:]))
        times.extend(block(role, calls, len(times), counted))
        steady = float(np.median(times[-counted:])) >= STEADY * earlier
        faults = minor_faults() - first
    half = len(times) // 2
    typical = float(np.median(times[half:]))
    if typical <= 0:
        raise MeasurementError(f"the clock did not move during a call of {role}; nothing can be timed with it")
    by_batch = [times[at :: len(calls)] for at in range(min(len(calls), len(times)))]
    mean = float(np.mean([np.median(series[len(series) // 2 :]) for series in by_batch]))
    return _Warm(median_ns=typical, mean_ns=mean, faults=faults / counted)


def _disturbed_calls(
    calls: Mapping[str, Sequence[Call]], block: Timed, typical: Mapping[str, float]
) -> dict[str, int]:
    """Return after how many calls from a switch a model has settled within 2% of its later calls.

    The lower quartile over the switches is compared: what a switch costs comes after every one of them, what busy
    neighbours cost does not.
    """
    seen: dict[str, list[FloatArray]] = {role: [] for role in calls}
    span = {role: int(min(40, max(6, BLOCK_NS / typical[role]))) for role in calls}
    for _ in range(SWITCHES_IN_PILOT):
        for role in calls:
            seen[role].append(block(role, calls[role], 0, span[role]))
    disturbed = {}
    for role in calls:
        by_position = np.quantile(np.stack(seen[role]), 0.25, axis=0)
        settled = float(np.median(by_position[span[role] // 2 :]))
        late = np.flatnonzero(by_position[: span[role] // 2] > SETTLED * settled)
        disturbed[role] = int(late[-1]) + 1 if len(late) else 1
    return disturbed
