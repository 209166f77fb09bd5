"""Reading of the class whose average precision dropped most, which the mean over classes hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_modelbench.data.tasks.detection import DetectionData
from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_group import drawn_by_group, groups_of
from pytest_modelbench.kpis.by_task import Answered
from pytest_modelbench.kpis.detection.average_precision import Mean, each_class, precision_by_class
from pytest_modelbench.kpis.detection.curves import hits_by_image
from pytest_modelbench.kpis.detection.detected import detected
from pytest_modelbench.kpis.detection.matching import OVERLAPS, ClassMatches, matched
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.tasks.measured import TaskAnswers
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray, drawn_evenly, resamples_for
from pytest_modelbench.stats.multiplicity import holm
from pytest_modelbench.stats.simultaneous import together

SHOWN, FEWEST_GROUPS, MANY, ROUNDING = 3, 2, 10**9, 1e-9
ALL = range(len(OVERLAPS))


@dataclass(frozen=True, kw_only=True)
class Class:
    """A class: its place among all, its name, in how many images or groups it occurs, and its matches by role."""

    at: int
    name: str
    spans: int
    matches: Mapping[str, ClassMatches]

    @property
    def n(self) -> int:
        """How many targets it has."""
        return int(self.matches["student"].targets.sum())

    @property
    def shown(self) -> str:
        """Its name and size."""
        return f"{self.name} ({self.n})"


@dataclass(frozen=True, kw_only=True)
class Drop:
    """How much the average precision of a class dropped, in points: bounds that hold for all classes together."""

    of: Class
    student: float
    teacher: float
    low: float
    high: float
    p: float

    @property
    def value(self) -> float:
        """The drop."""
        return self.teacher - self.student


def ap_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest drop of a class's average precision.

    The bounds of all classes hold together, so that the drop of the worst lies between the largest lower and the
    largest upper end. Which classes have lost at all is determined by Holm's correction.

    Raises:
        DoesNotFit: no class has enough targets.
        MeasurementError: the teacher finds no target, so that nothing can drop.
    """
    answers = detected(question, measurements, both=True)
    groups = groups_of(answers.data.group, len(answers.student))
    judged, left_out = _split(question, _classes(answers, groups))
    drops = _drops(question, judged, groups, answers.answers)
    yield Evidence(
        student=_reading(question, drops),
        sampled=question.asked,
        notes=tuple(_notes(question, drops, [each.shown for each in left_out])),
        worst_samples=answers.worst(_lost(drops[0].of, len(groups))),
        breakdown=tuple(_row(drop, p) for drop, p in zip(drops, _adjusted(drops), strict=True)),
    )


def _classes(answers: Answered[DetectionData], groups: IntArray) -> Iterator[Class]:
    """Yield the classes with targets."""
    several = {role: matched(measured, "all") for role, measured in answers.answers.items()}
    for at, (student, teacher) in enumerate(zip(several["student"], several["teacher"], strict=True)):
        yield Class(
            at=at,
            name=answers.data.names.get(student.label, str(student.label)),
            spans=len(np.unique(groups[student.targets > 0])),
            matches={"student": student, "teacher": teacher},
        )


def _split(question: Question, classes: Iterator[Class]) -> tuple[list[Class], list[Class]]:
    """Return the classes with enough targets, in more than one image or group, and the others.

    Raises:
        DoesNotFit: there are none of the first.
    """
    least = int(question.options["min_n"])
    judged: list[Class] = []
    left_out: list[Class] = []
    for each in classes:
        (judged if each.n >= least and each.spans >= FEWEST_GROUPS else left_out).append(each)
    if not judged:
        listed = ", ".join(each.shown for each in left_out[:10]) or "there are no targets"
        raise DoesNotFit(
            f"{question.kpi.name}: no class has {least} targets or more in at least {FEWEST_GROUPS} images or "
            f"groups: {listed}. Bring more data, or state a smaller min_n="
        )
    return judged, left_out


def _drops(
    question: Question, judged: Sequence[Class], groups: IntArray, answers: Mapping[str, TaskAnswers]
) -> list[Drop]:
    """Compare the classes over resamples of groups, the same for both models; the largest drop comes first."""
    kept = [each.at for each in judged]

    def precisions(role: str, draws: FloatArray) -> FloatArray:
        def of_weights(weights: FloatArray) -> FloatArray:
            return each_class(answers[role], weights, Mean(), precision_by_class)

        return drawn_by_group(of_weights, draws, groups)[:, kept]

    count = int(groups.max()) + 1
    student, teacher = (precisions(role, np.ones((1, count)))[0] for role in ("student", "teacher"))
    if not teacher.any():
        raise MeasurementError(
            f"{question.kpi.name} compares nothing: the average precision of the teacher is 0 for every class"
        )
    draws = drawn_evenly(count, resamples_for(question.alpha), np.random.default_rng(question.seed))
    spans = np.array([each.spans for each in judged])
    drawn = precisions("teacher", draws) - precisions("student", draws)
    bounds = together(teacher - student, drawn, spans, 100.0, question.alpha, question.seed)
    columns = np.column_stack([student, teacher, bounds.low, bounds.high, bounds.p]).tolist()
    names = ("student", "teacher", "low", "high", "p")
    drops = [Drop(of=each, **dict(zip(names, row, strict=True))) for each, row in zip(judged, columns, strict=True)]
    return sorted(drops, key=lambda drop: (-drop.value, drop.of.name))


def _adjusted(drops: Sequence[Drop]) -> list[float]:
    return holm([drop.p for drop in drops])


def _lost(worst: Class, n: int) -> IntArray:
    """Return the images in which the student finds fewest of a class's targets that the teacher finds."""
    hits = {role: hits_by_image(matches, n, ALL, MANY) for role, matches in worst.matches.items()}
    lost = hits["teacher"] - hits["student"]
    order = np.argsort(-lost, kind="stable")
    return order[lost[order] > ROUNDING]


def _reading(question: Question, drops: Sequence[Drop]) -> Reading:
    count, least = len(drops), int(question.options["min_n"])
    return Reading(
        estimate=Estimate(
            value=drops[0].value, low=max(drop.low for drop in drops), high=max(drop.high for drop in drops)
        ),
        unit="pp",
        n=drops[0].of.n,
        confidence=question.confidence,
        method=f"worst of {count} class{'es' * (count > 1)} of at least {least} targets, matched by pycocotools; "
        f"studentised bootstrap that holds for all of them, {resamples_for(question.alpha)} resamples",
    )


def _row(drop: Drop, adjusted: float) -> dict[str, object]:
    return {
        "name": drop.of.name,
        "n": drop.of.n,
        "value": drop.value,
        "ci_low": drop.low,
        "ci_high": drop.high,
        "teacher": drop.teacher,
        "student": drop.student,
        "holm_p": adjusted,
    }


def _notes(question: Question, drops: Sequence[Drop], left_out: Sequence[str]) -> Iterator[str]:
    shown = [f"{drop.of.name} {drop.value:+.1f} pp of {drop.of.n}" for drop in drops[:SHOWN]]
    yield f"drop by class: {', '.join(shown)}"
    proven = [drop.of.name for drop, p in zip(drops, _adjusted(drops), strict=True) if p <= question.alpha]
    if proven:
        yield f"lost beyond chance (bootstrap, Holm): {_first(proven)}"
    if left_out:
        yield f"too small to judge: {_first(left_out)}"


def _first(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
