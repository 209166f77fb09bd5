"""Readings of the memory of a model's cache of keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.kpis.evidence import exact_evidence
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.models.text import CacheSize
from pytest_modelbench.probes.kinds import CACHE
from pytest_modelbench.results import Estimate, Evidence, Reading

Sizes = tuple[CacheSize, CacheSize]


def cache_bytes_per_token(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the bytes that each further token takes in the cache."""

    def reading(role: str) -> Reading:
        half, full = measurements.of(CACHE, role)
        return Reading(
            estimate=Estimate.exact(_slope(half.counted_bytes, full.counted_bytes, half, full)),
            unit="B",
            method=f"{humanise(full.counted_bytes, 'B')} after {full.tokens} tokens, "
            f"{humanise(half.counted_bytes, 'B')} after {half.tokens}",
        )

    evidence = exact_evidence(question, reading)
    roles = ("student", "teacher") if question.with_teacher else ("student",)
    notes = (line for role in roles for line in _notes(role, measurements.of(CACHE, role)))
    yield replace(evidence, notes=tuple(notes))


def _slope(first: int, last: int, half: CacheSize, full: CacheSize) -> float:
    return (last - first) / (full.tokens - half.tokens)


def _notes(role: str, sizes: Sizes) -> Iterator[str]:
    """Yield what makes the count another one than the formula of layers, heads and head size gives."""
    half, full = sizes
    counted = _slope(half.counted_bytes, full.counted_bytes, half, full)
    if not counted:
        yield f"{role}: the cache has the same size after {half.tokens} and after {full.tokens} tokens"
    if half.expected_bytes is None or full.expected_bytes is None:
        return
    expected = _slope(half.expected_bytes, full.expected_bytes, half, full)
    if counted != expected:
        yield (
            f"{role}: layers, heads and head size of the configuration give {expected:,.0f} B for each token, and "
            f"{counted:,.0f} B were counted"
        )
