"""Readings of a profile: how many operators a call dispatches, and whose its time is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pytest_modelbench.kpis.evidence import exact_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.cost.profile import CALLS
from pytest_modelbench.probes.cost.recorded import Profile
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.intervals import FloatArray, mean_interval


def operator_count(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count the operators that a call dispatches."""

    def reading(role: str) -> Reading:
        profile = measurements.profile(role)[0]
        count = Estimate.exact(profile.operator_count)
        return Reading(estimate=count, unit="", n=profile.calls, method=_method(question, profile))

    yield exact_evidence(question, reading)


def top_operator_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the share of the operator that takes most of the time."""

    def of(profile: Profile, names: Sequence[str]) -> float:
        return profile.share(lambda operator: operator.name == names[0])

    yield _shares(question, measurements, of)


def copy_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Return the share of copies, casts, quantising and dequantising."""
    yield _shares(question, measurements, lambda profile, _: profile.copy_share)


def _shares(
    question: Question, measurements: Measurements, share: Callable[[Profile, Sequence[str]], float]
) -> Evidence:
    """Return shares of time over several recordings, which differ as times do."""
    values: dict[str, FloatArray] = {}
    readings: dict[str, Reading] = {}
    for role in ("student", "teacher") if question.with_teacher else ("student",):
        profiles = measurements.profile(role)
        names = [operator.name for operator in profiles[0].operators]
        values[role] = np.array([share(profile, names) for profile in profiles])
        detail = f"{_method(question, profiles[0])}, largest {names[0]}, own time on {profiles[0].device}"
        readings[role] = Reading(
            estimate=mean_interval(values[role], question.alpha).map(lambda share: min(max(share, 0.0), 100.0)),
            unit="%",
            n=len(profiles),
            confidence=question.confidence,
            method=f"mean of {len(profiles)} recordings, Student's interval; {detail}",
        )
    teacher = readings.get("teacher")
    comparison = None
    if teacher is not None:
        student, of_teacher = values["student"], values["teacher"]
        ratio = None
        if (of_teacher > 0).all() and not student.any():
            ratio = Estimate.exact(0.0)
        elif (of_teacher > 0).all() and not (student > 0).all():
            ratio = mean_interval(student / of_teacher, question.alpha)
        elif (of_teacher > 0).all():
            logs = mean_interval(np.log(student / of_teacher), question.alpha)
            ratio = logs.map(lambda log: math.exp(min(log, 700.0)))
        gap = mean_interval(student - of_teacher, question.alpha)
        comparison = Comparison(ratio=ratio, difference=gap, method="recordings, Student's interval")
    return Evidence(student=readings["student"], teacher=teacher, comparison=comparison, sampled=True)


def _method(question: Question, profile: Profile) -> str:
    return f"{profile.profiler} over {CALLS} calls, batch size {question.options['batch_size']}"
