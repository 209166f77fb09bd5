"""What a session came to: gathered while items run, written and shown when it ends."""

from __future__ import annotations

import contextlib
import functools
import shlex
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.bench.machine_lock import Machine
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.options import given_options
from pytest_modelbench.plugin.durations import known_durations, remember_durations
from pytest_modelbench.plugin.extensions import FINDER
from pytest_modelbench.plugin.item_results import CASE_RIDER, RIDER, outcome_of
from pytest_modelbench.plugin.process_guard import ExitGuard, tell_exit, termination_as_interrupt
from pytest_modelbench.plugin.progress import ProgressLine
from pytest_modelbench.plugin.report_files import ReportFiles, benchmarks_by_name, mistakes_in
from pytest_modelbench.plugin.session_end import OVER, is_dry, must_fail, passed_over_lines, same_names
from pytest_modelbench.plugin.stash import MISTAKES
from pytest_modelbench.plugin.state import SessionState
from pytest_modelbench.plugin.summary import show_on_github, show_plan, show_summary, show_written
from pytest_modelbench.plugin.tracking import Tracking, tracker_mistakes
from pytest_modelbench.probes.machine import environment
from pytest_modelbench.probes.revision import revision
from pytest_modelbench.reports.plan import plan_lines
from pytest_modelbench.reports.record import Record
from pytest_modelbench.reports.report import Ending
from pytest_modelbench.results import json_object


