"""Readings of how long answers are: a model that stops early is fast, and one that rambles is costly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import DoesNotFit, MeasurementError
from pytest_modelbench.kpis.by_group import summed_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.evidence import Answered, answered
from pytest_modelbench.kpis.text.failures_found import is_empty
from pytest_modelbench.kpis.text.overlap_notes import answer_notes
from pytest_modelbench.probes.kinds import GENERATIONS
from pytest_modelbench.probes.text.measured import Generations
from pytest_modelbench.results import Evidence

Lengths = Sequence[int]


def length_ratio(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the sum of the answers' lengths over that of the teacher's answers, or of the references.

    Raises:
        DoesNotFit: there is no teacher, or there are no references.
        MeasurementError: all that answers are compared with is empty.
    """
    against = str(question.options["against"])
    answers = answered(question, measurements, references=against == "references")
    ours, theirs, unit = _lengths(answers, measurements, beside_teacher=against == "teacher")
    if not sum(theirs):
        raise MeasurementError(f"length_ratio is undefined: the {_AGAINST[against]} are all empty")
    table = np.column_stack([ours, theirs]).astype(np.float64)
    method = f"{sum(ours):,} {unit} over {sum(theirs):,} of the {_AGAINST[against]}"
    evidence = summed_evidence(
        question, answers.data, {"student": table}, lambda sums: sums[:, 0] / sums[:, 1], method
    )
    far = np.abs(np.log((table[:, 0] + 1) / (table[:, 1] + 1)))
    order = np.argsort(-far, kind="stable")[: int((far > 0).sum())]
    yield replace(evidence, notes=(*evidence.notes, *answer_notes(answers)), worst_samples=answers.worst(order))


_AGAINST = {"teacher": "teacher's answers", "references": "references"}


def _lengths(answers: Answered, measurements: Measurements, *, beside_teacher: bool) -> tuple[Lengths, Lengths, str]:
    """Return the lengths of the student's answers, those that they are compared with, and their unit."""
    student = answers.answers["student"]
    if not beside_teacher:
        ours = characters(student)
        return ours, list(map(_nearest, ours, answers.references)), "characters"
    if not measurements.has("teacher"):
        raise DoesNotFit("length_ratio compares with the teacher's answers, and there is no teacher. Write "
                         "against='references', or define teacher_model")  # fmt: skip
    teacher = measurements.of(GENERATIONS, "teacher")
    counted, beside = tokens(student), tokens(teacher)
    if student.vocabulary and student.vocabulary == teacher.vocabulary and counted and beside:
        return counted, beside, "tokens"
    return characters(student), characters(teacher), "characters"


def characters(answers: Generations) -> list[int]:
    """Return the number of characters of each answer, without the white space around it."""
    return [len(text.strip()) for text in answers.texts]


def tokens(answers: Generations) -> list[int] | None:
    """Return the number of tokens of each answer, 0 for one without text; None unless all are stated."""
    counts = [0 if is_empty(answer.text) else answer.own_tokens for answer in answers.answers]
    stated = [count for count in counts if count is not None]
    return stated if len(stated) == len(counts) else None


def _nearest(length: int, references: Sequence[str]) -> int:
    """Return the length of the reference that is nearest, the shorter one of two, as BLEU does."""
    lengths = sorted(len(reference.strip()) for reference in references)
    return min(lengths, key=lambda other: abs(other - length), default=0)
