"""Timed measurements have the machine for themselves: one lock for every pytest run of one user on one machine.

Every item of a run with `--modelbench` holds it shared; a timed measurement gives its share back and takes the lock
for itself. So neither another worker's item nor another session's runs beside it.
"""

from __future__ import annotations

import contextlib
import getpass
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import ReadWriteLock


def lock_folder() -> Path:
    """Return the folder of the lock, which belongs to this user alone."""
    folder = Path(tempfile.gettempdir()) / f"pytest-modelbench-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class MachineLock:
    """The machine-wide lock, held shared by items and exclusively by timed measurements.

    A process that dies gives it back, however it dies.

    Args:
        path: the lock's file; that of this user by default.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = ReadWriteLock(path if path is not None else lock_folder() / "machine.db", is_singleton=False)
        self._shares = 0

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with others; waits while a timed measurement is going on elsewhere."""
        self._take_share()
        try:
            yield
        finally:
            self._give_share_back()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock alone: waits until every item elsewhere has ended. The share held before comes back after."""
        held = self._shares > 0
        if held:
            self._give_share_back()
        try:
            with self._lock.write_lock():
                yield
        finally:
            if held:
                self._take_share()

    def _take_share(self) -> None:
        self._lock.acquire_read()
        self._shares += 1

    def _give_share_back(self) -> None:
        self._shares -= 1
        self._lock.release()
