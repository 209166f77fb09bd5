"""Readings of metamorphic relations: what must happen to an answer when its input is changed in a known way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import combinations
from pytest_modelbench.errors import DataError, DoesNotFit
from pytest_modelbench.kpis.evidence import compared_shares, meaning_of, refuse_nonfinite
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.intervals import share_interval

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Broken = Callable[[Predictions, Predictions], tuple[Mask, FloatArray]]
SHOWN = 3


def invariance(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples whose answer a transform changes."""
    tolerance = question.options["tolerance"]

    def broken(before: Predictions, after: Predictions) -> tuple[Mask, FloatArray]:
        if before.task == "regression" and tolerance is None:
            raise DoesNotFit("the task is regression, so say how far values may move. Write tolerance=0.1")
        if tolerance is None:
            changed = _any(np.asarray(before.labels != after.labels))
            return changed, changed.astype(float)
        moved = np.abs(_values(after) - _values(before)).reshape(len(before), -1).max(axis=1)
        return moved > tolerance, moved

    yield _evidence(question, measurements, broken)


def directional(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples whose value a transform moves the wrong way."""
    sign, tolerance = float(question.options["sign"]), float(question.options["tolerance"] or 0.0)

    def broken(before: Predictions, after: Predictions) -> tuple[Mask, FloatArray]:
        wrong_way = -sign * (_expected(question, after) - _expected(question, before))
        return wrong_way > tolerance, wrong_way

    yield _evidence(question, measurements, broken)


def _any(differs: Mask) -> Mask:
    return np.asarray(differs.reshape(len(differs), -1).any(axis=1))


def _values(predictions: Predictions) -> FloatArray:
    if predictions.task == "regression":
        return np.asarray(predictions.labels, dtype=np.float64)
    return predictions.probabilities(slice(None))


def _expected(question: Question, predictions: Predictions) -> FloatArray:
    """Return the one value that is to move: the regression's, or the probability of one class."""
    if predictions.task in {"regression", "multilabel"}:
        if predictions.labels.ndim > 1:
            raise DoesNotFit(f"directional is for one value per sample, and there are {predictions.labels.shape[1]}")
        return _values(predictions)
    chances, wanted = _values(predictions), question.options["output"]
    classes = [str(label) for label in np.asarray(predictions.columns).tolist()]
    if wanted is None and len(classes) == 2:
        return chances[:, 1]
    if wanted is None or str(wanted) not in classes:
        problem = "there are several classes" if wanted is None else f"output={wanted!r} is no class"
        raise DataError(f"{problem}; say whose probability is to move: output= one of {', '.join(classes[:10])}")
    return chances[:, classes.index(str(wanted))]


def _evidence(question: Question, measurements: Measurements, broken: Broken) -> Evidence:
    by_role = {}
    for role in ("student", "teacher") if question.with_teacher else ("student",):
        before, after = measurements.predictions(role), measurements.transformed(role)
        for predictions in (before, after):
            refuse_nonfinite(question, predictions)
        by_role[role] = (before, after, *broken(before, after))
    before, after, violates, size = by_role["student"]
    worst = np.flatnonzero(violates)
    worst = worst[np.argsort(-size[worst], kind="stable")]
    notes = tuple(f"sample {before.ids[i]}: {_told(before, i)} becomes {_told(after, i)}" for i in worst[:SHOWN])
    student = _reading(question, before, violates)
    if not question.with_teacher:
        return Evidence(
            student=student, sampled=question.asked, notes=notes, worst_samples=shown_ids(before.ids, worst)
        )
    teacher, _, theirs, _ = by_role["teacher"]
    return Evidence(
        student=student,
        teacher=_reading(question, teacher, theirs),
        comparison=compared_shares(question, combinations(violates, theirs)),
        sampled=question.asked,
        notes=notes,
        worst_samples=shown_ids(before.ids, worst),
    )


def _told(predictions: Predictions, index: int) -> str:
    label = predictions.labels[index]
    if predictions.columns is None:
        return f"{label:.4g}" if isinstance(label, float | np.floating) else str(label)
    return f"{label} ({100 * float(predictions.probabilities(slice(index, index + 1)).max()):.0f}%)"


def _reading(question: Question, predictions: Predictions, violates: Mask) -> Reading:
    count, n = int(violates.sum()), len(violates)
    return Reading(
        estimate=share_interval(count, n, question.alpha).map(lambda share: 100 * share),
        unit="%",
        n=n,
        confidence=question.confidence,
        method=f"{count} of {n} samples, Wilson interval; a second pass over transformed inputs; "
        f"{meaning_of(predictions)}",
    )
