"""Puts what a session came to, or would measure, onto pytest's terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_modelbench.errors import visible
from pytest_modelbench.reports.layout import encodable, terminal_width


class Terminal:
    """pytest's terminal, of which a line may have any text.

    Args:
        reporter: pytest's.
    """

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter
        writer = reporter._tw  # noqa: SLF001 - the only way to its width, colours and encoding
        self.width = terminal_width(writer.fullwidth)
        self.colour = writer.hasmarkup
        self._file = writer._file  # noqa: SLF001 - see above

    @property
    def encoding(self) -> str | None:
        """What the terminal can show; None where it is not known."""
        return getattr(self._file, "encoding", None)

    def title(self, text: str) -> None:
        """Write a line that starts a section."""
        self._reporter.write_sep("=", text)

    def rendered(self, text: str) -> None:
        """Write lines that `reports.layout` has made."""
        for line in text.splitlines():
            self._reporter.write_line(encodable(line, self.encoding))

    def line(self, text: str, **style: bool) -> None:
        """Write a line of any text."""
        self._reporter.write_line(encodable(visible(text), self.encoding), **style)


def show_plan(reporter: pytest.TerminalReporter, lines: Sequence[str]) -> None:
    """Write what a session would measure."""
    terminal = Terminal(reporter)
    terminal.title("modelbench plan")
    for line in lines:
        terminal.line(line)


def show_summary(
    reporter: pytest.TerminalReporter, report: Mapping[str, Any], *, failures: Sequence[str], warnings: Sequence[str]
) -> None:
    """Write the KPI tables, what failed and why, and the verdicts' counts.

    Args:
        reporter: pytest's.
        report: the JSON report.
        failures: lines about what was passed over.
        warnings: lines about what may mislead.
    """
    from pytest_modelbench.reports.terminal import render_summary, totals

    terminal = Terminal(reporter)
    terminal.title("modelbench")
    some = bool(report["gates"]) or any("edge_case" in test for test in report["tests"])
    if some:
        terminal.rendered(render_summary(report, width=terminal.width, colour=terminal.colour))
    failed = sum(report["summary"][verdict] for verdict in ("fail", "error", "not_run"))
    first, *advice = totals(report)
    terminal.line(first, red=bool(failed), yellow=not some)
    for line in advice:
        terminal.line(line, yellow=True)
    for line in failures:
        terminal.line(line, red=True)
    for line in warnings:
        terminal.line(line, yellow=True)


def show_written(reporter: pytest.TerminalReporter, lines: Sequence[str]) -> None:
    """Write which files were written, and which could not be."""
    terminal = Terminal(reporter)
    for line in lines:
        terminal.line(line, red=line.startswith("ERROR"))


def show_on_github(reporter: pytest.TerminalReporter, report: Mapping[str, Any]) -> None:
    """Write annotations for GitHub Actions, and add to the summary of its step, where it runs the tests."""
    from pytest_modelbench.reports.github import append_step_summary, of_environment, workflow_commands

    runs, summary = of_environment()
    lines = [append_step_summary(report, summary)] if summary is not None else []
    show_written(reporter, [*lines, *(workflow_commands(report) if runs else ())])
