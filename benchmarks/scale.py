"""How fast a pass over shards is, how much memory it takes, and where a thousand workers would wait for the session.

`--engines` times the same pass in one process and on each engine, with a model of 100 µs a row, start-up apart.
`--exact` cuts two million rows into 1, 7 and 64 shards, kills a worker of each engine, and compares all bits.
`--memory` judges ten million rows and watches the memory of the session. `--cluster` measures what merging one shard
takes and how large its result is, and computes a pass of a billion rows by 1, 10, ... 10,000 workers event by event.

Usage: python benchmarks/scale.py [--engines] [--exact] [--memory] [--cluster] [--rows N] [--only processes,ray,dask]
"""

from __future__ import annotations

import argparse
import heapq
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psutil

sys.path.insert(0, str(Path(__file__).parent))

import scale_models

from pytest_modelbench.bench.engines.engine import Engine, engine_for
from pytest_modelbench.bench.shard_pass import Passed, ShardPass
from pytest_modelbench.bench.shard_task import ModelSource, ShardTask
from pytest_modelbench.data.shards.sharded import ShardedData
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.summary import Summary
from pytest_modelbench.models.named import NamedSpec
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.plain import to_arrays

LIMITS = {"top1_accuracy": "drop <= 2 pp", "f1": "drop <= 2 pp", "log_loss": "<= 5", "ece": "<= 90%",
          "kl_divergence": "<= 5 nat", "class_drop": "<= 20 pp", "flips": "<= 50%"}  # fmt: skip
ROW_S = 100e-6
FloatArray = npt.NDArray[np.float64]


def questions() -> dict[str, Question]:
    """Return what a usual suite asks."""
    gates = {kpi: read_gate([kpi, limit], {}) for kpi, limit in LIMITS.items()}
    return {kpi: gate.question(with_teacher=True, seed=0) for kpi, gate in gates.items()}


def task_for(data: ShardedData) -> ShardTask:
    """Return the work on one shard; models are built in the worker."""
    sources = {
        role: ModelSource(
            given=NamedSpec(spec=f"scale_models:{role}", folder=str(Path(__file__).parent)),
            loading=Loading(name=role),
            content="object-",
        )
        for role in ("student", "teacher")
    }
    return ShardTask(
        reader=data.reader, models=sources, asked=questions(), anchored=False, gathered=False, kept="", budget_s=60.0
    )


def passed(engine: Engine, rows: int, count: int) -> tuple[Passed, float]:
    """Run one pass; return what it came to, and the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as results:
        data = scale_models.shards(folder, rows, count)
        start = time.perf_counter()
        found = ShardPass(data, task_for(data), Path(results), resume=False).run(engine, lambda *_: None)
        return found, time.perf_counter() - start


def turns_for(row_s: float) -> float:
    """Return how many turns of the student take so long here."""
    work, most = np.linspace(0, 1, 2_000), 20_000
    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(most):
            np.tanh(work)
        times.append((time.perf_counter() - start) / most)
    return row_s / float(np.median(times))


def engines(rows: int, names: list[str]) -> None:
    """Print the speed of each engine against one process, in turns, and that all agree."""
    os.environ[scale_models.TURNS] = str(turns_for(ROW_S))
    serial = engine_for("serial")
    reference, _ = passed(serial, 4_000, 2)
    first: dict[str, Any] = {}
    for name in names:
        with engine_for(name, workers=2) as engine:
            start = time.perf_counter()
            passed(engine, 4_000, 4)
            started = time.perf_counter() - start
            ratios = []
            for turn in range(3):
                both = [serial, engine] if turn % 2 else [engine, serial]
                found = {one.name: passed(one, rows, 32) for one in both}
                ratios.append(found["serial"][1] / found[name][1])
                first = first or {"serial": found["serial"][1]}
                if fingerprint(found["serial"][0]) != fingerprint(found[name][0]):
                    raise SystemExit(f"{name} gives other sums than one process")
            print(
                f"{name}: {float(np.median(ratios)):.2f} times as fast as one process "
                f"({', '.join(f'{ratio:.2f}' for ratio in ratios)}), first small pass with start-up {started:.1f} s, "
                f"readings equal to the last bit"
            )
    print(f"{rows:,} rows, {first['serial']:.1f} s in one process; {len(reference.summaries)} KPIs asked")


def exact(rows: int, names: list[str]) -> None:
    """Print that rows in 1, 7 and 64 shards, by each engine with a worker killed, give the same bits."""
    os.environ[scale_models.TURNS] = "0"
    reference, seconds = passed(engine_for("serial"), rows, 1)
    expected = fingerprint(reference)
    print(f"{rows:,} rows in 1 shard, one process: {seconds:.0f} s, {len(expected)} tables of resamples")
    for name in ("serial", *names):
        for count in (7, 64):
            with tempfile.NamedTemporaryFile(delete=False) as asked, engine_for(name, workers=2) as engine:
                killed = name != "serial"
                os.environ[scale_models.KILL] = asked.name if killed else "/none"
                found, seconds = passed(engine, rows, count)
            same = fingerprint(found) == expected and found.manifest.digest == reference.manifest.digest
            gone = killed and not Path(asked.name).exists()
            told = "equal to the last bit" if same else "DIFFERENT"
            print(f"{name}, {count} shards{', a worker killed' if gone else ''}: {seconds:.0f} s, {told}")


def fingerprint(found: Passed) -> dict[str, bytes]:
    """Return the bytes of all sums, to compare passes."""
    return {
        f"{key} {name}": summary.sums[stratum].resamples(200, 0)[name].tobytes()
        for key, summary in found.summaries.items()
        for stratum in summary.sums
        for name in summary.sums[stratum].names
    }


class Watched:
    """The most memory of this process while something runs, above what it had before."""

    def __enter__(self) -> Self:
        self._process, self._over = psutil.Process(), threading.Event()
        self._before = self._most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self._most = max(self._most, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def megabytes(self) -> float:
        """How much more it took."""
        return (self._most - self._before) / 2**20


def memory(rows: int) -> None:
    """Print how much memory passes of one million and of many rows take above what the process has before."""
    os.environ[scale_models.TURNS] = "0"
    passed(engine_for("serial"), 100_000, 10)  # everything is loaded
    for some in (rows // 10, rows):
        with Watched() as watched:
            found, seconds = passed(engine_for("serial"), some, max(1, some // 100_000))
        print(
            f"{some:,} rows in {seconds:.0f} s: {watched.megabytes:.0f} MiB above the start; n={found.manifest.n:,}"
        )


def merging() -> tuple[float, int]:
    """Measure the seconds that one shard's result takes in the session, and its bytes."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as results:
        data = scale_models.shards(folder, 1_000_000, 10)
        task = task_for(data)
        made = [task(shard) for shard in zip(data.names, data.labels, strict=True)]
        summing = sum(array.nbytes for array in to_arrays({**made[0], "hashes": None}).values())
        start = time.perf_counter()
        totals: dict[str, Summary] = {}
        for result in made:
            for key, asked in result["asked"].items():
                summary = Summary.from_plain(asked["summary"])
                if key in totals:
                    totals[key].merge(summary)
                else:
                    totals[key] = summary
        merged = (time.perf_counter() - start) / len(made)
        whole = ShardPass(data, task, Path(results), resume=False)
        start = time.perf_counter()
        for number, result in enumerate(made):
            whole._keep(number, result)  # noqa: SLF001 - measured as the pass does it
            whole._take(number, result, Path(results))  # noqa: SLF001
        taken = (time.perf_counter() - start) / len(made)
        print(
            f"a shard's result: {summing / 2**20:.2f} MiB of sums and 8 bytes a row of ids; merging {merged:.4f} s,"
        )
        print(f"with checks, hashes of ids and the copy for --modelbench-resume {taken:.4f} s")
        return taken, summing


