"""The timed loop, and the time that its calls waited for a processor."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_modelbench.models.adapters.function import CallableModel
from pytest_modelbench.probes.timing import blocks
from pytest_modelbench.probes.timing import engine as timing
from pytest_modelbench.probes.timing.blocks import BlockTimer, other_threads, waiting_clock
from pytest_modelbench.probes.timing.engine import TimingMeasurement, TimingSettings, measure_timing

LONG_S = 1e-3


def refuse(at: int, error: BaseException) -> Exception:
    return ValueError(f"batch {at}: {error}")


def scripted(monkeypatch: pytest.MonkeyPatch, *, wall: int, ran: int, waited: int) -> BlockTimer:
    """Return a timer on whose clocks every call takes, runs and waits as said, in nanoseconds."""
    monkeypatch.setattr(time, "thread_time_ns", map_steps(ran))
    return BlockTimer(map_steps(wall), map_steps(waited))


def map_steps(step: int) -> Callable[[], int]:
    """Return a clock that moves by a step within each pair of readings, and not between them."""
    readings = itertools.count(1)
    return lambda: step * (next(readings) // 2)


@pytest.mark.parametrize(
    ("ran", "waited", "calm"),
    [(5, 4, 5), (5, 3, 6), (5, 9, 5), (9, 4, 9), (12, 4, 9), (5, 0, 9)],
    ids=["waited", "also-slept", "waited-elsewhere", "never-off", "clocks-disagree", "only-slept"],
)
def test_what_is_subtracted(monkeypatch: pytest.MonkeyPatch, ran: int, waited: int, calm: int) -> None:
    """The wait counts, but no more than the time in which the thread did not run; sleeping is the model's own."""
    block = scripted(monkeypatch, wall=9, ran=ran, waited=waited).time([lambda: None], 0, 3, refuse)
    assert block.wall.tolist() == [9, 9, 9]
    assert block.calm.tolist() == [calm] * 3


def test_without_a_clock_of_waits() -> None:
    """Times are as they were."""
    block = BlockTimer(map_steps(9)).time([lambda: None], 0, 2, refuse)
    assert block.calm.tolist() == block.wall.tolist() == [9, 9]


@pytest.mark.parametrize("waited", [None, lambda: 0])
def test_the_call_that_raised_is_named(waited: Callable[[], int] | None) -> None:
    """By the number of its batch, also after the batches have come round."""
    turns = iter([None, None, None, "bad"])

    def call() -> None:
        if next(turns):
            raise RuntimeError("bad")

    with pytest.raises(ValueError, match="batch 2: bad"):
        BlockTimer(time.perf_counter_ns, waited).time([call] * 3, 2, 6, refuse)


def test_no_clock_of_waits(tmp_path: Path) -> None:
    """Where the kernel keeps none, there is none."""
    with waiting_clock(tmp_path / "missing") as waited:
        assert waited is None


CROWDED = """
import os, subprocess, sys, time
from pytest_modelbench.probes.timing.blocks import BlockTimer, waiting_clock
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
spin = "import os; print(flush=True); parent = os.getppid()\\nwhile os.getppid() == parent: sum(range(10_000))"
neighbours = [subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) for _ in range(2)]
for neighbour in neighbours:
    neighbour.stdout.readline()
with waiting_clock() as waited:
    start = time.thread_time_ns()
    block = BlockTimer(time.perf_counter_ns, waited).time([lambda: sum(range(300_000))], 0, 200, None)
    computing = time.thread_time_ns() - start
for neighbour in neighbours:
    neighbour.kill()
print(block.wall.sum() / computing, block.calm.sum() / computing)
"""


@pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="needs the scheduler statistics of Linux"
)
def test_beside_two_busy_processes_on_one_processor() -> None:
    """Some of the time is somebody else's; without it the calls take what they compute."""
    ended = subprocess.run([sys.executable, "-c", CROWDED], capture_output=True, text=True, check=True)
    wall, calm = (float(ratio) for ratio in ended.stdout.split())
    assert wall > 1.05
    assert calm - 1 < (wall - 1) / 3


def test_other_threads() -> None:
    """A thread at work is seen; threads that wait are not."""
    stop = threading.Event()
    with other_threads() as share:
        idle = threading.Thread(target=stop.wait)
        idle.start()
        sum(range(3_000_000))
        assert share() < blocks.MOST_OF_OTHER_THREADS
        stop.set()
        idle.join()
    with other_threads() as share:
        busy = threading.Thread(target=lambda: sum(range(3_000_000)))
        busy.start()
        busy.join()
        assert share() > 1


class Here(CallableModel):
    """A model that says that it computes on this machine's processors."""

    computes_here = True


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def spin_with_a_thread(seconds: float) -> None:
    worker = threading.Thread(target=spin, args=(seconds,))
    worker.start()
    spin(seconds)
    worker.join()


@contextlib.contextmanager
def half_of_all() -> Iterator[Callable[[], int]]:
    """A clock that says that half of all time was waited."""
    yield lambda: time.perf_counter_ns() // 2


def measured(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[float], None], kind: type[CallableModel], seconds: float
) -> TimingMeasurement:
    monkeypatch.setattr(timing, "waiting_clock", half_of_all)
    models = {role: kind(lambda _: call(seconds), role) for role in ("student", "teacher")}
    batches = {role: [np.zeros(1)] for role in models}
    return measure_timing(models, batches, TimingSettings(budget_s=0.2), lambda _: True)


@pytest.mark.parametrize(
    ("call", "kind", "seconds"),
    [
        (time.sleep, CallableModel, LONG_S),
        (spin_with_a_thread, Here, LONG_S),
        (spin, Here, LONG_S / 100),
    ],
    ids=["computes-elsewhere", "threads-of-its-own", "short-calls"],
)
def test_where_nothing_is_subtracted(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[float], None], kind: type[CallableModel], seconds: float
) -> None:
    """A device works on while its caller waits, and a model's own threads take turns: that is its own time."""
    found = measured(monkeypatch, call, kind, seconds)
    assert found.settings["waits_subtracted"] is False
    assert found.settings["waited_share"] == 0


def test_tails_keep_what_was_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subtracted from what means and medians are read from, and from nothing else."""
    found = measured(monkeypatch, time.sleep, Here, LONG_S)
    for role in ("student", "teacher"):
        wall, calm = (
            np.concatenate([calls for rounds in kind[role] for calls in rounds])
            for kind in (found.series, found.calm)
        )
        assert wall.min() >= LONG_S * 1e9
        assert np.median(calm) < 0.7 * np.median(wall)
    assert 0.4 < found.settings["waited_share"] < 0.6
