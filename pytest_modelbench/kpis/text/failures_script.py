"""Readings of answers in another script than they should be in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from pytest_modelbench.errors import DoesNotFit
from pytest_modelbench.kpis.by_group import share_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.evidence import Answered, answered
from pytest_modelbench.kpis.text.failures import SHOWN, quoted
from pytest_modelbench.kpis.text.words import most_common_script, script_named, scripts_of
from pytest_modelbench.probes.kinds import GENERATIONS
from pytest_modelbench.results import Evidence

FEW_LETTERS = 20


def wrong_script_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers of whose letters more than half are of another script.

    Raises:
        DoesNotFit: neither script=, references nor a teacher's answers state the right one.
    """
    answers = answered(question, measurements, references=False)
    right, source = _right(question, measurements, answers)
    letters = {role: list(map(scripts_of, its.texts)) for role, its in answers.answers.items()}
    hits = {
        role: np.array([_is_wrong(counts, names) for counts, names in zip(its, right, strict=True)])
        for role, its in letters.items()
    }
    evidence = share_evidence(question, answers, hits, f"most letters of another script than {source}")
    student, wrong = letters["student"], hits["student"]
    mixed = sum(
        bool(set(counts) - names) for counts, names, hit in zip(student, right, wrong, strict=True) if not hit
    )
    notes = (f"{mixed} more answers have some letters of another script",) if mixed else ()
    yield replace(
        evidence,
        notes=(*evidence.notes, *quoted(answers, wrong)[:SHOWN], *notes),
        breakdown=_rows([counts for counts, hit in zip(student, wrong, strict=True) if hit], len(student)),
    )


def _right(question: Question, measurements: Measurements, answers: Answered) -> tuple[Sequence[set[str]], str]:
    """Return the scripts that each answer may be in, and what states them."""
    n, script = len(answers.answers["student"]), question.options["script"]
    if script is not None:
        return [{script_named(str(script))}] * n, f"script={script!r}"
    if answers.references:
        return _by_prompt(answers.references), "the references"
    if not measurements.has("teacher"):
        raise DoesNotFit(
            "wrong_script_share needs the script of right answers, and there are neither references nor a teacher. "
            "Write script='Latin'"
        )
    return _by_prompt([(text,) for text in measurements.of(GENERATIONS, "teacher").texts]), "the teacher's answers"


def _by_prompt(texts: Sequence[Sequence[str]]) -> list[set[str]]:
    """Return the main script of each prompt's texts; if these have few letters, that of most texts as well."""
    everywhere = most_common_script(text for several in texts for text in several)
    right = []
    for several in texts:
        letters = reduce(add, map(scripts_of, several), Counter[str]())
        names = {most_common_script([text]) for text in several}
        right.append((names | {everywhere} if letters.total() < FEW_LETTERS else names) - {""})
    return right


def _is_wrong(letters: Counter[str], right: set[str]) -> bool:
    return bool(right) and 2 * sum(letters[name] for name in right) < letters.total()


def _rows(wrong: Sequence[Counter[str]], n: int) -> tuple[dict[str, object], ...]:
    """Return how many answers are mostly in each other script."""
    counts = Counter(letters.most_common(1)[0][0] for letters in wrong)
    return tuple({"name": name, "n": count, "value": 100 * count / n} for name, count in counts.most_common())
