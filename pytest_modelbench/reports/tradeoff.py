"""Several students side by side: what each costs and keeps, and which of them no other one beats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

AXES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("quality", ("top1_accuracy", "balanced_accuracy", "f1", "roc_auc", "r2"), "higher"),
    ("latency", ("latency_p50", "latency_mean", "latency_p99", "latency_p95", "latency_p90"), "lower"),
    ("memory", ("peak_memory",), "lower"),
    ("size", ("size_on_disk", "parameters", "nonzero_parameters"), "lower"),
)
"""The columns: name, the KPIs that may fill it (the first that every student has), the better direction."""


def tradeoff(gates: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Compare students by what their gates have measured; nothing is measured for it.

    Args:
        gates: the report's gates.

    Returns:
        `{"axes": [{"name", "kpi", "better", "unit"}], "students": [{"student", "values", "pareto"}]}`, where `values`
        has one `{"student", "teacher"}` for each axis. None where there are fewer than two students, or no two axes
        on which all of them have values, or where they come from several suites, whose teachers or data differ. A
        student is Pareto-optimal when no other one is at least as good on every axis and better on one; two
        latencies whose intervals overlap are equally good.
    """
    if len({gate["suite"] for gate in gates}) > 1:
        return None  # students of other teachers, or judged on other data
    judged = [gate for gate in gates if gate["readings"]["student"] is not None]
    students = list(dict.fromkeys(gate["student"] for gate in judged))
    if len(students) < 2:
        return None
    readings: dict[tuple[str, str], Mapping[str, Any]] = {}
    for gate in gates:
        reading = gate["readings"]["student"]
        plain = gate["options"].get("batch_size") in {None, 1}
        if reading is not None and reading["value"] is not None and plain:
            readings.setdefault((gate["student"], gate["kpi"]), gate["readings"])
    axes = [
        {"name": name, "kpi": kpi, "better": better, "unit": readings[students[0], kpi]["student"]["unit"]}
        for name, kpis, better in AXES
        if (kpi := next((kpi for kpi in kpis if all((one, kpi) in readings for one in students)), None))
    ]
    if len(axes) < 2:
        return None
    return {
        "axes": axes,
        "students": [
            {
                "student": one,
                "values": [_values(readings[one, axis["kpi"]]) for axis in axes],
                "pareto": not any(_beats(other, one, axes, readings) for other in students if other != one),
            }
            for one in students
        ],
    }


def _values(readings: Mapping[str, Any]) -> dict[str, float | None]:
    teacher = readings["teacher"]
    return {"student": readings["student"]["value"], "teacher": teacher["value"] if teacher else None}


def _beats(
    one: str, other: str, axes: Sequence[Mapping[str, Any]], readings: Mapping[tuple[str, str], Mapping[str, Any]]
) -> bool:
    pairs = []
    for axis in axes:
        ours, theirs = (readings[student, axis["kpi"]] for student in (one, other))
        scaled = bool(ours["teacher"] and theirs["teacher"] and axis["name"] == "latency")
        pairs.append((_ends(ours, axis, scaled=scaled), _ends(theirs, axis, scaled=scaled)))
    worse = any(theirs[0] > ours[1] for ours, theirs in pairs)
    return not worse and any(ours[0] > theirs[1] for ours, theirs in pairs)


def _ends(readings: Mapping[str, Any], axis: Mapping[str, Any], *, scaled: bool) -> tuple[float, float]:
    """Return least and greatest goodness: the interval of a time, which noise decides, otherwise the value.

    Students are timed in different minutes, each beside the teacher: where both were, their times are compared as
    shares of its time. An end that the sample does not support may be anything.
    """
    student = readings["student"]
    value = float(student["value"])
    if axis["name"] != "latency":
        return (value, value) if axis["better"] == "higher" else (-value, -value)
    scale = float(readings["teacher"]["value"]) if scaled else 1.0
    low = -math.inf if student["ci_low"] is None else float(student["ci_low"])
    high = math.inf if student["ci_high"] is None else float(student["ci_high"])
    return -high / scale, -low / scale
