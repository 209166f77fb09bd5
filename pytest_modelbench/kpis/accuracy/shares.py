"""Readings that are shares of samples: accuracies, and how two models' answers differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import coded, counts
from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.kpis.accuracy.newly_wrong import newly_wrong
from pytest_modelbench.kpis.evidence import check_paired, compared_shares, judged_predictions, pair_of, share_reading
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.columns import CHUNK_ROWS, release, slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.paired import mcnemar_p

Mask = npt.NDArray[np.bool_]


def top1_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples whose label is the largest output."""
    yield _accuracy(question, measurements, lambda p: np.asarray(p.labels == p.targets), pairs=newly_wrong)


def top5_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples whose label is among the five largest outputs."""
    _refuse_few_classes(measurements.predictions("student"), 5)
    yield _accuracy(question, measurements, lambda p: _among_largest(p, 5))


def _refuse_few_classes(predictions: Predictions, k: int) -> None:
    columns = predictions.columns
    if columns is not None and len(columns) <= k:
        raise DoesNotFit(f"top{k}_accuracy means nothing for {len(columns)} classes: it is always 100%")


def _among_largest(predictions: Predictions, k: int) -> Mask:
    scores, columns, targets = predictions.scores, predictions.columns, predictions.targets
    if scores is None or columns is None or targets is None:
        raise DoesNotFit(f"top{k}_accuracy needs scores, and {predictions.outputs.model} returns labels")
    _refuse_few_classes(predictions, k)
    hits = np.empty(len(scores), dtype=bool)
    for part in slices(len(scores)):
        where = np.searchsorted(columns, targets[part])[:, None]
        own, later = np.take_along_axis(scores[part], where, axis=1), np.arange(scores.shape[1]) > where
        hits[part] = ((scores[part] > own) | ((scores[part] == own) & later)).sum(axis=1) < k  # as scikit-learn
        release(scores)
    return hits


def _accuracy(
    question: Question,
    measurements: Measurements,
    right: Callable[[Predictions], Mask],
    pairs: Callable[[Predictions, Mask], tuple[dict[str, Any], ...]] | None = None,
) -> Evidence:
    """Read the share of right samples; `pairs` makes the breakdown of the lost ones."""
    student = judged_predictions(question, measurements, "student")
    student_right = right(student)
    reading = share_reading(question, student, int(student_right.sum()))
    if not question.with_teacher:
        wrong = _worst(student, np.flatnonzero(~student_right))
        return Evidence(student=reading, sampled=question.asked, notes=_suspicious(student), worst_samples=wrong)
    teacher = judged_predictions(question, measurements, "teacher")
    check_paired(student, teacher)
    teacher_right = right(teacher)
    comparison = compared_shares(question, student_right, teacher_right)
    lost, gained = teacher_right & ~student_right, int((student_right & ~teacher_right).sum())
    method = f"{comparison.method}, {int(lost.sum())} samples newly wrong and {gained} gained of {len(student)}"
    return Evidence(
        student=reading,
        teacher=share_reading(question, teacher, int(teacher_right.sum())),
        comparison=replace(comparison, method=method),
        sampled=question.asked,
        notes=_suspicious(student),
        worst_samples=_worst(student, np.flatnonzero(lost)),
        breakdown=() if pairs is None else pairs(student, lost),
    )


def agreement(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples on which both predict the same label."""
    student, teacher = pair_of(question, measurements, targets=False)
    same = np.asarray(student.labels == teacher.labels)
    evidence = _pair_evidence(question, student, teacher, same, np.flatnonzero(~same))
    yield replace(evidence, notes=(*evidence.notes, *_other_order(student, teacher, same)))


