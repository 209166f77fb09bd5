"""Our timings in the JSON form of pytest-benchmark, for `pytest-benchmark compare` and what else reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_modelbench.gates.gate import TimingSetup
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.reports.json_report import write_report
from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.store.recognising import is_benchmarks


def benchmarks_of(measurement: TimingMeasurement, student: str, suite: str, setup: str) -> list[dict[str, Any]]:
    """Return one benchmark for each model of a timed measurement, without its raw calls.

    Args:
        measurement: as it ended.
        student: the student's label.
        suite: what tells students of one name apart.
        setup: batch size and what else.
    """
    from pytest_benchmark.stats import Stats

    benchmarks = []
    for role, placements in measurement.series.items():
        stats = Stats()
        stats.data = [float(ns) / 1e9 for rounds in placements for calls in rounds for ns in calls]
        name = f"{student if role == 'student' else role}[{setup}]"
        benchmarks.append(
            {
                "group": setup,
                "name": name,
                "fullname": f"modelbench/{suite}/{student}::{name}",
                "params": {"student": student, "role": role, "suite": suite},
                "param": None,
                "extra_info": {},
                "options": {"disable_gc": True, "timer": "perf_counter_ns", "warmup": True},
                "stats": {**stats.as_dict(), "iterations": 1},
            }
        )
    return benchmarks


def benchmark_json(benchmarks: Sequence[Mapping[str, Any]], gates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the file: what was timed, with the values of all KPIs as `extra_info`."""
    from pytest_benchmark import __version__
    from pytest_benchmark.plugin import pytest_benchmark_generate_machine_info
    from pytest_benchmark.utils import get_commit_info

    return {
        "machine_info": pytest_benchmark_generate_machine_info(),
        "commit_info": get_commit_info(),
        "benchmarks": [
            {**benchmark, "extra_info": _values(benchmark["params"], benchmark["group"], gates)}
            for benchmark in benchmarks
        ],
        "datetime": datetime.now(UTC).isoformat(),
        "version": __version__,
    }


def _values(of: Mapping[str, str], setup: str, gates: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    role = {"previous": "baseline"}.get(of["role"], of["role"])
    values = {}
    for gate in gates:
        same = (gate["student"], gate["suite"]) == (of["student"], of["suite"])
        options = {name: gate["options"][name] for name in TimingSetup._fields if name in gate["options"]}
        reading = gate["readings"].get(role)
        if same and reading is not None and (not gate["timed"] or str(TimingSetup(**options)) == setup):
            values[gate["kpi"]] = {"value": reading["value"], "unit": reading["unit"]}
    return values


def _write(ending: Ending, path: Path) -> None:
    report = benchmark_json(list(ending.record.benchmarks.values()), ending.record.ordered_gates())
    write_report(report, path, what=BENCHMARKS.name, ours=BENCHMARKS.ours)


BENCHMARKS = Report(
    name="benchmarks",
    flag="--modelbench-benchmark-json",
    asked=lambda settings: settings.benchmark_json,
    ours=is_benchmarks,
    write=_write,
)
