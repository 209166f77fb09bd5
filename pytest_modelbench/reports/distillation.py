"""What people distil for, in one table: size, memory, tail latency, quality, energy, hardware, readiness, carbon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modelbench.results import Verdict, worst

ROWS = (
    ("model size", "size_on_disk"),
    ("peak memory", "peak_memory"),
    ("p99 latency", "latency_p99"),
    ("top-1 accuracy", "top1_accuracy"),
    ("energy per 1k queries", "energy_per_1k"),
    ("hardware requirement", "hardware_tier"),
    ("deployment readiness", "export"),
    ("carbon per 1M inferences", "carbon_per_1m"),
)
"""What each row is called, and the KPI that it shows."""
WHERE_JUDGED = (
    ("p99 response under load", "response_p99"),
    ("accuracy under corruptions", "corruption_accuracy"),
    ("accuracy under attack", "robust_accuracy"),
    ("AUROC out of distribution", "ood_auroc"),
)
"""Rows that are only there if a gate judges them."""
FEWEST = 4
COSTS = frozenset({"peak_memory", "energy_per_1k", "hardware_tier", "carbon_per_1m"})


def distillation(gates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Gather what teacher and students cost from their gates; nothing is measured for it.

    Args:
        gates: the report's gates.

    Returns:
        One entry for each of `ROWS`, and for each judged one of `WHERE_JUDGED`:
        `{"name", "kpi", "teacher", "students"}`, where `teacher` is
        `{"value", "unit", "provenance"}` or None, and `students` maps each label to the same with `targets` and
        `verdict`, and with `text` for what tells more than the value; or to None where nothing judges it. None where
        no gate is about what a model costs, where fewer than four rows are judged, or where gates come from several
        suites.
    """
    judged = {gate["kpi"] for gate in gates}
    few = len(judged & {kpi for _, kpi in ROWS}) < FEWEST
    if few or not judged & COSTS or len({gate["suite"] for gate in gates}) > 1:
        return None
    students = list(dict.fromkeys(gate["student"] for gate in gates))
    by_both: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for gate in gates:
        by_both.setdefault((gate["kpi"], gate["student"]), []).append(gate)
    rows = []
    for name, kpi in (*ROWS, *(row for row in WHERE_JUDGED if row[1] in judged)):
        by_student = {student: by_both.get((kpi, student), []) for student in students}
        teachers = (gate["readings"]["teacher"] for own in by_student.values() for gate in own)
        rows.append(
            {
                "name": name,
                "kpi": kpi,
                "teacher": next((_value(reading) for reading in teachers if reading is not None), None),
                "students": {student: _judged(own) for student, own in by_student.items()},
            }
        )
    return rows


def _judged(gates: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Put the gates of one KPI and student together: the first one's value, all limits, the worst verdict."""
    if not gates:
        return None
    reading = next((student for gate in gates if (student := gate["readings"]["student"]) is not None), None)
    return {
        **(_value(reading) if reading is not None else {"value": None, "unit": gates[0]["unit"], "provenance": ""}),
        **_shown(gates),
        "targets": list(dict.fromkeys(_targets(gates))),
        "verdict": worst([Verdict(gate["verdict"]) for gate in gates]).value,
    }


def _shown(gates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the names of the formats that a model is ready for, where the gates are about exports."""
    steps = [row for gate in gates for row in gate.get("breakdown", ()) if "format" in row]
    ready = dict.fromkeys(row["format"] for row in steps if row["ready"])
    return {"text": ", ".join(ready) or "none"} if steps else {}


def _targets(gates: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for gate in gates:
        yield from gate["targets"]


def _value(reading: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": reading["value"], "unit": reading["unit"], "provenance": reading["provenance"]}
