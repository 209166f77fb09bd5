"""What a student keeps of its teacher's tags and entities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import groups_of, paired_by_group
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.tagging.read import TARGET, tagged
from pytest_modelbench.kpis.tagging.scores import Found, found
from pytest_modelbench.kpis.tagging.shares import evidence_of_share, with_kinds
from pytest_modelbench.kpis.worst_drop import Classes, worst_drop
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, share_of


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


def entity_drop(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest drop of the F1 of an entity type.

    Raises:
        DoesNotFit: no type has enough entities.
    """
    entities = found(question, tagged(question, measurements, both=True))
    evidence, worst = worst_drop(question, _types(question, entities), "2 common over both")
    lost = entities.seen("teacher") & ~entities.seen("student") & (entities.entities[TARGET].type == worst)
    yield replace(
        evidence,
        notes=(*entities.tags.notes, *evidence.notes),
        worst_samples=entities.tags.worst(entities.per_sentence(TARGET, lost)),
    )


def _types(question: Question, entities: Found) -> Classes:
    """Return the F1 of each entity type, also over resamples of groups."""
    tables = {role: _hits_and_wholes(entities, role) for role in ("student", "teacher")}
    group = entities.tags.answers.data.group
    paired = paired_by_group(question, group, tables)
    true, groups = entities.by_type(TARGET), groups_of(group, len(entities.tags))
    return Classes(
        names=entities.marks.types,
        n=true.sum(axis=0).astype(np.intp),
        units=np.array([len(np.unique(groups[column > 0])) for column in true.T], dtype=np.intp),
        values={role: _f1(total["sums"])[0] for role, total in paired.totals.items()},
        drawn={role: _f1(resampled["sums"]) for role, resampled in paired.drawn.items()},
        of="entities",
    )


def _hits_and_wholes(entities: Found, role: str) -> FloatArray:
    """Return twice the common entities, and the predicted and true ones together, of each type, (n, 2 * types)."""
    sums = entities.sums(role)
    return np.concatenate([2 * sums[:, 0], sums[:, 1] + sums[:, 2]], axis=1)


def _f1(sums: FloatArray) -> FloatArray:
    """Return the F1 of each type in percent, (..., types)."""
    hits, wholes = np.split(sums, 2, axis=-1)
    return 100 * share_of(hits, wholes)
