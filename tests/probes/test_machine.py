"""The borders to the machine: memory marks, the watchdog, refused exits, SIGTERM."""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.plugin.process_guard import ExitGuard, Terminated, termination_as_interrupt
from pytest_modelbench.probes.cost.resident import available_bytes, peak_bytes, reset_peak, resident_bytes
from pytest_modelbench.probes.timing import watchdog
from pytest_modelbench.probes.timing.watchdog import Watchdog, beat


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the high-water mark is Linux's")
def test_peak_sees_what_is_gone_again() -> None:
    """A hundred megabytes that lived for a moment are in the mark, and not in what is resident now."""
    gc.collect()  # nothing of an earlier test is freed in between
    assert reset_peak()
    before = resident_bytes()
    with mmap.mmap(-1, 100 * 2**20) as memory:  # no allocator keeps it for later
        for page in range(0, len(memory), mmap.PAGESIZE):
            memory[page] = 1
    assert peak_bytes() - before > 90 * 2**20
    assert resident_bytes() - before < 50 * 2**20


def test_peak_without_a_mark_is_what_is_resident(tmp_path: Path) -> None:
    """Where there is no /proc the exact mark is unknown."""
    assert peak_bytes(tmp_path / "missing") == pytest.approx(resident_bytes(), rel=0.2)


def test_control_group_bounds_what_is_available(tmp_path: Path) -> None:
    """A container's limit counts, not the machine it runs on."""
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 400000\nfile 510000\nshmem 10000\n")
    assert available_bytes(tmp_path) == 600_000  # what only caches files is free
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) > 10_000_000


def test_watchdog_ends_a_call_that_blocks() -> None:
    """Also one that sleeps in the kernel; the error says who."""
    with (
        pytest.raises(MeasurementError, match="student did not return from a call within 0.2 s"),
        Watchdog(0.2, "student"),
    ):
        time.sleep(60)


def test_watchdog_works_where_interrupts_are_ignored() -> None:
    """As in a job in the background; and they are ignored again after it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(MeasurementError, match="did not return"), Watchdog(0.2, "student"):  # noqa: PT012
            signal.raise_signal(signal.SIGINT)
            time.sleep(60)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_watchdog_lets_go_of_what_returns() -> None:
    """Beats keep it quiet, and it is gone after the block."""
    with Watchdog(0.5, "student") as watchdog:
        for _ in range(8):
            time.sleep(0.1)
            watchdog.beat()
    assert not watchdog.fired
    assert not any(thread.name == "modelbench-watchdog" for thread in threading.enumerate())


def test_watchdog_ends_a_loop_that_swallows_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handler is interrupted too; tracing is what it was before."""
    monkeypatch.setattr(watchdog, "PAUSE_S", 0.05)
    before, swallowed = sys.gettrace(), list[int]()
    with pytest.raises(MeasurementError, match="student did not return"), Watchdog(0.1, "student"):  # noqa: PT012
        while True:
            try:
                time.sleep(0.02)
            except BaseException:  # noqa: BLE001 - as models do that retry whatever happens
                swallowed.append(1)
    assert sys.gettrace() is before
    assert swallowed


def test_watchdog_ends_code_that_holds_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A regular expression that backtracks for ever lets no other thread run, but looks for signals."""
    monkeypatch.setattr(watchdog, "HELD_S", 0.1)
    with pytest.raises(MeasurementError, match="student did not return"), Watchdog(0.1, "student"):
        re.match(r"(a+)+$", "a" * 60 + "b")
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_alarm_of_somebody_else_is_left_alone() -> None:
    """pytest-timeout and user's code use it too."""
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        with Watchdog(60, "student"):
            assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_beats_reach_all_watchdogs() -> None:
    """A pass over large data takes as long as it takes: each call is bounded by itself."""
    with Watchdog(0.5, "student") as outer, Watchdog(60, "a copy"):
        for _ in range(8):
            time.sleep(0.1)
            beat()
    assert not outer.fired
    assert Watchdog.active == []


