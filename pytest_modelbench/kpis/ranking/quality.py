"""Measures of lists as evidence: means over queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.pooled import Tallied, pooled_evidence, worst_first
from pytest_modelbench.kpis.ranking.measures import MEASURES, hit_rate
from pytest_modelbench.kpis.ranking.ranked import Lists, lists
from pytest_modelbench.results import Evidence
from pytest_modelbench.stats.cells import FloatArray

BLIND_TO_ORDER = ("recall_at_k", "precision_at_k", "hit_rate")
"""Measures that count relevant items among the first `k`, wherever among them they stand."""


def measure(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the mean of a measure over queries.

    Raises:
        MeasurementError: no query has a relevant item, or a score is NaN.
    """
    read, of_lists = lists(question, measurements), MEASURES[question.kpi.statistic]
    values = {role: of_lists(read.ranked(role), question.options) for role in read.answers.answers}
    k = question.options["k"]
    method = f"first {k} items of each query" if k else "all items of each query"
    evidence = evidence_of(question, read, values, method)
    yield replace(evidence, notes=(*evidence.notes, *_blind_to_order(question, read)))


def _blind_to_order(question: Question, read: Lists) -> list[str]:
    """Say for how many queries any order has the same value, because the first `k` items are all there are."""
    k = question.options["k"]
    if not k or question.kpi.statistic not in BLIND_TO_ORDER:
        return []
    items = read.ranked("student").items
    short = int((items <= k).sum())
    return (
        [f"k={k} takes in all items of {short} of {len(items)} queries: any order gives the same value"]
        if short
        else []
    )


def lost_hits(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the share of queries for which only the teacher has a relevant item among the first.

    With ties, how much likelier the teacher has one: two equal models lose nothing.
    """
    read = lists(question, measurements, both=True)
    student, teacher = (hit_rate(read.ranked(role), question.options) for role in ("student", "teacher"))
    method = f"first {question.options['k']} items of each query"
    yield evidence_of(question, read, {"student": np.maximum(teacher - student, 0.0)}, method)


def evidence_of(question: Question, read: Lists, values: dict[str, FloatArray], method: str) -> Evidence:
    """Return the mean of values from 0 to 1 over queries with relevant items as evidence, in percent.

    Args:
        question: of the gate; `empty` says what becomes of the other queries.
        read: the lists.
        values: (queries,) by role.
        method: how they are found, in words.

    Raises:
        MeasurementError: no query has a relevant item.
    """
    full = read.ranked("student").per_query() > 0
    if not full.any():
        raise MeasurementError(f"{question.kpi.name} is undefined: no query has a relevant item")
    counts = np.ones(len(full)) if question.options.get("empty") == "zero" else full.astype(np.float64)
    tallied = {role: Tallied(parts=np.where(full, its, 0.0), wholes=counts) for role, its in values.items()}
    evidence = pooled_evidence(question, read.queries, tallied, method, nothing="no query counts")
    empty = int((~full).sum())
    fate = "count as 0" if question.options.get("empty") == "zero" else "do not count"
    notes = [f"{empty} of {len(full)} queries have no relevant item and {fate}"] if empty else []
    worst = read.queries.worst(worst_first(tallied, question.kpi.better))
    return replace(evidence, notes=(*evidence.notes, *read.queries.notes, *notes), worst_samples=worst)
