"""Readings of answers that equal a reference."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.evidence import answered, share_evidence
from pytest_modelbench.results import Evidence


def spaces(text: str) -> str:
    """Return a text in Unicode's form NFKC, without white space around it and with single spaces inside."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text)).strip()


NORMALISATIONS: Mapping[str, Callable[[str], str]] = {"spaces": spaces, "none": str}
"""What is done to answers and references before they are compared, by the value of `normalise=`."""


def exact_match(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of answers that equal one of their references."""
    found, how = answered(question, measurements, references=True), str(question.options["normalise"])
    normalise = NORMALISATIONS[how]
    hits = {
        role: np.array(
            [
                normalise(answer) in {normalise(reference) for reference in references}
                for answer, references in zip(answers.texts, found.references, strict=True)
            ]
        )
        for role, answers in found.answers.items()
    }
    yield share_evidence(question, found, hits, f"equal to a reference, normalise={how!r}")
