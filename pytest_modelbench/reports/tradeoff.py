"""Several students side by side: what each costs and keeps, and the Pareto-optimal ones."""

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
SUBJECTS = frozenset({"reduction", "increase", "ratio", "speedup", "difference", "drop"})
Known = dict[tuple[str, str], Mapping[str, Any]]


def tradeoff(gates: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Compare students by what their gates have measured; nothing is measured for it.

    Args:
        gates: the report's gates.

    Returns:
        `{"axes": [{"name", "kpi", "better", "unit", "against"}], "students": [{"student", "values", "pareto"}]}`,
        where `values` has one `{"student", "teacher", "provenance", "judged"}` for each axis, and `against` is the
        subject of the limits on that KPI, in whose terms a value is shown against the teacher's: `judged` is what
        such a limit judges of the student, or None. None instead of all that where there are fewer than two
        students, or no two axes on which all of them have values, or where they come from several suites, whose
        teachers or data differ. A student is Pareto-optimal when no other one is at least as good on every axis and
        better on one; two latencies whose intervals overlap are equally good.
    """
    if len({gate["suite"] for gate in gates}) > 1:
        return None  # students of other teachers, or judged on other data
    judged = [gate for gate in gates if gate["readings"]["student"] is not None]
    students = list(dict.fromkeys(gate["student"] for gate in judged))
    if len(students) < 2:
        return None
    gate_of: Known = {}
    for gate in judged:
        plain = gate["options"].get("batch_size") in {None, 1}
        if gate["readings"]["student"]["value"] is not None and plain:
            gate_of.setdefault((gate["student"], gate["kpi"]), gate)
    axes = [
        {
            "name": name,
            "kpi": kpi,
            "better": better,
            "unit": gate_of[students[0], kpi]["readings"]["student"]["unit"],
            "against": _subject(kpi, judged, gate_of[students[0], kpi]["readings"]["student"]["unit"]),
        }
        for name, kpis, better in AXES
        if (kpi := next((kpi for kpi in kpis if all((student, kpi) in gate_of for student in students)), None))
    ]
    if len(axes) < 2:
        return None
    best = pareto_optimal(students, axes, gate_of)
    return {
        "axes": axes,
        "students": [
            {
                "student": student,
                "values": [_values(gate_of[student, axis["kpi"]], axis["against"]) for axis in axes],
                "pareto": pareto,
            }
            for student, pareto in zip(students, best, strict=True)
        ],
    }


def _subject(kpi: str, gates: Sequence[Mapping[str, Any]], unit: str) -> str:
    """Return the subject of the first limit on a KPI that compares with the teacher."""
    words = (target.split()[0] for gate in gates if gate["kpi"] == kpi for target in gate["targets"])
    return next((word for word in words if word in SUBJECTS), "difference" if unit == "%" else "ratio")


def _values(gate: Mapping[str, Any], subject: str) -> dict[str, Any]:
    student, teacher = gate["readings"]["student"], gate["readings"]["teacher"]
    judged = next((limit for limit in gate["limits"] if limit["text"].split()[0] == subject), None)
    return {
        "student": student["value"],
        "teacher": teacher["value"] if teacher else None,
        "provenance": student["provenance"],
        "judged": {"value": judged["value"], "unit": judged["unit"]} if judged else None,
    }


def pareto_optimal(students: Sequence[str], axes: Sequence[Mapping[str, Any]], gate_of: Known) -> list[bool]:
    """Return which students no other one dominates: at least as good on every axis, and better on one."""
    import numpy as np

    mine = [[gate_of[student, axis["kpi"]]["readings"] for axis in axes] for student in students]
    scalable = [[bool(readings["teacher"] and readings["teacher"]["value"]) for readings in row] for row in mine]
    intervals = [
        [
            end
            for readings, axis, scaled in zip(row, axes, flags, strict=True)
            for end in (_ends(readings, axis, scaled=False), _ends(readings, axis, scaled=scaled))
        ]
        for row, flags in zip(mine, scalable, strict=True)
    ]
    low, high = np.array(intervals).transpose(2, 0, 1).reshape(2, len(students), len(axes), 2)
    both = np.array(scalable)
    best = []
    for i in range(len(students)):
        scaled = (both & both[i]).astype(int)[..., None]
        theirs_low, theirs_high = (np.take_along_axis(ends, scaled, axis=2)[..., 0] for ends in (low, high))
        my_low, my_high = (np.take_along_axis(ends[i][None], scaled, axis=2)[..., 0] for ends in (low, high))
        beaten = (theirs_high >= my_low).all(axis=1) & (theirs_low > my_high).any(axis=1)
        best.append(not beaten.any())
    return best


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
