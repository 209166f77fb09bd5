"""Keeps what exporters print, warn and log: it belongs to the step that they are run for, not to the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from pytest_modelbench.errors import visible

MOST_LINES = 3
"""How many lines of what an exporter told are kept in a step's evidence."""
_LONGEST = 200
_LATER = ("FutureWarning", "DeprecationWarning", "PendingDeprecationWarning")
_TELLING = re.compile(r"warn|error|fail|unsupported|cannot|not support|out-of-bounds|might|incorrect", re.IGNORECASE)


@dataclass(kw_only=True)
class Told:
    """What was printed, warned and logged, each line once and in its order."""

    lines: dict[str, None] = field(default_factory=dict)

    def add(self, text: str) -> None:
        """Keep the lines of a text that are not empty."""
        for line in text.splitlines():
            if line.strip():
                self.lines.setdefault(visible(line.strip()))

    def worth_telling(self) -> list[str]:
        """Return the first lines that speak of a problem of the model, not of what changes in a later version."""
        telling = [line for line in self.lines if _TELLING.search(line) and not line.startswith(_LATER)]
        return [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..." for line in telling[:MOST_LINES]]


class _Keeping(logging.Handler):
    def __init__(self, output: Told) -> None:
        super().__init__(logging.WARNING)
        self.told = output

    def emit(self, record: logging.LogRecord) -> None:
        self.told.add(record.getMessage())


@contextlib.contextmanager
def captured() -> Iterator[Told]:
    """Keep warnings, standard output and error, and log records; all handlers come back after it.

    Warnings are never errors inside, under any filters of the suite.
    """
    output, printed = Told(), io.StringIO()
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [_Keeping(output)]
    own = {name: logger.handlers for name, logger in _loggers() if logger.handlers}
    for name in own:
        logging.getLogger(name).handlers = [_Keeping(output)]
    try:
        with (
            _native(output),
            warnings.catch_warnings(record=True) as caught,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            warnings.simplefilter("always")
            yield output
    finally:
        root.handlers = handlers
        for name, kept in own.items():
            logging.getLogger(name).handlers = kept
        for warning in caught:
            output.add(f"{warning.category.__name__}: {_first_line(warning.message)}")
        output.add(printed.getvalue())


@contextlib.contextmanager
def _native(output: Told) -> Iterator[None]:
    """Keep what libraries in other languages write to the process's own output and error."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile(prefix="pytest-modelbench-") as file:
        own = {number: os.dup(number) for number in (1, 2) if _is_open(number)}
        for number in own:
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            for number, kept in own.items():
                os.dup2(kept, number)
                os.close(kept)
            file.seek(0)
            output.add(file.read().decode(errors="replace"))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _loggers() -> list[tuple[str, logging.Logger]]:
    loggers = logging.Logger.manager.loggerDict
    return [(name, logger) for name, logger in list(loggers.items()) if isinstance(logger, logging.Logger)]


def _first_line(message: Warning | str) -> str:
    lines = str(message).strip().splitlines()
    return lines[0] if lines else ""
