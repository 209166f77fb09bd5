"""A run as a line of the history, one of the files that a session writes: the only one that adds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_modelbench.probes.revision import revision
from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.store.contract import HARDWARE
from pytest_modelbench.store.history import append
from pytest_modelbench.store.recognising import is_history

SETTINGS = ("device", "threads", "allocator")
"""Without which times cannot be compared."""
FACTS = ("suite", "student", "kpi", "nodeid", "options", "unit", "better", "of_machine", "verdict")


def line_of(report: Mapping[str, Any], version: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return what a history keeps of a run: where, of which code, and each gate's value beside its reference.

    Args:
        report: the JSON report.
        version: commit, branch and dirty.
        now: when the run ended.
    """
    students = report["models"]["students"]
    return {
        "time": now.isoformat(timespec="seconds"),
        **version,
        "machine": {name: report["environment"].get(name) for name in HARDWARE},
        "complete": report["complete"],
        "exit_status": report["exit_status"],
        "teacher": (report["models"]["teacher"] or {}).get("hash"),
        "gates": [_gate(gate, report, (students.get(gate["student"]) or {}).get("hash")) for gate in report["gates"]],
    }


def _gate(gate: Mapping[str, Any], report: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    reading = gate["readings"]["student"] or {}
    reference = gate["reference"] or {}
    samples = report["data"].get(gate["suite"]) or {}
    settings = {**report["settings"], "threads": report["environment"].get("torch_threads"), **gate["settings"]}
    settings = {name: settings.get(name) for name in SETTINGS} | reference.get("settings", {})
    data = [samples.get("hash") if gate["of_samples"] else None, samples.get("form") if gate["of_inputs"] else None]
    return {
        **{name: gate[name] for name in FACTS},
        **{name: reading.get(name) for name in ("value", "ci_low", "ci_high")},
        "provenance": reading.get("provenance", ""),
        "reference": {name: value for name, value in reference.items() if name != "settings"} or None,
        "settings": settings if gate["of_machine"] else {},
        "data": " ".join(filter(None, data)) or None,
        "model": model,
    }


def _write(ending: Ending, path: Path) -> str | None:
    """Add the line. If it cannot be written, a line says so, and the exit status stays."""
    if not ending.record.measured_anything():
        return "history: nothing was measured, so no line was added"
    try:
        add_line(ending.told, path, ending.folder)
    except OSError as error:
        return f"history: this run is not in it: cannot write {path}: {error.strerror or error}"
    return None


def add_line(report: Mapping[str, Any], path: Path, folder: Path) -> None:
    """Add a run to a history.

    Args:
        report: the JSON report.
        path: of the history.
        folder: whose revision the line names.

    Raises:
        OSError: it cannot be written.
    """
    append(path, line_of(report, revision(folder, path.name), datetime.now(UTC)))


HISTORY = Report(
    name="history",
    flag="--modelbench-history",
    asked=lambda settings: settings.history,
    ours=is_history,
    write=_write,
    appends=True,
)