def flips(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples that exactly one of the two gets right."""
    student, teacher = pair_of(question, measurements)
    flipped = (student.labels == student.targets) != (teacher.labels == teacher.targets)
    yield _pair_evidence(question, student, teacher, np.asarray(flipped), np.flatnonzero(flipped))


def negative_flip_rate(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples that the teacher gets right and the student wrong."""
    student, teacher = pair_of(question, measurements)
    lost = (student.labels != student.targets) & (teacher.labels == teacher.targets)
    yield _pair_evidence(question, student, teacher, np.asarray(lost), np.flatnonzero(lost))


def mcnemar(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read McNemar's exact p."""
    student, teacher = pair_of(question, measurements)
    student_right, teacher_right = student.labels == student.targets, teacher.labels == teacher.targets
    lost, gained = int((teacher_right & ~student_right).sum()), int((~teacher_right & student_right).sum())
    method = f"exact binomial, {lost} samples newly wrong and {gained} gained"
    estimate = Estimate(value=mcnemar_p(lost, gained))
    yield Evidence(student=Reading(estimate=estimate, unit="", n=len(student), method=method))


def _pair_evidence(
    question: Question, student: Predictions, teacher: Predictions, hits: Mask, shown: npt.NDArray[np.intp]
) -> Evidence:
    return Evidence(
        notes=_constant(student),
        breakdown=by_class(student, teacher, hits),
        student=share_reading(question, student, int(hits.sum())),
        sampled=question.asked,
        worst_samples=_worst(student, shown),
    )


def by_class(student: Predictions, teacher: Predictions, hits: Mask) -> tuple[dict[str, object], ...]:
    """Return the share of hits in each class, or for each of the teacher's labels where there are no targets."""
    classes = teacher.labels if student.targets is None else student.targets
    names, codes = coded(np.asarray(classes))
    total, counted = counts(codes, len(names)), counts(codes, len(names), hits)
    return tuple(
        {"name": str(name), "n": int(n), "value": 100 * int(count) / int(n)}
        for name, n, count in zip(names, total, counted, strict=True)
    )


def _suspicious(student: Predictions) -> tuple[str, ...]:
    """Say that a model does not look at its inputs, or that its classes are in another order than the targets'."""
    return _constant(student) or ((student.class_order,) if student.class_order else ())


def _constant(student: Predictions) -> tuple[str, ...]:
    """Say that a model does not look at its inputs."""
    if len(student) < 2 or not bool(np.all(student.labels == student.labels[0])):
        return ()
    return (f"{student.outputs.model} answers {student.labels[0]} for every sample",)


def _other_order(student: Predictions, teacher: Predictions, same: Mask) -> tuple[str, ...]:
    """Say that the student's classes seem to be in another order than the teacher's.

    That is so where renaming them one to one (`scipy.optimize.linear_sum_assignment`) makes most answers agree, and
    fewer than half agree without it.
    """
    if student.columns is None or len(student.columns) < 3 or same.mean() > 0.5:
        return ()
    of = len(student.columns)
    pairs = np.searchsorted(student.columns, teacher.labels) * of + np.searchsorted(student.columns, student.labels)
    table = np.bincount(pairs, minlength=of * of).reshape(of, of)
    from scipy.optimize import linear_sum_assignment

    theirs, ours = linear_sum_assignment(-table)
    if table[theirs, ours].sum() < 0.8 * len(same):
        return ()
    moved = [(student.columns[s], student.columns[t]) for t, s in zip(theirs, ours, strict=True) if t != s]
    shown = ", ".join(f"its {mine} is the teacher's {other}" for mine, other in moved[:3])
    return (f"the student's classes seem to be in another order: {shown}",)


def _worst(student: Predictions, index: npt.NDArray[np.intp]) -> tuple[str, ...]:
    """Return the ids of samples that the student lost, those it was most wrong about first."""
    if student.scores is not None and student.columns is not None and student.targets is not None and len(index):
        behind = np.empty(len(index))
        for part in slices(len(index), rows=CHUNK_ROWS // 8):
            scores, targets = student.scores[index[part]], student.targets[index[part]]
            own = np.take_along_axis(scores, np.searchsorted(student.columns, targets)[:, None], axis=1)
            behind[part] = own[:, 0] - scores.max(axis=1)
            release(student.scores)
        index = index[np.argsort(behind, kind="stable")]
    return shown_ids(student.ids, index)
