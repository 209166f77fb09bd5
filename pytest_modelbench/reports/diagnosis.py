"""Findings that explain a time and say what to do about it, each with its number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SLOWER = 1.1
FAULTS_PER_CALL = 10.0
_REMEDY = (
    "in deployment set MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ (the report was measured with both raised), "
    "or use jemalloc or tcmalloc"
)


def diagnose(timings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what timed measurements found out about themselves, as JSON types."""
    return list(_allocator_churn(timings))


def _allocator_churn(timings: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Find models that the C library's defaults slow down: freed memory goes back, and is faulted in again."""
    for timing in timings:
        for role, gap in timing.get("allocator_gap", {}).items():
            if gap["slower"] >= SLOWER and gap["minor_faults_per_call"] >= FAULTS_PER_CALL:
                model = role if role == "teacher" else timing["student"]
                yield {
                    "finding": "allocator churn",
                    "model": model,
                    "slower": gap["slower"],
                    "minor_faults_per_call": gap["minor_faults_per_call"],
                    "text": f"{model} was {gap['slower']:.2f}x slower with the C library's default allocator, at "
                    f"{gap['minor_faults_per_call']:.0f} page faults per call",
                    "remedy": _REMEDY,
                }
