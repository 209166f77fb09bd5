"""Ends a call that never returns: a model that blocks must not block the build."""

from __future__ import annotations

import signal
import threading
import time
from types import TracebackType
from typing import Self

from pytest_modelbench.errors import MeasurementError

LONGEST_CALL_IN_BUDGETS = 5.0


class Watchdog:
    """Interrupts the main thread when `beat()` has not been called for `patience_s` seconds.

    The interrupt is a SIGINT to the main thread, so it also ends system calls; whoever is inside of the `with` block
    sees KeyboardInterrupt, which leaves the block as a MeasurementError that says `what`. Where there is no such
    signal (another thread, Windows, a SIGINT handler of the user's own) nothing is watched.
    """

    def __init__(self, patience_s: float, what: str) -> None:
        self.patience_s = patience_s
        self.what = what
        self.fired = False
        self._last = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        """Say that something has returned."""
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        usable = hasattr(signal, "pthread_kill") and threading.current_thread() is threading.main_thread()
        if usable and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._last = time.monotonic()
            self._thread = threading.Thread(target=self._watch, name="modelbench-watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self.fired and kind is KeyboardInterrupt:
            raise MeasurementError(f"{self.what} did not return from a call within {self.patience_s:g} s") from error

    def _watch(self) -> None:
        while not self._over.wait(max(0.0, self._last + self.patience_s - time.monotonic())):
            if time.monotonic() - self._last >= self.patience_s:
                self.fired = True
                main = threading.main_thread().ident
                if main is not None:
                    signal.pthread_kill(main, signal.SIGINT)
                return
