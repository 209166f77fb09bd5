"""Which batch size gives the most samples per second: a short look at many, before one of each model is measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.cost.resident import available_bytes, peak_bytes, reset_peak, resident_bytes
from pytest_modelbench.probes.timing.allocator import release_free_memory
from pytest_modelbench.probes.timing.watchdog import LONGEST_CALL_IN_BUDGETS, Watchdog

LARGEST = 256
SHARE_OF_BUDGET = 0.2
LOOK_NS = 1e8
MOST_CALLS = 1000
LOOKS = 9
"""One for each size; a fair share of the sweep's time for a look, beyond which one call has to do."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One batch size of a curve: the median call, the samples per second of it, and the memory that it added."""

    batch_size: int
    call_ms: float
    samples_per_s: float
    added_bytes: int


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Samples per second by batch size for one model, and why there are no larger batches."""

    points: tuple[Point, ...]
    ended: str

    @property
    def best(self) -> int:
        """The batch size with the most samples per second."""
        return max(self.points, key=lambda point: point.samples_per_s).batch_size

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"best": self.best, "ended": self.ended, "curve": [asdict(point) for point in self.points]}


def sweep_batch_sizes(
    models: Mapping[str, Model],
    batches: Callable[[int], Sequence[Any]],
    *,
    budget_s: float,
    memory: float | None,
) -> dict[str, Curve]:
    """Time each model shortly at 1, 2, 4, ... up to 256 samples a batch.

    What comes of it only picks a batch size, which is then measured anew. A sweep ends before that where the data
    have no full batch, the memory bound is passed, calls become too long for the budget, or the model refuses a
    larger batch; the curve says which. How long a larger batch takes is tried, not assumed: it may well take
    no longer than a single sample. The bound holds for what the batches add to the process, not for the model itself.

    Args:
        models: by role.
        batches: returns a few real batches of a size, none where there are not enough samples.
        budget_s: of the whole measurement; a fifth of it goes into the sweep.
        memory: the bound in bytes; half of what is available by default.

    Raises:
        ModelError: a model fails at a single sample.
        MeasurementError: a call does not return, or a single sample passes the memory bound.
    """
    most = available_bytes() / 2 if memory is None else memory
    longest_ns = budget_s * 1e9 * SHARE_OF_BUDGET / len(models)
    patience = LONGEST_CALL_IN_BUDGETS * budget_s
    with Watchdog(patience, " or ".join(model.name for model in models.values())) as watchdog:
        return {role: _curve(model, batches, most, longest_ns, watchdog) for role, model in models.items()}


def _curve(
    model: Model,
    batches: Callable[[int], Sequence[Any]],
    most: float,
    longest_ns: float,
    watchdog: Watchdog,
) -> Curve:
    points: list[Point] = []
    size = 1
    release_free_memory()
    base = resident_bytes()
    spent_ns = 0.0
    while True:
        inputs = batches(size)
        if not inputs:
            return Curve(points=tuple(points), ended=f"the data have no full batch of {size}")
        try:
            point, took_ns = _point(model, inputs, size, base, longest_ns / LOOKS, watchdog)
        except BaseException as error:
            failure = model.failure(inputs[0], error)
            if not points:
                raise failure from error
            return Curve(points=tuple(points), ended=f"{type(error).__name__} at batch size {size}")
        if point.added_bytes > most and not points:
            raise MeasurementError(
                f"{model.name}: a single sample adds {humanise(point.added_bytes, 'B')} to the process, and the "
                f"memory bound is {humanise(most, 'B')}. Write a larger memory="
            )
        if point.added_bytes > most:
            return Curve(points=tuple(points), ended=f"the memory bound is passed at batch size {size}")
        points.append(point)
        spent_ns += took_ns
        size *= 2
        ended = f"{LARGEST} is the largest" if size > LARGEST else _too_long(points, size, longest_ns, spent_ns)
        if ended:
            return Curve(points=tuple(points), ended=ended)


def _too_long(points: Sequence[Point], size: int, longest_ns: float, spent_ns: float) -> str:
    """Say why a larger batch is not tried: it would take too long, as far as smaller ones tell. Empty where it is.

    The second size is always tried: nothing tells yet how calls grow.
    """
    if len(points) < 2:
        return ""
    before, last = points[-2:]
    growth = min(2.0, max(1.0, last.call_ms / before.call_ms))
    expected_ns = growth * last.call_ms * 1e6
    if spent_ns + expected_ns <= longest_ns:
        return ""
    return (
        f"a call at batch size {size} would take about {humanise(expected_ns / 1e9, 's')}, and "
        f"{humanise(spent_ns / 1e9, 's')} of the {humanise(longest_ns / 1e9, 's')} for the search are spent"
    )


def _point(
    model: Model, inputs: Sequence[Any], size: int, base: int, look_ns: float, watchdog: Watchdog
) -> tuple[Point, float]:
    """Time a size, and return also how long that took: calls that are long for a look are made once."""
    clock, times = model.clock_ns, list[int]()
    with model.running():
        calls = [model.bind(batch) for batch in inputs]
        exact = reset_peak()
        while True:
            start = clock()
            calls[len(times) % len(calls)]()
            times.append(clock() - start)
            watchdog.beat()
            enough = len(times) >= len(calls) + 3 and sum(times) >= min(LOOK_NS, look_ns)
            if enough or len(times) >= MOST_CALLS or sum(times) + times[-1] > look_ns:
                break
        added = max(0, (peak_bytes() if exact else resident_bytes()) - base)
    warm = times[len(calls) :] or times[1:] or times
    typical = max(statistics.median(warm), 1)
    point = Point(batch_size=size, call_ms=typical / 1e6, samples_per_s=size * 1e9 / typical, added_bytes=added)
    return point, float(sum(times))
