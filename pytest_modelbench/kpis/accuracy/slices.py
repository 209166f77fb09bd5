"""Readings of the worst that happened to a class or a slice, whose average hides it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import counts
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.evidence import known_classes, meaning_of, pair_of, positions, targets_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.multiplicity import holm, lost_p
from pytest_modelbench.stats.paired import tango_interval

Mask = npt.NDArray[np.bool_]
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some samples: how many, how many of them the teacher has right, and the student lost and gained against it."""

    name: str
    n: int
    right: int
    lost: int
    gained: int

    @property
    def drop(self) -> float:
        """The drop of accuracy in points."""
        return 100 * (self.lost - self.gained) / self.n


def class_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest drop of a class's recall."""
    student, teacher = pair_of(question, measurements)
    classes = known_classes({"student": student, "teacher": teacher})
    right = rightness(student, teacher)
    codes = np.empty(len(student), dtype=np.int16 if len(classes) < 2**15 else np.int32)
    for part in slices(len(student)):
        codes[part] = positions(targets_of(student)[part], classes)
    groups = grouped(codes, tuple(map(str, classes.tolist())), *right)
    evidence, worst = worst_drop(question, student, groups, "class")
    lost = right[1] & ~right[0] & (codes == [group.name for group in groups].index(worst.name))
    yield _with_samples(evidence, student, lost)


def slice_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest drop of accuracy of a slice.

    Raises:
        DoesNotFit: the data name no slices.
    """
    groupings = measurements.data().slices(question.options["missing"], question.options["bins"])
    if not groupings:
        raise DoesNotFit(
            "slice_drop needs slices, and the evaluation data name none. Write EvalData(..., slices={'night': night})"
        )
    student, teacher = pair_of(question, measurements)
    right = rightness(student, teacher)
    for grouping in groupings:
        if len(grouping.codes) != len(student):
            raise MeasurementError(
                f"slice {grouping.name!r} has {len(grouping.codes)} values, and there are {len(student)} samples"
            )
    groups = [group for grouping in groupings for group in grouped(grouping.codes, grouping.names, *right)]
    evidence, worst = worst_drop(question, student, groups, "slice")
    evidence = replace(
        evidence, notes=(*evidence.notes, *(grouping.told for grouping in groupings if grouping.missing))
    )
    members = next(mask for grouping in groupings for name, mask in grouping.with_names() if name == worst.name)
    yield _with_samples(evidence, student, right[1] & ~right[0] & members)


def rightness(student: Predictions, teacher: Predictions) -> tuple[Mask, Mask]:
    """Return which samples the student has right, and which the teacher."""
    return np.asarray(student.labels == student.targets), np.asarray(teacher.labels == teacher.targets)


def grouped(codes: npt.NDArray[Any], names: Sequence[str], student_right: Mask, teacher_right: Mask) -> list[Group]:
    """Count the samples of each group, and those lost and gained; a code of -1 is in no group."""
    n, lost = counts(codes, len(names)), counts(codes, len(names), teacher_right & ~student_right)
    gained = counts(codes, len(names), student_right & ~teacher_right)
    right = counts(codes, len(names), teacher_right)
    return [Group(name=name, n=n[i], right=right[i], lost=lost[i], gained=gained[i]) for i, name in enumerate(names)]


def worst_drop(
    question: Question, student: Predictions, groups: Sequence[Group], what: str
) -> tuple[Evidence, Group]:
    """Return the evidence of the largest drop of all groups that are large enough, and that group.

    Each group's interval is Tango's at the error divided by the number of groups, so that all hold together
    (Bonferroni); the drop of the worst group then lies between the largest lower and the largest upper end. Which
    groups have lost at all is determined by McNemar's exact test with Holm's correction.

    Raises:
        MeasurementError: no group is large enough.
    """
    least = int(question.options["min_n"])
    judged = [group for group in groups if group.n >= least]
    left_out = [f"{group.name} ({group.n})" for group in groups if group.n < least]
    if not judged:
        raise DoesNotFit(
            f"{question.kpi.name}: no {what} has {least} samples or more: {', '.join(left_out[:10])}. "
            "Bring more data, or state a smaller min_n="
        )
    intervals = [
        tango_interval(group.lost, group.gained, group.n, question.alpha / len(judged)).map(lambda d: 100 * d)
        for group in judged
    ]
    adjusted = holm([lost_p(group.lost, group.gained) for group in judged])
    order = sorted(range(len(judged)), key=lambda i: (-judged[i].drop, judged[i].name))
    worst = judged[order[0]]
    estimate = Estimate(
        value=worst.drop,
        low=max(interval.low for interval in intervals if interval.low is not None),
        high=max(interval.high for interval in intervals if interval.high is not None),
    )
    breakdown = tuple(
        {
            "name": judged[i].name,
            "n": judged[i].n,
            "value": judged[i].drop,
            "ci_low": intervals[i].low,
            "ci_high": intervals[i].high,
            "lost": judged[i].lost,
            "gained": judged[i].gained,
            "teacher": 100 * judged[i].right / judged[i].n,
            "student": 100 * (judged[i].right - judged[i].lost + judged[i].gained) / judged[i].n,
            "holm_p": adjusted[i],
        }
        for i in order
    )
    return Evidence(
        student=Reading(
            estimate=estimate,
            unit="pp",
            n=worst.n,
            confidence=question.confidence,
            method=f"worst of {len(judged)} {what}{'es' if what == 'class' else 's'} of at least {least} samples, "
            f"Tango's intervals at a common error (Bonferroni); {meaning_of(student)}",
        ),
        sampled=question.asked,
        notes=tuple(_notes(judged, order, adjusted, left_out, what, question.alpha)),
        breakdown=breakdown,
    ), worst


def _notes(
    judged: Sequence[Group],
    order: Sequence[int],
    adjusted: Sequence[float],
    left_out: Sequence[str],
    what: str,
    alpha: float,
) -> Iterator[str]:
    shown = [f"{judged[i].name} {judged[i].drop:+.1f} pp of {judged[i].n}" for i in order[:SHOWN]]
    yield f"drop by {what}: {', '.join(shown)}"
    proven = [judged[i].name for i in order if adjusted[i] <= alpha]
    if proven:
        yield f"lost beyond chance (McNemar, Holm): {', '.join(proven[:SHOWN])}" + (
            f" and {len(proven) - SHOWN} more" if len(proven) > SHOWN else ""
        )
    if left_out:
        yield f"too small to judge: {', '.join(left_out[:SHOWN])}" + (
            f" and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
        )


def _with_samples(evidence: Evidence, student: Predictions, lost: Mask) -> Evidence:
    return replace(evidence, worst_samples=shown_ids(student.ids, np.flatnonzero(lost)))
