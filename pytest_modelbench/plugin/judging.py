"""The hooks that are only there with `--modelbench`: judge items, gather results, write the reports."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.bench.gate_results import unjudged
from pytest_modelbench.bench.machine_lock import Machine
from pytest_modelbench.bench.recording import Recorder
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.errors import (
    ModelbenchError,
    NotApplicable,
    cause_of,
    message_of,
)
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.plugin.child_run import run_child
from pytest_modelbench.plugin.collection import LATE, came_late, impatient, refuse
from pytest_modelbench.plugin.fixture_lookup import place_of
from pytest_modelbench.plugin.kpi_access import plan_of, resolve, settings_of
from pytest_modelbench.plugin.outcomes import VerdictFailure, conclude, properties, without_our_frames
from pytest_modelbench.plugin.process_guard import ExitGuard, termination_as_interrupt
from pytest_modelbench.plugin.progress import ProgressLine
from pytest_modelbench.plugin.report_files import ReportFiles, benchmarks_by_name, mistakes_in
from pytest_modelbench.plugin.session_end import OVER, is_dry, must_fail, passed_over_lines, same_names
from pytest_modelbench.plugin.stash import CASE, FINDER, GATES, LABEL, MISTAKES
from pytest_modelbench.plugin.state import SessionState
from pytest_modelbench.plugin.summary import show_plan, show_summary, show_written
from pytest_modelbench.probes.machine import environment
from pytest_modelbench.probes.requests import read_request
from pytest_modelbench.reports.plan import duration_key, duration_of, plan_lines
from pytest_modelbench.reports.record import Record, expected_gate
from pytest_modelbench.results import GateResult, Verdict, json_object
from pytest_modelbench.settings import Given, Settings, differing_settings
from pytest_modelbench.store.baseline import Baseline
from pytest_modelbench.store.contract import Contract

RESULTS: pytest.StashKey[list[GateResult]] = pytest.StashKey()
DURATIONS = "modelbench/timings"
_RIDER = "modelbench"
_FOLDER = "modelbench_folder"
_CASE_RIDER = "modelbench_edge_case"


class Judging:
    """One pytest session with gates to judge, in a worker, a controller, or a process of its own."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        places: Sequence[Given],
        baseline: Baseline | None = None,
        contract: Contract | None = None,
    ) -> None:
        self.config = config
        self.worker: str | None = getattr(config, "workerinput", {}).get("workerid")
        self.record = Record()
        self.items: dict[str, pytest.Item] = {}
        self.files = ReportFiles(settings, Path(config.invocation_params.dir), self._report_so_far)
        self.told: dict[str, Any] | None = None
        self.until_the_end = contextlib.ExitStack()
        self.exits = ExitGuard(self._tell_exit)
        self.ended = False
        self.machine = Machine(self._tell_waiting)
        self.shared_folder: str | None = getattr(config, "workerinput", {}).get(_FOLDER)
        asked: str | None = config.getoption("modelbench_child")
        child = read_request(Path(asked)) if asked else None
        session = BenchSession(
            progress=ProgressLine(config),
            exclusive=self.machine.alone,
            handover=Path(self.shared_folder) if self.shared_folder else None,
            run_child=lambda nodeid, request: run_child(config, self.items[nodeid], request),
            child=child,
            baseline=baseline,
            contract=contract,
            recorder=Recorder() if settings.record_contract else None,
        )
        session.passing += (pytest.fail.Exception,)  # what pytest-timeout raises
        if contract is not None:
            session.model_notes["teacher"] = dict(contract.teacher)
        self.state = SessionState(settings=settings, places=places, session=session, child=child)
        if self._writes():
            config.stash[MISTAKES] += mistakes_in(self.files.wanted)

    def _tell_waiting(self) -> None:
        """Say why nothing happens, where there is a terminal of this process's own."""
        reporter: Any = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and self.worker is None:
            reporter.ensure_newline()
            reporter.write_line("modelbench: waiting for another run on this machine to finish what it measures")

    def _tell_exit(self, what: str) -> None:
        """Say what ends the process at once, past what pytest captures."""
        capture: Any = self.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.suspend_global_capture(in_=True)
        print(f"\nERROR: {what}", file=sys.stderr, flush=True)

    def pytest_sessionstart(self) -> None:
        """From now on end as after Ctrl-C on SIGTERM, with reports; say first that there is none yet."""
        self.until_the_end.enter_context(self.exits.watching())
        if self.worker is None:
            self.until_the_end.enter_context(termination_as_interrupt())
        if self._writes():
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

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, nextitem: pytest.Item | None) -> Generator[None, object, object]:
        """Run an item beside other items, and never beside a timed measurement of another worker or session."""
        keep = nextitem is not None and self.worker is None  # a worker may have to wait for its next item
        with self.machine.shared(keep=keep):
            return (yield)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give the workers a folder in which they hand measurements over."""
        if self.shared_folder is None:
            self.shared_folder = tempfile.mkdtemp(prefix="pytest-modelbench-")
        node.workerinput[_FOLDER] = self.shared_folder

    def pytest_unconfigure(self) -> None:
        """Give SIGTERM back, and remove what the workers handed over."""
        self.machine.let_go()
        self.until_the_end.close()
        self.exits.status = self.exits.status or 0
        if self.worker is None and self.shared_folder is not None:
            shutil.rmtree(self.shared_folder, ignore_errors=True)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Refuse markers that came after the gates were read."""
        found = [f"{place}: {LATE}" for place in sorted({place_of(item) for item in items if came_late(item)})]
        refuse(self.config, items, [*found, *impatient(items)])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Gather the gates of all selected items, so that a measurement knows what it must decide."""
        self.items = {item.nodeid: item for item in session.items}
        plans = [plan_of(item) for item in session.items if item.stash.get(GATES, ())]
        self.state.session.plan(plans)
        self.record.expect(
            [
                expected_gate(
                    plan.nodeid,
                    gate.kpi.name,
                    gate.kpi.pillar,
                    plan.student,
                    gate.targets,
                    plan.suite,
                    differing_settings(plan.settings, self.state.settings),
                )
                for plan in plans
                for gate in plan.gates
            ]
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
        """Build what the command line or a file names, so that a test's body gets the model or data itself."""
        given = getattr(request, "param", None)
        if type(given) is not NamedSpec:
            return None
        key = fixturedef.cache_key(request)  # type: ignore[arg-type]
        try:
            built = resolve(self.config, given)
            if request.fixturename == "eval_data":
                built = self.state.session.eval_data(built)
        except BaseException as error:
            fixturedef.cached_result = (None, key, (error, error.__traceback__))  # as pytest does for its own
            raise
        fixturedef.cached_result = (built, key, None)
        return built

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Leave the test's body out in a process that only measures."""
        records = any(gate.kpi.probe.recorded for gate in plan_of(pyfuncitem).gates)
        return (
            True
            if self.state.child is not None or (self.state.session.recorder is not None and not records)
            else None
        )

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge the item's gates after its body, inside of the call phase: the verdict is the outcome."""
        if not item.stash.get(GATES, ()):
            return (yield from _without_gates(item))
        try:
            answer = yield
            refuse_late(item)
        except NotApplicable as reason:
            item.stash[RESULTS] = all_gates(item, Verdict.NOT_APPLICABLE, str(reason))
            pytest.skip(str(reason))
        except ModelbenchError as error:
            item.stash[RESULTS] = all_gates(item, Verdict.ERROR, str(error))
            raise
        results: list[GateResult] = item.funcargs["kpi"].judge_all(self.state.child)  # type: ignore[attr-defined]
        item.stash[RESULTS] = results
        for result in results if self.state.child is None else ():
            self.config.stash[FINDER].tell("pytest_modelbench_verdict", item=item, result=result.to_json())
        item.user_properties += properties(results)
        conclude(item, results, settings_of(item))
        return answer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let results ride on the report, as plain JSON types."""
        report = yield
        if CASE in item.stash and type(report) is pytest.TestReport:
            vars(report)[_CASE_RIDER] = {"edge_case": item.stash[CASE], "student": item.stash.get(LABEL, "student")}
        if call.when == "setup" and report.failed and call.excinfo is not None:
            if isinstance(call.excinfo.value, ModelbenchError):
                report.longrepr = without_our_frames(call.excinfo.value)
            item.stash[RESULTS] = all_gates(item, Verdict.ERROR, _set_up_failure(call.excinfo.value))
        if call.when != "teardown" and RESULTS not in item.stash and call.excinfo is not None:
            item.stash[RESULTS] = all_gates(item, Verdict.NOT_RUN, _left_out(call.excinfo.value))
        if call.when != "teardown" and RESULTS in item.stash and type(report) is pytest.TestReport:
            plan = plan_of(item)
            told = {"suite": plan.suite, "settings": differing_settings(plan.settings, self.state.settings)}
            vars(report)[_RIDER] = [{**result.to_json(), **told} for result in item.stash[RESULTS]]
            del item.stash[RESULTS]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Hear of every phase of every item, in the controller also of the workers'."""
        if type(report) is not pytest.TestReport:
            return
        worker = getattr(report, "worker_id", None)
        self.record.hear(report.nodeid, vars(report).get(_RIDER, []), None if worker == "master" else worker)
        self.record.finish_phase(report.nodeid, _outcome(report), report.duration)
        self.record.describe_test(report.nodeid, vars(report).get(_CASE_RIDER, {}))
        if report.when == "teardown" and self._writes() and not self.config.pluginmanager.hasplugin("dsession"):
            self.files.save_so_far()  # a controller outlives its workers

    def _report_so_far(self) -> dict[str, Any]:
        return self.record.with_session(self._session_data(final=False)).to_json(None, self.state.settings.to_json())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Merge what a worker knows beyond its items."""
        self.record.crashed = self.record.crashed or bool(error)
        self.record.add_session(getattr(node, "workeroutput", {}).get("modelbench", {}))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the JSON report; a worker hands its part over instead."""
        self.machine.let_go()
        data = self._session_data()
        if self.worker is not None:
            self.config.workeroutput["modelbench"] = json_object(data)  # type: ignore[attr-defined]
        if not self._writes():
            return
        self.record.add_session(data)
        if int(session.exitstatus) in OVER and not self.ended:  # pytest.exit(returncode=0)
            self.record.crashed = True
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        strict, judged = self.state.settings.strict, self.record.judged_anything()
        if int(session.exitstatus) in OVER and must_fail(
            self.record.ordered_gates(), self.config, strict=strict, judged=judged
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._remember_durations()
        self.config.stash[FINDER].finish(session, self._report)
        self.files.finish(session, self.record, self.state.settings, self.state.session.recorder, self._report)
        self.exits.status = int(session.exitstatus)

    def _remember_durations(self) -> None:
        """Keep in pytest's cache how long measurements took, for --modelbench-plan."""
        cache = getattr(self.config, "cache", None)
        if cache is not None and self.record.timings:
            known = {} if cache.get(DURATIONS, None) is None else dict(cache.get(DURATIONS, {}))
            known.update({duration_key(note): duration_of(note) for note in self.record.timings})
            cache.set(DURATIONS, known)

    def _session_data(self, *, final: bool = True) -> dict[str, Any]:
        mistakes: list[str] = self.config.stash[MISTAKES]
        models = {
            name: {**notes, "forward_passes": self.state.session.forward_passes.get(name, 0)}
            for name, notes in self.state.session.model_notes.items()
        }
        return {
            "collected": list(self.record.gates.values()) if self.worker is not None else [],
            "models": models,
            "timings": self.state.session.timings,
            "benchmarks": benchmarks_by_name(self.state.session.timed.values()) if final else {},
            "data": self.state.session.data_notes,
            "baseline": self.state.session.baseline.told() if self.state.session.baseline is not None else None,
            "contract": self.state.session.contract.told_briefly()
            if self.state.session.contract is not None
            else None,
            "environment": environment(final=final),
            "mistakes": list(mistakes),
        }

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
            cache = getattr(self.config, "cache", None)
            known = cache.get(DURATIONS, {}) if cache is not None else {}
            show_plan(terminalreporter, plan_lines(self.state.session.plans, known))
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
        show_written(terminalreporter, [*self.files.written, *self.config.stash[FINDER].told()])


def refuse_late(item: pytest.Item) -> None:
    """Refuse a marker that a fixture or the body has added, since its gate was never read.

    Raises:
        VerdictFailure: there is one.
    """
    if came_late(item):
        if item.stash.get(GATES, ()):
            item.stash[RESULTS] = all_gates(item, Verdict.ERROR, LATE)
        raise VerdictFailure(LATE)


def _without_gates(item: pytest.Item) -> Generator[None, object, object]:
    """Run the body of an item that judges nothing; what is not applicable to its models is skipped."""
    try:
        answer = yield
    except NotApplicable as reason:
        pytest.skip(str(reason))
    refuse_late(item)
    return answer


def all_gates(item: pytest.Item, verdict: Verdict, reason: str) -> list[GateResult]:
    """Return one verdict for every gate of an item."""
    plan = plan_of(item)
    return [unjudged(plan.student, gate, verdict, reason) for gate in plan.gates]


def _set_up_failure(error: BaseException) -> str:
    if isinstance(error, ModelbenchError):
        return str(error)
    missing = getattr(error, "argname", None)
    if type(error) is pytest.FixtureLookupError and missing is not None:
        return f"set-up failed: there is no fixture {missing!r}"
    return f"set-up failed: {cause_of(error)}"


def _left_out(error: BaseException) -> str:
    """Say why a test did not come to its gates."""
    if isinstance(error, pytest.skip.Exception):
        return f"skipped: {message_of(error)}"
    return f"the test's body raised {type(error).__name__}"


def _outcome(report: pytest.TestReport) -> str:
    """Name an item's outcome as pytest's own summary does."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return str(report.outcome)
