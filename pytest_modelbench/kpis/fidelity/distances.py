"""Readings of how far the student's outputs are from the teacher's, for any targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.kpis.additive import Part, Parts, paired_sums, summed_parts
from pytest_modelbench.kpis.evidence import meaning_of, pair_of, share_reading
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.reduction import Highest, Reduction, Summary
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.paired import percentiles

FloatArray = npt.NDArray[np.float64]


def churn_among_wrong(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read how often two wrong answers differ.

    Raises:
        NotApplicable: no sample is wrong for both.
    """
    student, teacher = pair_of(question, measurements)
    wrong = (student.labels != student.targets) & (teacher.labels != teacher.targets)
    if not wrong.any():
        raise NotApplicable("no sample is wrong for both, so there are no two wrong predictions to compare")
    differ = np.asarray(wrong & (student.labels != teacher.labels))
    yield Evidence(
        student=share_reading(question, student, int(differ.sum()), int(wrong.sum())),
        sampled=question.asked,
        worst_samples=shown_ids(student.ids, np.flatnonzero(differ)),
    )


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
    method = f"mean over {summary.n:,} samples, log-softmax in float32; {summary.facts['meaning']}; {sums.method}"
    reading = Reading(estimate=estimate, unit="nat", n=summary.n, confidence=question.confidence, method=method)
    shown = tuple(summary.samples["highest",].ids)
    yield Evidence(student=reading, sampled=question.asked, worst_samples=shown)


kl_divergence = Reduction(_read_divergence, _conclude_divergence)


def kl_divergence_p99(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the 99th percentile of the divergence, with the interval of order statistics."""

    def estimate(values: FloatArray) -> Estimate:
        from scipy.stats import quantile_test  # takes most of a second to load

        test = quantile_test(values, p=0.99)
        interval: Any = test.confidence_interval(confidence_level=1 - 2 * question.alpha)
        low, high = float(interval.low), float(interval.high)
        return Estimate(
            value=float(np.quantile(values, 0.99, method="inverted_cdf")),
            low=low if math.isfinite(low) else -math.inf,
            high=high if math.isfinite(high) else math.inf,
        )

    yield _of_all(question, measurements, estimate, "binomial interval of order statistics, all values sorted")


def kl_divergence_max(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest divergence: that of these data, which says nothing of others."""
    yield _of_all(question, measurements, lambda values: Estimate.exact(float(values.max())), "largest of these data")


def _of_all(
    question: Question, measurements: Measurements, estimate: Callable[[FloatArray], Estimate], description: str
) -> Evidence:
    student, teacher = pair_of(question, measurements, targets=False)
    values = np.empty(len(student))
    for part in slices(len(student)):
        values[part] = _divergence(student, teacher, part)
        student.release()
        teacher.release()
    method = f"{description}; {len(values):,} samples, log-softmax in float32; {meaning_of(student)}"
    return _evidence(question, student, estimate(values), method, np.argsort(-values, kind="stable")[:20])


def _evidence(
    question: Question, student: Predictions, estimate: Estimate, method: str, worst: npt.NDArray[np.intp]
) -> Evidence:
    reading = Reading(estimate=estimate, unit="nat", n=len(student), confidence=question.confidence, method=method)
    return Evidence(student=reading, sampled=question.asked, worst_samples=shown_ids(student.ids, worst))
