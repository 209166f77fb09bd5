"""The hooks that are only there with `--modelbench`: judge items, gather results, write the reports."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modelbench.access import plan_of, resolve, settings_of
from pytest_modelbench.children import run_child
from pytest_modelbench.collection import LATE, came_late, impatient, refuse
from pytest_modelbench.errors import MeasurementError, ModelbenchError, NotApplicable, cause_of
from pytest_modelbench.fixture_lookup import place_of
from pytest_modelbench.judged import unjudged
from pytest_modelbench.machine_lock import MachineLock
from pytest_modelbench.outcomes import conclude, properties, without_our_frames
from pytest_modelbench.probes.requests import read_request
from pytest_modelbench.process_guard import exits_refused, termination_as_interrupt
from pytest_modelbench.progress import ProgressLine
from pytest_modelbench.recording import Recorder
from pytest_modelbench.reports.benchmark_json import benchmark_json
from pytest_modelbench.reports.json_report import write_report
from pytest_modelbench.reports.plan import duration_key, duration_of, plan_lines
from pytest_modelbench.reports.record import Record, environment, expected_gate
from pytest_modelbench.results import GateResult, Verdict
from pytest_modelbench.session import BenchSession
from pytest_modelbench.settings import Given, NamedSpec, Settings
from pytest_modelbench.stash import CASE, GATES, LABEL, MISTAKES
from pytest_modelbench.store.baseline import Baseline
from pytest_modelbench.store.contract import Contract

RESULTS: pytest.StashKey[list[GateResult]] = pytest.StashKey()
CHEAP_S = 0.005
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
        self.settings = settings
        self.places = places
        self.worker: str | None = getattr(config, "workerinput", {}).get("workerid")
        self.record = Record()
        self.items: dict[str, pytest.Item] = {}
        self.written: list[str] = []
        self.until_the_end = contextlib.ExitStack()
        self.saved_at = 0.0
        self.saving_cost_s = 0.0
        self.machine: MachineLock | None = None
        self.unlocked = ""
        self.shared_folder: str | None = getattr(config, "workerinput", {}).get(_FOLDER)
        asked: str | None = config.getoption("modelbench_child")
        self.child = read_request(Path(asked)) if asked else None
        self.session = BenchSession(
            progress=ProgressLine(config),
            exclusive=self._alone,
            handover=Path(self.shared_folder) if self.shared_folder else None,
            run_child=lambda nodeid, request: run_child(config, self.items[nodeid], request),
            child=self.child,
            baseline=baseline,
            contract=contract,
            recorder=Recorder() if settings.record_contract else None,
        )
        if contract is not None:
            self.session.model_notes["teacher"] = dict(contract.teacher)

    def _tell_waiting(self) -> None:
        """Say why nothing happens, where there is a terminal of this process's own."""
        reporter: Any = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and self.worker is None:
            reporter.ensure_newline()
            reporter.write_line("modelbench: waiting for another run on this machine to finish what it measures")

    def pytest_sessionstart(self) -> None:
        """From now on end as after Ctrl-C on SIGTERM, with reports."""
        if self.worker is None:
            self.until_the_end.enter_context(termination_as_interrupt())

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> bool | None:
        """Run nothing for --modelbench-plan."""
        return True if self.settings.plan else None

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return self.machine.exclusive() if self.machine is not None else contextlib.nullcontext()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Run an item beside other items, and never beside a timed measurement of another worker or session."""
        if self.machine is None and not self.unlocked:
            try:
                self.machine = MachineLock(waiting=self._tell_waiting)
            except MeasurementError as error:
                self.unlocked = f"timed measurements did not have the machine for themselves: {error}"
        with self.machine.shared() if self.machine is not None else contextlib.nullcontext(), exits_refused():
            return (yield)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give the workers a folder in which they hand measurements over."""
        if self.shared_folder is None:
            self.shared_folder = tempfile.mkdtemp(prefix="pytest-modelbench-")
        node.workerinput[_FOLDER] = self.shared_folder

    def pytest_unconfigure(self) -> None:
        """Give SIGTERM back, and remove what the workers handed over."""
        self.until_the_end.close()
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
        self.session.plan(plans)
        self.record.expect(
            [
                expected_gate(plan.nodeid, gate.kpi.name, gate.kpi.pillar, plan.student, gate.targets, plan.suite)
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
                built = self.session.eval_data(built)
        except BaseException as error:
            fixturedef.cached_result = (None, key, (error, error.__traceback__))  # as pytest does for its own
            raise
        fixturedef.cached_result = (built, key, None)
        return built

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Leave the test's body out in a process that only measures."""
        records = any(gate.kpi.probe == "record" for gate in plan_of(pyfuncitem).gates)
        return True if self.child is not None or (self.session.recorder is not None and not records) else None

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Judge the item's gates after its body, inside of the call phase: the verdict is the outcome."""
        if not item.stash.get(GATES, ()):
            return (yield from _without_gates())
        try:
            answer = yield
        except NotApplicable as reason:
            item.stash[RESULTS] = all_gates(item, Verdict.NOT_APPLICABLE, str(reason))
            pytest.skip(str(reason))
        except ModelbenchError as error:
            item.stash[RESULTS] = all_gates(item, Verdict.ERROR, str(error))
            raise
        except Exception as error:
            item.stash[RESULTS] = all_gates(item, Verdict.NOT_RUN, f"the test's body raised {type(error).__name__}")
            raise
        results: list[GateResult] = item.funcargs["kpi"].judge_all(self.child)  # type: ignore[attr-defined]
        item.stash[RESULTS] = results
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
        if call.when != "teardown" and RESULTS in item.stash and type(report) is pytest.TestReport:
            suite = plan_of(item).suite
            vars(report)[_RIDER] = [{**result.to_json(), "suite": suite} for result in item.stash[RESULTS]]
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
        if report.when == "teardown":
            self._save_so_far()

    def _save_so_far(self) -> None:
        """Write what is known by now, for when the process ends before its time; a controller outlives its workers.

        Not more often than costs a twentieth of the run, once it costs anything.
        """
        path = self._json_path()
        if path is None or self.worker is not None or self.config.pluginmanager.hasplugin("dsession"):
            return
        start = time.monotonic()
        if self.saving_cost_s > CHEAP_S and start - self.saved_at < 20 * self.saving_cost_s:
            return
        report = self.record.with_session(self._session_data(final=False)).to_json(None, self.settings.to_json())
        with contextlib.suppress(OSError):  # the end of the run tells
            write_report(report, path, final=False)
        self.saved_at = time.monotonic()
        self.saving_cost_s = self.saved_at - start

    def _json_path(self) -> Path | None:
        if self.settings.json_path is None or self.child is not None:
            return None
        return Path(self.config.invocation_params.dir) / self.settings.json_path

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Merge what a worker knows beyond its items."""
        self.record.crashed = self.record.crashed or bool(error)
        self.record.add_session(getattr(node, "workeroutput", {}).get("modelbench", {}))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the JSON report; a worker hands its part over instead."""
        data = self._session_data()
        if self.worker is not None:
            self.config.workeroutput["modelbench"] = data  # type: ignore[attr-defined]
            return
        if self.settings.plan or self.child is not None:
            return
        self.record.add_session(data)
        judged = self.record.judged_anything()
        if self.settings.strict and not judged and int(session.exitstatus) in {0, 5}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        self._remember_durations()
        settings, record = self.settings, self.record
        why = "" if record.measured_anything() else "nothing was measured"
        why = why if record.complete(int(session.exitstatus)) else "the run did not come to its end"
        if self.session.recorder is not None and settings.record_contract is not None:
            self._write_contract(session, Path(self.config.invocation_params.dir, settings.record_contract))
        for what, option, given in (
            ("JSON report", "json", settings.json_path),
            ("baseline", "save_baseline", settings.save_baseline),
            ("benchmarks", "benchmark_json", settings.benchmark_json),
        ):
            if given is None:
                continue
            if option == "save_baseline" and why:
                self.written.append(f"{what}: {why}, so none was written")
                continue
            try:
                if option == "benchmark_json":
                    written = benchmark_json(list(record.benchmarks.values()), record.ordered_gates())
                else:
                    written = self._report(int(session.exitstatus))
                write_report(written, Path(self.config.invocation_params.dir, given))
            except OSError as error:
                flag = f"--modelbench-{option.replace('_', '-')}"
                path = Path(self.config.invocation_params.dir, given)
                self.written.append(f"ERROR: {flag}: cannot write {path}: {error.strerror or error}")
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
            else:
                self.written.append(f"{what}: {given}")

    def _write_contract(self, session: pytest.Session, path: Path) -> None:
        recorder, teacher = self.session.recorder, self.record.models.get("teacher", {})
        if recorder is None:
            return
        if path.exists() and not self.record.complete(int(session.exitstatus)):
            self.written.append(f"contract: the run did not come to its end, so {path.name} is left as it was")
            return
        try:
            self.written.append(recorder.write(path, teacher, environment(), self.settings.to_json()))
        except Exception as error:  # noqa: BLE001 - the other reports are still to be written
            told = f"cannot write {path}: {getattr(error, 'strerror', None) or error}"
            self.written.append(f"ERROR: --modelbench-record-contract: {told}")
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

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
            name: {**notes, "forward_passes": self.session.forward_passes.get(name, 0)}
            for name, notes in self.session.model_notes.items()
        }
        return {
            "collected": list(self.record.gates.values()) if self.worker is not None else [],
            "models": models,
            "timings": self.session.timings,
            "benchmarks": self.session.benchmarks,
            "data": self.session.data_notes,
            "baseline": self.session.baseline.told() if self.session.baseline is not None else None,
            "contract": self.session.contract.told_briefly() if self.session.contract is not None else None,
            "environment": environment(final=final),
            "mistakes": list(mistakes),
        }

    def _report(self, exit_status: int) -> dict[str, Any]:
        return self.record.to_json(exit_status, self.settings.to_json())

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Print the KPI tables, what failed and why, and where the JSON report is."""
        from pytest_modelbench.reports.terminal import render_summary, totals

        if self.config.stash[MISTAKES] or self.child is not None:
            return
        if self.settings.plan:
            terminalreporter.write_sep("=", "modelbench plan")
            cache = getattr(self.config, "cache", None)
            known = cache.get(DURATIONS, {}) if cache is not None else {}
            for line in plan_lines(self.session.plans, known):
                terminalreporter.write_line(line)
            return
        report = self._report(int(exitstatus))
        writer = terminalreporter._tw  # noqa: SLF001 - the only way to its width and colours
        terminalreporter.write_sep("=", "modelbench")
        if report["gates"] or self.record.edge_cases():
            text = render_summary(report, width=writer.fullwidth, colour=writer.hasmarkup)
            for line in text.splitlines():
                terminalreporter.write_line(line)
        failed = report["summary"]["fail"] + report["summary"]["error"]
        nothing = not report["gates"] and not self.record.edge_cases()
        terminalreporter.write_line(totals(report), red=bool(failed), yellow=nothing)
        if self.unlocked:
            terminalreporter.write_line(f"modelbench: {self.unlocked}", yellow=True)
        for line in self.written:
            terminalreporter.write_line(line, red=line.startswith("ERROR"))


def _without_gates() -> Generator[None, object, object]:
    """Run the body of an item that judges nothing; what is not applicable to its models is skipped."""
    try:
        return (yield)
    except NotApplicable as reason:
        pytest.skip(str(reason))


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


def _outcome(report: pytest.TestReport) -> str:
    """Name an item's outcome as pytest's own summary does."""
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.failed and report.when != "call":
        return "error"
    return str(report.outcome)