class Reporting:
    """Hears of every item, writes the session's files and prints its summary.

    Args:
        config: of the session.
        state: what is settled.
        record: gathers what is known.
        machine: says whether its lock could be held.
        worker: the id of this worker, None in any other process.
    """

    def __init__(
        self, config: pytest.Config, state: SessionState, record: Record, machine: Machine, worker: str | None
    ) -> None:
        self.config = config
        self.state = state
        self.record = record
        record.command = shlex.join(["pytest", "--modelbench", *given_options(config.option)])
        self.machine = machine
        self.worker = worker
        self.files = ReportFiles(state.settings, Path(config.invocation_params.dir), self._report_so_far)
        self.tracking = Tracking(state.settings.log, Path(config.invocation_params.dir), ProgressLine(config))
        self.told: dict[str, Any] | None = None
        self.until_the_end = contextlib.ExitStack()
        self.exits = ExitGuard(functools.partial(tell_exit, config))
        self.ended = False
        if self._writes():
            config.stash[MISTAKES] += [*mistakes_in(self.files.wanted), *tracker_mistakes(state.settings.log)]

    def pytest_sessionstart(self) -> None:
        """From now on end as after Ctrl-C on SIGTERM, with reports; say first that there is none yet."""
        self.until_the_end.enter_context(self.exits.watching())
        if self.worker is None:
            self.until_the_end.enter_context(termination_as_interrupt())
        if self._writes():
            history = Path(self.state.settings.history or "").name
            self.record.run = {"started": _now(), "ended": None, **revision(self.config.rootpath, history)}
            self.files.begin()

    def _writes(self) -> bool:
        """Whether this process is the one that writes the session's files."""
        return (
            self.worker is None
            and self.state.child is None
            and not self.state.settings.plan
            and not is_dry(self.config)
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Know whether all items had their turn."""
        answer = yield
        self.ended = True
        return answer

    def pytest_unconfigure(self) -> None:
        """Give SIGTERM back."""
        self.until_the_end.close()
        self.exits.status = self.exits.status or 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hear of every phase of every item, in the controller also of the workers'."""
        if type(report) is not pytest.TestReport:
            return
        worker = getattr(report, "worker_id", None)
        self.record.hear(report.nodeid, vars(report).get(RIDER, []), None if worker == "master" else worker)
        self.record.finish_phase(report.nodeid, outcome_of(report), report.duration)
        file, line, _ = report.location
        self.record.describe_test(report.nodeid, {"file": file, "line": None if line is None else line + 1})
        self.record.describe_test(report.nodeid, vars(report).get(CASE_RIDER, {}))
        if report.when == "teardown" and self._writes() and not self.config.pluginmanager.hasplugin("dsession"):
            self.files.save_so_far()  # a controller outlives its workers

    def _report_so_far(self) -> dict[str, Any]:
        return self.record.with_session(self._session_data(final=False)).to_json(None, self.state.settings.to_json())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the JSON report; a worker hands its part over instead."""
        data = self._session_data()
        if self.worker is not None:
            self.config.workeroutput["modelbench"] = json_object(data)  # type: ignore[attr-defined]
        if not self._writes():
            return
        self.record.add_session(data)
        self.record.run |= {"ended": _now()}
        if int(session.exitstatus) in OVER and not self.ended:  # pytest.exit(returncode=0)
            self.record.crashed = True
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        strict, judged = self.state.settings.strict, self.record.judged_anything()
        if int(session.exitstatus) in OVER and must_fail(
            self.record.ordered_gates(), self.config, strict=strict, judged=judged
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        remember_durations(self.config, self.record.timings)
        self.config.stash[FINDER].finish(session, self._report)
        ending = Ending(
            record=self.record,
            settings=self.state.settings,
            exit_status=int(session.exitstatus),
            complete=self.record.complete(int(session.exitstatus)),
            report=self._report,
            contract=self.state.session.recorder,
            folder=self.config.rootpath,
        )
        session.exitstatus = self.files.finish(ending)
        self.exits.status = int(session.exitstatus)
        if not self.config.stash[MISTAKES]:
            self.tracking.send(self._report(int(session.exitstatus)), self.files.kept)

    def _session_data(self, *, final: bool = True) -> dict[str, Any]:
        mistakes: list[str] = self.config.stash[MISTAKES]
        gates = list(self.record.gates.values()) if self.worker is not None else []
        return session_data(self.state.session, gates, mistakes, final=final)

    def _report(self, exit_status: int) -> dict[str, Any]:
        """Return the report as it is at the session's end, made once for all who show it."""
        if self.told is None or self.told["exit_status"] != exit_status:
            self.told = self.record.to_json(exit_status, self.state.settings.to_json())
        return self.told

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Print the KPI tables, what failed and why, and where the JSON report is."""
        if self.config.stash[MISTAKES] or self.state.child is not None or is_dry(self.config):
            return
        if self.state.settings.plan:
            show_plan(terminalreporter, plan_lines(self.state.session.plans, known_durations(self.config)))
            return
        report = self._report(int(exitstatus))
        unlocked = [f"modelbench: {self.machine.unlocked}"] if self.machine.unlocked else []
        ended = self.ended or int(exitstatus) == pytest.ExitCode.USAGE_ERROR
        show_summary(
            terminalreporter,
            report,
            failures=[*passed_over_lines(self.config, report["gates"], ended=ended)],
            warnings=[*same_names(report["models"]["students"]), *unlocked],
        )
        lines = [*self.files.written, *self.tracking.lines, *self.config.stash[FINDER].told()]
        show_written(terminalreporter, lines)
        show_on_github(terminalreporter, report)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def session_data(
    session: BenchSession, collected: Sequence[Mapping[str, Any]], mistakes: Sequence[str], *, final: bool
) -> dict[str, Any]:
    """Return what one process knows beyond its items, as JSON types.

    Args:
        session: of this process.
        collected: the gates that it hands over, in a worker.
        mistakes: of its user.
        final: whether all items had their turn.
    """
    baseline, contract = session.baseline, session.contract
    models = {
        name: {**notes, "forward_passes": session.forward_passes.get(name, 0)}
        for name, notes in session.model_notes.items()
    }
    return {
        "collected": list(collected),
        "models": models,
        "timings": session.timings,
        "diagnoses": session.diagnoses.to_json(),
        "benchmarks": benchmarks_by_name(session.timed.values()) if final else {},
        "data": session.data_notes,
        "baseline": baseline.told() if baseline is not None else None,
        "contract": contract.told_briefly() if contract is not None else None,
        "environment": environment(final=final),
        "mistakes": list(mistakes),
    }
