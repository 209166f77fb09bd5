"""Latencies that were recorded in production: nothing was timed alongside, so there is nothing to compare with."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.exceeded import with_least_mean, with_least_quantile
from pytest_modelbench.stats.intervals import FloatArray, mean_interval, needed_values, percentile_interval

CLUSTERS = 30
"""Stretches of time of equal numbers of rows; a slow spell must be much shorter than one."""
FEWEST_ROWS = 2


def recorded_latency(question: Question, latency_ms: FloatArray) -> Evidence:
    """Read the mean or a percentile of recorded latencies, in milliseconds.

    Args:
        question: about a KPI of latency.
        latency_ms: in the order of time, (rows,), at least one.
    """
    rows, quantile = len(latency_ms), question.kpi.quantile
    clusters = np.array_split(latency_ms, max(1, min(CLUSTERS, rows // FEWEST_ROWS)))
    stretches = f"{len(clusters)} stretch{'es' if len(clusters) > 1 else ''} of time"
    if quantile is None:
        estimate = mean_interval([float(cluster.mean()) for cluster in clusters], question.alpha)
        estimate = with_least_mean(estimate, clusters, question.alpha)
        method = f"mean of {rows:,} rows, Student's interval over {stretches}"
    else:
        estimate, size = percentile_interval(clusters, quantile, question.alpha)
        estimate = with_least_quantile(estimate, clusters, quantile, question.alpha)
        method = f"{rows:,} rows in {stretches} (effective sample size {size:,.0f}), Woodruff interval"
    reading = Reading(
        estimate=replace(estimate, low=None if estimate.low is None else max(estimate.low, 0.0)),
        unit="ms",
        n=rows,
        confidence=question.confidence,
        provenance="recorded",
        method=method,
    )
    return Evidence(student=reading, sampled=True, notes=_few(question, reading))


def _few(question: Question, reading: Reading) -> tuple[str, ...]:
    quantile, high = question.kpi.quantile, reading.estimate.high
    if quantile is None or high is None or math.isfinite(high):
        return ()
    needed = needed_values(quantile, question.alpha)
    return (f"{question.kpi.name} needs {needed:,} independent rows for an upper bound; {reading.method}",)
