"""Ray: a pool of actors, on a cluster that `RAY_ADDRESS` or the user's own `ray.init` names, or on this machine."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_modelbench.bench.engines.engine import Engine, Lost, Raised, Task, processors
from pytest_modelbench.bench.engines.runner import Runner, limit_threads
from pytest_modelbench.bench.engines.travel import Outgoing, Unpicklable, pickled_task, result_of
from pytest_modelbench.errors import UsageMistake, message_of

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_raylet_start_wait_time_s": "300",  # Ray's own wait ends too early on a busy machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns of what it will do one day
}
"""What Ray reads when it is imported or started; what the user has set is left."""

_BARREN_STARTS = 3
"""So many actors in a row that do not start end the pass."""


class RayCluster(Engine):
    """A pool of Ray's actors, each with one processor and a part of a GPU where one is asked for.

    Args:
        workers: how many; None for the processors that this process may use, or those of a cluster that is joined.
        num_gpus: GPUs for each worker; with 0.5 two share one.

    Raises:
        ImportError: Ray is not installed.
    """

    name = "ray"

    def __init__(self, *, workers: int | None = None, num_gpus: float | None = None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        self._asked = workers
        self.workers = workers or processors()
        self._num_gpus = num_gpus or 0
        self._ray: Any = None
        self._ours = False
        self._leaves = False
        self.address = ""
        self._pool: list[Any] = []

    def describe(self) -> str:
        """Return one line for the terminal and the report."""
        address = self.address or os.environ.get("RAY_ADDRESS", "")
        joined = "" if self._ray is not None and self._ours else f", joined {address}" if address else ""
        gpus = f" with {self._num_gpus:g} GPUs each" if self._num_gpus else ""
        return f"ray, {self.workers} worker{'s' if self.workers > 1 else ''}{gpus}{joined or ', on this machine'}"

    def map(self, task: Task, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield what came of each shard, in the order in which actors end.

        Raises:
            UsageMistake: the cluster has no room for one worker.
        """
        try:
            pickled = pickled_task(task)
        except Unpicklable as mistake:
            yield from ((position, mistake.raised) for position in range(len(shards)))
            return
        self._start()
        yield from _Pass(self._ray, self._pool, self._actor, min(self.workers, len(shards))).over(pickled, shards)

    def _start(self) -> None:
        """Join or start the cluster, once."""
        if self._ray is not None:
            return
        started = time.perf_counter()
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        with warnings.catch_warnings(), _own_sigterm():
            warnings.simplefilter("ignore")
            ray: Any = importlib.import_module("ray")
            if not ray.is_initialized():
                address = os.environ.get("RAY_ADDRESS")
                quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
                if address:
                    ray.init(address=address, **quiet)
                else:
                    ray.init(address="local", num_cpus=self.workers, include_dashboard=False, **quiet)
                    self._ours = True
                self._leaves = True
        self._ray = ray
        self.address = str(ray.get_runtime_context().gcs_address)
        self.workers = self.fitting(ray.cluster_resources())
        self.started_s += time.perf_counter() - started

    def fitting(self, there: dict[str, float]) -> int:
        """Return how many workers the cluster has room for, and no more than were asked for.

        Raises:
            UsageMistake: it has room for none.
        """
        fitting = int(there.get("CPU", 0))
        if self._num_gpus:
            gpus = int(there.get("GPU", 0))
            shared = int(1 / self._num_gpus) * gpus if self._num_gpus <= 1 else int(gpus / self._num_gpus)
            fitting = min(fitting, shared)
        if not fitting:
            found = f"{there.get('CPU', 0):g} processors and {there.get('GPU', 0):g} GPUs"
            self.close()
            raise UsageMistake(
                f"--modelbench-engine=ray: a worker needs 1 processor and {self._num_gpus:g} GPUs, and the "
                f"cluster has {found}. Lower --modelbench-num-gpus, or remove it"
            )
        return min(self._asked or fitting, fitting)

    def _actor(self) -> Any:
        kind = self._ray.remote(num_cpus=1, num_gpus=self._num_gpus, max_restarts=0, max_task_retries=0)(RayRunner)
        return kind.remote(list(sys.path), str(Path.cwd()))

    def _end_actors(self, ray: Any) -> None:
        while self._pool:
            ray.kill(self._pool.pop())

    def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        ray, self._ray = self._ray, None
        if ray is None:
            return
        self._end_actors(ray)
        if self._leaves:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ray.shutdown()
        self._ours = False
        self.address = ""


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Give SIGTERM back to its handler: Ray's raises SystemExit, which pytest takes for a failed test."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


