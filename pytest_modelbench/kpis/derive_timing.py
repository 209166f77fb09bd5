"""Readings of the efficiency pillar: one piece of evidence for every look at the timed rounds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pytest_modelbench.kpis.efficiency import PERCENTILES
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.timing import TimingMeasurement
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.clustered import Series, compare_means, compare_medians, compare_percentiles, widen
from pytest_modelbench.stats.intervals import FloatArray, mean_interval, needed_values, percentile_interval
from pytest_modelbench.stats.sequential import spent_alpha

_MS = 1e-6


def latency(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean or a percentile of the service time, in milliseconds."""
    statistic = question.kpi.name.removeprefix("latency_")
    measurement = measurements.timing()
    for look in range(len(measurement.looks)):
        yield _evidence(question, measurement, look, statistic)


def throughput(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read samples per second: the batch size over the mean service time."""
    batch_size = float(question.options["batch_size"])
    measurement = measurements.timing()
    for look in range(len(measurement.looks)):
        mean = _evidence(question, measurement, look, "mean")
        comparison = None
        if mean.comparison is not None and mean.comparison.ratio is not None:
            rates = [_rates(measurement.until(look, role), batch_size) for role in ("student", "teacher")]
            comparison = Comparison(
                ratio=mean.comparison.ratio.map(_inverse),
                difference=mean_interval(rates[0] - rates[1], spent_alpha(question.alpha, look + 1)),
                method=mean.comparison.method,
            )
        yield Evidence(
            student=_per_second(mean.student, batch_size),
            teacher=_per_second(mean.teacher, batch_size) if mean.teacher else None,
            comparison=comparison,
            sampled=True,
            notes=mean.notes,
            seconds=mean.seconds,
        )


def _rates(series: Series, batch_size: float) -> FloatArray:
    """Return the samples per second of every placement."""
    return np.array([batch_size * 1e9 / float(np.concatenate(rounds).mean()) for rounds in series])


def _inverse(value: float) -> float:
    """Return 1 / value for a time or a ratio of times; an end at or below zero is no bound."""
    return math.inf if value <= 0 else 1 / value


def _per_second(reading: Reading, batch_size: float) -> Reading:
    return Reading(
        estimate=reading.estimate.map(lambda ms: _inverse(ms) * 1000 * batch_size),
        unit="samples/s",
        n=reading.n,
        confidence=reading.confidence,
        method=reading.method,
    )


def _evidence(question: Question, measurement: TimingMeasurement, look: int, statistic: str) -> Evidence:
    key = (statistic, question.alpha, question.seed, look)
    if key not in measurement.memo:
        measurement.memo[key] = _derive(question, measurement, look, statistic)
    found: Evidence = measurement.memo[key]
    return found


def _derive(question: Question, measurement: TimingMeasurement, look: int, statistic: str) -> Evidence:
    alpha = spent_alpha(question.alpha, look + 1)
    readings = {
        role: _reading(question, measurement.until(look, role), statistic, alpha) for role in measurement.series
    }
    comparison = None
    if "teacher" in readings:
        comparison = _compare(question, measurement, look, statistic, alpha)
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=True,
        notes=_notes(question, readings["student"], statistic, alpha),
        seconds=measurement.elapsed_s[look],
    )


def _reading(question: Question, series: Series, statistic: str, alpha: float) -> Reading:
    clusters = [np.concatenate(rounds) for rounds in series]
    calls = sum(len(cluster) for cluster in clusters)
    batch_size = question.options["batch_size"]
    if statistic == "mean":
        estimate, size = mean_interval([float(cluster.mean()) for cluster in clusters], alpha), float(calls)
        method = f"mean of {calls:,} calls, Student's interval over {len(clusters)} placements"
    else:
        estimate, size = percentile_interval(clusters, _quantile(statistic), alpha)
        method = f"{calls:,} calls worth {size:,.0f} independent ones, Woodruff interval"
    return Reading(
        estimate=estimate.map(lambda ns: ns * _MS),
        unit="ms",
        n=calls,
        confidence=question.confidence,
        method=f"{method}, batch size {batch_size}",
    )


def _compare(
    question: Question, measurement: TimingMeasurement, look: int, statistic: str, alpha: float
) -> Comparison:
    student, teacher = measurement.until(look, "student"), measurement.until(look, "teacher")
    if statistic == "mean":
        comparison = compare_means(student, teacher, alpha)
    elif statistic == "p50":
        comparison = compare_medians(student, teacher, alpha)
    else:
        comparison = compare_percentiles(student, teacher, _quantile(statistic), alpha, question.seed)
    if measurement.floor:
        comparison = widen(comparison, measurement.floor, _level(teacher))
    gap = comparison.difference
    return Comparison(
        ratio=comparison.ratio,
        difference=gap.map(lambda ns: ns * _MS) if gap else None,
        method=comparison.method,
    )


def _level(series: Series) -> float:
    return float(np.median(np.concatenate([calls for rounds in series for calls in rounds])))


def _quantile(statistic: str) -> float:
    return PERCENTILES[statistic.removeprefix("p")]


def _notes(question: Question, student: Reading, statistic: str, alpha: float) -> tuple[str, ...]:
    estimate: Estimate = student.estimate
    if statistic == "mean" or estimate.high is None or math.isfinite(estimate.high):
        return ()
    needed = needed_values(_quantile(statistic), alpha)
    return (f"{question.kpi.name} needs {needed:,} independent calls for an upper bound; {student.method}",)
