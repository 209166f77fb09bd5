"""Readings of the efficiency pillar: one piece of evidence for every look at the timed rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.efficiency import PERCENTILES
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.timing import TimingMeasurement
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.clustered import Series, compare_means, compare_medians, compare_percentiles, widen
from pytest_modelbench.stats.intervals import mean_interval, needed_values, percentile_interval
from pytest_modelbench.stats.sequential import spent_alpha
from pytest_modelbench.units import humanise

_MS = 1e-6


def latency(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean or a percentile of the service time, in milliseconds."""
    statistic = question.kpi.name.removeprefix("latency_")
    measurement = measurements.timing()
    for look in range(len(measurement.looks)):
        yield _evidence(question, measurement, look, statistic)


def throughput(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read samples per second: the batch size over the mean service time, for each model at its own batch size."""
    measurement = measurements.timing()
    for look in range(len(measurement.looks)):
        yield _by_batch(question, measurement, look, _rate, "samples/s")


def latency_per_sample(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean service time over the batch size, in milliseconds, for each model at its own batch size."""
    measurement = measurements.timing()
    for look in range(len(measurement.looks)):
        yield _by_batch(question, measurement, look, _share, "ms")


def compile_gain(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how many times faster the student is when torch.compile has compiled it."""
    measurement = measurements.compiled_timing()
    seconds = dict(measurement.settings.get("compile_s", {})).get(
        "student", 0.0
    )  # empty while the measurement goes on
    for look in range(len(measurement.looks)):
        alpha = spent_alpha(question.alpha, look + 1)
        ratio = _compare(question, measurement, look, "p50", alpha).ratio
        if ratio is None:
            raise MeasurementError("the two were not compared")
        calls = sum(len(rounds) for one in measurement.until(look, "student", tail=False) for rounds in one)
        reading = Reading(
            estimate=ratio.map(lambda r: math.inf if r <= 0 else 1 / r),
            unit="x",
            n=calls,
            confidence=question.confidence,
            method=f"ratio of medians over {calls:,} calls of each, batch size {measurement.batch_sizes['student']}; "
            f"compiled in {humanise(seconds, 's')}, which is in no latency",
        )
        yield Evidence(student=reading, sampled=True, seconds=measurement.elapsed_s[look])


def _rate(batch_ms: float, batch_size: int) -> float:
    """Return samples per second; a time at or below zero is no bound."""
    return math.inf if batch_ms <= 0 else 1000 * batch_size / batch_ms


def _share(batch_ms: float, batch_size: int) -> float:
    return batch_ms / batch_size


def _by_batch(
    question: Question,
    measurement: TimingMeasurement,
    look: int,
    of_batch: Callable[[float, int], float],
    unit: str,
) -> Evidence:
    """Turn the mean service time of a batch into a quantity of its samples."""
    sizes, mean = measurement.batch_sizes, _evidence(question, measurement, look, "mean")

    def reading(role: str, of: Reading) -> Reading:
        return replace(of, estimate=of.estimate.map(lambda ms: of_batch(ms, sizes[role])), unit=unit)

    comparison = None
    if mean.teacher is not None and mean.comparison is not None and mean.comparison.ratio is not None:
        unit_of_teacher = of_batch(1.0, sizes["teacher"])
        values = {
            role: np.array(
                [
                    of_batch(float(np.concatenate(rounds).mean()) * _MS, sizes[role])
                    for rounds in measurement.until(look, role, tail=False)
                ]
            )
            for role in ("student", "teacher")
        }
        gap = mean_interval(values["student"] - values["teacher"], spent_alpha(question.alpha, look + 1))
        floor = measurement.floor * float(values["teacher"].mean())
        comparison = Comparison(
            ratio=mean.comparison.ratio.map(lambda ratio: of_batch(ratio, sizes["student"]) / unit_of_teacher),
            difference=Estimate(value=gap.value, low=(gap.low or 0.0) - floor, high=(gap.high or 0.0) + floor),
            method=mean.comparison.method,
        )
    return replace(
        mean,
        student=reading("student", mean.student),
        teacher=None if mean.teacher is None else reading("teacher", mean.teacher),
        comparison=comparison,
    )


def seconds_for_bound(question: Question, measurement: TimingMeasurement) -> float:
    """Return the least time in which a percentile can be bounded from above, in seconds; 0 for a mean.

    It counts calls at the pace of the pilot, as if they were independent and the first look decided.
    """
    return calls_for_bound(question) / float(min(measurement.settings["calls_per_second"].values()))


def calls_for_bound(question: Question) -> int:
    """Return how many independent calls bound a percentile from above at the first look; 0 for a mean."""
    quantile = PERCENTILES.get(question.kpi.name.removeprefix("latency_p"))
    return 0 if quantile is None else needed_values(quantile, spent_alpha(question.alpha, 1))


def _evidence(question: Question, measurement: TimingMeasurement, look: int, statistic: str) -> Evidence:
    key = (statistic, question.alpha, question.seed, look)
    if key not in measurement.memo:
        measurement.memo[key] = _derive(question, measurement, look, statistic)
    found: Evidence = measurement.memo[key]
    return found


def _derive(question: Question, measurement: TimingMeasurement, look: int, statistic: str) -> Evidence:
    alpha = spent_alpha(question.alpha, look + 1)
    readings = {role: _reading(question, measurement, look, role, statistic) for role in measurement.series}
    comparison = None
    if "teacher" in readings:
        comparison = _compare(question, measurement, look, statistic, alpha)
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=True,
        notes=_notes(question, measurement, readings["student"], statistic, alpha),
        seconds=measurement.elapsed_s[look],
        seconds_to_bound=_seconds_to_bound(question, measurement, readings["student"], look),
    )


def _seconds_to_bound(
    question: Question, measurement: TimingMeasurement, student: Reading, look: int
) -> float | None:
    """Return about how long the slow end of a percentile's interval would take, where it is not known yet."""
    high = student.estimate.high
    if high is None or math.isfinite(high):
        return None
    return 2 * max(seconds_for_bound(question, measurement), measurement.elapsed_s[look])


def _reading(question: Question, measurement: TimingMeasurement, look: int, role: str, statistic: str) -> Reading:
    series, alpha = measurement.until(look, role, tail=_is_tail(statistic)), spent_alpha(question.alpha, look + 1)
    clusters = [np.concatenate(rounds) for rounds in series]
    calls = sum(len(cluster) for cluster in clusters)
    if statistic == "mean":
        estimate, size = mean_interval([float(cluster.mean()) for cluster in clusters], alpha), float(calls)
        method = f"mean of {calls:,} calls, Student's interval over {len(clusters)} {measurement.cluster}"
    else:
        estimate, size = percentile_interval(clusters, _quantile(statistic), alpha)
        method = f"{calls:,} calls worth {size:,.0f} independent ones, Woodruff interval"
    waited = ", waits for a processor subtracted" if measurement.waits_subtracted and not _is_tail(statistic) else ""
    return Reading(
        estimate=estimate.map(lambda ns: ns * _MS),
        unit="ms",
        n=calls,
        confidence=question.confidence,
        method=f"{method}, batch size {measurement.batch_sizes[role]}{waited}",
    )


def _compare(
    question: Question, measurement: TimingMeasurement, look: int, statistic: str, alpha: float
) -> Comparison:
    student, teacher = (measurement.until(look, role, tail=_is_tail(statistic)) for role in ("student", "teacher"))
    unit = measurement.cluster
    if statistic == "mean":
        comparison = compare_means(student, teacher, alpha, unit)
    elif statistic == "p50":
        comparison = compare_medians(student, teacher, alpha, unit)
    else:
        comparison = compare_percentiles(student, teacher, _quantile(statistic), alpha, question.seed, unit)
    if measurement.floor:
        comparison = widen(comparison, measurement.floor, _level(teacher))
    gap = comparison.difference
    return Comparison(
        ratio=comparison.ratio,
        difference=gap.map(lambda ns: ns * _MS) if gap else None,
        method=comparison.method,
    )


def _is_tail(statistic: str) -> bool:
    """Whether nothing may be left out: the mean and the median are not about the rare slow call."""
    return statistic not in {"mean", "p50"}


def _level(series: Series) -> float:
    return float(np.median(np.concatenate([calls for rounds in series for calls in rounds])))


def _quantile(statistic: str) -> float:
    return PERCENTILES[statistic.removeprefix("p")]


def _notes(
    question: Question, measurement: TimingMeasurement, student: Reading, statistic: str, alpha: float
) -> tuple[str, ...]:
    estimate: Estimate = student.estimate
    if statistic == "mean" or estimate.high is None or math.isfinite(estimate.high):
        return ()
    needed = needed_values(_quantile(statistic), alpha)
    told = f"{question.kpi.name} needs {needed:,} independent calls for an upper bound; {student.method}"
    seconds, budget = seconds_for_bound(question, measurement), float(measurement.settings["budget_s"])
    if seconds > budget:
        told += (
            f"; they take at least {humanise(seconds, 's')}, and the budget is {budget:g} s: "
            f"give --modelbench-budget={math.ceil(2 * seconds)}, or judge a lower percentile"
        )
    return (told,)
