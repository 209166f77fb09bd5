"""Which files were written by this plugin: nothing else is ever replaced. Only the head of a file is read."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

TEXT = "contract.json"
"""The part of a contract that says what the others are."""
MARKDOWN_HEAD = "<!-- pytest-modelbench -->"
"""The first line of a Markdown report; a script may find its own comment by it."""
HTML_HEAD = "<!DOCTYPE html>\n<!-- pytest-modelbench -->"
"""The first two lines of an HTML report."""
COMPARISON_HEAD = "<!-- pytest-modelbench comparison -->"
"""The first line of a comparison in Markdown."""
COMPARISON_PAGE_HEAD = f"<!DOCTYPE html>\n{COMPARISON_HEAD}"
"""The first two lines of a comparison in HTML."""
HISTORY_PAGE_HEAD = "<!DOCTYPE html>\n<!-- pytest-modelbench history -->"
"""The first two lines of the page of a history."""
METRICS_HEAD = "# TYPE modelbench_kpi gauge"
"""The first line of an OpenMetrics file, which may have no comments of its own."""
CHECK_NAME = "modelbench: "
"""What the name of each check in a code quality report begins with."""
HISTORY_KEY = "modelbench_history"
"""The first field of every line of a history; its value is the schema of the line."""
_HEAD = 4096
_REPORT = re.compile(r'\s*\{\s*"schema_version"\s*:\s*"[^"]*"\s*,\s*"complete"\s*:')
_EARLIER_PAGE = re.compile(r'<meta name="generator" content="pytest-modelbench history"')
_CODE_QUALITY = re.compile(rf'\s*\[\s*(\]\s*$|\{{\s*"check_name": "{CHECK_NAME}[^"]*"\s*,)')
_BENCHMARKS = re.compile(r'\s*\{\s*"machine_info"\s*:\s*\{')


def is_report(path: Path) -> bool:
    """Whether a file is a JSON report, complete or not, or a baseline, which is one."""
    return _REPORT.match(_head_of(path)) is not None


def is_benchmarks(path: Path) -> bool:
    """Whether a file is in the JSON form of pytest-benchmark."""
    return _BENCHMARKS.match(_head_of(path)) is not None


def is_markdown(path: Path) -> bool:
    """Whether a file is a Markdown report."""
    return _head_of(path).startswith(MARKDOWN_HEAD)


def is_metrics(path: Path) -> bool:
    """Whether a file is an OpenMetrics file."""
    return _head_of(path).startswith(METRICS_HEAD)


def is_code_quality(path: Path) -> bool:
    """Whether a file is a code quality report without issues, or one of gates."""
    return _CODE_QUALITY.match(_head_of(path)) is not None


def is_html(path: Path) -> bool:
    """Whether a file is an HTML report."""
    return _head_of(path).startswith(HTML_HEAD)


def is_comparison_markdown(path: Path) -> bool:
    """Whether a file is a comparison of reports in Markdown."""
    return _head_of(path).startswith(COMPARISON_HEAD)


def is_comparison_page(path: Path) -> bool:
    """Whether a file is a comparison of reports in HTML."""
    return _head_of(path).startswith(COMPARISON_PAGE_HEAD)


def is_history(path: Path) -> bool:
    """Whether a file is a history, even if the writer of its first line was ended."""
    return starts_history(_head_of(path).partition("\n")[0])


def starts_history(line: str) -> bool:
    """Whether a line is one of a history, or its beginning."""
    start = f'{{"{HISTORY_KEY}": '
    return line.startswith(start) or (bool(line) and start.startswith(line))


def is_history_page(path: Path) -> bool:
    """Whether a file is the HTML page of a history."""
    head = _head_of(path)
    return head.startswith(HISTORY_PAGE_HEAD) or _EARLIER_PAGE.search(head) is not None


def is_contract(path: Path) -> bool:
    """Whether a file is a contract, whole or altered.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as file:
            return TEXT in file.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def _head_of(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_HEAD).decode("utf-8", "replace")
