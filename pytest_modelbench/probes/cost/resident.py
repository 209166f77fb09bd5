"""Resident memory of this process: now, and the highest since it was last reset."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from pytest_modelbench.probes.cost.profile import refuse_while_profiling
from pytest_modelbench.probes.timing.allocator import release_free_memory

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_CGROUP = Path("/sys/fs/cgroup")
_RESET_PEAK = "5"  # Documentation/filesystems/proc.rst of Linux
SAMPLE_EVERY_S = 0.002
EXACT = "the kernel's high-water mark (VmHWM)"
_PIECE_BYTES, _PIECES = 2**16, 128


def resident_bytes() -> int:
    """Return how much memory this process holds resident now, in bytes."""
    return int(psutil.Process().memory_info().rss)


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Return how much memory could still be had: the machine's, or what this control group leaves of it, in bytes.

    A control group's page cache counts as free: it is given back when memory is asked for.
    """
    available = int(psutil.virtual_memory().available)
    try:
        most = int((cgroup / "memory.max").read_text(encoding="ascii"))
        held = int((cgroup / "memory.current").read_text(encoding="ascii"))
        pairs = (line.split() for line in (cgroup / "memory.stat").read_text(encoding="ascii").splitlines())
        stat = {name: int(value) for name, value in pairs}
        held -= stat["file"] - stat["shmem"]
    except (OSError, ValueError, KeyError):  # no control group of version 2, or "max"
        return available
    return min(available, max(most - held, 0))


def reset_peak() -> bool:
    """Start a new high-water mark; False where the platform keeps none that can be reset."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes(status: Path = _STATUS) -> int:
    """Return the exact high-water mark of resident memory, in bytes; what is resident now where there is no mark."""
    try:
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return resident_bytes()
    marks = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(marks[0]) * 1024 if marks else resident_bytes()


def _settle() -> None:
    """Give back what is not used, so that what is used next is not hidden in it."""
    gc.collect()
    release_free_memory()


def gives_back() -> bool:
    """Whether freed memory leaves this process: an allocator that keeps it hides what is taken next."""
    _settle()
    before = resident_bytes()
    pieces = [bytearray(b"1") * _PIECE_BYTES for _ in range(_PIECES)]
    taken = resident_bytes() - before
    pieces.clear()
    _settle()
    return resident_bytes() - before < taken / 4


@dataclass
class MemoryUse:
    """What a block of code took of resident memory, above what the process held before it, in bytes.

    Attributes:
        peak_bytes: the most at any moment of the block.
        held_bytes: what was still held at its end.
        before_bytes: what the process held before it.
        method: how the peak was seen.
    """

    peak_bytes: int = 0
    held_bytes: int = 0
    before_bytes: int = 0
    method: str = ""


class PeakMeter:
    """Measures what a block takes: `with PeakMeter() as use: ...`, then `use.peak_bytes`.

    On Linux the kernel's own high-water mark is reset and read, so that a peak of a millisecond is seen in full.
    Elsewhere a thread samples every 2 ms, and `method` says so. What is freed already is given back first.

    Args:
        reset: starts a new high-water mark, or says that there is none.
    """

    def __init__(self, reset: Callable[[], bool] = reset_peak) -> None:
        self._reset = reset

    def __enter__(self) -> MemoryUse:
        __tracebackhide__ = True
        refuse_while_profiling("memory")
        self._done = threading.Event()
        self._sampler: threading.Thread | None = None
        _settle()
        self.use = MemoryUse(before_bytes=resident_bytes())
        if self._reset():
            self.use.method = EXACT
        else:
            self.use.method = f"sampled every {1000 * SAMPLE_EVERY_S:g} ms; shorter peaks may be missed"
            self._highest = self.use.before_bytes
            self._sampler = threading.Thread(target=self._sample, name="modelbench-memory", daemon=True)
            self._sampler.start()
        return self.use

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = resident_bytes()
        if self._sampler is not None:
            self._done.set()
            self._sampler.join()
            highest = self._highest
        else:
            highest = peak_bytes()
        _settle()
        self.use.peak_bytes = max(highest, now) - self.use.before_bytes
        self.use.held_bytes = resident_bytes() - self.use.before_bytes

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_EVERY_S):
            self._highest = max(self._highest, resident_bytes())


class Added:
    """Adds up the memory of several blocks of one measurement, without what the process does between them.

    >>> added = Added()
    >>> added.after(MemoryUse(peak_bytes=30, held_bytes=10))
    >>> added.after(MemoryUse(peak_bytes=15, held_bytes=5))
    >>> added.peak_bytes, added.held_bytes
    (30, 15)
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.held_bytes = 0

    def after(self, use: MemoryUse) -> None:
        """Take note of the next block."""
        self.peak_bytes = max(self.peak_bytes, self.held_bytes + use.peak_bytes)
        self.held_bytes += use.held_bytes
