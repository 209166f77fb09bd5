"""Readings of the overlap of answers with references: BLEU, chrF and ROUGE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import summed_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.evidence import Answered, answered
from pytest_modelbench.kpis.text.overlap_notes import answer_notes, line_notes, tokeniser_notes
from pytest_modelbench.kpis.text.overlap_rouge import SCORES, best
from pytest_modelbench.kpis.text.overlap_sums import CorpusScore
from pytest_modelbench.kpis.text.overlap_sums import bleu as bleu_of
from pytest_modelbench.kpis.text.overlap_sums import chrf as chrf_with
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray


def bleu(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read BLEU of the corpus."""
    answers = answered(question, measurements, references=True)
    score = bleu_of(question.options, answers.references)
    notes = tokeniser_notes(answers, str(question.options["tokenize"]))
    yield _corpus_evidence(question, answers, score, notes)


def chrf(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read chrF of the corpus."""
    answers = answered(question, measurements, references=True)
    yield _corpus_evidence(question, answers, chrf_with(question.options, answers.references), ())


def _corpus_evidence(question: Question, answers: Answered, score: CorpusScore, notes: tuple[str, ...]) -> Evidence:
    tables = {role: score.table(texts, answers.references) for role, texts in answers.texts().items()}
    evidence = summed_evidence(question, answers.data, tables, score.value, f"sacrebleu {score.signature}")
    return replace(
        checked(question, evidence),
        notes=(*evidence.notes, *notes, *answer_notes(answers)),
        worst_samples=worst(answers, {role: score.each(table) for role, table in tables.items()}),
    )


def rouge(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean F1 of one kind of ROUGE."""
    answers, score = answered(question, measurements, references=True), SCORES[question.kpi.statistic]
    scores = {
        role: np.array([best(score, text, several) for text, several in zip(texts, answers.references, strict=True)])
        for role, texts in answers.texts().items()
    }
    notes = line_notes(answers) if question.kpi.statistic == "rougeLsum" else ()
    method = "mean F1, the best reference of each prompt; words of letters and digits, others by character"
    yield mean_evidence(question, answers, scores, method, notes)


def mean_evidence(
    question: Question,
    answers: Answered,
    scores: Mapping[str, FloatArray],
    method: str,
    notes: tuple[str, ...] = (),
) -> Evidence:
    """Return the mean of scores from 0 to 1 as evidence, in percent.

    Args:
        question: of the gate.
        answers: the data and the answers.
        scores: (n,) by role.
        method: how a score is found, in words.
        notes: more than those on answers.
    """
    tables = {role: np.column_stack([100 * score, np.ones(len(score))]) for role, score in scores.items()}
    evidence = summed_evidence(question, answers.data, tables, lambda sums: sums[:, 0] / sums[:, 1], method)
    notes = (*evidence.notes, *notes, *answer_notes(answers))
    return replace(checked(question, evidence), notes=notes, worst_samples=worst(answers, scores))


def checked(question: Question, evidence: Evidence) -> Evidence:
    """Return evidence whose teacher is worth comparing with, where a limit rests on it.

    Raises:
        MeasurementError: the teacher's score is 0, which no student can lose against.
    """
    if question.anchored and evidence.teacher is not None and evidence.teacher.value == 0:
        raise MeasurementError(
            f"{question.kpi.name} of the teacher is 0, so that any student keeps a limit relative to it. Put "
            "prompts, references or the teacher right, or write allow_weak_teacher=True"
        )
    return evidence


def worst(answers: Answered, scores: Mapping[str, FloatArray]) -> tuple[str, ...]:
    """Return the ids of the samples that lost most relative to the teacher's, or without it the worst ones.

    Args:
        answers: the data and the answers.
        scores: (n,) by role, at most 1.
    """
    student = scores["student"]
    lost = student - scores.get("teacher", np.ones(len(student)))
    return answers.worst(np.argsort(lost, kind="stable")[: int((lost < 0).sum())])