def test_outer_watchdog_ends_a_call_inside_of_another() -> None:
    """Whichever patience ends first counts, and the error is that of whose patience it was."""
    with pytest.raises(MeasurementError, match="student did not return"), Watchdog(0.1, "student"):  # noqa: SIM117
        with Watchdog(60, "a copy"):
            time.sleep(60)


def test_what_cannot_be_interrupted_has_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no interrupt helps, the process is ended by whoever knows how to write a report."""
    monkeypatch.setattr(watchdog, "PAUSE_S", 0.01)
    monkeypatch.setattr(watchdog, "LAST_S", 0.01)
    heard: list[str] = []
    monkeypatch.setattr(Watchdog, "last_words", staticmethod(heard.append))
    blocked = {signal.SIGINT, signal.SIGALRM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        with pytest.raises(MeasurementError, match="student did not return"), Watchdog(0.05, "student"):  # noqa: PT012
            while not heard:
                time.sleep(0.01)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops those that are pending
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert heard == ["student did not return from a call within 0.05 s"]


def test_calls_that_are_not_timed_have_more_time() -> None:
    """A batch of a pass is large, however small the budget of timing is; the error says what to do."""
    told = watchdog.watchdog_for(2.0, "student")
    assert told.patience_s == 5 * 2.0 + watchdog.LONGEST_BATCH_S
    assert "Raise --modelbench-budget" in told.told


def test_interrupt_of_the_user_stays_one() -> None:
    """Ctrl-C is not the watchdog's."""
    with pytest.raises(KeyboardInterrupt), Watchdog(60, "student"):
        raise KeyboardInterrupt


def swallow(status: int) -> None:
    with contextlib.suppress(MeasurementError):
        os._exit(status)


def guard() -> tuple[ExitGuard, list[str]]:
    told: list[str] = []
    return ExitGuard(told.append), told


def test_exit_is_refused_to_the_main_thread_only() -> None:
    """A forked child ends as it would, with its own code."""
    plain = os._exit
    with guard()[0].watching():
        with pytest.raises(MeasurementError, match=r"os\._exit\(3\) was called"):
            os._exit(3)
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert os._exit is plain


def test_another_program_is_refused() -> None:
    """None takes the place of pytest, by any of the functions that do it."""
    with guard()[0].watching():
        attempts: tuple[Callable[[], object], ...] = (
            lambda: os.execv("/bin/false", ["false"]),  # noqa: S606 - refused
            lambda: os.execvp("false", ["false"]),  # noqa: S606 - refused
            lambda: os.execle("/bin/false", "false", {}),  # noqa: S606 - refused
        )
        for run in attempts:
            with pytest.raises(MeasurementError, match=r"os\.execve? of .* was called"):
                run()


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (9, 9)])
def test_thread_never_ends_a_session_with_0(asked: int, given: int) -> None:
    """It is told, and the exit code is not that of a session that passed."""
    left: list[int] = []
    watch, told = guard()
    watch._leave = left.append  # type: ignore[assignment]
    with watch.watching():
        thread = threading.Thread(target=lambda: swallow(asked))
        thread.start()
        thread.join()
    assert left == [given]
    assert "in another thread" in told[0]


@pytest.mark.parametrize(("ended", "asked", "given"), [(1, 0, 1), (0, 0, 0), (0, 3, 3)])
def test_exit_after_the_session_keeps_its_status(ended: int, asked: int, given: int) -> None:
    """What was handed out while it lasted, to atexit for one, cannot turn a failed session into a passed one."""
    left: list[int] = []
    watch, _ = guard()
    watch._leave = left.append  # type: ignore[assignment]
    with watch.watching():
        handed_out = os._exit
    watch.status = ended
    with contextlib.suppress(MeasurementError):
        handed_out(asked)
    assert left[0] == given


def test_sigterm_is_an_interrupt_until_the_end() -> None:
    """And is the system's own again after it; a handler of somebody else's is left alone."""
    with pytest.raises(Terminated), termination_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with termination_as_interrupt():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, mine)
