"""The JSON report, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.store.recognising import is_report
from pytest_modelbench.store.replacing import Recognise, replacing


def write_report(
    report: Mapping[str, Any],
    path: Path,
    *,
    final: bool = True,
    what: str = "JSON report",
    ours: Recognise = is_report,
) -> None:
    """Write a report atomically: a reader sees the old file or the new one.

    Args:
        report: what is written.
        path: where; only a file that `ours` recognises is replaced there.
        final: False for one that is for when the process ends before its time; it is not forced onto the disk.
        what: its kind, for messages.
        ours: recognises an earlier one.

    Raises:
        OSError: it cannot be written, or something else is there.
    """
    text = json.dumps(report, indent=2, allow_nan=False)
    with replacing(path, what, ours) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        if final:
            os.fsync(file.fileno())


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the report."""
    text = resources.files("pytest_modelbench.reports").joinpath("schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))


def _write(ending: Ending, path: Path) -> None:
    write_report(ending.told, path)


def _write_baseline(ending: Ending, path: Path) -> str | None:
    """Write it where something was measured and the run came to its end: half a baseline would hide regressions."""
    why = "" if ending.record.measured_anything() else "nothing was measured"
    why = why if ending.complete else "the run did not come to its end"
    if why:
        return f"baseline: {why}, so none was written"
    write_report(ending.told, path)
    return None


JSON = Report(
    name="JSON report",
    flag="--modelbench-json",
    asked=lambda settings: settings.json_path,
    ours=is_report,
    write=_write,
    as_it_runs=True,
)
BASELINE = Report(
    name="baseline",
    flag="--modelbench-save-baseline",
    asked=lambda settings: settings.save_baseline,
    ours=is_report,
    write=_write_baseline,
)
