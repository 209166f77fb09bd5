"""Measurements travel in files; the machine's lock is shared by items and exclusive for timed measurements."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from pytest_modelbench.bench.handover import Handover
from pytest_modelbench.bench.machine_lock import KEPT_S, Machine, MachineLock, lock_folder
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.probes.answers.predictions import Outputs
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.probes.wire import pack_outputs, pack_timing, read_arrays, unpack_outputs, unpack_timing

TIMING = TimingMeasurement(
    series={
        "student": [[np.array([1.0, 2.0]), np.array([3.0])], [np.array([4.0, 5.0, 6.0])]],
        "teacher": [[np.array([7.0]), np.array([8.0, 9.0])], [np.array([10.0])]],
    },
    calm={
        "student": [[np.array([1.5, 2.5]), np.array([3.0])], [np.array([4.0, 5.0, 6.0])]],
        "teacher": [[np.array([7.0]), np.array([8.0, 9.0])], [np.array([10.0])]],
    },
    batch_sizes={"student": 8, "teacher": 4},
    looks=(1, 2),
    elapsed_s=(0.5, 1.0),
    copied=False,
    exhausted=True,
    settings={"allocator": "steady", "calls_per_block": {"student": 2}},
)


def outputs(**changes: Any) -> Outputs:
    given: dict[str, Any] = {
        "model": "student",
        "array": np.arange(6.0).reshape(3, 2),
        "targets": np.array(["a", "b", "a"]),
        "ids": range(3),
        "nonfinite": np.zeros(3, dtype=np.intp),
        "input_finite": np.ones(3, dtype=bool),
        "classes": ["a", "b"],
        "calls": 2,
    }
    return Outputs(**{**given, **changes})


def test_timing_comes_back_as_it_was(tmp_path: Path) -> None:
    """Every call in its round and placement, and everything else."""
    Handover(tmp_path).once(("k",), lambda: TIMING, pack_timing, unpack_timing)
    again = Handover(tmp_path).once(("k",), pytest.fail, pack_timing, unpack_timing)
    for kind in ("series", "calm"):
        for role, placements in getattr(TIMING, kind).items():
            for ours, theirs in zip(placements, getattr(again, kind)[role], strict=True):
                assert [calls.tolist() for calls in ours] == [calls.tolist() for calls in theirs]
    assert again.batch_sizes == TIMING.batch_sizes
    assert (again.looks, again.elapsed_s, again.copied, again.exhausted) == ((1, 2), (0.5, 1.0), False, True)
    assert again.settings == TIMING.settings
    assert again.floor == TIMING.floor


@pytest.mark.parametrize("changes", [{}, {"targets": None, "classes": None}, {"ids": ["x", "y", "z"]}])
def test_outputs_come_back_as_they_were(changes: dict[str, Any]) -> None:
    """Arrays, ids, classes and checksums; the passes are counted only where they were made."""
    sent = outputs(batch_size=2, checksums=(2**32 - 1, 7), **changes)
    got = unpack_outputs(pack_outputs(sent))
    assert np.array_equal(got.array, sent.array)
    assert (got.targets is None) == (sent.targets is None)
    assert list(got.ids) == list(sent.ids)
    assert got.classes == sent.classes
    assert got.calls == 0
    assert (got.batch_size, got.checksums) == (2, (2**32 - 1, 7))


@pytest.mark.parametrize(
    "changes", [{"ids": [(1, 2)] * 3}, {"array": np.array([object()] * 3)}, {"classes": [None, 1]}]
)
def test_what_cannot_travel_is_measured_by_every_worker(tmp_path: Path, changes: dict[str, Any]) -> None:
    """No pickle: ids and labels that JSON cannot hold stay where they are."""
    calls = []

    def measure() -> Outputs:
        calls.append(1)
        return outputs(**changes)

    for _ in range(2):
        Handover(tmp_path).once(("k",), measure, pack_outputs, unpack_outputs)
    assert len(calls) == 2
    assert not list(tmp_path.glob("*.npz"))


def test_failure_is_not_handed_over(tmp_path: Path) -> None:
    """The next worker tries by itself, and its success is handed over."""

    def fail() -> TimingMeasurement:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        Handover(tmp_path).once(("k",), fail, pack_timing, unpack_timing)
    Handover(tmp_path).once(("k",), lambda: TIMING, pack_timing, unpack_timing)
    assert len(list(tmp_path.glob("*.npz"))) == 1
    assert not list(tmp_path.glob("*.part"))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A file of pickled objects is refused by numpy."""
    np.savez(tmp_path / "evil.npz", text=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_arrays(tmp_path / "evil.npz")


def hold(path: Path, how: str, held: Any, stop: Any) -> None:
    with getattr(MachineLock(path), how)():
        held.set()
        stop.wait(30)


@pytest.mark.parametrize(
    ("theirs", "ours", "waits"),
    [("shared", "shared", False), ("shared", "exclusive", True), ("exclusive", "shared", True)],
)
def test_lock_between_processes(tmp_path: Path, theirs: str, ours: str, waits: bool) -> None:
    """Items run beside items; nothing runs beside a timed measurement; the wait ends when the other side ends."""
    context = multiprocessing.get_context("spawn")
    held, stop = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "lock.db", theirs, held, stop))
    other.start()
    assert held.wait(60)
    releaser = context.Process(target=_set_later, args=(stop, 0.5))
    releaser.start()
    start = time.monotonic()
    with getattr(MachineLock(tmp_path / "lock.db"), ours)():
        assert stop.is_set() == waits
    assert (time.monotonic() - start > 0.3) == waits or not waits
    stop.set()
    for process in (other, releaser):
        process.join(30)


