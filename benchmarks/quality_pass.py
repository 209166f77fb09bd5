"""What do the KPIs of behaviour cost beside the forward passes that they are read from, and how much memory?

Time: two models that take 100 µs for a row, over a million rows. Two bare passes are timed, and then a session that
judges every KPI of quality, fidelity, calibration, slices and fairness from one pass of each model. Resampling is
timed apart, as the readings state it.

Memory: the KPIs that are counts and sums, over 100,000 rows and over 10 million that are made when they are read,
each in a process of its own, by the kernel's high-water mark.

Table: the processor time of every KPI that comes from predictions, alone, after both models have answered and every
library is loaded: by default 20 groups and two classes (a regression for its own KPIs), with the teacher and an
interval.

Imports: what the first KPI of each kind takes more than the second one, in a process of its own.

Usage: python benchmarks/quality_pass.py [--rows 1000000] [--large 10000000] [--row-us 100]
       python benchmarks/quality_pass.py --table 10000 100000 1000000 [--groups 20] [--classes 2]
       python benchmarks/quality_pass.py --imports
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_modelbench import EvalData
from pytest_modelbench.bench.asking import ItemPlan
from pytest_modelbench.bench.session import BenchSession
from pytest_modelbench.gates.assignment import assigned
from pytest_modelbench.gates.reading import read_gate
from pytest_modelbench.gates.suites import entries
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.models.registry import adapt
from pytest_modelbench.models.saved import Loading
from pytest_modelbench.probes.cost.resident import PeakMeter
from pytest_modelbench.probes.kinds import PREDICTIONS
from pytest_modelbench.probes.timing.own_rounds import OwnRounds
from pytest_modelbench.settings import Settings
from pytest_modelbench.stats.cells import CellSums

CLASSES, BATCH = 10, 1024
FEW_ROWS = 100_000
RANKED = {"roc_auc", "weak_slice_drop"}
"""KPIs that need all samples at once."""
Array = npt.NDArray[Any]


def hashed(index: Array, salt: int) -> Array:
    """Return a number in 0..1 for each row that looks random (the finaliser of SplitMix64)."""
    mixed = index.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / 2**24


class Rows:
    """Batches of row numbers and their classes, made when they are read."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for start in range(0, self.count, BATCH):
            index = np.arange(start, min(start + BATCH, self.count))
            yield index[:, None], (hashed(index, 1) * CLASSES).astype(np.int64)


class Net:
    """Logits that are right for most rows, and take a stated time for each."""

    def __init__(self, salt: int, wrong: float, row_us: float) -> None:
        self.salt, self.wrong, self.row_s = salt, wrong, row_us / 1e6

    def __call__(self, batch: Array) -> Array:
        """Return logits (n, 10)."""
        end = time.perf_counter() + self.row_s * len(batch)
        index = batch[:, 0]
        target = (hashed(index, 1) * CLASSES).astype(np.int64)
        other = (target + 1 + (hashed(index, self.salt + 50) * (CLASSES - 1)).astype(np.int64)) % CLASSES
        answer = np.where(hashed(index, self.salt) < self.wrong, other, target)
        logits = np.stack([hashed(index, 100 * self.salt + c) for c in range(CLASSES)], axis=1).astype(np.float32)
        logits[np.arange(len(index)), answer] += 1.5
        while time.perf_counter() < end:
            pass
        return logits


class Table:
    """Answers that are looked up by the first number of each row."""

    def __init__(self, answers: Array) -> None:
        self.answers = answers

    def __call__(self, batch: Array) -> Array:
        """Return the rows' answers."""
        found: Array = self.answers[batch[:, 0].astype(np.intp)]
        return found


class Sources:
    """What the session judges."""

    def __init__(self, rows: int, row_us: float) -> None:
        self.models: dict[str, Net | Table] = {"teacher": Net(2, 0.05, row_us), "student": Net(3, 0.08, row_us)}
        self.eval_data = EvalData(
            Rows(rows),
            task="multiclass",
            outputs="logits",
            batch_size=BATCH,
            sensitive={"sex": lambda batch: hashed(batch[:, 0], 7) < 0.5},
            slices={"night": lambda batch: hashed(batch[:, 0], 8) < 0.2},
        )

    def candidate(self, role: str) -> Any:
        """Return a model."""
        return self.models[role]

    def has(self, role: str) -> bool:
        """Say that there is one."""
        return role == "teacher"

    def data(self) -> Any:
        """Return the rows."""
        return self.eval_data

    def recorded(self, _kpi: str) -> Mapping[str, float]:
        """Return nothing: no test's body runs."""
        return {}

    def own_rounds(self) -> OwnRounds:
        """Time nothing."""
        return OwnRounds(seconds=None, iterations=1, enabled=False)


