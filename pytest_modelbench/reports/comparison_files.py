"""A comparison of reports as files: a page, and Markdown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_modelbench.errors import UsageMistake
from pytest_modelbench.reports.comparison import Comparison
from pytest_modelbench.reports.html.stored import why_gates_not_shown
from pytest_modelbench.store.recognising import is_comparison_markdown, is_comparison_page
from pytest_modelbench.store.replacing import Recognise, replacing, why_not

WRITE_ONE = "Write the report again with --modelbench-json=PATH"


def write_comparison(comparison: Comparison, *, html: Path | None, markdown: Path | None) -> Iterator[Path]:
    """Write a comparison, and yield each path that was written.

    Args:
        comparison: of two reports or more.
        html: path of the page, if one is asked for.
        markdown: path of the Markdown, if that is asked for.

    Raises:
        UsageMistake: a path is not one that may be written to, or writing failed.
    """
    asked = [
        ("--html", html, "HTML comparison", is_comparison_page, _page),
        ("--markdown", markdown, "Markdown comparison", is_comparison_markdown, _markdown),
    ]
    if html is not None or markdown is not None:
        for name, report in zip(comparison.names, comparison.reports, strict=True):
            why = why_gates_not_shown(report)
            if why is not None:
                raise UsageMistake(f"{name} cannot be shown: {why}. {WRITE_ONE}")
    for flag, path, what, ours, _ in asked:
        amiss = None if path is None else why_not(path, what, ours)
        if amiss is not None:
            raise UsageMistake(f"{flag}: cannot write {path}: {amiss}")
    for flag, path, what, ours, render in asked:
        if path is not None:
            _write(flag, path, what, ours, comparison, render)
            yield path


def _write(
    flag: str,
    path: Path,
    what: str,
    ours: Recognise,
    comparison: Comparison,
    render: Callable[[Comparison], str],
) -> None:
    content = render(comparison).encode("utf-8", "backslashreplace")
    try:
        with replacing(path, what, ours) as temporary, temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UsageMistake(f"{flag}: cannot write {path}: {error.strerror or error}") from error


def _page(comparison: Comparison) -> str:
    from pytest_modelbench.reports.html.comparison_page import comparison_page

    return comparison_page(comparison)


def _markdown(comparison: Comparison) -> str:
    from pytest_modelbench.reports.comparison_markdown import comparison_markdown

    return comparison_markdown(comparison)
