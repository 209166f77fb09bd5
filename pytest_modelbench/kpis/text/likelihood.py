"""Readings of how likely documents are."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from pytest_modelbench.data.text_data import TextData, text_data
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import summed_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.kinds import LIKELIHOODS
from pytest_modelbench.probes.text.measured_likelihood import Likelihoods
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray, share_of

FEW = 10
"""Resamples of fewer documents are too much alike."""
OTHER_TOKENS = (
    "the tokenisers of the two models differ, or are not known, and a token is another amount of text in each. "
    "Write bits_per_byte"
)


def perplexity(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the exponential of the mean over all tokens; none is compared between different tokenisers.

    Raises:
        MeasurementError: no token can be scored, or the model finds one impossible.
    """
    models = _models(question, measurements)
    evidence = _evidence(question, measurements, models, "tokens", np.exp)
    if "teacher" in models and not models["student"].same_tokens(models["teacher"]):
        evidence = replace(evidence, teacher=None, comparison=None, not_comparable=OTHER_TOKENS)
    yield evidence


def bits_per_byte(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the bits for each byte of the scored text.

    Raises:
        MeasurementError: as for `perplexity`.
    """
    models = _models(question, measurements)
    evidence = _evidence(question, measurements, models, "utf8_bytes", lambda mean: mean / math.log(2))
    yield replace(evidence, notes=(*evidence.notes, *_altered(models)))


def documents_group(data: TextData, count: int) -> Sequence[Hashable]:
    """Return the group of each document: that of the samples where the documents are the samples, else itself."""
    return range(count) if data.has_prompts or data.group is None else data.group


def few(count: int, what: str) -> tuple[str, ...]:
    """Say that there are too few of what is independent for a good interval."""
    return (f"the interval rests on {count} {what}: add some, or split long ones",) * (count < FEW)


def _models(question: Question, measurements: Measurements) -> dict[str, Likelihoods]:
    roles = ("student", "teacher") if question.with_teacher else ("student",)
    return {role: measurements.of(LIKELIHOODS, role) for role in roles}


def _evidence(
    question: Question,
    measurements: Measurements,
    models: Mapping[str, Likelihoods],
    unit: str,
    value: Callable[[FloatArray], FloatArray],
) -> Evidence:
    """Return a function of nat for each token or byte as evidence."""
    sums = {role: np.column_stack([model.nats, getattr(model, unit)]) for role, model in models.items()}
    for role, model in models.items():
        if not model.tokens.any():
            raise MeasurementError(f"no document has a token that the {role} can score. Write longer texts")
        if not np.isfinite(model.nats).all():
            at = int(np.flatnonzero(~np.isfinite(model.nats))[0])
            raise MeasurementError(f"{model.model} gives the probability 0 to a token of document {at + 1}")

    def mean(totals: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            return value(share_of(totals[:, 0], totals[:, 1]))

    data, student = text_data(measurements.data()), models["student"]
    group = documents_group(data, len(student.tokens))
    methods = {
        role: f"{int(model.tokens.sum()):,} tokens of {len(model.tokens):,} documents, {model.how}"
        for role, model in models.items()
    }
    evidence = summed_evidence(question, data, sums, mean, methods["student"], group)
    if teacher := evidence.teacher:  # its tokeniser and windows may be others
        own = teacher.method.replace(methods["student"], methods["teacher"], 1)
        evidence = replace(evidence, teacher=replace(teacher, method=own))
    return replace(evidence, notes=(*few(len(set(group)), "documents"), *_unlike(models)))


def _unlike(models: Mapping[str, Likelihoods]) -> tuple[str, ...]:
    """Say that the models read the documents in other windows, or that one of them has no first token."""
    if len({model.how for model in models.values()}) < 2:
        return ()
    windows = {model.window for model in models.values()}
    advice = f". Write window={min(windows - {0})} to compare them with as much before each token"
    unlike = "; ".join(f"{role}: {model.how}" for role, model in models.items())
    return (unlike + advice * (len(windows) > 1),)


def _altered(models: Mapping[str, Likelihoods]) -> tuple[str, ...]:
    return tuple(
        f"the tokeniser of the {role} does not give back {model.altered} of {len(model.tokens)} documents: their "
        "bits are those of another text"
        for role, model in models.items()
        if model.altered
    )
