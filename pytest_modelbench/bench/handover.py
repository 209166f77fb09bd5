"""One measurement for a whole parallel run: the first worker takes it, the others read it from a file."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from pytest_modelbench.probes.wire import Arrays, read_arrays, write_arrays

Measured = TypeVar("Measured")


class Handover:
    """A folder that the workers of one run share; None in a run without workers, where nothing is handed over."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def once(
        self,
        key: tuple[object, ...],
        measure: Callable[[], Measured],
        pack: Callable[[Measured], Arrays],
        unpack: Callable[[Arrays], Measured],
        *,
        alone: bool = False,
    ) -> Measured:
        """Measure, or read what another worker has measured for the same key.

        Failures are not shared: each worker retries. Neither are values that `pack` cannot pack (TypeError).

        Args:
            key: identifies the measurement, in terms that are the same in every worker.
            measure: takes the measurement.
            pack: turns it into arrays.
            unpack: the reverse.
            alone: whether the caller holds the machine for itself, so that no other worker can be measuring.
        """
        if self.folder is None:
            return measure()
        name = hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest()
        path = self.folder / f"{name}.npz"
        with contextlib.nullcontext() if alone else FileLock(self.folder / f"{name}.lock"):
            if path.exists():
                return unpack(read_arrays(path))
            measured = measure()
            with contextlib.suppress(TypeError):
                write_arrays(path, pack(measured))
            return measured
