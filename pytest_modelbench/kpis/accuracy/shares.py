"""Readings that are shares of samples: accuracies, and how two models' answers differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.kpis.accuracy.newly_wrong import newly_wrong, read_newly_wrong
from pytest_modelbench.kpis.additive import facts_of
from pytest_modelbench.kpis.evidence import compared_shares, judged_models, pair_of, share_reading, targets_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.probes.answers.anchoring import counted_answers, order_of_answers
from pytest_modelbench.probes.answers.columns import CHUNK_ROWS, release, slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.paired import mcnemar_p

Mask = npt.NDArray[np.bool_]


def _read_accuracy(question: Question, measurements: Measurements) -> Summary:
    """Count the samples that are right, and show those that the student lost, or that it has wrong."""
    if question.kpi.name == "top5_accuracy":
        _refuse_few_classes(measurements.predictions("student"), 5)
    models = judged_models(question, measurements)
    student, summary = models["student"], Summary(n=len(models["student"]), facts=facts_of(models))
    right = {role: _right(question, predictions) for role, predictions in models.items()}
    summary.count("right", *right.values())
    summary.counts["answers"] = counted_answers(student.labels, targets_of(student))
    wrong = ~right["student"]
    lost = wrong & right["teacher"] if "teacher" in right else wrong
    _show_worst(summary, student, lost)
    if "teacher" in right and question.kpi.name == "top1_accuracy":
        read_newly_wrong(summary, student, lost)
    return summary


def _right(question: Question, predictions: Predictions) -> Mask:
    if question.kpi.name == "top5_accuracy":
        return _among_largest(predictions, 5)
    return np.asarray(predictions.labels == predictions.targets)


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


def _conclude_accuracy(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the share of samples that are right: whose label is the largest output, or among the five largest."""
    evidence = Evidence(
        student=share_reading(question, summary, summary.of("right", True)),
        sampled=question.asked,
        notes=_suspicious(summary),
        worst_samples=summary.shown("worst"),
        breakdown=newly_wrong(summary),
    )
    if "teacher" not in summary.facts["models"]:
        yield evidence
        return
    hits: dict[Any, int] = summary.counts["right"]
    comparison = compared_shares(question, hits)
    lost, gained = hits.get((False, True), 0), hits.get((True, False), 0)
    method = f"{comparison.method}, {lost} samples newly wrong and {gained} gained of {summary.n}"
    yield replace(
        evidence,
        teacher=share_reading(question, summary, hits.get((True, True), 0) + lost),
        comparison=replace(comparison, method=method),
    )


top1_accuracy = top5_accuracy = Reduction(_read_accuracy, _conclude_accuracy)


def _read_pair(question: Question, measurements: Measurements) -> Summary:
    """Count the samples on which the two models agree, differ or are right, for each class or teacher's label."""
    student, teacher = pair_of(question, measurements, targets=question.kpi.name != "agreement")
    summary = Summary(n=len(student), facts=facts_of({"student": student, "teacher": teacher}))
    if question.kpi.name == "agreement":
        hits = np.asarray(student.labels == teacher.labels)
        summary.facts["columns"] = 0 if student.columns is None else len(student.columns)
        summary.count("pairs", teacher.labels, student.labels)
    else:
        right = [np.asarray(model.labels == model.targets) for model in (student, teacher)]
        flips = question.kpi.name == "flips"
        hits = right[0] != right[1] if flips else right[1] & ~right[0]
    summary.count("said", student.labels)
    summary.count("classes", teacher.labels if student.targets is None else student.targets, hits)
    _show_worst(summary, student, ~hits if question.kpi.name == "agreement" else hits)
    return summary


