"""Right tokens, and precision, recall and F1 of entities, equal to seqeval's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import groups_of, summed_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.tagging.entities import Entities, Marks, Mask, entities_of, marks_of
from pytest_modelbench.kpis.tagging.read import TARGET, Tagged, tagged
from pytest_modelbench.kpis.tagging.shares import evidence_of_share, of_difference, of_value, with_kinds
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, share_of

MOSTLY = 0.8
"""The share of the most frequent tag from which on the accuracy of tokens says little."""
FORMULAS: Mapping[str, str] = {
    "f1": "2 right over predicted and true entities",
    "precision": "right over predicted entities",
    "recall": "right over true entities",
}


def token_accuracy(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of tokens that have the tag of the target."""
    tags = tagged(question, measurements)
    right = {role: tags.codes[role] == tags.codes[TARGET] for role in tags.roles}
    ones = np.ones(len(tags.owner))
    sums = {role: np.stack([tags.by_sentence(right[role]), tags.by_sentence(ones)], axis=1) for role in right}
    evidence = evidence_of_share(question, tags, sums, "right tokens over all that count")
    size = len(tags.vocabulary)
    n = np.bincount(tags.codes[TARGET], minlength=size).astype(np.float64)
    shares = {
        role: 100 * share_of(np.bincount(tags.codes[TARGET], hits, size).astype(float), n)
        for role, hits in right.items()
    }
    evidence = with_kinds(evidence, "tag", tags.vocabulary, n, shares)
    notes = (*evidence.notes, *_mostly_one(tags, n, float(right["student"].mean())))
    yield replace(evidence, notes=notes, worst_samples=tags.worst(sums["student"][:, 1] - sums["student"][:, 0]))


def _mostly_one(tags: Tagged, n: FloatArray, accuracy: float) -> Iterator[str]:
    """Say that one tag is most of the tokens, and that naming it everywhere is nearly as accurate."""
    share, tag = float(n.max() / n.sum()), tags.vocabulary[int(n.argmax())]
    if share > MOSTLY and 1 - accuracy > (1 - share) / 2:
        yield (
            f"{100 * share:.1f}% of the tokens are {tag}: answering {tag} everywhere gives {100 * share:.1f}%, and "
            f"the student has {100 * accuracy:.1f}%. entity_f1 shows what it finds"
        )


@dataclass(frozen=True, kw_only=True)
class Found:
    """Entities of targets and models.

    Attributes:
        tags: that they are in.
        marks: of the vocabulary.
        scheme: of the tags, None where it is not certain.
        entities: for `target` and each role.
    """

    tags: Tagged
    marks: Marks
    scheme: str | None
    entities: Mapping[str, Entities]

    def right(self, role: str) -> Mask:
        """Return which entities of a model are those of a target, (entities of the model,)."""
        return self.entities[role].among(self.entities[TARGET])

    def seen(self, role: str) -> Mask:
        """Return which entities of the targets a model finds, (entities of the targets,)."""
        return self.entities[TARGET].among(self.entities[role])

    def per_sentence(self, role: str, mask: Mask | None = None) -> FloatArray:
        """Return how many entities each sentence has, of all or of some, (sentences,)."""
        sentence = self.entities[role].sentence
        return np.bincount(sentence if mask is None else sentence[mask], minlength=len(self.tags)).astype(np.float64)

    def by_type(self, role: str, mask: Mask | None = None) -> FloatArray:
        """Return how many entities of each type each sentence has, of all or of some, (sentences, types)."""
        entities, kinds = self.entities[role], len(self.marks.types)
        places = entities.sentence * kinds + entities.type
        counts = np.bincount(places if mask is None else places[mask], minlength=len(self.tags) * kinds)
        return counts.reshape(len(self.tags), kinds).astype(np.float64)

    def sums(self, role: str) -> FloatArray:
        """Return right, predicted and true entities by type, (sentences, 3, types)."""
        return np.stack([self.by_type(role, self.right(role)), self.by_type(role), self.by_type(TARGET)], axis=1)

    def notes(self) -> Iterator[str]:
        """Say which answers are entities for conlleval only."""
        if self.scheme in {None, "IOB1", "IOE1"}:
            return
        for role in self.tags.roles:
            every = self.entities[role]
            broken = int((~every.among(self._of(role, self.scheme))).sum())
            if broken:
                yield (
                    f"{broken} of {len(every.start)} entities of the {role} break {self.scheme} (such as I- without "
                    "a B- before it): they count, as in conlleval; strict=True leaves them out"
                )

    def _of(self, role: str, scheme: str | None) -> Entities:
        return entities_of(self.tags.codes[role], self.tags.owner, len(self.tags), self.marks, scheme)


