"""A small JSON report that has every part which the HTML report draws; its numbers are made up."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def reading(value: float | None, unit: str, *, half: float | None = None, provenance: str = "measured") -> Json:
    ends: Json = {"ci_low": None, "ci_high": None}
    if half is not None and value is not None:
        ends = {"ci_low": value - half, "ci_high": value + half}
    return {
        "value": value,
        "unit": unit,
        **ends,
        "confidence": 0.95,
        "n": 200,
        "provenance": provenance,
        "method": "made up",
    }


def limit(text: str, verdict: str, value: float | None, unit: str, **more: Any) -> Json:
    """Return a limit; `threshold` and `half` (of the interval) say where it lies."""
    threshold, half = more.pop("threshold", None), more.pop("half", None)
    margin = None if value is None or threshold is None else threshold - value if "<" in text else value - threshold
    return {
        "text": text, "source": "marker", "verdict": verdict, "value": value, "unit": unit, "margin": margin, "n": 200,
        "ci_low": None if half is None or value is None else value - half,
        "ci_high": None if half is None or value is None else value + half,
        "reason": "", "weak": False, "needed_n": None, "resolution": None, "needed_seconds": None, **more,
    }  # fmt: skip


def gate(kpi: str, *limits: Json, student: str = "small", unit: str = "", **more: Any) -> Json:
    verdict = more.pop("verdict", limits[0]["verdict"] if limits else "reported")
    readings = {"teacher": None, "student": reading(1.0, unit), "baseline": None, **more.pop("readings", {})}
    return {
        "nodeid": f"test_sla.py::test_{kpi}[{student}]", "outcome": "passed", "kpi": kpi, "pillar": "quality",
        "better": "higher", "student": student, "suite": "s", "verdict": verdict, "reason": "", "targets": [],
        "unit": unit, "options": {}, "settings": {}, "limits": list(limits), "readings": readings, "reference": None,
        "notes": [], "worst_samples": [], "breakdown": [], "timed": False, "of_machine": False, "of_samples": True,
        "of_inputs": False, "report_only": False, "worker": None, **more,
    }  # fmt: skip


def quantiles(start: float, end: float) -> list[float]:
    return [start * (end / start) ** (share / 100) for share in range(101)]


def gates_of(student: str) -> list[Json]:
    """Return gates of every kind that is drawn; accuracy fails, and its interval lies on the wrong side."""
    rates = {"student": {"selection": 0.4, "tpr": 0.5}, "teacher": {"selection": 0.45, "tpr": 0.7}}
    bins = [
        {
            "name": f"bin {at}",
            **{role: {"n": n, "confidence": 10.0 * at, "accuracy": 9.0 * at} for role in ("student", "teacher")},
        }
        for at, n in ((5, 3), (8, 20), (10, 0))
    ]
    return [
        gate(
            "top1_accuracy",
            limit("drop <= 2 pp", "fail", 4.0, "pp", threshold=2.0, half=1.0),
            limit(">= 90%", "pass", 94.0, "%", threshold=90.0, half=2.0, weak=False),
            student=student, unit="%", reason="drop <= 2 pp does not hold: 4 pp", worst_samples=["a", "b"],
            breakdown=[
                {"name": "cat as dog", "target": "cat", "predicted": "dog", "n": 5, "ids": ["a", "b", "c"]},
                {"name": "dog as cat", "target": "dog", "predicted": "cat", "n": 1, "ids": ["d"]},
            ],
            readings={"student": reading(94.0, "%", half=2.0), "teacher": reading(98.0, "%", half=1.0)},
        ),
        gate(
            "latency_p50",
            limit("speedup >= 2x", "pass", 4.0, "x", threshold=2.0, half=0.5),
            student=student, unit="ms", options={"batch_size": 1, "compile": False},
            readings={"student": reading(0.1, "ms", half=0.01), "teacher": reading(0.4, "ms", half=0.01)},
        ),
        gate(
            "latency_p99",
            limit("<= 0.3 ms", "inconclusive", 0.28, "ms", threshold=0.3, half=0.05, reason="noise decides", needed_seconds=80.0),
            limit("<= 5 s", "pass", 0.28, "ms", threshold=5000.0),
            student=student, unit="ms", options={"batch_size": 1, "compile": False},
            readings={"student": reading(0.28, "ms", half=0.05)},
        ),
        gate("nonfinite_outputs", limit("== 0", "pass", 0.0, "", threshold=0.0), student=student),
        gate("parameters", student=student, readings={"student": reading(1e4, ""), "teacher": reading(1e5, "")}),
        gate("ece", limit("<= 5%", "pass", 2.0, "%", threshold=5.0), student=student, unit="%", breakdown=bins),
        gate("class_drop", student=student, unit="pp", breakdown=[
            {"name": "cat", "n": 30, "value": 4.0, "ci_low": -1.0, "ci_high": 9.0, "lost": 2, "gained": 0, "holm_p": 0.5, "teacher": 96.0, "student": 92.0},
            {"name": "dog", "n": 40, "value": 0.0, "ci_low": -3.0, "ci_high": 3.0, "lost": 0, "gained": 0, "holm_p": 1.0, "teacher": 98.0, "student": 98.0},
        ]),
        gate("equalized_odds_drift", student=student, unit="pp", breakdown=[
            {"name": name, "n": 50, **{role: {**of, "fpr": 0.1} for role, of in rates.items()}} for name in ("young", "old")
        ]),
        gate("headroom", student=student, unit="bits", breakdown=[{"name": "conv", "value": 5.0, "n": 9}, {"name": "fc", "value": 9.0}]),
        gate("energy_per_1k", student=student, unit="Wh", breakdown=[{"name": "cpu", "provenance": "modelled", "student": 1e-5, "teacher": 4e-5}]),
        gate("export", student=student, unit="formats", breakdown=[{"name": "onnx: install", "status": "pass", "numbers": {"seconds": 1.5}}]),
    ]  # fmt: skip


def load_facts(name: str, rate: float, **more: Any) -> Json:
    """Return the facts of one model, or at one rate, of a load with calls of 5 ms."""
    return {
        "name": name, "requests": 3000, "seconds": 1.5, "offered_per_s": rate, "achieved_per_s": rate - 1,
        "workers": 1, "utilisation": rate / 200, "client_busy": 0.0, "late_p50_ms": 0.01, "late_p99_ms": 0.1, "late_max_ms": 2.0, "backlog_most": 12,
        "backlog_end": 1, "unanswered": 0, "errors": 0, "first_error": "", "capacity_per_s": 200.0, "mean_batch": 1.0,
        "largest_batch": 1, "service_p50_ms": 4.0, "service_p99_ms": 8.0, "measured_p50_ms": 6.0,
        "measured_p99_ms": rate / 2, "seed": 0, **more,
    }  # fmt: skip


def load(rate: float, *roles: str) -> Json:
    """Return what the plots of a load need: the last request of each model failed."""
    levels = [0, 25, 50, 75, 90, 99, 100]
    return {
        "rate": rate, "levels": levels,
        "responses_ms": {role: [4.0 + at, 5.0, 6.0, 9.0, 20.0, rate / 2, None] for at, role in enumerate(roles)},
        "services_ms": {role: [3.0 + at, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0] for at, role in enumerate(roles)},
        "most_by_segment": {role: [3, 12, 4] for role in roles},
        "backlog": {"segment": 2, "seconds": [at / 100 for at in range(20)],
                    "requests": {role: [*range(12), *range(12, 4, -1)] for role in roles}},
    }  # fmt: skip


def load_gates(student: str) -> list[Json]:
    """Return the gates of a load at 100 requests a second, and of the largest rate."""
    return [
        gate(
            "response_p99", limit("<= 50 ms", "fail", 80.0, "ms", threshold=50.0, half=5.0), student=student, unit="ms",
            options={"rate": "100/s", "arrivals": "poisson"}, reason="<= 50 ms does not hold: 80 ms",
            breakdown=[load_facts("student", 100.0), load_facts("teacher", 100.0, service_p99_ms=9.0)],
            load=load(100.0, "student", "teacher"), readings={"student": reading(80.0, "ms", half=5.0)},
        ),
        gate(
            "max_qps", limit(">= 150/s", "inconclusive", 140.0, "qps", threshold=150.0), student=student, unit="qps",
            options={"within": "p99 <= 50 ms"}, load=load(200.0, "student"),
            breakdown=[
                load_facts(f"{rate:.0f}/s", rate, share_over=share, ci_low=share / 2, ci_high=2 * share, verdict=verdict)
                for rate, share, verdict in (
                    (100.0, 0.001, "holds"), (150.0, 0.01, "inconclusive"), (200.0, 0.2, "does not hold"))
            ],
            readings={"student": {**reading(140.0, "qps"), "ci_low": 100.0, "ci_high": 200.0}},
        ),
    ]  # fmt: skip


def loaded_report(*students: str) -> Json:
    """Return the full report with gates under load: one fails, one is inconclusive."""
    report = full_report(*students)
    for student in dict.fromkeys(gate["student"] for gate in report["gates"]):
        report["gates"] += load_gates(student)
    for gate in report["gates"]:
        report["summary"][gate["verdict"]] = sum(other["verdict"] == gate["verdict"] for other in report["gates"])
    return report


def timing(student: str) -> Json:
    return {
        "student": student, "suite": "s", "setup": "batch size 1", "batch_size": 1, "rounds": 6,
        "quantiles": {"student": quantiles(0.09, 0.3), "teacher": quantiles(0.35, 0.9)},
        "round_ratios": [0.25, 0.26, 0.24, 0.27, 0.25, 0.25],
        "median_ratio": {"value": 0.25, "ci_low": 0.24, "ci_high": 0.26},
        "look_ratios": [
            {"rounds": 3, "value": 0.25, "ci_low": 0.2, "ci_high": 0.3},
            {"rounds": 6, "value": 0.25, "ci_low": 0.24, "ci_high": 0.26},
        ],
        "sweep": {role: {"best": 4, "ended": "4 is the largest", "curve": [
            {"batch_size": size, "call_ms": 0.1 * size, "samples_per_s": rate * size / (1 + size), "added_bytes": 0}
            for size in (1, 2, 4)
        ]} for role, rate in (("student", 9e3), ("teacher", 3e3))},
    }  # fmt: skip


def diagnosis(student: str) -> Json:
    cause = {
        "cause": "masks_attached", "text": "masks are multiplied in every call", "evidence": {}, "counterfactual": "without",
        "gives_back": 0.4, "gives_back_low": 0.3, "gives_back_high": 0.5, "remedy": "remove them", "skipped": "",
    }  # fmt: skip
    changes = [
        {"path": f"layer{at}", "layer": "Conv2d", "teacher_ms": 0.2, "student_ms": 0.1, "change_ms": change,
         "change_ms_low": change - 0.01, "change_ms_high": change + 0.01}
        for at, change in enumerate((-0.2, -0.15, 0.05))
    ]  # fmt: skip
    return {
        "student": student, "causes": [cause], "refuted": [], "skipped": [], "reason": "slower than promised",
        "time_ratio": 0.25, "time_ratio_low": 0.24, "time_ratio_high": 0.26, "no_waterfall": "", "seconds": 3.0,
        "waterfall": {"clock": "perf_counter", "teacher_ms": 0.4, "student_ms": 0.1, "changes": changes},
    }  # fmt: skip


def full_report(*students: str) -> Json:
    """Return the report of one student or several (by default `small` and `tiny`)."""
    students = students or ("small", "tiny")
    gates = [gate for student in students for gate in gates_of(student)]
    axes = [
        {"name": "quality", "kpi": "top1_accuracy", "better": "higher", "unit": "%", "against": "drop"},
        {"name": "latency", "kpi": "latency_p50", "better": "lower", "unit": "ms", "against": "speedup"},
    ]
    rows = [
        {"student": student, "pareto": at < 2, "values": [
            {"student": 94.0 - at, "teacher": 98.0, "provenance": "measured", "judged": None},
            {"student": 0.1 / (1 + at), "teacher": 0.4, "provenance": "measured", "judged": None},
        ]}
        for at, student in enumerate(students)
    ]  # fmt: skip
    verdicts = [gate["verdict"] for gate in gates]
    names = ("error", "fail", "inconclusive", "no_baseline", "not_applicable", "pass", "reported", "not_run")
    return {
        "schema_version": "1", "complete": True, "exit_status": 1, "command": "pytest --modelbench -k 'a b'",
        "environment": {"processor": "a chip", "logical_cpus": 2, "python": "3.11", "packages": {"torch": "2.9"}},
        "settings": {"budget_s": 60.0}, "models": {"teacher": {"kind": "torch", "hash": "torch:0"}, "students": {}},
        "data": {}, "baseline": None, "contract": None, "gates": gates,
        "tests": [{"nodeid": "test_sla.py::test_night", "outcome": "failed", "duration_s": 0.1, "edge_case": "night"}],
        "timings": [timing(student) for student in students],
        "tradeoff": {"axes": axes, "students": rows} if len(students) > 1 else None,
        "distillation": [{"name": "size", "kpi": "parameters", "teacher": {"value": 1e5, "unit": ""}, "students": {
            student: {"value": 1e4, "unit": "", "targets": [], "verdict": "reported"} for student in students}}],
        "mistakes": [], "diagnosis": [diagnosis(student) for student in students],
        "summary": {name: verdicts.count(name) for name in names},
    }  # fmt: skip
