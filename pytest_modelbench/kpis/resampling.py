"""Metrics that users bring: the number in their answer, and its interval by resampling, if that is fast enough."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.paired import Statistic, paired_bootstrap

SLOWEST_RESAMPLED_S = 0.01


def resampled(
    question: Question, statistics: tuple[Statistic, Statistic | None], n: int, method: str, model: str
) -> Evidence:
    """Return a metric with a paired bootstrap of n units, or as points where it is too slow for that.

    Args:
        question: of the gate.
        statistics: of the student and, where it is compared, of the teacher.
        n: number of units that an index array picks from.
        method: how the metric is read, in words.
        model: the student's name in messages.

    Raises:
        MeasurementError: the metric is not finite on the data.
    """
    first, again, slow = _called_twice(statistics[0], n)
    if not math.isfinite(first):
        raise MeasurementError(f"{question.kpi.name} of {model} is {first}")
    if slow and not question.asked:
        own, other, comparison = _points(first, statistics[1], n)
        method += "; too slow to resample, state confidence= to have the interval"
    else:
        resamples = max(199, math.ceil(2 / question.alpha) - 1)
        own, other, comparison = paired_bootstrap(
            *statistics, n, alpha=question.alpha, seed=question.seed, resamples=resamples
        )
        method += f"; {comparison.method or f'bootstrap of {n} samples'}"

    def reading(estimate: Estimate) -> Reading:
        return Reading(estimate=estimate, unit=question.kpi.unit, n=n, confidence=question.confidence, method=method)

    evidence = Evidence(student=reading(own), sampled=question.asked, notes=_unsteady(first, again))
    if other is None:
        return evidence
    return replace(evidence, teacher=reading(other), comparison=comparison)


def _unsteady(first: float, again: float) -> tuple[str, ...]:
    """Say that a metric gives another number for the same answers, as a judging language model does."""
    if first == again or math.isnan(again):
        return ()
    return (
        f"the metric gave {first:.6g} and {again:.6g} for the same answers, a difference that no interval covers",
    )


def _called_twice(statistic: Statistic, n: int) -> tuple[float, float, bool]:
    """Return the metric on all samples, twice, and whether it is too slow to resample.

    A first call that is slow may have imported a library or compiled a kernel: the faster one decides.
    """
    everything, seconds, values = np.arange(n), [], []
    for _ in range(2):
        started = time.perf_counter()
        values.append(statistic(everything))
        seconds.append(time.perf_counter() - started)
    return values[0], values[1], min(seconds) > SLOWEST_RESAMPLED_S


def _points(s: float, teacher: Statistic | None, n: int) -> tuple[Estimate, Estimate | None, Comparison]:
    if teacher is None:
        return Estimate(value=s), None, Comparison()
    t = teacher(np.arange(n))
    ratio = Estimate(value=s / t) if t else None
    return Estimate(value=s), Estimate(value=t), Comparison(ratio=ratio, difference=Estimate(value=s - t))


def number_in(answer: Any, question: Question) -> float:
    """Return the number in a metric's answer; of a mapping the entry that `key=` or the KPI's name picks.

    Raises:
        MeasurementError: there is none, or several.
    """
    if isinstance(answer, Mapping):
        name = question.kpi.name
        key = question.options.get("key") or (name if name in answer else None)
        if key is None and len(answer) == 1:
            key = next(iter(answer))
        if key not in answer:
            listed = ", ".join(map(repr, answer))
            wanted = f"has no entry {key!r}" if key is not None else "has several entries"
            raise MeasurementError(f"the answer of the metric of {name} {wanted}: {listed}. Write key=...")
        answer = answer[key]
    try:
        return float(answer)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MeasurementError(
            f"the metric of {question.kpi.name} gave {answer!r:.80}, expected one number (or a mapping of names to "
            "numbers)"
        ) from error
