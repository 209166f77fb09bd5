"""Timed measurements have the machine for themselves: one lock for every pytest run of one user on one machine.

Every item of a run with `--modelbench` holds it shared; a timed measurement gives its share back and takes the lock
for itself. So neither another worker's item nor another session's runs beside it.
"""

from __future__ import annotations

import contextlib
import functools
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
        self.lost = ""
        """Why this lock is not valid any more, such as that its file was removed; its users then make another."""
        self._shares = 0
        self._holders = 0
        self._taken_at = 0.0
        self._waiting = waiting
        self._nested = _HELD in os.environ
        with self._told():
            self._lock = ReadWriteLock(path if path is not None else lock_folder() / "machine.db", is_singleton=False)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise what the lock's file is the cause of as an error of ours."""
        try:
            yield
        except Timeout:
            raise
        except (OSError, sqlite3.Error, ValueError, RuntimeError) as error:
            self.lost = f"the machine's lock cannot be had: {error}"
            raise MeasurementError(self.lost) from error

    @contextlib.contextmanager
    def shared(self, *, keep: bool = False) -> Iterator[None]:
        """Hold the lock together with others; waits while a timed measurement is going on elsewhere.

        Args:
            keep: hold a young share for the next item, which begins at once: taking it costs more than many a test.

        Raises:
            MeasurementError: it cannot be had. That it was lost in the meantime is left to `lost`.
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
            with contextlib.suppress(MeasurementError):
                self._give_share_back()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone: waits until every item elsewhere has ended. The share held before comes back after.

        Raises:
            MeasurementError: it cannot be had, or was lost.
        """
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
                with self._told():
                    self._lock.release()
        finally:
            if held and not self.lost:
                self._take_share()

    def _wait_for(self, acquire: Callable[[float], object]) -> None:
        """Wait in short steps, between which signals get through."""
        steps = 0
        while True:
            try:
                with self._told():
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
        with self._told():
            self._lock.release()


class Machine:
    """The machine for one session: it holds the lock, and makes another where that is lost.

    A lock is lost if an item's body removes its file. The loss is reported only if no other lock can be had.

    Args:
        waiting: see `MachineLock`.
    """

    def __init__(self, waiting: Callable[[], None]) -> None:
        self.unlocked = ""
        """Why timed measurements did not have the machine for themselves; empty where they had."""
        self._waiting = waiting
        self._lock: MachineLock | None = None

    @contextlib.contextmanager
    def shared(self, *, keep: bool = False) -> Iterator[None]:
        """Run an item beside other items; `keep` is that of `MachineLock.shared`."""
        with contextlib.ExitStack() as held:
            self._hold(held, functools.partial(MachineLock.shared, keep=keep))
            yield
        if self._lock is not None and self._lock.lost:
            self._lock = None

    def let_go(self) -> None:
        """Give a share back that was kept for a next item."""
        if self._lock is not None:
            self._lock.let_go()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Run a timed measurement beside nothing."""
        with contextlib.ExitStack() as held:
            self._hold(held, MachineLock.exclusive)
            yield

    def _hold(
        self, held: contextlib.ExitStack, how: Callable[[MachineLock], contextlib.AbstractContextManager[None]]
    ) -> None:
        for _ in range(2):
            try:
                self._lock = self._lock or MachineLock(waiting=self._waiting)
                held.enter_context(how(self._lock))
            except MeasurementError as error:
                self._lock, problem = None, str(error)
            else:
                return
        self.unlocked = f"timed measurements did not have the machine for themselves: {problem}"
