"""Which batch size gives the most samples per second: a short look at many, before one of each model is measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.models.base import Model
from pytest_modelbench.probes.allocator import release_free_memory
from pytest_modelbench.probes.resident import available_bytes, peak_bytes, reset_peak, resident_bytes
from pytest_modelbench.probes.watchdog import LONGEST_CALL_IN_BUDGETS, Watchdog
from pytest_modelbench.units import humanise

LARGEST = 256
SHARE_OF_BUDGET = 0.2
LOOK_NS = 1e8


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
    larger batch; the curve says which. The bound holds for what the batches add to the process, not for the model
    itself.

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
    longest_ns = budget_s * 1e9 * SHARE_OF_BUDGET / len(models) / 12
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
    ended = ""
    while not ended:
        inputs = batches(size)
        if not inputs:
            ended = f"the data have no full batch of {size}"
            break
        try:
            point = _point(model, inputs, size, base, longest_ns, watchdog)
        except BaseException as error:
            told = model.failure(inputs[0], error)
            if not points:
                raise told from error
            ended = f"{type(error).__name__} at batch size {size}"
            break
        if point.added_bytes > most and not points:
            raise MeasurementError(
                f"{model.name}: a single sample adds {humanise(point.added_bytes, 'B')} to the process, and the "
                f"memory bound is {humanise(most, 'B')}. Write a larger memory="
            )
        if point.added_bytes > most:
            ended = f"the memory bound is passed at batch size {size}"
            break
        points.append(point)
        size *= 2
        if size > LARGEST:
            ended = f"{LARGEST} is the largest"
        elif 2 * point.call_ms * 1e6 > longest_ns:
            ended = f"a call at batch size {size} would take too long"
    return Curve(points=tuple(points), ended=ended)


def _point(model: Model, inputs: Sequence[Any], size: int, base: int, longest_ns: float, watchdog: Watchdog) -> Point:
    clock = model.clock_ns
    with model.running():
        calls = [model.bind(batch) for batch in inputs]
        exact = reset_peak()
        for call in calls:
            call()
        added = max(0, (peak_bytes() if exact else resident_bytes()) - base)
        times: list[int] = []
        while len(times) < 3 or (sum(times) < min(LOOK_NS, longest_ns) and len(times) < 1000):
            call = calls[len(times) % len(calls)]
            start = clock()
            call()
            times.append(clock() - start)
            watchdog.beat()
    typical = max(statistics.median(times), 1)
    return Point(batch_size=size, call_ms=typical / 1e6, samples_per_s=size * 1e9 / typical, added_bytes=added)
