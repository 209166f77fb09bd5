"""Readings of what survives attacks: an upper bound wherever the attacks may have been too weak."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import combinations
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.evidence import compared_shares
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.attacks.outcome import Assault
from pytest_modelbench.probes.kinds import FGSM, PGD, ROBUSTNESS, TRANSFER, ProbeKind
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading
from pytest_modelbench.stats.intervals import share_interval

Mask = npt.NDArray[np.bool_]
KINDS: Mapping[str, ProbeKind[Assault]] = {kind.name: kind for kind in (FGSM, PGD, ROBUSTNESS, TRANSFER)}
SHOWN = 2
"""How many doubts a note states."""
MUCH_BETTER = 0.05
"""A student that survives by this share more than its teacher is worth a second look."""


def survivors(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of samples that survive, of the student and of the teacher on the same samples."""
    kind = KINDS[question.kpi.statistic]
    student = measurements.of(kind, "student")
    if not question.with_teacher or question.kpi.paired:
        yield Evidence(
            student=_reading(question, student),
            sampled=question.asked or bool(student.doubts),
            notes=_notes(question, student),
            worst_samples=_lost(student, student.right & ~student.surviving()),
        )
        return
    teacher = measurements.of(kind, "teacher")
    count = min(len(student.ids), len(teacher.ids))
    student, teacher = student.first(count), teacher.first(count)
    mine, its = student.surviving(), teacher.surviving()
    if question.anchored and its.mean() <= teacher.chance:
        raise MeasurementError(
            f"eps={question.options['eps']!r} leaves the teacher {its.mean():.1%}, and a constant answer is right "
            f"for {teacher.chance:.1%}: a drop from that says nothing. Write a smaller eps=, or "
            "allow_weak_teacher=True"
        )
    yield Evidence(
        student=_reading(question, student),
        teacher=_reading(question, teacher),
        comparison=_compared(question, student, teacher),
        sampled=question.asked or bool(student.doubts or teacher.doubts),
        notes=(*_notes(question, student), *_notes(question, teacher), *_better(mine, its)),
        worst_samples=_lost(student, its & ~mine),
    )


def _better(student: Mask, teacher: Mask) -> tuple[str, ...]:
    """Say that a student survives much more than its teacher, which compression rarely brings."""
    gained = float(student.mean() - teacher.mean())
    if gained <= MUCH_BETTER:
        return ()
    return (f"the student survives more than its teacher by {100 * gained:.1f} pp: does it hide its gradient?",)


def _reading(question: Question, assault: Assault) -> Reading:
    left = assault.surviving()
    count, n = int(left.sum()), len(left)
    estimate = share_interval(count, n, question.alpha).map(lambda share: 100 * share)
    bound = ""
    if assault.doubts:
        high = estimate.high if question.asked else estimate.value
        estimate, bound = Estimate(value=estimate.value, low=-math.inf, high=high), "at most "
    right = int(assault.right.sum())
    return Reading(
        estimate=estimate,
        unit="%",
        n=n,
        confidence=question.confidence,
        method=f"{bound}{count} of {n} samples survive, {right} are right as they are; {assault.method}",
    )


def _compared(question: Question, student: Assault, teacher: Assault) -> Comparison:
    """Compare by Tango's interval; a share that is only a bound leaves the side open on which it may be less."""
    plain = compared_shares(question, combinations(student.surviving(), teacher.surviving()))
    if not student.doubts and not teacher.doubts:
        return plain
    assert plain.difference is not None  # noqa: S101 - it always is

    def opened(estimate: Estimate) -> Estimate:
        low, high = (estimate.low, estimate.high) if question.asked else (estimate.value, estimate.value)
        return Estimate(
            value=estimate.value,
            low=-math.inf if student.doubts else low,
            high=math.inf if teacher.doubts else high,
        )

    return Comparison(
        ratio=plain.ratio and opened(plain.ratio),
        difference=opened(plain.difference),
        method=f"{plain.method}, open where a share is only an upper bound",
    )


def _notes(question: Question, assault: Assault) -> tuple[str, ...]:
    """Say why a share is only a bound and what would tell more, and where lost samples are kept."""
    kept = (f"lost samples and the first {len(assault.pairs)} pairs: {assault.kept}",) if assault.kept else ()
    if not assault.doubts:
        return kept
    hint, hidden = "", not all(doubt.startswith("steps=") for doubt in assault.doubts)
    if hidden and "surrogate" in question.options and question.options["surrogate"] is None:
        hint = ". Write surrogate='module:function', the model with a gradient that it was made from"
    more = f"; {len(assault.doubts) - SHOWN} more checks fail" if len(assault.doubts) > SHOWN else ""
    return (f"an upper bound: {'; '.join(assault.doubts[:SHOWN])}{more}{hint}", *kept)


def _lost(student: Assault, lost: Mask) -> tuple[str, ...]:
    return shown_ids(student.ids, np.flatnonzero(lost))
