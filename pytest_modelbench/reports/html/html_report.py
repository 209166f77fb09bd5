"""The HTML report as a file: of a session, or of a JSON report that was written before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.reports.html.stored import why_not_shown
from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.store.baseline import read_report
from pytest_modelbench.store.recognising import is_html
from pytest_modelbench.store.replacing import replacing


def write_html(report: Mapping[str, Any], path: Path) -> None:
    """Write a report as HTML, whole or not at all.

    Raises:
        OSError: it cannot be written, or something else is there.
    """
    from pytest_modelbench.reports.html.page import html  # a session without a page need not load its plots

    page = html(report).encode("utf-8", "backslashreplace")
    with replacing(path, HTML.name, is_html) as temporary, temporary.open("wb") as file:
        file.write(page)
        file.flush()
        os.fsync(file.fileno())


def whole_report(source: Path) -> dict[str, Any]:
    """Read a JSON report with every field that its page needs.

    Raises:
        UsageMistake: it cannot be read, or lacks a field.
    """
    report = read_report(source)
    why = why_not_shown(report)
    if why is not None:
        raise UsageMistake(
            f"{source} is not a report of pytest-modelbench: {why}. Write one with --modelbench-json=PATH"
        )
    return report


def convert(source: Path, path: Path) -> None:
    """Write the HTML report of a JSON report: the same bytes that the session would have written.

    Raises:
        UsageMistake: the JSON report cannot be read.
        OSError: the file cannot be written, or something else is there.
    """
    write_html(whole_report(source), path)


def _write(ending: Ending, path: Path) -> None:
    write_html(ending.told, path)


HTML = Report(
    name="HTML report",
    flag="--modelbench-html",
    asked=lambda settings: settings.html,
    ours=is_html,
    write=_write,
)