def found(question: Question, tags: Tagged) -> Found:
    """Return the entities of targets and models.

    Raises:
        DoesNotFit: the tags are plain.
        MeasurementError: no target has an entity, or strict=True and the scheme is not certain.
    """
    scheme, strict = tags.scheme(question), bool(question.options.get("strict"))
    if strict and scheme is None:
        raise MeasurementError(
            f"{question.kpi.name}: strict=True needs the scheme, and the prefixes {_prefixes(tags)} fit several. "
            "Write EvalData(..., scheme='IOB1') or another one"
        )
    marks = marks_of(tags.vocabulary)
    mode = scheme if strict else None
    entities = {role: entities_of(codes, tags.owner, len(tags), marks, mode) for role, codes in tags.codes.items()}
    if not len(entities[TARGET].start):
        raise MeasurementError(f"{question.kpi.name} is undefined: no target has an entity, only {_prefixes(tags)}")
    return Found(tags=tags, marks=marks, scheme=scheme, entities=entities)


def _prefixes(tags: Tagged) -> str:
    return ", ".join(sorted({tag[0] for tag in tags.vocabulary}))


def entity_score(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read F1, precision or recall of entities, as the KPI's row says."""
    tags = tagged(question, measurements)
    entities = found(question, tags)
    which, average = question.kpi.statistic, str(question.options["average"])
    sums = {role: entities.sums(role) for role in tags.roles}
    of_types = {role: _scores(table.sum(axis=0)[None], which)[0] for role, table in sums.items()}
    strict = f"strict, {entities.scheme}" if question.options["strict"] else "as conlleval"
    method = f"{FORMULAS[which]}, {average}, {strict}"
    make = _micro if average == "micro" else _averaged
    evidence = make(question, tags, sums, method)
    true = sums["student"][:, 2].sum(axis=0)
    evidence = with_kinds(evidence, "type", entities.marks.types, true, {r: 100 * v for r, v in of_types.items()})
    missed = (sums["student"][:, 1:] - sums["student"][:, :1]).sum(axis=(1, 2))
    broken = () if question.options["strict"] else tuple(entities.notes())
    yield replace(evidence, notes=(*evidence.notes, *broken), worst_samples=tags.worst(missed))


def _micro(question: Question, tags: Tagged, sums: Mapping[str, FloatArray], method: str) -> Evidence:
    """Return evidence of all types together.

    Raises:
        MeasurementError: the precision of a model that predicts no entity.
    """
    which = question.kpi.statistic
    pairs = {role: _hits_and_all(table.sum(axis=2), which) for role, table in sums.items()}
    for role, table in pairs.items():
        if not table[:, 1].any():
            raise MeasurementError(
                f"{question.kpi.name} is undefined: the {role} predicts no entity. Write entity_f1 or entity_recall"
            )
    return evidence_of_share(question, tags, pairs, method, 2.0 if which == "f1" else 1.0)


def _hits_and_all(counts: FloatArray, which: str) -> FloatArray:
    """Return the two sums that a score is the ratio of, for right, predicted and true entities, (n, 3)."""
    right, predicted, true = counts.T
    pairs = {"f1": (2 * right, predicted + true), "precision": (right, predicted), "recall": (right, true)}
    return np.stack(pairs[which], axis=1)


def _averaged(question: Question, tags: Tagged, sums: Mapping[str, FloatArray], method: str) -> Evidence:
    """Return evidence of an average over types."""
    which, kinds = question.kpi.statistic, next(iter(sums.values())).shape[2]
    average = str(question.options["average"])

    def value(total: FloatArray) -> FloatArray:
        return 100 * averaged(total.reshape(len(total), 3, kinds), which, average)

    flat = {role: table.reshape(len(table), -1) for role, table in sums.items()}
    evidence = summed_evidence(question, tags.answers.data, flat, value, method)
    groups = groups_of(tags.answers.data.group, len(tags))
    comparison = of_difference(question, evidence.comparison, groups, flat, value)
    student = of_value(question, evidence.student, groups, flat["student"], value)
    teacher = evidence.teacher and of_value(question, evidence.teacher, groups, flat["teacher"], value)
    notes = (*tags.notes, *evidence.notes)
    return replace(evidence, student=student, teacher=teacher, comparison=comparison, notes=notes)


def averaged(counts: FloatArray, which: str, average: str) -> FloatArray:
    """Return the mean of a score over the types that occur, 0 for those without a denominator, as seqeval.

    Args:
        counts: right, predicted and true entities, (resamples, 3, types).
        which: `f1`, `precision` or `recall`.
        average: `macro`, or `weighted` by true entities.

    Returns:
        Values (resamples,), NaN where no type occurs.
    """
    scores, true = np.nan_to_num(_scores(counts, which)), counts[:, 2]
    weights = true if average == "weighted" else (counts[:, 1:].sum(axis=1) > 0).astype(np.float64)
    return share_of((scores * weights).sum(axis=1), weights.sum(axis=1))


def _scores(counts: FloatArray, which: str) -> FloatArray:
    """Return a score of each type, (resamples, types); NaN where undefined."""
    right, predicted, true = counts[:, 0], counts[:, 1], counts[:, 2]
    pairs = {"f1": (2 * right, predicted + true), "precision": (right, predicted), "recall": (right, true)}
    return share_of(*pairs[which])
