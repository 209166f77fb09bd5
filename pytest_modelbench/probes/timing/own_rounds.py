"""The rounds that pytest-benchmark timed in a test's body, as a timed measurement of ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_modelbench.errors import MeasurementError, NotApplicable
from pytest_modelbench.probes.timing.engine import TimingMeasurement

CLUSTERS = 20
"""Neighbouring rounds are alike, so their means are what varies independently (batch means)."""


@dataclass(frozen=True, kw_only=True)
class OwnRounds:
    """What the fixture `benchmark` holds after the body: seconds of a call by round, None where it was not used."""

    seconds: Sequence[float] | None
    iterations: int
    enabled: bool


def timing_of(rounds: OwnRounds, kpi: str, batch_size: int) -> TimingMeasurement:
    """Return rounds as a measurement of the student alone; the first one, which warms up, is left out.

    Args:
        rounds: as pytest-benchmark has them.
        kpi: what they are read for.
        batch_size: of the calls, for the method.

    Raises:
        NotApplicable: pytest-benchmark is disabled.
        MeasurementError: the fixture was not called, has too few rounds, or means where single calls are needed.
    """
    if not rounds.enabled:
        raise NotApplicable("pytest-benchmark is disabled (--benchmark-disable, or workers), so nothing was timed")
    if rounds.seconds is None:
        raise MeasurementError("the test never called its fixture benchmark. Write benchmark(student, batch)")
    if rounds.iterations > 1 and kpi != "latency_mean":
        raise MeasurementError(
            f"pytest-benchmark timed {rounds.iterations} calls together in each round, and {kpi} is about single "
            "calls. Write benchmark.pedantic(student, args=(batch,), rounds=1000, iterations=1)"
        )
    times = np.asarray(rounds.seconds[1:], dtype=np.float64) * 1e9
    if len(times) < 2:
        raise MeasurementError(
            f"pytest-benchmark timed {len(rounds.seconds)} rounds, and the first only warms up. Give it more rounds"
        )
    clusters = [[part] for part in np.array_split(times, min(CLUSTERS, len(times)))]
    return TimingMeasurement(
        series={"student": clusters},
        calm={"student": clusters},
        batch_sizes={"student": batch_size},
        looks=(len(clusters),),
        elapsed_s=(0.0,),
        copied=True,
        exhausted=True,
        cluster="batches of pytest-benchmark's rounds",
        settings={"calls_per_second": {"student": 1e9 / float(times.mean())}, "budget_s": math.inf},
    )
