"""Readings of the worst that happened to a class or a slice, whose average hides it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench.data.groups import counts
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.additive import facts_of
from pytest_modelbench.kpis.evidence import known_classes, pair_of, positions, targets_of
from pytest_modelbench.kpis.groups_in_parts import note_form, told_by_feature
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.reduction import Reduction
from pytest_modelbench.kpis.summary import Key, Summary
from pytest_modelbench.probes.answers.columns import slices
from pytest_modelbench.probes.answers.meaning import Predictions
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.multiplicity import holm, lost_p
from pytest_modelbench.stats.paired import tango_interval

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some samples: how many, how many of them the teacher has right, and the student lost and gained against it."""

    name: str
    key: Key
    n: int
    right: int
    lost: int
    gained: int

    @property
    def drop(self) -> float:
        """The drop of accuracy in points."""
        return 100 * (self.lost - self.gained) / self.n


def _read_classes(question: Question, measurements: Measurements) -> Summary:
    """Count what was lost and gained of each class."""
    student, teacher = pair_of(question, measurements)
    classes = known_classes({"student": student, "teacher": teacher})
    codes = np.empty(len(student), dtype=np.int16 if len(classes) < 2**15 else np.int32)
    for part in slices(len(student)):
        codes[part] = positions(targets_of(student)[part], classes)
    summary = Summary(n=len(student), facts=facts_of({"student": student, "teacher": teacher}))
    names = classes.tolist()
    keys = [(0, 0, name, str(name)) for name in names]
    _count(summary, student, codes, keys, rightness(student, teacher))
    return summary


def _conclude_classes(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the largest drop of a class's recall."""
    yield worst_drop(question, summary, "class")


class_drop = Reduction(_read_classes, _conclude_classes)


def _read_slices(question: Question, measurements: Measurements) -> Summary:
    """Count what was lost and gained of each slice.

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
    summary = Summary(n=len(student), facts=facts_of({"student": student, "teacher": teacher}))
    for number, grouping in enumerate(groupings):
        if len(grouping.codes) != len(student):
            raise MeasurementError(
                f"slice {grouping.name!r} has {len(grouping.codes)} values, and there are {len(student)} samples"
            )
        note_form(summary, number, grouping)
        keys = [(number, *order, name) for order, name in zip(grouping.order, grouping.names, strict=True)]
        _count(summary, student, grouping.codes, keys, right)
    return summary


def _conclude_slices(question: Question, summary: Summary) -> Iterator[Evidence]:
    """Read the largest drop of accuracy of a slice."""
    evidence = worst_drop(question, summary, "slice")
    yield replace(evidence, notes=(*evidence.notes, *told_by_feature(summary)))


slice_drop = Reduction(_read_slices, _conclude_slices)


def rightness(student: Predictions, teacher: Predictions) -> tuple[Mask, Mask]:
    """Return which samples the student has right, and which the teacher."""
    return np.asarray(student.labels == student.targets), np.asarray(teacher.labels == teacher.targets)


def _count(
    summary: Summary, student: Predictions, codes: Array, keys: Sequence[Key], right: tuple[Mask, Mask]
) -> None:
    """Count the samples of each group, and those lost and gained; a code of -1 is in no group.

    Args:
        summary: in which they are counted.
        student: whose samples they are.
        codes: the group of each sample.
        keys: of the groups, in their order; the last entry is the name.
        right: which samples the student has right, and which the teacher.
    """
    lost, gained = right[1] & ~right[0], right[0] & ~right[1]
    for what, among in (("n", None), ("right", right[1]), ("lost", lost), ("gained", gained)):
        summary.counts.setdefault(what, {}).update(zip(keys, counts(codes, len(keys), among), strict=True))
    index = np.flatnonzero(lost)
    summary.show_each(keys, student.ids, index, codes[index])


def _counted(summary: Summary) -> list[Group]:
    return [
        Group(name=key[-1], key=key, **{what: summary.counts[what][key] for what in ("n", "right", "lost", "gained")})
        for key in sorted(summary.counts["n"])
    ]


def worst_drop(question: Question, summary: Summary, what: str) -> Evidence:
    """Return the evidence of the largest drop of all groups that are large enough.

    Each group's interval is Tango's at the error divided by the number of groups, so that all hold together
    (Bonferroni); the drop of the worst group then lies between the largest lower and the largest upper end. Which
    groups have lost at all is determined by McNemar's exact test with Holm's correction.

    Raises:
        DoesNotFit: no group is large enough.
    """
    groups = _counted(summary)
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
            f"Tango's intervals at a common error (Bonferroni); {summary.facts['meaning']}",
        ),
        sampled=question.asked,
        notes=tuple(_notes(judged, order, adjusted, left_out, what, question.alpha)),
        worst_samples=summary.shown(*worst.key),
        breakdown=breakdown,
    )


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
