"""How a session with gates begins: the bench is made, and the plugins that its options ask for are registered."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_modelbench.bench.asking import Files
from pytest_modelbench.bench.recording import Recorder
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.exports.request import ExportRequest
from pytest_modelbench.plugin.child_launch import measure_launch
from pytest_modelbench.plugin.child_run import run_child
from pytest_modelbench.plugin.compiler_log import leave_out_trace
from pytest_modelbench.plugin.contract_hooks import Recording, WithoutTeacher
from pytest_modelbench.plugin.diagnosing import Diagnosing
from pytest_modelbench.plugin.giving_up import GivingUp
from pytest_modelbench.plugin.judging import Judging
from pytest_modelbench.plugin.left_out import register_markers
from pytest_modelbench.plugin.machine_turns import MachineTurns
from pytest_modelbench.plugin.not_built import FromFile
from pytest_modelbench.plugin.parallel import Parallel
from pytest_modelbench.plugin.profiler_fixture import NvtxRanges
from pytest_modelbench.plugin.progress import ProgressLine
from pytest_modelbench.plugin.references import baseline_of, contract_of, export_record_of
from pytest_modelbench.plugin.reporting import Reporting
from pytest_modelbench.plugin.session_end import PlanOnly
from pytest_modelbench.plugin.stash import STATE
from pytest_modelbench.plugin.state import SessionState
from pytest_modelbench.plugin.teacher_guard import TeacherGuard
from pytest_modelbench.probes.load.worker_request import WorkerRequest
from pytest_modelbench.probes.requests import Request, read_request
from pytest_modelbench.reports.record import Record
from pytest_modelbench.settings import Given, Settings


def begin(config: pytest.Config, settings: Settings, places: Sequence[Given]) -> None:
    """Begin a session with gates, in a worker, a controller, or a process of its own.

    Args:
        config: of the session.
        settings: its resolved options.
        places: where they were given, the strongest first.
    """
    record, items = Record(), dict[str, pytest.Item]()
    parallel = Parallel(config, record)
    turns = MachineTurns(config, parallel.worker)
    asked: str | None = config.getoption("modelbench_child")
    child = read_request(Path(asked)) if asked else None
    baseline, contract = baseline_of(config, settings), contract_of(config, settings)
    bench = BenchSession(
        progress=ProgressLine(config),
        exclusive=turns.machine.alone,
        handover=Path(parallel.shared_folder) if parallel.shared_folder else None,
        run_child=lambda nodeid, request: run_child(config, items[nodeid], request),
        child=child,
        baseline=baseline,
        contract=contract,
        recorder=Recorder() if settings.record_contract else None,
        files=Files(
            folder=parallel.folder,
            kept=_in_run(config, settings.artifacts),
            recorded=export_record_of(config, settings),
            recording=_in_run(config, settings.record_export),
            lasting=functools.partial(_lasting, config),
        ),
    )
    config.add_cleanup(bench.engines.close)
    leave_out_trace(config)
    bench.passing += (pytest.fail.Exception,)  # what pytest-timeout raises
    if contract is not None:
        bench.model_notes["teacher"] = dict(contract.teacher)
    state = SessionState(settings=settings, places=places, session=bench, child=child)
    config.stash[STATE] = state
    reporting = Reporting(config, state, record, turns.machine, parallel.worker)
    judging = Judging(config, state, record, items)
    for name, plugin in {"parallel": parallel, "turns": turns, "reporting": reporting, "judging": judging}.items():
        config.pluginmanager.register(plugin, f"modelbench-{name}")
    if child is None:
        config.pluginmanager.register(Diagnosing(bench.diagnoses, parallel.worker), "modelbench-diagnosing")
    for name, plugin in _asked_for(config, settings, reporting, child):
        config.pluginmanager.register(plugin, f"modelbench-{name}")
    if child is not None:
        register_markers(config)
        measure_launch(config, child)
        if isinstance(child, ExportRequest):
            from pytest_modelbench.plugin.child_export import export_here

            export_here(config, child)
        if isinstance(child, WorkerRequest):
            from pytest_modelbench.plugin.child_worker import work_here

            work_here(config, child)


def _in_run(config: pytest.Config, path: str | None) -> Path | None:
    """Return the path that an option names, from the folder that pytest was started in; None if none was given."""
    return None if path is None else Path(config.invocation_params.dir, path)


def _lasting(config: pytest.Config) -> Path | None:
    """Return a folder of pytest's cache, which `--cache-clear` empties; None in a session without a cache."""
    cache = getattr(config, "cache", None)
    return None if cache is None else Path(cache.mkdir("modelbench-shards"))


def _asked_for(
    config: pytest.Config, settings: Settings, reporting: Reporting, child: Request | None
) -> Iterator[tuple[str, object]]:
    """Yield the plugins that not every session needs, by their names, in the order of registering."""
    if settings.plan:
        yield "plan", PlanOnly()
    if settings.contract or settings.record_contract:
        yield "contracting", Recording() if settings.record_contract else WithoutTeacher()
    yield "nvtx", NvtxRanges()
    yield "giving-up", GivingUp(config, reporting)
    if child is None:
        yield "teacher-guard", TeacherGuard()
    else:
        yield "from-file", FromFile()
