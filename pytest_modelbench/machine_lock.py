"""Timed measurements have the machine for themselves: one lock for every pytest run of one user on one machine.

Every item of a run with `--modelbench` holds it shared; a timed measurement gives its share back and takes the lock
for itself. So neither another worker's item nor another session's runs beside it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import ReadWriteLock, Timeout

from pytest_modelbench.errors import MeasurementError

STEP_S = 1.0
NOTICE_AFTER_STEPS = 5
KEPT_S = 0.1
_HELD = "PYTEST_MODELBENCH_LOCK_HELD"


def lock_folder() -> Path:
    """Return the folder of the lock, which belongs to this user alone."""
    user = str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
    folder = Path(tempfile.gettempdir()) / f"pytest-modelbench-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class MachineLock:
    """The machine-wide lock, held shared by items and exclusively by timed measurements.

    A process that dies gives it back, however it dies.

    A run that was started by an item of another one needs no lock of its own: that item holds it for both, and
    waiting for it would never end.

    Args:
        path: the lock's file; that of this user by default.
        waiting: called once when the lock has not been had for some seconds.

    Raises:
        MeasurementError: the file cannot be made or locked.
    """

    def __init__(self, path: Path | None = None, waiting: Callable[[], None] = lambda: None) -> None:
        self._shares = 0
        self._holders = 0
        self._taken_at = 0.0
        self._waiting = waiting
        self._nested = _HELD in os.environ
        try:
            self._lock = ReadWriteLock(path if path is not None else lock_folder() / "machine.db", is_singleton=False)
        except (OSError, sqlite3.Error, ValueError) as error:
            raise MeasurementError(f"the machine's lock cannot be had: {error}") from error

    @contextlib.contextmanager
    def shared(self, *, keep: bool = False) -> Iterator[None]:
        """Hold the lock together with others; waits while a timed measurement is going on elsewhere.

        Args:
            keep: hold a young share for the next item, which begins at once: taking it costs more than many a test.
        """
        if self._nested:
            yield
            return
        if not self._shares:
            self._take_share()
            self._taken_at = time.monotonic()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders and not (keep and time.monotonic() - self._taken_at <= KEPT_S):
                self.let_go()

    def let_go(self) -> None:
        """Give a share back that was kept for a next item."""
        if self._shares:
            self._give_share_back()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone: waits until every item elsewhere has ended. The share held before comes back after."""
        if self._nested:
            yield
            return
        held = self._shares > 0
        if held:
            self._give_share_back()
        try:
            self._wait_for(self._lock.acquire_write)
            os.environ[_HELD] = "1"  # for processes that the measurement starts
            try:
                yield
            finally:
                os.environ.pop(_HELD, None)
                self._lock.release()
        finally:
            if held:
                self._take_share()

    def _wait_for(self, acquire: Callable[[float], object]) -> None:
        """Wait in short steps, between which signals get through."""
        steps = 0
        while True:
            try:
                acquire(STEP_S)
            except Timeout:
                steps += 1
                if steps == NOTICE_AFTER_STEPS:
                    self._waiting()
            else:
                return

    def _take_share(self) -> None:
        self._wait_for(self._lock.acquire_read)
        self._shares += 1
        os.environ[_HELD] = "1"

    def _give_share_back(self) -> None:
        self._shares -= 1
        os.environ.pop(_HELD, None)
        self._lock.release()
