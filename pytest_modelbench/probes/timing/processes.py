"""A timed comparison repeated in fresh processes, with processes as the independent units."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.probes.timing.engine import Progress, TimingMeasurement
from pytest_modelbench.probes.wire import read_arrays, unpack_timing
from pytest_modelbench.stats.intervals import FloatArray
from pytest_modelbench.stats.levels import spread_by_level
from pytest_modelbench.stats.sequential import look_schedule

LOOKS_IN_CHILD = 2
_ADDED_UP = ("rounds", "disturbed_rounds", "repeated_rounds", "involuntary_switches", "cpu_pressure_s", "stolen_s")


@dataclass(frozen=True, kw_only=True)
class TimingRequest:
    """What one process is asked to measure.

    `setup` names the gates whose measurement is meant, `models` the hash of each model in it by role. `calls` are
    what percentiles need of each model, 0 for none. `batch_sizes` are None where the process is to find them.
    `student` is the file that the student is deployed as; empty where its fixture builds it. `path` is the file that
    the measurement goes into.
    """

    kind: ClassVar[str] = "timing"
    setup: str
    models: Mapping[str, str]
    calls: int
    budget_s: float
    seed: int
    batch_sizes: Mapping[str, int] | None
    student: str = ""
    path: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self)

    def answer(self) -> TimingMeasurement:
        """Read what the process has left."""
        return unpack_timing(read_arrays(Path(self.path)))

    def refuse_others(self, hashes: Mapping[str, str]) -> None:
        """Refuse models that are not the parent's; those that only have an identity are not compared.

        Raises:
            MeasurementError: a fixture builds something else in a fresh process.
        """
        for role, wanted in self.models.items():
            refuse_other_model(role, hashes[role], wanted)


def refuse_other_model(role: str, fingerprint: str, wanted: str) -> None:
    """Refuse a model that a fresh process built and that is not the parent's.

    Raises:
        MeasurementError: its hash differs; a model that only has an identity is not compared.
    """
    if "object-" not in wanted and fingerprint != wanted:
        raise MeasurementError(
            f"in a fresh process the {role} is another model ({fingerprint}, not {wanted}): its fixture or factory "
            "depends on something that this process lacks, such as an option of your conftest or a random seed. If "
            "it draws weights, seed it there: torch.manual_seed(0)"
        )


def enough_for_child(measurement: TimingMeasurement, calls: int) -> bool:
    """Whether a process has measured enough: a fixed number of placements, and the calls that percentiles need.

    More of them would not narrow what differs between processes.
    """
    taken = min(
        sum(len(calls) for rounds in placements for calls in rounds) for placements in measurement.series.values()
    )
    return len(measurement.looks) >= LOOKS_IN_CHILD and taken >= calls


def measure_in_processes(
    take: Callable[[float, int, Mapping[str, int] | None], TimingMeasurement],
    *,
    processes: int,
    budget_s: float,
    seed: int,
    decided: Callable[[TimingMeasurement], bool],
    progress: Progress,
) -> TimingMeasurement:
    """Measure in one fresh process after the other until everything is decided, or `processes` of them have ended.

    Args:
        take: runs one process to its end and returns what it measured, given seconds, seed and batch sizes.
        processes: at most so many; looks follow the schedule, and the last process is always a look.
        budget_s: seconds for all of them with their start-up.
        seed: each process gets the next one.
        decided: as in `measure_timing`.
        progress: told the seconds elapsed and the budget.

    Raises:
        MeasurementError: a process ended without a measurement.
    """
    start = time.monotonic()
    children: list[TimingMeasurement] = []
    looks: list[int] = []
    seconds: list[float] = []
    schedule = look_schedule()
    next_look = next(schedule)
    memo: dict[Any, Any] = {}
    longest = 0.0
    while True:
        began = time.monotonic()
        share = (budget_s - (began - start)) / (processes - len(children))
        sizes = children[0].batch_sizes if children else None
        children.append(take(max(share, 1.0), seed + len(children), sizes))
        elapsed = time.monotonic() - start
        longest = max(longest, elapsed - (began - start))
        progress(elapsed, budget_s)
        exhausted = len(children) == processes or elapsed + longest > budget_s
        if len(children) < next_look and not exhausted:
            continue
        next_look = next(schedule)
        looks.append(len(children))
        seconds.append(elapsed)
        measurement = _combined(children, looks, seconds, memo, exhausted=exhausted, budget_s=budget_s)
        if decided(measurement) or exhausted:
            return measurement


def _combined(
    children: Sequence[TimingMeasurement],
    looks: Sequence[int],
    seconds: Sequence[float],
    memo: dict[Any, Any],
    *,
    exhausted: bool,
    budget_s: float,
) -> TimingMeasurement:
    """Return all processes as one measurement, each with all of its rounds in a row."""

    def rows(kind: Callable[[TimingMeasurement], Mapping[str, Any]]) -> dict[str, list[list[FloatArray]]]:
        return {
            role: [[calls for rounds in kind(child)[role] for calls in rounds] for child in children]
            for role in children[0].series
        }

    return TimingMeasurement(
        series=rows(lambda child: child.series),
        calm=rows(lambda child: child.calm),
        batch_sizes=children[0].batch_sizes,
        looks=tuple(looks),
        elapsed_s=tuple(seconds),
        copied=True,  # a fresh process has addresses of its own
        exhausted=exhausted,
        cluster="processes",
        settings={**_settings(children), "budget_s": budget_s},
        memo=memo,
    )


def _settings(children: Sequence[TimingMeasurement]) -> dict[str, Any]:
    """Return the first process's settings, with counts added up over all and the spread of every level."""
    settings = dict(children[0].settings)
    for name in _ADDED_UP:
        settings[name] = sum(child.settings[name] for child in children)
    settings["minor_faults_per_call"] = {
        role: float(np.mean([child.settings["minor_faults_per_call"][role] for child in children]))
        for role in children[0].series
    }
    settings["waited_share"] = float(np.mean([child.settings["waited_share"] for child in children]))
    settings["placements_copied"] = all(child.settings["placements_copied"] for child in children)
    settings["processes"] = len(children)
    if "teacher" in children[0].series:
        settings["spread_of_log_ratio"] = dict(spread_by_level([_log_ratios(child) for child in children]))
    return settings


def _log_ratios(child: TimingMeasurement) -> list[list[float]]:
    """Return the log-ratio of the medians of every round, `[placement][round]`."""
    return [
        [math.log(float(np.median(s)) / float(np.median(t))) for s, t in zip(students, teachers, strict=True)]
        for students, teachers in zip(child.calm["student"], child.calm["teacher"], strict=True)
    ]
