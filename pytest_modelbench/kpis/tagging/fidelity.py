"""What a student keeps of its teacher's tags and entities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_group import groups_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.tagging.read import TARGET, tagged
from pytest_modelbench.kpis.tagging.scores import Found, found
from pytest_modelbench.kpis.tagging.shares import evidence_of_share, with_kinds
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.cells import CellSums, FloatArray, IntArray, resamples_for, share_of
from pytest_modelbench.stats.paired import expanded, percentiles, tango_interval
from pytest_modelbench.stats.rounding import settled

SHOWN, FEWEST_UNITS = 3, 2


def tag_agreement(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of tokens that student and teacher give one tag."""
    tags = tagged(question, measurements, both=True)
    same = tags.codes["student"] == tags.codes["teacher"]
    sums = np.stack([tags.by_sentence(same), tags.by_sentence(np.ones(len(same)))], axis=1)
    evidence = evidence_of_share(question, tags, {"student": sums}, "tokens of one tag over all that count")
    size = len(tags.vocabulary)
    n = np.bincount(tags.codes["teacher"], minlength=size).astype(np.float64)
    shares = 100 * share_of(np.bincount(tags.codes["teacher"], same, size).astype(float), n)
    evidence = with_kinds(evidence, "teacher's tag", tags.vocabulary, n, {"student": shares})
    yield replace(evidence, worst_samples=tags.worst(sums[:, 1] - sums[:, 0]))