def judge(sources: Sources, left_out: set[str]) -> dict[str, float]:
    """Judge all KPIs of behaviour in one session, and return the seconds of each."""
    names = [entry.kpi for entry in entries(["quality", "fairness"])] + ["kl_divergence_p99", "kl_divergence_max"]
    ranked = {"kl_divergence_p99", "kl_divergence_max"} | RANKED if left_out else set()
    seconds: dict[str, float] = {}
    session = BenchSession()
    for name in names:
        if name in left_out | ranked | {"rmse", "mae", "r2", "group_loss_difference", "group_loss_gap"}:
            continue
        gate = assigned(read_gate((name,), {}))
        plan = ItemPlan(nodeid=name, student="student", gates=(gate,), settings=Settings(enabled=True))
        start = time.perf_counter()
        result, _ = session.judge(plan, gate, sources)
        seconds[name] = time.perf_counter() - start
        if result.student_reading is None and name != "weak_slice_drop":  # a stream has no inputs to search
            raise SystemExit(f"{name}: {result.reason}")
    return seconds


def bare_passes(sources: Sources) -> float:
    """Return the seconds of one pass of each model over the data, with nothing recorded."""
    start = time.perf_counter()
    for role, net in sources.models.items():
        model = adapt(net, Loading(name=role, device=None, allow_pickle=False))
        for batch in sources.eval_data.batches():
            model.bind(batch.inputs)()
    return time.perf_counter() - start


def time_of_all(rows: int, row_us: float) -> None:
    """Print how much longer judging takes than the bare passes."""
    resampling: list[float] = []
    draw = CellSums.resamples

    def timed(self: CellSums, *asked: Any) -> Any:
        start = time.perf_counter()
        found = draw(self, *asked)
        resampling.append(time.perf_counter() - start)
        return found

    CellSums.resamples = timed  # type: ignore[method-assign, assignment]
    sources = Sources(rows, row_us)
    bare = bare_passes(sources)
    seconds = judge(sources, set())
    total, resampled = sum(seconds.values()), sum(resampling)
    print(f"{rows:,} rows, {row_us:g} µs a row: two bare passes {bare:.1f} s, {len(seconds)} KPIs {total:.1f} s")
    print(f"of these resampling {resampled:.1f} s; without it {(total - resampled) / bare:.3f} times the bare passes")
    first = next(iter(seconds))
    slowest = sorted((one for one in seconds if one != first), key=lambda one: -seconds[one])[:5]
    print("slowest after the passes: " + ", ".join(f"{one} {seconds[one]:.1f} s" for one in slowest))


def peak_of(rows: int) -> None:
    """Print the most memory that judging takes, of the KPIs that are counts and sums."""
    import fairlearn.metrics  # noqa: F401 - what libraries take is not the data's
    import scipy.stats  # noqa: F401

    judge(Sources(1000, 0.0), RANKED)
    with PeakMeter() as use:
        judge(Sources(rows, 0.0), RANKED)
    print(use.peak_bytes)


REGRESSION = {"rmse", "mae", "r2", "group_loss_difference", "group_loss_gap"}
Case = tuple[int, int, int]
"""Rows, groups and classes."""


