"""Ends a call that never returns: a model that blocks must not block the build."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from pytest_modelbench.errors import MeasurementError

LONGEST_CALL_IN_BUDGETS = 5.0
START_UP_S = 300.0


def patience_s(budget_s: float) -> float:
    """Return how long a fresh process may take, its start with all imports included."""
    return LONGEST_CALL_IN_BUDGETS * budget_s + START_UP_S


class Watchdog:
    """Interrupts the main thread when `beat()` has not been called for `patience_s` seconds.

    The interrupt is a SIGINT to the main thread, so it also ends system calls; it leaves the `with` block as a
    MeasurementError that says `what`. Any other SIGINT does what it did before. Nothing is watched in another thread
    and on Windows.
    """

    def __init__(self, patience_s: float, what: str) -> None:
        self.patience_s = patience_s
        self.what = what
        self.fired = False
        self._last = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._before: Any = None

    def beat(self) -> None:
        """Say that something has returned."""
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        if hasattr(signal, "pthread_kill") and threading.current_thread() is threading.main_thread():
            self._last = time.monotonic()
            self._before = signal.signal(signal.SIGINT, self._interrupted)
            self._thread = threading.Thread(target=self._watch, name="modelbench-watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._stop(self._thread)
        if self.fired and kind in {None, KeyboardInterrupt}:
            raise MeasurementError(f"{self.what} did not return from a call within {self.patience_s:g} s") from error

    def _stop(self, thread: threading.Thread) -> None:
        """End the thread and give SIGINT back, also if the interrupt comes only now."""
        self._over.set()
        try:
            thread.join()
        except KeyboardInterrupt:
            thread.join()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_DFL if self._before is None else self._before)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.fired or self._before is signal.SIG_DFL:
            raise KeyboardInterrupt
        if callable(self._before):
            self._before(number, frame)

    def _watch(self) -> None:
        while not self._over.wait(max(0.0, self._last + self.patience_s - time.monotonic())):
            if time.monotonic() - self._last >= self.patience_s:
                self.fired, self._last = True, time.monotonic()  # again and again, for a model may swallow it
                main = threading.main_thread().ident
                if main is not None:
                    signal.pthread_kill(main, signal.SIGINT)
