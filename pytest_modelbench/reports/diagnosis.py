"""Why a model is slow: findings of timed measurements, and the lines that tell of the students' diagnoses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.reports.causes import some
from pytest_modelbench.reports.waterfall import waterfall_line

SLOWER = 1.1
FAULTS_PER_CALL = 10.0
_REMEDY = (
    "in deployment set MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ (the report was measured with both raised), "
    "or use jemalloc or tcmalloc"
)
MOST_LINES = 10
MOST_CAUSES = 3
PAGE = "docs/diagnosis.md"
Told = Mapping[str, Any]


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


def diagnosis_lines(report: Told) -> list[str]:
    """Return what the summary says of all diagnoses, in ten lines at most: the JSON report has the rest."""
    diagnoses = [diagnosis for diagnosis in report["diagnosis"] if "student" in diagnosis]
    tested = [diagnosis for diagnosis in diagnoses if _is_tested(diagnosis)]
    most = MOST_CAUSES if len(tested) == 1 else 1
    lines = [line for diagnosis in tested for line in _of_student(diagnosis, most, alone=len(tested) == 1)]
    left: dict[str, list[str]] = {}
    for diagnosis in diagnoses:
        if not _is_tested(diagnosis):
            left.setdefault(diagnosis["reason"], []).append(diagnosis["student"])
    lines += [f"{some(students, 3)} {reason}" for reason, students in left.items()]
    if any(diagnosis["causes"] for diagnosis in tested) and len(lines) < MOST_LINES:
        lines.append(f"each cause is explained in {PAGE}#CAUSE, and the JSON report has all numbers")
    if len(lines) > MOST_LINES:
        lines[MOST_LINES - 1 :] = ["the JSON report has the other diagnoses"]
    return lines


def _is_tested(diagnosis: Told) -> bool:
    hypotheses = diagnosis["causes"] or diagnosis["refuted"] or diagnosis["skipped"]
    return bool(hypotheses) or not diagnosis["reason"].startswith("not ")


def _of_student(diagnosis: Told, most: int, *, alone: bool) -> Iterator[str]:
    """Yield the lines of one student: why it was diagnosed, its causes with their remedies, what was ruled out."""
    causes, ratio = diagnosis["causes"], diagnosis["time_ratio"]
    beside = "" if ratio is None else f"; its time is {_percent(ratio)} of the teacher's"
    none = "" if causes else ": none of the hypotheses explains it"
    yield f"diagnosis of {diagnosis['student']} ({diagnosis['reason']}{beside}){none}"
    for number, cause in enumerate(causes[:most], 1):
        yield f"  {number}. {cause['cause']} takes {_share(cause)} of its time: {cause['text']}"
        yield f"     {cause['remedy']}"
    if alone or not causes:
        refuted = [
            f"{hypothesis['cause']} {_percent(hypothesis['gives_back'])}" for hypothesis in diagnosis["refuted"]
        ]
        skipped = [f"{hypothesis['cause']} ({hypothesis['skipped']})" for hypothesis in diagnosis["skipped"]]
        parts = [f"refuted: {some(refuted)}"] if refuted else []
        parts += [f"not tested: {some(skipped, 4)}"] if skipped else []
        if parts:
            yield "  " + "; ".join(parts)
    if alone and diagnosis.get("waterfall"):
        yield f"  {waterfall_line(diagnosis['waterfall'])}"


def _share(cause: Told) -> str:
    low, high = cause["gives_back_low"], cause["gives_back_high"]
    return f"{_percent(cause['gives_back'])} ({_percent(low)} to {_percent(high)})"


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.0f}%"