def _conclude_pair(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the share of samples on which the models agree, that exactly one has right, or that the student lost."""
    hits = sum(count for (_, hit), count in summary.counts["classes"].items() if hit)
    notes = _constant(summary, summary.counts["said"])
    if question.kpi.name == "agreement":
        notes += _other_order(summary, hits)
    yield Evidence(
        student=share_reading(question, summary, hits),
        sampled=question.asked,
        notes=notes,
        worst_samples=summary.shown("worst"),
        breakdown=_by_class(summary),
    )


agreement = flips = negative_flip_rate = Reduction(_read_pair, _conclude_pair)


def _read_right(question: Question, measurements: Measurements) -> Summary:
    """Count which of the two models has each sample right."""
    student, teacher = pair_of(question, measurements)
    summary = Summary(n=len(student), facts=facts_of({"student": student, "teacher": teacher}))
    summary.count("right", *(np.asarray(model.labels == model.targets) for model in (student, teacher)))
    return summary


def _conclude_mcnemar(_: Question, summary: Summary) -> Iterator[Evidence]:
    """Read McNemar's exact p."""
    lost, gained = summary.of("right", False, True), summary.of("right", True, False)
    method = f"exact binomial, {lost} samples newly wrong and {gained} gained"
    estimate = Estimate(value=mcnemar_p(lost, gained))
    yield Evidence(student=Reading(estimate=estimate, unit="", n=summary.n, method=method))


mcnemar = Reduction(_read_right, _conclude_mcnemar)


def _by_class(summary: Summary) -> tuple[dict[str, object], ...]:
    """Return the share of hits in each class, or for each of the teacher's labels where there are no targets."""
    counts: dict[Any, int] = summary.counts["classes"]
    sizes = {name: counts.get((name, True), 0) + counts.get((name, False), 0) for name, _ in counts}
    return tuple(
        {"name": str(name), "n": sizes[name], "value": 100 * counts.get((name, True), 0) / sizes[name]}
        for name in sorted(sizes)
    )


def _suspicious(summary: Summary) -> tuple[str, ...]:
    """Say that a model does not look at its inputs, or that its classes are in another order than the targets'."""
    answers, model = summary.counts["answers"], summary.facts["models"]["student"]
    moved = order_of_answers(model, answers)
    return _constant(summary, {(said,) for _, said in answers}) or ((moved,) if moved else ())


def _constant(summary: Summary, said: Collection[tuple[Any, ...]]) -> tuple[str, ...]:
    """Say that a model does not look at its inputs."""
    if summary.n < 2 or len(said) > 1:
        return ()
    ((answer,),) = said
    return (f"{summary.facts['models']['student']} answers {answer} for every sample",)


def _other_order(summary: Summary, same: int) -> tuple[str, ...]:
    """Say that the student's classes seem to be in another order than the teacher's.

    That is so where renaming them one to one (`scipy.optimize.linear_sum_assignment`) makes most answers agree, and
    fewer than half agree without it.
    """
    if summary.facts["columns"] < 3 or same / summary.n > 0.5:
        return ()
    pairs = summary.counts["pairs"]
    labels = sorted({label for pair in pairs for label in pair})
    place = {label: at for at, label in enumerate(labels)}
    table = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for (theirs, ours), count in pairs.items():
        table[place[theirs], place[ours]] = count
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(-table)
    if table[rows, columns].sum() < 0.8 * summary.n:
        return ()
    moved = [(labels[s], labels[t]) for t, s in zip(rows.tolist(), columns.tolist(), strict=True) if t != s]
    shown = ", ".join(f"its {mine} is the teacher's {other}" for mine, other in moved[:3])
    return (f"the student's classes seem to be in another order: {shown}",)


def _show_worst(summary: Summary, student: Predictions, chosen: Mask) -> None:
    """Show samples that the student lost, those it was most wrong about first."""
    index, behind = np.flatnonzero(chosen), None
    if student.scores is not None and student.columns is not None and student.targets is not None:
        behind = np.empty(len(index))
        for part in slices(len(index), rows=CHUNK_ROWS // 8):
            scores, targets = student.scores[index[part]], student.targets[index[part]]
            own = np.take_along_axis(scores, np.searchsorted(student.columns, targets)[:, None], axis=1)
            behind[part] = scores.max(axis=1) - own[:, 0]
            release(student.scores)
    summary.show(("worst",), student.ids, index, behind)