def entity_agreement(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the F1 of the student's entities, with the teacher's as the true ones."""
    entities = found(question, tagged(question, measurements, both=True))
    tags = entities.tags
    both = entities.entities["student"].among(entities.entities["teacher"])
    hits, whole = 2 * entities.by_type("student", both), entities.by_type("student") + entities.by_type("teacher")
    sums = np.stack([hits.sum(axis=1), whole.sum(axis=1)], axis=1)
    if not whole.any():
        raise MeasurementError(f"{question.kpi.name} is undefined: neither student nor teacher predicts an entity")
    method = "2 common over the entities of student and teacher"
    evidence = evidence_of_share(question, tags, {"student": sums}, method, 2.0)
    n = entities.by_type("teacher").sum(axis=0)
    shares = 100 * share_of(hits.sum(axis=0), whole.sum(axis=0))
    evidence = with_kinds(evidence, "type", entities.marks.types, n, {"student": shares})
    yield replace(evidence, worst_samples=tags.worst(sums[:, 1] - sums[:, 0]))


def lost_entities(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of true entities that the teacher finds and the student does not."""
    entities = found(question, tagged(question, measurements, both=True))
    tags = entities.tags
    student, teacher = entities.seen("student"), entities.seen("teacher")
    lost, gained = teacher & ~student, student & ~teacher
    sums = np.stack([entities.per_sentence(TARGET, lost), entities.per_sentence(TARGET)], axis=1)
    evidence = evidence_of_share(question, tags, {"student": sums}, "lost over true entities")
    n = entities.by_type(TARGET).sum(axis=0)
    shares = 100 * share_of(entities.by_type(TARGET, lost).sum(axis=0), n)
    evidence = with_kinds(evidence, "type", entities.marks.types, n, {"student": shares})
    note = f"{int(lost.sum())} of {len(lost)} entities lost, {int(gained.sum())} gained"
    yield replace(evidence, notes=(*evidence.notes, note), worst_samples=tags.worst(sums[:, 0]))


@dataclass(frozen=True, kw_only=True)
class Drop:
    """The drop of the F1 of a type in points, with the interval of the common error."""

    name: str
    n: int
    estimate: Estimate
    student: float
    teacher: float


def entity_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest drop of the F1 of an entity type.

    Each type's interval is that of the error divided by the number of types (Bonferroni), so that all hold together:
    the drop of the worst type lies between the largest lower and the largest upper end.

    Raises:
        DoesNotFit: no type has enough entities.
    """
    entities = found(question, tagged(question, measurements, both=True))
    true = entities.by_type(TARGET).sum(axis=0)
    least = int(question.options["min_n"])
    judged = np.flatnonzero(true >= least)
    small = [f"{name} ({int(n)})" for name, n in zip(entities.marks.types, true, strict=True) if n < least]
    if not len(judged):
        raise DoesNotFit(
            f"{question.kpi.name}: no type has {least} entities or more: {', '.join(small[:10])}. Bring more data, "
            "or state a smaller min_n="
        )
    drops = sorted(_drops(question, entities, judged), key=lambda drop: (-drop.estimate.value, drop.name))
    worst = drops[0]
    lost = entities.seen("teacher") & ~entities.seen("student")
    lost &= entities.entities[TARGET].type == entities.marks.types.index(worst.name)
    shown = ", ".join(f"{drop.name} {drop.estimate.value:+.1f} pp of {drop.n}" for drop in drops[:SHOWN])
    yield Evidence(
        student=_largest(question, drops, least),
        sampled=question.asked,
        notes=(*entities.tags.notes, f"drop by type: {shown}", *_too_small(small)),
        breakdown=tuple(_row(drop) for drop in drops),
        worst_samples=entities.tags.worst(entities.per_sentence(TARGET, lost)),
    )


def _too_small(small: list[str]) -> Iterator[str]:
    if small:
        more = f" and {len(small) - SHOWN} more" if len(small) > SHOWN else ""
        yield f"too small to judge: {', '.join(small[:SHOWN])}{more}"


def _row(drop: Drop) -> dict[str, object]:
    estimate = drop.estimate
    ends = {"value": estimate.value, "ci_low": estimate.low, "ci_high": estimate.high}
    return {"name": drop.name, "n": drop.n, **ends, "teacher": drop.teacher, "student": drop.student}


def _largest(question: Question, drops: list[Drop], least: int) -> Reading:
    low = max(drop.estimate.low for drop in drops if drop.estimate.low is not None)
    high = max(drop.estimate.high for drop in drops if drop.estimate.high is not None)
    return Reading(
        estimate=Estimate(value=drops[0].estimate.value, low=low, high=high),
        unit="pp",
        n=drops[0].n,
        confidence=question.confidence,
        method=f"worst of {len(drops)} types of at least {least} entities; bootstrap at a common error (Bonferroni)",
    )


def _drops(question: Question, entities: Found, judged: IntArray) -> Iterator[Drop]:
    tags, alpha = entities.tags, question.alpha / len(judged)
    groups = groups_of(tags.answers.data.group, len(tags))
    count = int(groups.max()) + 1
    cells = CellSums([count], question.seed)
    placed = cells.place(np.zeros(count, dtype=np.intp))
    units = np.zeros(len(entities.marks.types))
    for role in ("student", "teacher"):
        sums = entities.sums(role)
        hits, whole = 2 * sums[:, 0], sums[:, 1] + sums[:, 2]
        for kind in judged:
            clustered = [np.bincount(groups, table[:, kind], count).astype(np.float64) for table in (hits, whole)]
            for part, added in enumerate(clustered):
                cells.add(f"{role} {kind}", placed, np.full(count, part), 2, added)
            units[kind] = max(units[kind], (clustered[1] > 0).sum())
    total, drawn = cells.total(), cells.resamples(resamples_for(alpha))
    for kind in judged:
        points = {role: float(_f1(total[f"{role} {kind}"])[0]) for role in ("student", "teacher")}
        resampled = settled(_f1(drawn[f"teacher {kind}"]) - _f1(drawn[f"student {kind}"]), max(points.values()))
        n = int(entities.by_type(TARGET)[:, kind].sum())
        estimate = expanded(
            percentiles(points["teacher"] - points["student"], resampled, alpha), int(units[kind]), alpha
        )
        if estimate.low is None:
            estimate = _unseen(estimate.value, int(units[kind]), alpha)
        yield Drop(name=entities.marks.types[kind], n=n, estimate=estimate, **points)


def _unseen(value: float, units: int, alpha: float) -> Estimate:
    """Return the interval of a drop that resamples do not change: Tango's of that many units without a difference.

    Of fewer than two sentences or groups any drop is possible.
    """
    if units < FEWEST_UNITS:
        return Estimate(value=value, low=-100.0, high=100.0)
    rate = tango_interval(0, 0, units, alpha).map(lambda share: value + 100 * share)
    return replace(rate, value=value).within(-100.0, 100.0)


def _f1(sums: FloatArray) -> FloatArray:
    return 100 * share_of(sums[:, 0], sums[:, 1])
