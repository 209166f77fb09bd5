"""The engines `dask` and `ray`, each on a real cluster of this machine that is started once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engine_tasks as tasks
import numpy as np
import pytest

from pytest_modelbench.bench.engines.attempts import attempted
from pytest_modelbench.bench.engines.engine import Engine, Lost, Raised, engine_for
from pytest_modelbench.bench.engines.ray_cluster import RayCluster
from pytest_modelbench.errors import DataError, UsageMistake

SHARDS = list(range(8))
COUNTED = {shard: (shard, shard * shard) for shard in SHARDS}
OTHERS = {shard: result for shard, result in COUNTED.items() if shard != 3}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Engine]:
    pytest.importorskip({"dask": "distributed"}.get(request.param, request.param))
    with engine_for(request.param, workers=2) as engine:
        yield engine


def test_each_shard_once(cluster: Engine) -> None:
    """All positions, each with its own result; the start is told apart from the work."""
    delivered = list(cluster.map(tasks.count, SHARDS))
    assert len(delivered) == len(SHARDS)
    assert dict(delivered) == COUNTED
    assert cluster.started_s > 0
    assert cluster.describe() == f"{cluster.name}, 2 workers, on this machine"


def test_signals_stay_the_sessions(cluster: Engine) -> None:
    """Ray puts a handler of its own in the place of pytest's."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    cluster.close()
    assert dict(cluster.map(tasks.count, SHARDS)) == COUNTED
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_killed_worker_loses_its_shard_alone(cluster: Engine, tmp_path: Path) -> None:
    """The worker is replaced, and the second attempt delivers the shard."""
    delivered = dict(cluster.map(tasks.Faulty(str(tmp_path), 3, "dies"), SHARDS))
    assert isinstance(delivered.pop(3), Lost)
    assert delivered == OTHERS
    tmp_path.joinpath("happened").unlink()
    again = list(attempted(cluster, tasks.Faulty(str(tmp_path), 3, "dies"), SHARDS))
    assert len(again) == len(SHARDS)
    assert dict(again) == COUNTED


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("raises", "ValueError: the disk is on fire (engine_tasks.py:"),
        ("exits", "SystemExit: 3"),
        ("unpicklable", "the result cannot be sent to another process (has a lock)"),
    ],
)
def test_what_fails_twice(cluster: Engine, tmp_path: Path, what: str, message: str) -> None:
    """The other shards come, and the reason is kept."""
    delivered = dict(attempted(cluster, tasks.Faulty(str(tmp_path), 3, what, always=True), SHARDS))
    assert message in str(delivered.pop(3))
    assert delivered == OTHERS


def test_mistakes_keep_their_class(cluster: Engine, tmp_path: Path) -> None:
    """A DataError of a worker is a DataError in the session."""
    raised = dict(cluster.map(tasks.Faulty(str(tmp_path), 3, "mistaken"), SHARDS))[3]
    assert isinstance(raised, Raised)
    assert type(raised.error()) is DataError


def test_what_cannot_be_sent(cluster: Engine) -> None:
    """As with processes."""
    task = dict(cluster.map(lambda shard: shard, SHARDS))
    assert "the task cannot be sent to another process" in task[0].message
    shards = dict(cluster.map(tasks.count, [1, tasks.Broken(), 2]))
    assert "the shard cannot be sent to another process (has a lock)" in shards.pop(1).message
    assert shards == {0: (1, 1), 2: (2, 4)}


def test_results_of_megabytes(cluster: Engine) -> None:
    """Arrays come as they are."""
    for shard, values in cluster.map(tasks.array_of, SHARDS[:4]):
        np.testing.assert_array_equal(values, np.full(500_000, shard))


def test_a_worker_has_one_thread_and_the_sessions_path(cluster: Engine) -> None:
    """Sums are the same everywhere, and files are found as in the session."""
    ((_, (threads, of_torch, folder, _)),) = cluster.map(tasks.threads, [0])
    assert (threads, of_torch, folder) == ("1", 1, str(Path.cwd()))


def test_an_iteration_that_is_given_up(cluster: Engine) -> None:
    """The next call gets its own results."""
    iteration = cluster.map(tasks.sleeping, [0.0, 2.0, 2.0])
    next(iteration)
    iteration.close()  # type: ignore[attr-defined]
    assert dict(cluster.map(tasks.count, SHARDS)) == COUNTED


def test_a_cluster_that_is_joined_is_named_and_left(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names it; its workers are the default; it goes on after the session."""
    assert dict(cluster.map(tasks.count, SHARDS)) == COUNTED
    address = cluster.address
    if cluster.name == "dask":
        monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
    with engine_for(cluster.name) as joining:
        if cluster.name == "ray":
            cluster._end_actors(cluster._ray)  # which have its processors
        assert dict(joining.map(tasks.count, SHARDS)) == COUNTED
        assert joining.describe() == f"{cluster.name}, 2 workers, joined {address}"
    assert dict(cluster.map(tasks.count, SHARDS)) == COUNTED


def test_a_cluster_without_room() -> None:
    """A worker that could never start is a mistake, and not a wait without end."""
    pytest.importorskip("ray")
    engine = RayCluster(workers=8, num_gpus=0.5)
    assert engine.fitting({"CPU": 6.0, "GPU": 2.0}) == 4
    assert engine.fitting({"CPU": 3.0, "GPU": 2.0}) == 3
    with pytest.raises(
        UsageMistake, match=r"a worker needs 1 processor and 0.5 GPUs, and the cluster has 4 processors"
    ):
        engine.fitting({"CPU": 4.0})