class RayRunner:
    """The actor: a `Runner` with the session's path.

    Args:
        path: of the session, for modules beside its tests.
        folder: the session's working directory.
    """

    def __init__(self, path: list[str], folder: str) -> None:
        limit_threads()
        sys.path += [entry for entry in path if entry not in sys.path]
        with contextlib.suppress(OSError):  # another machine, which does not have it
            os.chdir(folder)
        self._runner = Runner()

    def ready(self) -> bool:
        """Return that the actor has started."""
        return True

    def run(self, task: bytes, shard: bytes) -> bytes:
        """Return what came of a shard, pickled: see `Runner.run`."""
        return self._runner.run(task, shard)


class _Pass:
    """One pass over shards; an actor holds one shard at a time, and none before it has started."""

    def __init__(self, ray: Any, pool: list[Any], start: Any, workers: int) -> None:
        self._ray = ray
        self._pool = pool
        self._start = start
        self._workers = workers
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, int]] = {}
        self._barren = 0

    def over(self, task: bytes, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield what came of each shard."""
        outgoing, sent = Outgoing(shards), self._ray.put(task)
        idle = list(self._pool)
        try:
            while outgoing or self._busy:
                yield from self._hand_out(sent, outgoing, idle)
                if not (self._busy or self._starting):
                    continue
                for ref in self._ray.wait([*self._busy, *self._starting], num_returns=1)[0]:
                    if ref in self._starting:
                        yield from self._started(ref, outgoing, idle)
                    else:
                        yield self._came(ref, idle)
        finally:
            for actor in (*(actor for actor, _ in self._busy.values()), *self._starting.values()):
                self._ray.kill(actor)
                if actor in self._pool:
                    self._pool.remove(actor)

    def _hand_out(self, task: Any, outgoing: Outgoing, idle: list[Any]) -> Iterator[tuple[int, Raised]]:
        while outgoing and len(self._pool) + len(self._starting) < self._workers:
            actor = self._start()
            self._starting[actor.ready.remote()] = actor
        while idle and outgoing:
            position, shard = outgoing.take()
            if isinstance(shard, Raised):
                yield position, shard
                continue
            actor = idle.pop()
            self._busy[actor.run.remote(task, shard)] = actor, position

    def _started(self, ref: Any, outgoing: Outgoing, idle: list[Any]) -> Iterator[tuple[int, Lost]]:
        """Take an actor into the pool; where none starts, yield all that is left as lost."""
        actor = self._starting.pop(ref)
        try:
            self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._barren += 1
            if self._barren >= _BARREN_STARTS and not self._pool:
                lost = Lost(reason=f"workers do not start: {message_of(error)}", worker="ray")
                yield from ((position, lost) for position in outgoing.positions())
            return
        self._barren = 0
        self._pool.append(actor)
        idle.append(actor)

    def _came(self, ref: Any, idle: list[Any]) -> tuple[int, Any]:
        actor, position = self._busy.pop(ref)
        try:
            result = result_of(self._ray.get(ref))
        except self._ray.exceptions.RayError as error:
            self._pool.remove(actor)
            self._ray.kill(actor)
            return position, Lost(reason=message_of(error), worker=f"actor {actor._actor_id.hex()[:8]}")  # noqa: SLF001
        idle.append(actor)
        return position, result
