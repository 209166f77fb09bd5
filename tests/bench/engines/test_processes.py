"""The engine `processes`: every shard once, and a worker that dies takes one shard with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import engine_tasks as tasks
import numpy as np
import psutil
import pytest

from pytest_modelbench.bench.engines.attempts import attempted
from pytest_modelbench.bench.engines.engine import Lost, Raised
from pytest_modelbench.bench.engines.processes import Processes
from pytest_modelbench.errors import DataError

SHARDS = list(range(8))
COUNTED = {shard: (shard, shard * shard) for shard in SHARDS}
OTHERS = {shard: result for shard, result in COUNTED.items() if shard != 3}
SESSION = """
import sys
import engine_tasks as tasks
from pytest_modelbench.bench.engines.processes import Processes
engine = Processes(workers=2)
print(*dict(engine.map(tasks.process_of, range(2))).values(), flush=True)
{then}
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Processes]:
    with Processes(workers=2) as engine:
        yield engine


def test_each_shard_once(engine: Processes) -> None:
    """All positions, each with its own result."""
    delivered = list(engine.map(tasks.count, SHARDS))
    assert len(delivered) == len(SHARDS)
    assert dict(delivered) == COUNTED


def test_results_come_as_workers_end(engine: Processes) -> None:
    """A slow shard delays no other."""
    assert [position for position, _ in engine.map(tasks.sleeping, [1.5, 0.0, 0.0, 0.0])] == [1, 2, 3, 0]


def test_a_task_is_built_once_in_a_worker(engine: Processes) -> None:
    """What a task keeps is there for the next shard, and for the next call with an equal task."""
    first = list(engine.map(tasks.Building(), SHARDS))
    again = list(engine.map(tasks.Building(), SHARDS))
    assert {built for _, (_, built, _) in first + again} == {1}
    assert max(shards for _, (_, _, shards) in again) > max(shards for _, (_, _, shards) in first)


def test_a_killed_worker_loses_its_shard_alone(engine: Processes, tmp_path: Path) -> None:
    """The signal is named, and the worker is replaced."""
    delivered = dict(engine.map(tasks.Faulty(str(tmp_path), 3, "dies"), SHARDS))
    lost = delivered.pop(3)
    assert delivered == OTHERS
    assert isinstance(lost, Lost)
    assert lost.reason == "killed by SIGKILL (often: out of memory)"
    assert lost.worker.startswith("worker ")


@pytest.mark.parametrize("what", ["dies", "raises", "unreachable", "dawdles"])
def test_a_second_attempt(engine: Processes, tmp_path: Path, what: str) -> None:
    """What went wrong once does not show in the results."""
    delivered = list(attempted(engine, tasks.Faulty(str(tmp_path), 3, what), SHARDS))
    assert len(delivered) == len(SHARDS)
    assert dict(delivered) == COUNTED


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("dies", "SIGKILL"),
        ("raises", "ValueError: the disk is on fire (engine_tasks.py:"),
        ("mistaken", "shard 3: no column 'label'"),
        ("exits", "SystemExit: 3"),
        ("unpicklable", "the result cannot be sent to another process (has a lock)"),
    ],
)
def test_what_fails_twice(engine: Processes, tmp_path: Path, what: str, message: str) -> None:
    """The other shards come, and the reason of the last attempt is kept."""
    delivered = dict(attempted(engine, tasks.Faulty(str(tmp_path), 3, what, always=True), SHARDS))
    assert message in str(delivered.pop(3))
    assert delivered == OTHERS


def test_mistakes_keep_their_class(engine: Processes, tmp_path: Path) -> None:
    """A DataError of a worker is a DataError in the session."""
    raised = dict(engine.map(tasks.Faulty(str(tmp_path), 3, "mistaken"), SHARDS))[3]
    assert isinstance(raised, Raised)
    assert type(raised.error()) is DataError


def test_what_cannot_be_sent(engine: Processes) -> None:
    """A task or a shard that cannot be pickled is a mistake with advice, and no other shard suffers."""
    task = dict(engine.map(lambda shard: shard, SHARDS))
    assert {type(raised) for raised in task.values()} == {Raised}
    assert "the task cannot be sent to another process" in task[0].message
    shards = dict(engine.map(tasks.count, [1, tasks.Broken(), 2]))
    assert "the shard cannot be sent to another process (has a lock)" in shards.pop(1).message
    assert shards == {0: (1, 1), 2: (2, 4)}


def test_results_of_megabytes(engine: Processes) -> None:
    """Arrays go through the pipe as they are."""
    for shard, values in engine.map(tasks.array_of, SHARDS):
        np.testing.assert_array_equal(values, np.full(500_000, shard))


@pytest.mark.slow
def test_a_worker_has_one_thread_and_the_sessions_path(engine: Processes) -> None:
    """Limits are there before torch loads; modules and files are found as in the session."""
    ((_, (threads, of_torch, folder, path)),) = engine.map(tasks.threads, [0])
    assert (threads, of_torch, folder) == ("1", 1, str(Path.cwd()))
    assert set(filter(None, sys.path)) <= set(path)


def test_an_iteration_that_is_given_up(engine: Processes) -> None:
    """What was running is ended, and the next call gets its own results."""
    iteration = engine.map(tasks.sleeping, [0.0, 60.0, 60.0])
    next(iteration)
    iteration.close()  # type: ignore[attr-defined]
    assert dict(engine.map(tasks.count, SHARDS)) == COUNTED


def test_close_leaves_no_process() -> None:
    """Idle workers end by themselves."""
    engine = Processes(workers=2)
    pids = [pid for _, pid in engine.map(tasks.process_of, range(4))]
    engine.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def started(then: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a session whose workers are there, and return it with their ids."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    session = subprocess.Popen(
        [sys.executable, "-c", SESSION.format(then=then)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert session.stdout is not None
    return session, [int(pid) for pid in session.stdout.readline().split()]


def gone(pids: list[int], within_s: float = 20.0) -> bool:
    """Tell whether processes end within some seconds."""
    end = time.monotonic() + within_s
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals to a process group")
@pytest.mark.parametrize(("number", "everyone"), [(signal.SIGINT, True), (signal.SIGKILL, False)])
def test_the_end_of_the_session_ends_its_workers(number: signal.Signals, everyone: bool) -> None:
    """Ctrl-C, which a terminal sends to all of them, and a kill of the session alone, in the middle of shards."""
    session, pids = started("list(engine.map(tasks.sleeping, [300.0, 300.0]))")
    assert pids
    time.sleep(0.5)
    (os.killpg if everyone else os.kill)(session.pid, number)
    _, errors = session.communicate(timeout=30)
    assert gone(pids)
    assert errors.count("Traceback") == (1 if everyone else 0)  # the session's own KeyboardInterrupt


def test_a_script_is_not_imported_by_its_workers(tmp_path: Path) -> None:
    """Otherwise each worker would start the session again."""
    script = tmp_path / "session.py"
    script.write_text("print('begun')\n" + SESSION.format(then="engine.close()"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.count("begun") == 1
