"""Readings of how near the student is to its teacher, token by token and answer by answer."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from pytest_modelbench.data.text_data import text_data
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.by_group import groups_of, share_evidence, summed_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.text.evidence import Answered, answered
from pytest_modelbench.kpis.text.failures_found import is_empty
from pytest_modelbench.kpis.text.likelihood import documents_group, few
from pytest_modelbench.kpis.text.overlap_sums import sacrebleu_metrics
from pytest_modelbench.models.generation import Generation
from pytest_modelbench.probes.answers.predictions import shown_ids
from pytest_modelbench.probes.kinds import FORCING
from pytest_modelbench.probes.text.choices import in_common
from pytest_modelbench.probes.text.measured_likelihood import Forced
from pytest_modelbench.results import Evidence, Reading
from pytest_modelbench.stats.cells import FloatArray, IntArray, share_of
from pytest_modelbench.stats.intervals import percentile_interval, share_interval

WORST = 20
LEAST_REST = 0.01
"""The share of the teacher's probability as one token from which on divergences are lower bounds only."""


def token_agreement(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of tokens for which both find the same one the likeliest."""
    forced = measurements.of(FORCING, "student")
    evidence = _mean_of_tokens(question, measurements, forced, 100.0 * forced.agrees.astype(np.float64), lowest=True)
    yield replace(evidence, student=_bounded(question, evidence.student))


def _bounded(question: Question, reading: Reading) -> Reading:
    """Return a share of all or of no tokens with an interval, as if each text were one trial."""
    if reading.value not in {0.0, 100.0} or not reading.n:
        return reading
    estimate = share_interval(round(reading.n * reading.value / 100), reading.n, question.alpha)
    method = f"{reading.method}, which are all alike: Wilson interval of {reading.n} texts"
    return replace(reading, estimate=estimate.map(lambda share: 100 * share), method=method)


def token_kl(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean divergence of a token.

    Raises:
        MeasurementError: it is infinite.
    """
    forced = _finite(measurements.of(FORCING, "student"))
    evidence = _mean_of_tokens(question, measurements, forced, forced.divergences.astype(np.float64))
    yield _at_least(evidence, forced)


def _at_least(evidence: Evidence, forced: Forced) -> Evidence:
    """Leave the upper end open where tokens that count as one have a share that matters: no upper limit passes."""
    if forced.rest < LEAST_REST:
        return evidence
    share = f"the contract has {forced.rest:.0%} of the teacher's probability as one token"
    note = f"a lower bound, which may hide that the limit is broken: {share}. Record it with a higher top_k="
    estimate = evidence.student.estimate
    bound = replace(estimate, low=estimate.value if estimate.low is None else estimate.low, high=math.inf)
    student = replace(evidence.student, estimate=bound)
    return replace(evidence, student=student, sampled=True, notes=(*evidence.notes, note))


def token_kl_p99(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the 99th percentile of the divergences of tokens, with documents or groups as clusters."""
    forced = _finite(measurements.of(FORCING, "student"))
    nats, groups = forced.divergences.astype(np.float64), _group(measurements, forced)
    of_token = np.repeat(groups_of(groups, len(forced.sizes)), forced.sizes)
    clusters = [nats[of_token == number] for number in np.unique(of_token)]
    estimate, size = percentile_interval(clusters, 0.99, question.alpha)
    reading = Reading(
        estimate=estimate,
        unit=question.kpi.unit,
        n=len(clusters),
        confidence=question.confidence,
        method=f"{_how(forced)}, Woodruff interval of an effective {size:,.0f} tokens",
    )
    evidence = Evidence(
        student=reading,
        sampled=question.asked,
        worst_samples=_worst(measurements, forced, np.array([part.max(initial=0.0) for part in _parts(forced)])),
    )
    yield _at_least(evidence, forced)


def _finite(forced: Forced) -> Forced:
    infinite = int((~np.isfinite(forced.divergences)).sum())
    if infinite:
        raise MeasurementError(
            f"the divergence of {infinite:,} of {len(forced.divergences):,} tokens is infinite: {forced.model} gives "
            "the probability 0 to tokens that the teacher finds possible"
        )
    return forced


def _parts(forced: Forced) -> list[FloatArray]:
    """Return the divergences of each text."""
    return np.split(forced.divergences.astype(np.float64), np.cumsum(forced.sizes)[:-1])


def _how(forced: Forced) -> str:
    what = "answers" if forced.of_prompts else "documents"
    return f"{len(forced.divergences):,} tokens of {len(forced.sizes):,} {what}: {forced.how}"


def _group(measurements: Measurements, forced: Forced) -> Sequence[Hashable]:
    """Return what each text belongs to: prompts to their groups, documents to theirs."""
    data, count = text_data(measurements.data()), len(forced.sizes)
    if forced.of_prompts:
        return range(count) if data.group is None else data.group
    return documents_group(data, count)


def _worst(measurements: Measurements, forced: Forced, values: FloatArray) -> tuple[str, ...]:
    """Return the ids of the texts with the highest values, the positions of documents beside prompts."""
    data = text_data(measurements.data())
    own = data.ids if forced.of_prompts or not data.has_prompts else None
    order = np.argsort(-values, kind="stable")[:WORST]
    return shown_ids(range(len(values)) if own is None else own, order[values[order] > 0])


def _mean_of_tokens(
    question: Question, measurements: Measurements, forced: Forced, values: FloatArray, *, lowest: bool = False
) -> Evidence:
    """Return the mean of a value of each token as evidence, with texts or their groups as clusters."""
    number = np.repeat(np.arange(len(forced.sizes)), forced.sizes)
    total = np.bincount(number, values, len(forced.sizes))
    group, means = _group(measurements, forced), total / np.maximum(forced.sizes, 1)
    evidence = summed_evidence(
        question,
        text_data(measurements.data()),
        {"student": np.column_stack([total, forced.sizes])},
        lambda sums: share_of(sums[:, 0], sums[:, 1]),
        _how(forced),
        group,
    )
    missed = np.where(forced.sizes > 0, 100.0 - means, 0.0) if lowest else means
    return replace(
        evidence,
        notes=few(len(set(group)), "answers" if forced.of_prompts else "documents"),
        worst_samples=_worst(measurements, forced, missed),
    )


def greedy_agreement(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of prompts that both answer with the same text."""
    pair = _both(question, measurements)
    student, teacher = (np.array(pair.answers[role].texts, dtype=object) for role in ("student", "teacher"))
    evidence = share_evidence(question, pair, {"student": student == teacher}, "the same text, to the character")
    empty = int(((student == "") & (teacher == "")).sum())
    notes = (f"both models answered {empty} of {len(student)} prompts with nothing",) * bool(empty)
    yield replace(evidence, notes=(*evidence.notes, *notes))


def _both(question: Question, measurements: Measurements) -> Answered:
    """Return the answers of both models.

    Raises:
        MeasurementError: the teacher answered nothing at all, which an empty student agrees with.
    """
    pair = answered(question, measurements, references=False, both=True)
    if all(map(is_empty, pair.answers["teacher"].texts)):
        raise MeasurementError(f"{question.kpi.name} compares nothing: all answers of the teacher are empty")
    return pair


def first_divergence(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the median of how far the student's answers go with the teacher's."""
    pair = _both(question, measurements)
    unit, student, teacher = _sequences(pair)
    together = np.array([in_common(*both) for both in zip(student, teacher, strict=True)], dtype=np.float64)
    same = np.array([mine == its for mine, its in zip(student, teacher, strict=True)])
    groups = groups_of(pair.data.group, len(together))
    clusters = [together[groups == number] for number in np.unique(groups)]
    estimate, _ = percentile_interval(clusters, 0.5, question.alpha)
    reading = Reading(
        estimate=estimate,
        unit=question.kpi.unit,
        n=len(clusters),
        confidence=question.confidence,
        method=f"median in {unit} over {len(together)} prompts, Woodruff interval",
    )
    yield Evidence(
        student=reading,
        sampled=question.asked,
        notes=(
            *pair.notes,
            f"in {unit}; {int(same.sum())} of {len(same)} answers are equal and count with their length",
        ),
        worst_samples=pair.worst(np.flatnonzero(~same & (together < estimate.value))),
    )


def _sequences(pair: Answered) -> tuple[str, Sequence[Sequence[object]], Sequence[Sequence[object]]]:
    """Return what the answers of student and teacher are compared by, and the answers as sequences of it."""
    student, teacher = pair.answers["student"], pair.answers["teacher"]
    known = student.vocabulary and student.vocabulary == teacher.vocabulary
    if known and all(answer.token_ids is not None for answer in (*student.answers, *teacher.answers)):
        return "tokens", _ids(student.answers), _ids(teacher.answers)
    return "characters", student.texts, teacher.texts


def _ids(answers: Sequence[Generation]) -> list[tuple[int, ...]]:
    return [answer.token_ids or () for answer in answers]


def generation_similarity(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean chrF of the student's answers, each with the teacher's as its reference.

    Raises:
        MeasurementError: sacrebleu is not installed.
    """
    pair = _both(question, measurements)
    texts = pair.texts()
    chrf = sacrebleu_metrics(question.kpi.name).CHRF().sentence_score
    pairs = zip(texts["student"], texts["teacher"], strict=True)
    scores = np.array([100.0 if mine == its else chrf(mine, [its]).score for mine, its in pairs])
    evidence = summed_evidence(
        question,
        pair.data,
        {"student": np.column_stack([scores, np.ones(len(scores))])},
        lambda sums: share_of(sums[:, 0], sums[:, 1]),
        f"mean of sentence chrF over {len(scores)} prompts",
    )
    order: IntArray = np.argsort(scores, kind="stable")[:WORST]
    yield replace(evidence, notes=pair.notes, worst_samples=pair.worst(order[scores[order] < 100]))
