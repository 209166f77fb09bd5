"""What a terminal shows while something is measured."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import pytest

from pytest_modelbench.errors import visible
from pytest_modelbench.reports.layout import encodable

SHOW_AFTER_S = 2.0


class ProgressLine:
    """Shows what is being measured on a line of its own, on a terminal only, once it takes more than two seconds."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._last_shown = 0.0
        self._line = ""

    def show(self, what: str, elapsed_s: float, budget_s: float) -> None:
        """Say what is being measured, and how far it is."""
        reporter = self._reporter()
        now = time.monotonic()
        if reporter is None or elapsed_s < SHOW_AFTER_S or now - self._last_shown < 0.5:
            return
        self._last_shown = now
        if not self._line:
            with self._uncaptured():
                reporter.ensure_newline()
        self._write(f"modelbench: {what}: {elapsed_s:.0f} of at most {budget_s:.0f} s")

    def clear(self) -> None:
        """Leave no trace."""
        if self._line:
            self._write("")

    def _write(self, line: str) -> None:
        """Overwrite the line, past pytest's writer, which would count these columns as its own."""
        line = encodable(visible(line), getattr(sys.stdout, "encoding", None))
        with self._uncaptured():
            sys.stdout.write(f"\r{line.ljust(len(self._line))}" + ("" if line else "\r"))
            sys.stdout.flush()
        self._line = line

    def _reporter(self) -> Any:
        """Return pytest's terminal reporter if its output is a terminal, else None."""
        reporter: Any = self._config.pluginmanager.getplugin("terminalreporter")
        return reporter if reporter is not None and reporter.isatty else None

    def _uncaptured(self) -> Any:
        capture: Any = self._config.pluginmanager.getplugin("capturemanager")
        return capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext()
