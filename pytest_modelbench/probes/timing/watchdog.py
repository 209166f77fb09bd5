"""Ends a call that never returns: a model that blocks must not block the build."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ClassVar, NoReturn, Self

from pytest_modelbench.errors import MeasurementError

LONGEST_CALL_IN_BUDGETS = 5.0
LONGEST_BATCH_S = 20.0
"""More for a call of a pass over the data: its batches are large, however small the budget for timing is."""
START_UP_S = 300.0
PAUSE_S = 1.0
ATTEMPTS = 3
HELD_S = 3.0
DEAF_S = 120.0
LAST_S = 60.0
"""C code that cannot be interrupted may still return, and then the session goes on."""
_OURS = str(Path(__file__).parents[2])


def _end(message: str) -> NoReturn:
    """Say why, and end this process: nothing in it can be stopped otherwise."""
    os.write(2, f"\n{message}\n".encode())
    os._exit(1)


def beat() -> None:
    """Say that some call has returned, to whichever watchdogs there are."""
    for watchdog in Watchdog.active:
        watchdog.beat()


def watchdog_for(budget_s: float, what: str, more_s: float = 0.0) -> Watchdog:
    """Return a watchdog for calls that are not timed: passes over the data, counts, edge cases, profiles.

    Args:
        budget_s: what a timed measurement may take.
        what: whose calls they are.
        more_s: what else a call may take.
    """
    advice = " (5 times the budget, and some more). Raise --modelbench-budget if it is only slow"
    return Watchdog(LONGEST_CALL_IN_BUDGETS * budget_s + LONGEST_BATCH_S + more_s, what, advice)


def patience_s(budget_s: float) -> float:
    """Return how long a fresh process may take, its start with all imports included."""
    return LONGEST_CALL_IN_BUDGETS * budget_s + START_UP_S


class Watchdog:
    """Interrupts the main thread when `beat()` has not been called for `patience_s` seconds.

    The interrupt is a SIGINT to the main thread, so it also ends system calls; it leaves the `with` block as a
    MeasurementError that says `what`. A handler that swallows it is interrupted too. C code that holds the
    interpreter is reached by an alarm, if it looks for signals and no other code has set one. If nothing helps, the
    process ends (`last_words`). Any other SIGINT does what it did before. Nothing is watched in another thread and on
    Windows.

    Attributes:
        active: those that watch now, the outermost first.
        last_words: called with the reason if the process must end; it does not return.
        deaf_to: the file descriptor for the traceback of C code that holds the interpreter and looks for no signal;
            None if other code uses `faulthandler`'s timer.
    """

    active: ClassVar[list[Watchdog]] = []
    last_words: ClassVar[Callable[[str], None]] = staticmethod(_end)
    deaf_to: ClassVar[int | None] = None

    def __init__(self, patience_s: float, what: str, advice: str = "") -> None:
        self.patience_s = patience_s
        self.what = what
        self.advice = advice
        self.fired = False
        self._insisting = self._leaving = self._alarmed = False
        self._last = time.monotonic()
        self._over, self._ready = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._before: Any = None
        self._tracing: Any = None

    @property
    def told(self) -> str:
        """What happened."""
        return f"{self.what} did not return from a call within {self.patience_s:g} s{self.advice}"

    def beat(self) -> None:
        """Say that something has returned."""
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        if hasattr(signal, "pthread_kill") and threading.current_thread() is threading.main_thread():
            self._last = time.monotonic()
            self._tracing = sys.gettrace()
            self._before = signal.signal(signal.SIGINT, self._interrupted)
            free = signal.getitimer(signal.ITIMER_REAL)[0] == 0 and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
            if free:
                self._alarmed = True
                signal.signal(signal.SIGALRM, self._interrupted)
            self._arm()
            self.active.append(self)
            self._thread = threading.Thread(target=self._watch, name="modelbench-watchdog", daemon=True)
            self._thread.start()
            self._last = time.monotonic()
            self._ready.set()  # before, an interrupt would leave this method, and nobody would call the other
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._leaving = True
        if self._insisting:
            sys.settrace(self._tracing)
        if self._thread is not None:
            self.active.remove(self)
            self._stop(self._thread)
        if self.fired and kind in {None, KeyboardInterrupt}:
            raise MeasurementError(self.told) from error

    def _stop(self, thread: threading.Thread) -> None:
        """End the thread and give the signals back, also if the interrupt comes only now."""
        self._over.set()
        try:
            thread.join()
        except KeyboardInterrupt:
            thread.join()
        finally:
            if self._alarmed and signal.getsignal(signal.SIGALRM) == self._interrupted:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
            if self.deaf_to is not None:
                faulthandler.cancel_dump_traceback_later()
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._before is None else self._before)
            if self.active:
                self.active[-1]._arm()  # noqa: SLF001 - of this very class

    def _arm(self) -> None:
        """Set the timers that need no interpreter, for the case that a call holds it."""
        left = max(0.0, self._last + self.patience_s - time.monotonic())
        if self._alarmed and signal.getsignal(signal.SIGALRM) == self._interrupted:
            signal.setitimer(signal.ITIMER_REAL, left + HELD_S, PAUSE_S)
        if self.deaf_to is not None:
            faulthandler.dump_traceback_later(left + DEAF_S, exit=True, file=self.deaf_to)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if number == getattr(signal, "SIGALRM", None):
            if time.monotonic() - self._last < self.patience_s:
                return
            self.fired = True
        if self._leaving:
            return
        if self._insisting:
            _raise_again_in(frame)
        if self.fired or self._before is signal.SIG_DFL:
            raise KeyboardInterrupt
        if callable(self._before):
            self._before(number, frame)

    def _watch(self) -> None:
        self._ready.wait()
        while not self._over.wait(max(0.0, self._last + self.patience_s - time.monotonic())):
            if time.monotonic() - self._last >= self.patience_s:
                self.fired = True
                self._end_call()
                return
            self._arm()

    def _end_call(self) -> None:
        """Interrupt the main thread until it leaves the block; where nothing helps, end the process."""
        for self._insisting in (False, True):
            for _ in range(ATTEMPTS):
                self._interrupt()
                if self._over.wait(PAUSE_S):
                    return
        if not self._over.wait(LAST_S):
            Watchdog.last_words(self.told)

    @staticmethod
    def _interrupt() -> None:
        main = threading.main_thread().ident
        with contextlib.suppress(ProcessLookupError):
            if main is not None:
                signal.pthread_kill(main, signal.SIGINT)


def _raise_again_in(frame: FrameType | None) -> None:
    """Let the next line of the interrupted code raise too: it is one of the handler that swallows interrupts."""

    def raising(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            raise KeyboardInterrupt
        return raising

    while frame is not None and not frame.f_code.co_filename.startswith(_OURS):
        frame.f_trace = raising
        frame = frame.f_back
    sys.settrace(lambda *_: None)