@functools.cache
def table_sources(case: Case, regression: bool) -> Sources:
    """Return two models that answer from tables, and data with one sensitive feature and one of slices."""
    rows, groups, classes = case
    sources, rng = Sources(1, 0.0), np.random.default_rng(0)
    inputs = rng.random((rows, 4))
    if regression:
        targets, noise = inputs.sum(axis=1), rng.normal(size=(2, rows))
        answers = {"teacher": targets + 0.1 * noise[0], "student": targets + 0.1 * noise[0] + 0.05 * noise[1]}
    else:
        targets = np.minimum((rng.random(rows) * (classes + 0.5)).astype(np.int64), classes - 1)
        teacher = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[targets]
        answers = {"teacher": teacher, "student": teacher + rng.normal(size=(rows, classes), scale=0.4)}
    inputs = np.column_stack([np.arange(rows), inputs])
    sources.models = {role: Table(one) for role, one in answers.items()}
    sources.eval_data = EvalData(
        inputs,
        targets,
        task="regression" if regression else "multiclass",
        outputs="values" if regression else "logits",
        batch_size=BATCH,
        sensitive={"group": rng.integers(0, groups, rows)},
        slices={"slice": rng.integers(0, groups, rows)},
    )
    return sources


def catalogued() -> list[str]:
    """Return the KPIs that come from predictions over the data as they are, without the ones for more classes."""
    return [
        kpi.name
        for kpi in CATALOGUE.values()
        if kpi.probe is PREDICTIONS and "transform" not in kpi.options and kpi.name != "top5_accuracy"
    ]


def processor_time(name: str, case: Case, confidence: float | None) -> float:
    """Return the seconds of processor time that one KPI takes in a session in which both models have answered."""
    regression = name in REGRESSION
    sources, session = table_sources(case, regression), BenchSession()
    options = {} if confidence is None or "confidence" not in CATALOGUE[name].options else {"confidence": confidence}
    first = ("mae" if name == "rmse" else "rmse") if regression else "flips" if name == "agreement" else "agreement"
    for one, stated in ((first, {}), (name, options)):
        gate = assigned(read_gate((one,), stated), shown=True)
        plan = ItemPlan(nodeid=one, student="student", gates=(gate,), settings=Settings(enabled=True))
        start = time.process_time()
        result, _ = session.judge(plan, gate, sources)
        if result.student_reading is None:
            raise SystemExit(f"{one}: {result.reason}")
    return time.process_time() - start


def table(sizes: list[int], groups: int, classes: int) -> None:
    """Print the processor time of every KPI at each number of rows."""
    names = catalogued()
    for name in names:
        processor_time(name, (2000, 2, 2), 0.95)  # loads what it needs
    print(f"{groups} groups, {classes} classes")
    print("| KPI | " + " | ".join(f"{rows:,} rows" for rows in sizes) + f" | {sizes[0]:,} rows, no confidence |")
    print("|---|" + "---|" * (len(sizes) + 1))
    for name in names:
        found = [processor_time(name, (rows, groups, classes), 0.95) for rows in sizes]
        found.append(processor_time(name, (sizes[0], groups, classes), None))
        print(f"| `{name}` | " + " | ".join(f"{seconds:.3f}" for seconds in found) + " |", flush=True)


def import_time(name: str) -> None:
    """Print the processor time of one KPI's first and second reading, over 2,000 rows."""
    first, second = (processor_time(name, (2000, 2, 2), 0.95) for _ in range(2))
    print(f"{first:.3f} {second:.3f}")


def imports() -> None:
    """Print what the first reading of some KPIs takes beside the second one, each in a process of its own."""
    for name in (
        "top1_accuracy",
        "f1",
        "ece",
        "roc_auc",
        "class_drop",
        "weak_slice_drop",
        "demographic_parity_drift",
    ):
        command = [sys.executable, __file__, f"--import-of={name}"]
        first, second = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        print(f"{name}: first {first} s, second {second} s")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000)
    parser.add_argument("--row-us", type=float, default=100.0)
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--table", type=int, nargs="+", metavar="ROWS")
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--classes", type=int, default=2)
    parser.add_argument("--imports", action="store_true")
    parser.add_argument("--import-of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.table or given.imports or given.import_of:
        if given.table:
            table(given.table, given.groups, given.classes)
        if given.imports:
            imports()
        if given.import_of:
            import_time(given.import_of)
        return
    if given.peak_of:
        peak_of(given.peak_of)
        return
    peaks = []
    for rows in (FEW_ROWS, given.large):
        command = [sys.executable, __file__, f"--peak-of={rows}"]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(f"{rows:,} rows: counts and sums take {peaks[-1] / 1e6:.0f} MB at most")
    print(f"growth: {(peaks[1] - peaks[0]) / 1e6:.0f} MB")
    time_of_all(given.rows, given.row_us)


if __name__ == "__main__":
    main()