def _set_later(stop: Any, seconds: float) -> None:
    time.sleep(seconds)
    stop.set()


def test_run_inside_of_a_run_does_not_wait_for_itself(tmp_path: Path) -> None:
    """What an item starts inherits that the lock is held, and neither waits for it nor gives it away."""
    outer = MachineLock(tmp_path / "lock.db")
    with outer.shared():
        inner = MachineLock(tmp_path / "lock.db")
        with inner.shared(), inner.exclusive():
            assert outer._shares == 1
    with MachineLock(tmp_path / "lock.db").exclusive():
        pass


def test_young_share_is_kept_for_the_next_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken once for many cheap items; given back when it is old, when it is asked for, and for a measurement."""
    now = [0.0]
    monkeypatch.setattr("pytest_modelbench.bench.machine_lock.time.monotonic", lambda: now[0])
    lock = MachineLock(tmp_path / "lock.db")
    take = Mock(side_effect=lock._take_share)
    monkeypatch.setattr(lock, "_take_share", take)
    for _ in range(5):
        with lock.shared(keep=True), lock.shared():
            pass
    assert (take.call_count, lock._shares) == (1, 1)
    with lock.shared(keep=True):
        now[0] = KEPT_S + 1
    assert lock._shares == 0
    with lock.shared(keep=True):
        pass
    assert lock._shares == 1
    lock.let_go()
    assert lock._shares == 0
    with MachineLock(tmp_path / "lock.db").exclusive():
        pass


def test_lock_that_cannot_be_had(tmp_path: Path) -> None:
    """One error of ours, with the reason."""
    with pytest.raises(MeasurementError, match="the machine's lock cannot be had"):
        MachineLock(tmp_path / "no" / "such" / "folder" / "lock.db")


def test_share_comes_back_after_a_failed_measurement(tmp_path: Path) -> None:
    """Whatever a measurement raises, the item goes on holding its share."""
    lock = MachineLock(tmp_path / "lock.db")
    with lock.shared():
        with pytest.raises(ValueError, match="boom"), lock.exclusive():
            raise ValueError("boom")
        with lock.shared():
            pass
    with MachineLock(tmp_path / "lock.db").exclusive():
        pass


def remove_lock() -> None:
    """Do what a test's body may do that cleans the temporary folder up."""
    shutil.rmtree(lock_folder())


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the lock lie in a temporary folder of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("PYTEST_MODELBENCH_LOCK_HELD", raising=False)
    return tmp_path


def test_lock_whose_file_an_item_removes_is_made_anew(temporary: Path) -> None:
    """By the item's own timed measurement, and by the items after it; nothing is told, for nothing was shared."""
    machine = Machine(lambda: None)
    with machine.shared():
        remove_lock()
        with machine.alone():
            assert list(temporary.iterdir()) == [lock_folder()]
        remove_lock()
    with machine.shared(), machine.alone():
        pass
    assert machine.unlocked == ""


def test_lock_that_no_item_can_have_is_told(temporary: Path) -> None:
    """The items run all the same, and the summary says that timed measurements shared the machine."""
    machine = Machine(lambda: None)
    with machine.shared():
        shutil.rmtree(temporary)
    with machine.shared(), machine.alone():
        pass
    assert machine.unlocked.startswith(
        "timed measurements did not have the machine for themselves: the machine's lock"
    )
