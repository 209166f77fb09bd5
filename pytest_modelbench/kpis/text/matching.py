"""Readings of answers that equal a reference, share its words, or are as long."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pytest_modelbench.kpis.by_group import share_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.evidence import answered
from pytest_modelbench.kpis.text.overlap import checked, mean_evidence
from pytest_modelbench.kpis.text.overlap_notes import answer_notes
from pytest_modelbench.kpis.text.overlap_rouge import best, f1
from pytest_modelbench.kpis.text.words import apart
from pytest_modelbench.results import Evidence

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def spaces(text: str) -> str:
    """Return a text in Unicode's form NFKC, without white space around it and with single spaces inside."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip()


def squad(text: str) -> str:
    """Return a text as SQuAD compares it: in lower case, without punctuation, articles and double spaces.

    Articles stay where a text has nothing else, such as the choice "A": an empty answer would equal it.

    >>> squad("The  Eiffel-Tower, in Paris.")
    'eiffeltower in paris'
    """
    kept = "".join(character for character in text.lower() if not _is_punctuation(character))
    return " ".join(_ARTICLES.sub(" ", kept).split() or kept.split())


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] == "P"


NORMALISATIONS: Mapping[str, Callable[[str], str]] = {"spaces": spaces, "squad": squad, "none": str}
"""What is done to answers and references before they are compared, by the value of `normalise=`."""


def extracted(pattern: str | None, text: str) -> str | None:
    """Return what the first match of a pattern has as its group 1, or as a whole without groups; None for no match.

    Args:
        pattern: a regular expression; None for the whole text.
        text: an answer or a reference.

    >>> extracted("#### ([0-9]+)", "So it is 42. #### 42"), extracted("[0-9]+", "none")
    ('42', None)
    """
    if pattern is None:
        return text
    match = re.search(pattern, text)
    return match and (match[1] or "" if match.re.groups else match[0])


def exact_match(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers that equal one of their references."""
    answers, how = answered(question, measurements, references=True), str(question.options["normalise"])
    pattern, normalise = question.options["extract"], NORMALISATIONS[how]
    parts = {role: [extracted(pattern, text) for text in its.texts] for role, its in answers.answers.items()}
    wanted = [{normalise(_reference(pattern, text)) for text in several} for several in answers.references]
    hits = {
        role: np.array([_equals(normalise, part, several) for part, several in zip(its, wanted, strict=True)])
        for role, its in parts.items()
    }
    method = f"equal to a reference, normalise={how!r}" + (f", extract={pattern!r}" if pattern else "")
    evidence = share_evidence(question, answers, hits, method)
    notes = (*evidence.notes, *_unmatched(parts), *answer_notes(answers))
    yield replace(checked(question, evidence), notes=notes)


def _equals(normalise: Callable[[str], str], part: str | None, wanted: set[str]) -> bool:
    return part is not None and normalise(part) in wanted


def _reference(pattern: str | None, text: str) -> str:
    part = extracted(pattern, text)
    return text if part is None else part


def _unmatched(parts: Mapping[str, Sequence[str | None]]) -> Iterator[str]:
    for role, its in parts.items():
        if missing := sum(part is None for part in its):
            yield f"{role}: extract= finds nothing in {missing} of {len(its)} answers, which count as wrong"


def token_f1(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean F1 of the words that answers share with a reference."""
    answers = answered(question, measurements, references=True)
    scores = {
        role: np.array([best(shared, text, several) for text, several in zip(texts, answers.references, strict=True)])
        for role, texts in answers.texts().items()
    }
    yield mean_evidence(question, answers, scores, "mean F1 of words as SQuAD normalises them, the best reference")


def shared(answer: str, reference: str) -> float:
    """Return SQuAD's F1 of an answer; two texts without words are equal.

    >>> shared("the cat", "a cat sat"), shared("", "...")
    (0.6666666666666666, 1.0)
    """
    ours, theirs = Counter(_tokens(answer)), Counter(_tokens(reference))
    if not ours or not theirs:
        return float(ours == theirs)
    return f1((ours & theirs).total(), ours.total(), theirs.total())


def _tokens(text: str) -> list[str]:
    """Return the words of a normalised text; characters where the language writes no spaces."""
    return apart(squad(text)).split()
