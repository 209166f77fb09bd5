"""Dask: the workers of a scheduler that `DASK_SCHEDULER_ADDRESS` or a default client names, or of this machine."""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_modelbench.bench.engines.engine import Engine, Lost, Raised, Task, processors
from pytest_modelbench.bench.engines.processes import without_main
from pytest_modelbench.bench.engines.runner import Runner, limit_threads
from pytest_modelbench.bench.engines.travel import Outgoing, Unpicklable, pickled_task, result_of
from pytest_modelbench.errors import cause_of

_LOOK_S = 1.0
"""How often to look for workers that left the cluster."""

_EMPTY_S = 120.0
"""How long a cluster may have no worker before what is left counts as lost."""

_RUNNER = Runner()
"""Of a worker's process."""


class DaskCluster(Engine):
    """The workers of a Dask scheduler, each with one shard at a time that is pinned to it.

    The scheduler never chooses: a worker that dies then takes exactly the shard that it held with it.

    Args:
        workers: how many; None for the processors that this process may use, or all of a cluster that is joined.
        num_gpus: not for this engine; `settings.engine_conflicts` refuses it.

    Raises:
        ImportError: distributed is not installed.
    """

    name = "dask"

    def __init__(self, *, workers: int | None = None, num_gpus: float | None = None) -> None:
        del num_gpus
        if importlib.util.find_spec("distributed") is None:
            raise ModuleNotFoundError("No module named 'distributed'", name="distributed")
        self._asked = workers
        self.workers = workers or processors()
        self._client: Any = None
        self._cluster: Any = None
        self._leaves = False
        self.address = ""

    def describe(self) -> str:
        """Return one line for the terminal and the report."""
        where = f"joined {self.address}" if self.address and self._cluster is None else "on this machine"
        return f"dask, {self.workers} worker{'s' if self.workers > 1 else ''}, {where}"

    def map(self, task: Task, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield what came of each shard, in the order in which workers end."""
        try:
            pickled = pickled_task(task)
        except Unpicklable as mistake:
            yield from ((position, mistake.raised) for position in range(len(shards)))
            return
        self._start()
        yield from _Pass(self._client, self.workers).over(pickled, shards)

    def _start(self) -> None:
        """Join or start the cluster, once."""
        if self._client is not None:
            return
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import dask

            distributed: Any = importlib.import_module("distributed")

            try:
                self._client = distributed.default_client()
            except ValueError:  # there is none
                address = os.environ.get("DASK_SCHEDULER_ADDRESS") or dask.config.get("scheduler-address", None)
                self._open(distributed, address, dask.config)
        client: Any = self._client
        self.address = str(client.scheduler.address)
        if self._cluster is None:
            self.workers = self._asked or len(_addresses(self._client)) or self.workers
        self.started_s += time.perf_counter() - started

    def _open(self, distributed: Any, address: str | None, config: Any) -> None:
        """Open a client of a scheduler, or of workers of this machine."""
        if address is None:
            with config.set({"distributed.scheduler.allowed-failures": 0}), without_main():
                self._cluster = distributed.LocalCluster(
                    n_workers=self.workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    silence_logs="CRITICAL",
                )
        self._client = distributed.Client(self._cluster or address, set_as_default=False)
        self._leaves = True

    def close(self) -> None:
        """Close the client, and the workers if they were started here."""
        client, self._client = self._client, None
        cluster, self._cluster = self._cluster, None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if client is not None and self._leaves:
                client.close()
            if cluster is not None:
                cluster.close()
        self.address = ""


def run_shard(task: bytes, shard: bytes) -> bytes:
    """Return what came of a shard, in a worker: see `Runner.run`."""
    limit_threads()
    return _RUNNER.run(task, shard)


class _Pass:
    """One pass over shards: a future for each worker that has one."""

    def __init__(self, client: Any, workers: int) -> None:
        self._client = client
        self._workers = workers
        self._busy: dict[str, tuple[Any, int]] = {}
        self._seen = time.monotonic()

    def over(self, task: bytes, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield what came of each shard."""
        outgoing = Outgoing(shards)
        try:
            while outgoing or self._busy:
                there = _addresses(self._client)
                yield from self._hand_out(task, outgoing, there)
                yield from self._came(there)
                yield from self._abandoned(outgoing, there)
        finally:
            for future, _ in self._busy.values():
                future.cancel(force=True)

    def _hand_out(self, task: bytes, outgoing: Outgoing, there: list[str]) -> Iterator[tuple[int, Raised]]:
        idle = [address for address in there if address not in self._busy]
        while idle and outgoing and len(self._busy) < self._workers:
            position, shard = outgoing.take()
            if isinstance(shard, Raised):
                yield position, shard
                continue
            address = idle.pop()
            future = self._client.submit(run_shard, task, shard, pure=False, retries=0, workers=[address])
            self._busy[address] = future, position

    def _came(self, there: list[str]) -> Iterator[tuple[int, Any]]:
        """Wait for one future, and not longer than until workers are looked for; yield what has come."""
        distributed: Any = importlib.import_module("distributed")

        if not self._busy:
            time.sleep(_LOOK_S / 10)
            return
        try:
            with self._client.as_current():
                distributed.wait(
                    [future for future, _ in self._busy.values()], timeout=_LOOK_S, return_when="FIRST_COMPLETED"
                )
        except TimeoutError:
            there = _addresses(self._client)
        for address, (future, position) in list(self._busy.items()):
            if future.done():
                del self._busy[address]
                yield position, _result(future, address)
            elif address not in there:
                del self._busy[address]
                future.cancel(force=True)
                yield position, Lost(reason="it left the cluster", worker=f"worker {address}")

    def _abandoned(self, outgoing: Outgoing, there: list[str]) -> Iterator[tuple[int, Lost]]:
        """Yield all that is left as lost, after the cluster has had no worker for long."""
        if there:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > _EMPTY_S:
            lost = Lost(reason=f"the cluster had no worker for {_EMPTY_S:g} s", worker="dask")
            yield from ((position, lost) for position in outgoing.positions())


def _addresses(client: Any) -> list[str]:
    return sorted(client.run_on_scheduler(_workers_there))


def _workers_there(dask_scheduler: Any = None) -> list[str]:
    """Return the addresses of a scheduler's workers; runs in the scheduler, whose argument has this name."""
    return list(dask_scheduler.workers)


def _result(future: Any, address: str) -> Any:
    """Return what a worker sent; its death, or an end that the cluster decided, is a loss."""
    if future.status == "finished":
        try:
            return result_of(future.result())
        except Exception as error:  # noqa: BLE001 - the worker may die before its result is fetched
            return Lost(reason=cause_of(error), worker=f"worker {address}")
    cause = future.exception() if future.status == "error" else None
    reason = "it died (KilledWorker)" if type(cause).__name__ == "KilledWorker" else ""
    reason = reason or (f"the cluster ended its task ({future.status})" if cause is None else cause_of(cause))
    return Lost(reason=reason, worker=f"worker {address}")