def simulated(workers: int, seconds: FloatArray, merge_s: float) -> tuple[float, float]:
    """Return the seconds of a pass, and the share of them in which the session is merging.

    Workers take a shard each as soon as they are free; the session takes results one after the other.

    Args:
        workers: how many.
        seconds: of each shard.
        merge_s: of one result in the session.
    """
    clock = 0.0
    for arrived in sorted(arrivals([0.0] * min(workers, len(seconds)), seconds.tolist())):
        clock = max(clock, arrived) + merge_s
    return clock, len(seconds) * merge_s / clock


def arrivals(ready: list[float], seconds: list[float]) -> Iterator[float]:
    """Yield when the result of each shard comes from workers that are ready at some times."""
    heapq.heapify(ready)
    for took in seconds:
        over = heapq.heappop(ready) + took
        heapq.heappush(ready, over)
        yield over


def cluster() -> None:
    """Print a pass of a billion rows by many workers, for two sizes of shards."""
    merge_s, sums = merging()
    rows = 1_000_000_000
    rng = np.random.default_rng(0)
    print(
        f"a billion rows at {2 * ROW_S * 1e6:.0f} µs for both models, shards vary by a fifth, 1 in 100 takes 3 times"
    )
    print("rows a shard  workers     hours  speed-up  session busy    traffic")
    for size in (100_000, 1_000_000):
        shards = rows // size
        factors = rng.normal(1, 0.2, shards).clip(0.5) * np.where(rng.random(shards) < 0.01, 3, 1)
        seconds = size * 2 * ROW_S * factors
        alone = float(seconds.sum())
        for workers in (1, 10, 100, 1_000, 10_000):
            took, busy = simulated(workers, seconds, merge_s)
            gigabytes = (shards * sums + 8 * rows) / 2**30
            print(
                f"{size:12,} {workers:8,} {took / 3600:9.2f} {alone / took:9,.0f} {100 * busy:12.1f}% "
                f"{gigabytes:6.1f} GiB"
            )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser()
    for name in ("engines", "exact", "memory", "cluster"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--only", default="processes,ray,dask")
    args = parser.parse_args()
    every = not (args.engines or args.exact or args.memory or args.cluster)
    if args.cluster or every:
        cluster()
    if args.engines or every:
        engines(args.rows or 200_000, args.only.split(","))
    if args.exact or every:
        exact(args.rows or 2_000_000, args.only.split(","))
    if args.memory or every:
        memory(args.rows or 10_000_000)


if __name__ == "__main__":
    main()
