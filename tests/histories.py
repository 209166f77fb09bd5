"""Histories of made-up runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MACHINE = {"processor": "Quick 9000", "machine": "x86_64", "logical_cpus": 8, "gpu": None}
START = datetime(2026, 1, 1, tzinfo=UTC)


def gate(value: float | None = 0.4, **more: Any) -> dict[str, Any]:
    """Return a latency whose ratio to the teacher is given, with an interval of one percent to each side."""
    ends = (None, None) if value is None else (value * 0.99, value * 1.01)
    ratio = {"kind": "teacher", "hash": "torch:abc", "ratio": value, "ci_low": ends[0], "ci_high": ends[1]}
    return {
        "suite": "1", "student": "int8", "kpi": "latency_p50", "nodeid": "test_sla.py::test", "options": {},
        "unit": "ms", "better": "lower", "of_machine": True, "verdict": "pass", "value": value, "ci_low": ends[0],
        "ci_high": ends[1], "provenance": "measured", "reference": ratio if value else None,
        "settings": {"device": None, "threads": 1, "allocator": "steady"}, "data": None, "model": "torch:1",
        **more,
    }  # fmt: skip


def bare(value: float, **more: Any) -> dict[str, Any]:
    """Return a latency that no teacher was timed beside."""
    return gate(value) | {"reference": None} | more


def counted(value: float, **more: Any) -> dict[str, Any]:
    """Return a value that does not depend on the machine."""
    return bare(value) | {"kpi": "parameters", "of_machine": False, "unit": "", "settings": {}} | more


def line(number: int, *gates: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a run of its own commit, one day after the run before it."""
    return {
        "time": (START + timedelta(days=number)).isoformat(),
        "commit": f"{number:07}" + 33 * "c",
        "branch": "main",
        "dirty": False,
        "machine": MACHINE,
        "complete": True,
        "exit_status": 0,
        "teacher": "torch:abc",
        "gates": list(gates or [gate()]),
        **more,
    }


def write_history(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Write a history, and return its path."""
    path.write_text("".join(json.dumps({"modelbench_history": 1, **content}) + "\n" for content in lines))
    return path
