"""The JSON report, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

from pytest_modelbench.store.replacing import replacing


def write_report(report: Mapping[str, Any], path: Path, *, final: bool = True) -> None:
    """Write a report atomically: a reader sees the old file or the new one.

    One that is not final is not forced onto the disk: it is for when the process ends before its time.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    text = json.dumps(report, indent=2, allow_nan=False)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        if final:
            os.fsync(file.fileno())


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the report."""
    text = resources.files("pytest_modelbench.reports").joinpath("schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))
