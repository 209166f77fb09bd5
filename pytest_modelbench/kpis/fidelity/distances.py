"""Readings of how far the student's outputs are from the teacher's, for any targets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.kpis.additive import Part, Parts, facts_of, paired_sums, summed_parts
from pytest_modelbench.kpis.evidence import meaning_of, pair_of, share_reading
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Highest, Summary
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.paired import percentiles

FloatArray = npt.NDArray[np.float64]
MOST_SHOWN = 10


def _read_churn(question: Question, measurements: Measurements) -> Summary:
    """Count the samples that both models have wrong, and those of them whose answers differ."""
    student, teacher = pair_of(question, measurements)
    wrong = np.asarray((student.labels != student.targets) & (teacher.labels != teacher.targets))
    differ = wrong & np.asarray(student.labels != teacher.labels)
    summary = Summary(n=len(student), facts=facts_of({"student": student, "teacher": teacher}))
    summary.count("wrong", wrong, differ)
    summary.show(("differ",), student.ids, np.flatnonzero(differ))
    return summary


def _conclude_churn(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read how often two wrong answers differ.

    Raises:
        NotApplicable: no sample is wrong for both.
    """
    wrong, differ = summary.of("wrong", True), summary.of("wrong", True, True)
    if not wrong:
        raise NotApplicable("no sample is wrong for both, so there are no two wrong predictions to compare")
    yield Evidence(
        student=share_reading(question, summary, differ, wrong),
        sampled=question.asked,
        worst_samples=summary.shown("differ"),
    )


churn_among_wrong = Reduction(_read_churn, _conclude_churn)


def _divergence(student: Predictions, teacher: Predictions, part: slice) -> FloatArray:
    """Return the divergence of each sample, in nats: sum over classes of p_T (log p_T - log p_S)."""
    log_teacher, log_student = teacher.log_probabilities(part), student.log_probabilities(part)
    divergence = (np.exp(log_teacher) * (log_teacher - log_student)).sum(axis=1)
    nats: FloatArray = np.maximum(divergence, 0.0)  # rounding of float32 may go below
    return nats


def _read_divergence(question: Question, measurements: Measurements) -> Summary:
    student, teacher = pair_of(question, measurements, targets=False)
    highest = Highest()

    def parts(predictions: Predictions, part: slice) -> Parts:
        nats = _divergence(predictions, teacher, part)
        teacher.release()
        highest.take_some(nats, student.ids, np.arange(part.start, part.stop))
        kinds = np.zeros(len(nats), dtype=np.intp)
        return {"n": Part(kinds=kinds, of=1), "nats": Part(kinds=kinds, of=1, weights=nats)}

    summary = summed_parts({"student": student}, parts)
    summary.samples["highest",] = highest
    return summary


def _conclude_divergence(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the mean divergence of the student's probabilities from the teacher's."""
    sums = paired_sums(question, summary)
    total, drawn = sums.totals["student"], sums.drawn["student"]
    value = float(total["nats"][0, 0] / total["n"][0, 0])
    estimate = percentiles(value, drawn["nats"][:, 0] / drawn["n"][:, 0], question.alpha)
    method = f"mean over {_read_as(summary.n, summary.facts['meaning'])}; {sums.method}"
    yield _evidence(question, summary.n, estimate, method, tuple(summary.samples["highest",].ids))


kl_divergence = Reduction(_read_divergence, _conclude_divergence)


def kl_divergence_p99(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the 99th percentile of the divergence, with the interval of order statistics."""
    from scipy.stats import quantile_test  # takes most of a second to load

    student, teacher = pair_of(question, measurements, targets=False)
    values = np.empty(len(student))
    for part, nats in _divergences(student, teacher):
        values[part] = nats
    interval: Any = quantile_test(values, p=0.99).confidence_interval(confidence_level=1 - 2 * question.alpha)
    low, high = float(interval.low), float(interval.high)
    estimate = Estimate(
        value=float(np.quantile(values, 0.99, method="inverted_cdf")),
        low=low if math.isfinite(low) else -math.inf,
        high=high if math.isfinite(high) else math.inf,
    )
    method = "binomial interval of order statistics, all values sorted"
    worst = shown_ids(student.ids, np.argsort(-values, kind="stable")[:MOST_SHOWN])
    yield _evidence(
        question, len(student), estimate, f"{method}; {_read_as(len(values), meaning_of(student))}", worst
    )


def _read_largest(question: Question, measurements: Measurements) -> Summary:
    """Look for the largest divergences."""
    student, teacher = pair_of(question, measurements, targets=False)
    summary = Summary(n=len(student), facts=facts_of({"student": student}))
    for part, nats in _divergences(student, teacher):
        summary.show(("highest",), student.ids, np.arange(part.start, part.stop), nats)
    return summary


def _conclude_largest(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the largest divergence: that of these data, which says nothing of others."""
    highest = summary.samples["highest",]
    method = f"largest of these data; {_read_as(summary.n, summary.facts['meaning'])}"
    yield _evidence(question, summary.n, Estimate.exact(highest.values[0]), method, tuple(highest.ids))


kl_divergence_max = Reduction(_read_largest, _conclude_largest)


def _divergences(student: Predictions, teacher: Predictions) -> Iterator[tuple[slice, FloatArray]]:
    """Yield some samples after others, and their divergences."""
    for part in slices(len(student)):
        yield part, _divergence(student, teacher, part)
        student.release()
        teacher.release()


def _read_as(n: int, meaning: str) -> str:
    return f"{n:,} samples, log-softmax in float32; {meaning}"


def _evidence(question: Question, n: int, estimate: Estimate, method: str, worst: tuple[str, ...]) -> Evidence:
    reading = Reading(estimate=estimate, unit="nat", n=n, confidence=question.confidence, method=method)
    return Evidence(student=reading, sampled=question.asked, worst_samples=worst)
