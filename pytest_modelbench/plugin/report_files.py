"""The files that a session writes: where they go, what must not be in their place, what the summary says of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.bench.loaded import Timed
from pytest_modelbench.bench.recording import Recorder
from pytest_modelbench.probes.machine import environment
from pytest_modelbench.reports.benchmark_json import benchmark_json, benchmarks_of
from pytest_modelbench.reports.json_report import write_report
from pytest_modelbench.reports.record import Record
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.recognising import is_benchmarks, is_contract, is_report
from pytest_modelbench.store.replacing import Recognise, is_stream, why_not

CHEAP_S = 0.005
_FIELDS: tuple[tuple[str, str, str, Recognise], ...] = (
    ("record_contract", "--modelbench-record-contract", "contract", is_contract),
    ("json_path", "--modelbench-json", "JSON report", is_report),
    ("save_baseline", "--modelbench-save-baseline", "baseline", is_report),
    ("benchmark_json", "--modelbench-benchmark-json", "benchmarks", is_benchmarks),
)
"""The settings that name files to write, with their options, and what recognises an earlier one."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A file that an option asks for. `given` is what the user wrote, `path` is absolute from the start."""

    flag: str
    what: str
    given: str
    path: Path
    ours: Recognise


def wanted_files(settings: Settings, folder: Path) -> dict[str, Wanted]:
    """Return the files that the settings ask for, by the setting's name.

    Args:
        settings: of the session.
        folder: where pytest was started, to which paths are relative; a test may change the current one.
    """
    return {
        name: Wanted(flag=flag, what=what, given=given, path=Path(folder, given), ours=ours)
        for name, flag, what, ours in _FIELDS
        if (given := getattr(settings, name)) is not None
    }


def mistakes_in(wanted: Mapping[str, Wanted]) -> Iterator[str]:
    """Yield a mistake for each file that cannot be written, or would destroy something."""
    seen: dict[str, Wanted] = {}
    for one in wanted.values():
        amiss = _amiss(one)
        if amiss is not None:
            yield f"{one.flag}: cannot write {one.path}: {amiss}"
        other = seen.setdefault(os.path.realpath(one.path), one)
        if other.ours is not one.ours:
            yield f"{one.flag}: {other.flag} writes {one.path} as well. Write two paths"


def _amiss(one: Wanted) -> str | None:
    if one.given.endswith(("/", os.sep)):
        return f"it is a folder. Write the path of a file in it, such as {one.given}report.json"
    return why_not(one.path, one.what, one.ours)


def benchmarks_by_name(timed: Iterable[Timed]) -> dict[str, dict[str, Any]]:
    """Return the benchmarks of timed measurements by their full names, as JSON types."""
    made = [one for of in timed for one in benchmarks_of(of.measurement, of.student, of.suite, of.setup)]
    return {one["fullname"]: one for one in made}


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
        """Write what is known by now, whatever it costs."""
        json = self.wanted.get("json_path")
        if json is None or is_stream(json.path) or _amiss(json) is not None:
            return
        start = time.monotonic()
        with contextlib.suppress(OSError):  # the end of the run tells
            write_report(self._running(), json.path, final=False)
        self._saved_at = time.monotonic()
        self._saving_cost_s = self._saved_at - start

    def finish(
        self,
        session: pytest.Session,
        record: Record,
        settings: Settings,
        recorder: Recorder | None,
        report: Callable[[int], Mapping[str, Any]],
    ) -> None:
        """Write every file; one that cannot be written is told, and fails the run.

        Args:
            session: pytest's.
            record: what is known of it.
            settings: of the session.
            recorder: of a contract, where one is recorded.
            report: returns the JSON report for an exit status.
        """
        why = "" if record.measured_anything() else "nothing was measured"
        why = why if record.complete(int(session.exitstatus)) else "the run did not come to its end"
        for name, one in self.wanted.items():
            try:
                if name == "record_contract":
                    told = self._contract(one, session, record, settings, recorder)
                elif name == "save_baseline" and why:
                    told = f"{one.what}: {why}, so none was written"
                elif name == "benchmark_json":
                    found = benchmark_json(list(record.benchmarks.values()), record.ordered_gates())
                    write_report(found, one.path, what=one.what, ours=one.ours)
                    told = f"{one.what}: {one.given}"
                else:
                    write_report(report(int(session.exitstatus)), one.path)
                    told = f"{one.what}: {one.given}"
            except Exception as error:  # noqa: BLE001 - the other files are still to be written
                told = f"ERROR: {one.flag}: cannot write {one.path}: {getattr(error, 'strerror', None) or error}"
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
            if told:
                self.written.append(told)

    def _contract(
        self, one: Wanted, session: pytest.Session, record: Record, settings: Settings, recorder: Recorder | None
    ) -> str:
        if recorder is None:
            return ""
        if one.path.exists() and not record.complete(int(session.exitstatus)):
            return f"contract: the run did not come to its end, so {one.path.name} is left as it was"
        return recorder.write(one.path, record.models.get("teacher", {}), environment(), settings.to_json())
