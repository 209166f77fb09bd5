"""The files that a session writes: where they go, what must not be in their place, what the summary says of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.bench.loaded import Timed
from pytest_modelbench.reports import formats
from pytest_modelbench.reports.benchmark_json import benchmarks_of
from pytest_modelbench.reports.json_report import write_report
from pytest_modelbench.reports.report import Ending, Report
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.replacing import is_stream, why_not

CHEAP_S = 0.005


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A file that an option asks for. `given` is what the user wrote, `path` is absolute from the start."""

    report: Report
    given: str
    path: Path

    @property
    def amiss(self) -> str | None:
        """Why it cannot be written there, or would destroy something; None where it may be written."""
        if self.given.endswith(("/", os.sep)):
            return f"it is a folder. Write the path of a file in it, such as {self.given}report.json"
        return why_not(self.path, self.report.name, self.report.ours, appends=self.report.appends)


def wanted_files(settings: Settings, folder: Path) -> list[Wanted]:
    """Return the files that the settings ask for.

    Args:
        settings: of the session.
        folder: where pytest was started, to which paths are relative; a test may change the current one.
    """
    return [
        Wanted(report=report, given=path, path=Path(folder, path))
        for report in formats.REPORTS
        if (path := report.asked(settings)) is not None
    ]


def mistakes_in(wanted: Iterable[Wanted]) -> Iterator[str]:
    """Yield a mistake for each file that cannot be written, or would destroy something."""
    seen: dict[str, Wanted] = {}
    for file in wanted:
        flag, amiss = file.report.flag, file.amiss
        if amiss is not None:
            yield f"{flag}: cannot write {file.path}: {amiss}"
        other = seen.setdefault(os.path.realpath(file.path), file)
        if other.report.ours is not file.report.ours:
            yield f"{flag}: {other.report.flag} writes {file.path} as well. Write two paths"


def benchmarks_by_name(timed: Iterable[Timed]) -> dict[str, dict[str, Any]]:
    """Return the benchmarks of timed measurements by their full names, as JSON types."""
    made = [benchmark for of in timed for benchmark in benchmarks_of(of.measurement, of.student, of.suite, of.setup)]
    return {benchmark["fullname"]: benchmark for benchmark in made}


class ReportFiles:
    """Writes the files of one session.

    Args:
        settings: of the session.
        folder: where pytest was started.
        running: returns the report as far as it is known while items run.
    """

    def __init__(self, settings: Settings, folder: Path, running: Callable[[], Mapping[str, Any]]) -> None:
        self.wanted = wanted_files(settings, folder)
        self.written: list[str] = []
        """What the summary says, one line each."""
        self.kept: str | None = None
        """Where the JSON report is, as the user wrote it; None as long as no file has it."""
        self._running = running
        self._saved_at = 0.0
        self._saving_cost_s = 0.0

    def begin(self) -> None:
        """Write a report that says `complete: false`, before anything of the user's runs: it may end the process."""
        self.save_now()
        self._saving_cost_s = 0.0  # the first one also looks at the machine, which later ones need not

    def save_so_far(self) -> None:
        """Write what is known by now, for when the process ends before its time.

        Not more often than costs a twentieth of the run, once it costs anything.
        """
        if self._saving_cost_s <= CHEAP_S or time.monotonic() - self._saved_at >= 20 * self._saving_cost_s:
            self.save_now()

    def save_now(self) -> None:
        """Write the results that are known by now, without regard to the time it takes."""
        kept = [
            file.path
            for file in self.wanted
            if file.report.as_it_runs and not is_stream(file.path) and file.amiss is None
        ]
        if not kept:
            return
        start = time.monotonic()
        with contextlib.suppress(OSError):  # the end of the run tells
            for path in kept:
                write_report(self._running(), path, final=False)
        self._saved_at = time.monotonic()
        self._saving_cost_s = self._saved_at - start

    def finish(self, ending: Ending) -> int:
        """Write every file, and return the exit status: where one cannot be written, the summary says so.

        The files after it have that exit status too.
        """
        for file in self.wanted:
            if not self._finish(file, ending):
                ending = replace(ending, exit_status=int(pytest.ExitCode.USAGE_ERROR))
        return ending.exit_status

    def _finish(self, file: Wanted, ending: Ending) -> bool:
        report, written = file.report, True
        try:
            line = report.write(ending, file.path)
        except Exception as error:  # noqa: BLE001 - the other files are still to be written
            line = f"ERROR: {report.flag}: cannot write {file.path}: {getattr(error, 'strerror', None) or error}"
            written = False
        if written and report.as_it_runs and not is_stream(file.path):
            self.kept = file.given
        line = f"{report.name}: {file.given}" if line is None else line
        if line:
            self.written.append(line)
        return written
