"""Readings of answers that fail, whether or not there are references: the share of prompts, with samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_modelbench.errors import DoesNotFit, shown
from pytest_modelbench.kpis.by_group import Mask, share_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.evidence import Answered, answered
from pytest_modelbench.kpis.text.failures_found import (
    REFUSALS,
    is_empty,
    is_fenced_json,
    is_json,
    is_truncated,
    loop,
    refusal,
    special_tokens,
)
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.results import Evidence

SHOWN = 3
EXCERPT = 60
Marks = Mapping[str, Sequence[str]]
"""By role, for each prompt what its answer fails by, in words; "" for one that does not."""


def empty_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers without visible text."""
    answers = answered(question, measurements, references=False)
    marks = _marks(answers, lambda _, answer: "empty" * is_empty(answer.text))
    reasoning = sum(is_empty(answer.text) and bool(answer.reasoning) for answer in answers.answers["student"].answers)
    more = (f"{reasoning} of them have reasoning and no answer after it",) if reasoning else ()
    yield _evidence(question, answers, marks, "without visible text", more)


def truncated_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers that ended at the limit of tokens.

    Raises:
        DoesNotFit: a model states for no answer why it ended.
    """
    answers = answered(question, measurements, references=False)
    cut = {
        role: [is_truncated(answer, its.settings) for answer in its.answers] for role, its in answers.answers.items()
    }
    for role, ends in cut.items():
        if all(end is None for end in ends):
            raise DoesNotFit(
                f"{answers.answers[role].model} states neither why its answers end nor how many tokens they have, "
                "as a function from a prompt to a text cannot. Judge length_ratio"
            )
    unknown = sum(end is None for end in cut["student"])
    more = (f"{unknown} answers state no reason for their end and count as complete",) if unknown else ()
    marks = {role: ["truncated" * bool(end) for end in ends] for role, ends in cut.items()}
    longest = answers.answers["student"].settings.max_new_tokens
    yield _evidence(question, answers, marks, f"ended at max_new_tokens={longest}", more, last=True)


def repetition_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers that repeat a part of themselves over and over."""
    answers = answered(question, measurements, references=False)
    marks = _marks(answers, lambda _, answer: loop(answer))
    looped = ((at, mark) for at, mark in enumerate(marks["student"]) if mark)
    ids = answers.answers["student"].ids
    more = tuple(f"{ids[at]} repeats {_excerpt(mark)}" for at, mark in list(looped)[:SHOWN])
    yield _evidence(question, answers, marks, "a block 4 times in a row, 16 words or more", more, excerpts=False)


def special_token_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers that have special tokens as text, which no reference of the prompt has."""
    answers = answered(question, measurements, references=False)
    wanted = [set(special_tokens(" ".join(texts))) for texts in _references(answers)]

    def tokens(at: int, answer: Generation) -> str:
        return " ".join(token for token in special_tokens(answer.text) if token not in wanted[at])

    marks = _marks(answers, tokens)
    evidence = _evidence(question, answers, marks, "with special tokens as text")
    yield replace(evidence, breakdown=_rows((mark.split() for mark in marks["student"]), len(wanted)))


def refusal_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers that begin as refusals do."""
    answers = answered(question, measurements, references=False)
    phrases = question.options["phrases"]
    openings = REFUSALS if phrases is None else (phrases,) if isinstance(phrases, str) else tuple(phrases)
    marks = _marks(answers, lambda _, answer: refusal(answer.text, openings))
    which = f"one of {len(openings)} openings{'' if phrases else ' in English'}"
    evidence = _evidence(question, answers, marks, f"begin with {which}")
    rows = _rows(([mark] * bool(mark) for mark in marks["student"]), len(marks["student"]))
    yield replace(evidence, breakdown=rows)


def invalid_json_share(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers that are not one JSON value."""
    answers = answered(question, measurements, references=False)
    marks = _marks(answers, lambda _, answer: "not JSON" * (not is_json(answer.text)))
    fenced = sum(map(is_fenced_json, answers.answers["student"].texts))
    more = (f"{fenced} of them are JSON in a code fence, which a parser refuses",) if fenced else ()
    yield _evidence(question, answers, marks, "not one JSON value", more)


def _references(answers: Answered) -> Sequence[Sequence[str]]:
    return answers.references or [()] * len(answers.answers["student"])


def _marks(answers: Answered, mark: Callable[[int, Generation], str]) -> Marks:
    return {
        role: [mark(at, answer) for at, answer in enumerate(its.answers)] for role, its in answers.answers.items()
    }


def _evidence(
    question: Question,
    answers: Answered,
    marks: Marks,
    method: str,
    notes: tuple[str, ...] = (),
    *,
    excerpts: bool = True,
    last: bool = False,
) -> Evidence:
    """Return the share of marked answers, with excerpts of the student's first ones (their ends with `last`)."""
    hits = {role: np.array([bool(mark) for mark in its]) for role, its in marks.items()}
    evidence = share_evidence(question, answers, hits, method)
    listed = quoted(answers, hits["student"], last=last) if excerpts else []
    return replace(evidence, notes=(*evidence.notes, *notes, *listed[:SHOWN]))


def quoted(answers: Answered, hits: Mask, *, last: bool = False) -> list[str]:
    """Return excerpts of the student's answers that are hits, with their ids; empty answers are left out."""
    student = answers.answers["student"]
    texts = [(student.ids[at], student.texts[at].strip()) for at in np.flatnonzero(hits).tolist()]
    return [f"{name}: {_excerpt(text, last=last)}" for name, text in texts if text]


def _excerpt(text: str, *, last: bool = False) -> str:
    if len(text) <= EXCERPT:
        return shown(text)
    return f"...{shown(text[-EXCERPT:])}" if last else f"{shown(text[:EXCERPT])}..."


def _rows(names: Iterable[Iterable[str]], n: int) -> tuple[dict[str, Any], ...]:
    """Return how many of n answers have each name, the most frequent first."""
    counts = Counter(name for several in names for name in set(several))
    return tuple({"name": name, "n": count, "value": 100 * count / n} for name, count in counts.most_common())
