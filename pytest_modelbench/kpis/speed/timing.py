"""Readings of the efficiency pillar: one piece of evidence for every look at the timed rounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.kpi import MEDIAN, Measurements, Question
from pytest_modelbench.kpis.speed.rows import PERCENTILES
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.clustered import Series, compare_means, compare_medians, compare_percentiles, widen
from pytest_modelbench.stats.exceeded import with_least_mean, with_least_quantile
from pytest_modelbench.stats.intervals import mean_interval, needed_values, percentile_interval
from pytest_modelbench.stats.sequential import spent_alpha

SLOW_FIRST, SLOW_FIRST_S = 10, 0.1
FEW_CLUSTERS = 8
_MS = 1e-6


def latency(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean or a percentile of the service time, in milliseconds."""
    quantile = question.kpi.quantile
    measurement = measurements.timing()
    for look in range(len(measurement.looks)):
        yield _evidence(question, measurement, look, quantile)


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
    yield from _gain(question, measurement, f"compiled in {humanise(seconds, 's')}, which is in no latency")


def sparse_gain(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how many times faster the student is with the kernels for 2:4 sparse matrices."""
    yield from _gain(question, measurements.compiled_timing(), "matrices compressed before the timed calls")


def _gain(question: Question, measurement: TimingMeasurement, before: str) -> Iterator[Evidence]:
    for look in range(len(measurement.looks)):
        alpha = spent_alpha(question.alpha, look + 1)
        ratio = _compare(question, measurement, look, MEDIAN, alpha).ratio
        if ratio is None:
            raise MeasurementError("the two were not compared")
        calls = sum(
            len(rounds) for placement in measurement.until(look, "student", tail=False) for rounds in placement
        )
        reading = Reading(
            estimate=ratio.map(lambda r: math.inf if r <= 0 else 1 / r),
            unit="x",
            n=calls,
            confidence=question.confidence,
            method=f"ratio of medians over {calls:,} calls of each, batch size {measurement.batch_sizes['student']}; "
            f"{before}",
        )
        yield Evidence(student=reading, sampled=True, seconds=measurement.elapsed_s[look])


def _rate(batch_ms: float, batch_size: int) -> float:
    """Return samples per second; infinity for a time at or below zero, which bounds nothing."""
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
    sizes, mean = measurement.batch_sizes, _evidence(question, measurement, look, None)

    def reading(role: str, of: Reading) -> Reading:
        estimate = of.estimate.map(lambda ms: of_batch(ms, sizes[role]))
        return replace(of, estimate=estimate, unit=unit, method=f"{of.method}{_swept(measurement, role)}")

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


def _swept(measurement: TimingMeasurement, role: str) -> str:
    """Say which batch sizes were tried, and why no larger ones."""
    curve = dict(measurement.settings.get("sweep", {})).get(role)
    if curve is None:
        return ""
    tried = [point["batch_size"] for point in curve["curve"]]
    return f", the best of 1 to {tried[-1]} ({curve['ended']})" if len(tried) > 1 else f" ({curve['ended']})"


def seconds_for_bound(question: Question, measurement: TimingMeasurement) -> float:
    """Return the least time in which a percentile can be bounded from above, in seconds; 0 for a mean.

    It counts calls at the pace of the pilot, as if they were independent and the first look decided.
    """
    return calls_for_bound(question) / float(min(measurement.settings["calls_per_second"].values()))


def calls_for_bound(question: Question) -> int:
    """Return how many independent calls bound a percentile from above at the first look; 0 for a mean."""
    quantile = question.kpi.quantile
    return 0 if quantile is None else needed_values(quantile, spent_alpha(question.alpha, 1))


def _evidence(question: Question, measurement: TimingMeasurement, look: int, quantile: float | None) -> Evidence:
    key = (quantile, question.alpha, question.seed, look)
    if key not in measurement.memo:
        measurement.memo[key] = _derive(question, measurement, look, quantile)
    evidence: Evidence = measurement.memo[key]
    return evidence


def _derive(question: Question, measurement: TimingMeasurement, look: int, quantile: float | None) -> Evidence:
    alpha = spent_alpha(question.alpha, look + 1)
    readings = {role: _reading(question, measurement, look, role, quantile) for role in measurement.series}
    comparison = None
    if "teacher" in readings:
        comparison = _compare(question, measurement, look, quantile, alpha)
    return Evidence(
        student=readings["student"],
        teacher=readings.get("teacher"),
        comparison=comparison,
        sampled=True,
        notes=(
            *_notes(question, measurement, readings["student"], quantile, look),
            *_not_copied(measurement),
        ),
        seconds=measurement.elapsed_s[look],
        needed_s=_needed_s(question, measurement, look),
    )


def _reading(
    question: Question, measurement: TimingMeasurement, look: int, role: str, quantile: float | None
) -> Reading:
    series, alpha = measurement.until(look, role, tail=_is_tail(quantile)), spent_alpha(question.alpha, look + 1)
    clusters = [np.concatenate(rounds) for rounds in series]
    calls = sum(len(cluster) for cluster in clusters)
    if quantile is None:
        estimate, size = mean_interval([float(cluster.mean()) for cluster in clusters], alpha), float(calls)
        estimate = with_least_mean(estimate, clusters, alpha)
        method = f"mean of {calls:,} calls, Student's interval over {len(clusters)} {measurement.cluster}"
    else:
        estimate, size = percentile_interval(clusters, quantile, alpha)
        estimate = with_least_quantile(estimate, clusters, quantile, alpha)
        method = f"{calls:,} calls (effective sample size {size:,.0f}), Woodruff interval"
    waited = ", run-queue wait subtracted" if measurement.waits_subtracted and not _is_tail(quantile) else ""
    return Reading(
        estimate=estimate.map(lambda ns: ns * _MS),
        unit="ms",
        n=calls,
        confidence=question.confidence,
        method=f"{method}, batch size {measurement.batch_sizes[role]}{waited}{_inputs(measurement, role)}"
        f"{_first_call(measurement, role)}",
    )


def _compare(
    question: Question, measurement: TimingMeasurement, look: int, quantile: float | None, alpha: float
) -> Comparison:
    student, teacher = (measurement.until(look, role, tail=_is_tail(quantile)) for role in ("student", "teacher"))
    unit = measurement.cluster
    if quantile is None:
        comparison = compare_means(student, teacher, alpha, unit)
    elif quantile == MEDIAN:
        comparison = compare_medians(student, teacher, alpha, unit)
    else:
        comparison = compare_percentiles(student, teacher, quantile, alpha, question.seed, unit)
    if measurement.floor:
        comparison = widen(comparison, measurement.floor, _level(teacher))
    gap = comparison.difference
    return Comparison(
        ratio=comparison.ratio,
        difference=gap.map(lambda ns: ns * _MS) if gap else None,
        method=comparison.method,
    )


def _is_tail(quantile: float | None) -> bool:
    """Whether nothing may be left out: the mean and the median are not about the rare slow call."""
    return quantile not in {None, MEDIAN}


def _level(series: Series) -> float:
    return float(np.median(np.concatenate([calls for rounds in series for calls in rounds])))


def _inputs(measurement: TimingMeasurement, role: str) -> str:
    """Say which of the data's batches were timed; nothing where the measurement does not know."""
    drawn = dict(measurement.settings.get("drawn", {})).get(role)
    if drawn is None:
        return ""
    timed = min(int(measurement.settings["batches_called"][role]), drawn["batches"])
    sizes = drawn["sizes"]
    differ = (
        f" of {sizes['smallest']:,} to {sizes['largest']:,} elements" if sizes["smallest"] != sizes["largest"] else ""
    )
    read = "" if drawn["whole"] else " read so far"
    return f", {timed:,} of {drawn['of']:,} batches{read}{differ}"


def _first_call(measurement: TimingMeasurement, role: str) -> str:
    """Tell of a first call that took far longer than those that are timed, for it is in no latency."""
    first = dict(measurement.settings.get("first_calls", {})).get(role)
    if first is None or first["first_s"] < SLOW_FIRST_S:
        return ""
    usual_s = _level(measurement.series[role]) / 1e9
    if first["first_s"] < SLOW_FIRST * usual_s:
        return ""
    return (
        f"; the first call took {humanise(first['first_s'], 's')} and is left out, as are {first['calls'] - 1} more"
    )


def _not_copied(measurement: TimingMeasurement) -> tuple[str, ...]:
    """Say why a model is timed where it lies, if its copies were found to be worth less than itself."""
    why = measurement.settings.get("not_copied")
    copies_worse = why is not None and not str(why).endswith("cannot be copied")
    return (f"{why}: timed where it is, and nothing is known of other places in memory",) if copies_worse else ()


def _needed_s(question: Question, measurement: TimingMeasurement, look: int) -> float:
    """Return about how many seconds give an interval both ends: twice the calls needed, and a few clusters."""
    spent, clusters = measurement.elapsed_s[look], measurement.looks[look]
    return max(2 * seconds_for_bound(question, measurement), spent * max(1.0, FEW_CLUSTERS / clusters))


def _notes(
    question: Question, measurement: TimingMeasurement, student: Reading, quantile: float | None, look: int
) -> tuple[str, ...]:
    estimate: Estimate = student.estimate
    if quantile is None or estimate.high is None or math.isfinite(estimate.high):
        return ()
    needed, alone = (
        needed_values(quantile, error) for error in (spent_alpha(question.alpha, look + 1), question.alpha)
    )
    note = (
        f"{question.kpi.name} needs {needed:,} independent calls for an upper bound at look {look + 1} "
        f"({alone:,} if there were no other look); {student.method}"
    )
    seconds, budget = seconds_for_bound(question, measurement), float(measurement.settings["budget_s"])
    if seconds > budget:
        lower = ", or judge a lower percentile" if quantile > min(PERCENTILES.values()) else ""
        note += (
            f"; they take at least {humanise(seconds, 's')}, and the budget is {budget:g} s: "
            f"give --modelbench-budget={math.ceil(2 * seconds)}{lower}"
        )
    return (note,)
