"""What is found out before anything is measured: how long a call takes, how many calls a switch disturbs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model
from pytest_modelbench.models.outputs import content
from pytest_modelbench.probes.allocator import is_steady, minor_faults, set_allocator
from pytest_modelbench.probes.blocks import Call
from pytest_modelbench.stats.intervals import FloatArray

BLOCK_NS = 5e6
PLACEMENT_NS = 60e6
SHORT_ROUND_NS = 200e6
WARM_UP_NS = 300e6
LONGEST_BLOCK = 500
SWITCHES_IN_PILOT = 12
SLOW_CALL_NS = 20e6
SETTLED = 1.02

Timed = Callable[[str, Sequence[Call], int, int], FloatArray]


@dataclass(frozen=True, kw_only=True)
class BlockPlan:
    """What the pilot found for one model: calls per block, and calls discarded after a switch."""

    call_ns: float
    calls: int
    discarded: int


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """What the pilot found.

    Attributes:
        plans: by role.
        allocator: the allocator's mode from now on.
        gap: for each role the median call under the C library's defaults over that with a steady allocator, and the
            page faults per call under the defaults; empty where this process has only had one of the two.
    """

    plans: Mapping[str, BlockPlan]
    allocator: str
    gap: Mapping[str, tuple[float, float]]

    @property
    def round_ns(self) -> float:
        """How long an ABBA round takes, in nanoseconds."""
        return sum(2 * (plan.calls + plan.discarded) * plan.call_ns for plan in self.plans.values())

    def rounds_per_placement(self) -> int:
        """Return how many rounds fill a placement: where they are short at least 3, so that two outvote one."""
        least = 3 if self.round_ns <= SHORT_ROUND_NS else 1
        return min(10, max(least, math.ceil(PLACEMENT_NS / self.round_ns)))

    def pace(self) -> dict[str, float]:
        """Return how many calls of each model are timed in a second, by role."""
        return {role: 2e9 * plan.calls / self.round_ns for role, plan in self.plans.items()}


def run_pilot(
    models: Mapping[str, Model],
    batches: Mapping[str, Sequence[Any]],
    calls: Mapping[str, Sequence[Call]],
    block: Timed,
    *,
    budget_s: float,
    allocator: str,
) -> Pilot:
    """Warm the models up under both allocators where that is possible, and plan the blocks.

    Args:
        models: by role.
        batches: what each is called with.
        calls: every batch bound, by role.
        block: times a block of calls: role, calls, first call, number of calls.
        budget_s: of the whole measurement.
        allocator: `steady` or `system`.

    Raises:
        ModelError: a model wrote into its inputs.
        MeasurementError: the clock does not move.
    """
    enough = min(WARM_UP_NS, budget_s * 1e9 / 50)

    def warm_up(role: str, enough_ns: float) -> tuple[float, float]:
        return _warm_up(role, models[role], batches[role][:2], calls[role], block, enough_ns)

    before = {role: warm_up(role, enough) for role in calls}
    fresh = not is_steady()
    mode = set_allocator(allocator)
    typical = {role: call_ns for role, (call_ns, _) in before.items()}
    gap: dict[str, tuple[float, float]] = {}
    if fresh and mode == "steady":
        for role in calls:
            call_ns, _ = warm_up(role, enough / 2)
            gap[role] = (before[role][0] / call_ns, before[role][1])
            typical[role] = call_ns
    disturbed = dict.fromkeys(calls, 0)
    if len(calls) > 1 and max(typical.values()) < SLOW_CALL_NS:
        disturbed = _disturbed_calls(calls, block, typical)
    plans = {}
    for role, call_ns in typical.items():
        count = min(LONGEST_BLOCK, max(1, round(BLOCK_NS / call_ns), 4 * disturbed[role]))
        plans[role] = BlockPlan(call_ns=call_ns, calls=count, discarded=disturbed[role])
    return Pilot(plans=plans, allocator=mode, gap=gap)


def _warm_up(
    role: str, model: Model, inputs: Sequence[Any], calls: Sequence[Call], block: Timed, enough_ns: float
) -> tuple[float, float]:
    """Return the median call in nanoseconds, and the page faults per call, of the later half."""
    before = [content(batch) for batch in inputs]
    times = list(block(role, calls, 0, 2))
    if [content(batch) for batch in inputs] != before:
        raise model.wrote_into(inputs[0])
    faults, counted = 0, 1
    while sum(times) < enough_ns and len(times) < 100_000:
        first, counted = minor_faults(), max(1, len(times) // 2)
        times.extend(block(role, calls, len(times), counted))
        faults = minor_faults() - first
    typical = float(statistics.median(times[len(times) // 2 :]))
    if typical <= 0:
        raise MeasurementError(f"the clock did not move during a call of {role}; nothing can be timed with it")
    return typical, faults / counted


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
