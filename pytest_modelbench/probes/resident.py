"""Resident memory of this process: now, and the highest since it was last reset."""

from __future__ import annotations

from pathlib import Path

import psutil

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_CGROUP = Path("/sys/fs/cgroup")
_RESET_PEAK = "5"  # Documentation/filesystems/proc.rst of Linux


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
        told = {name: int(value) for name, value in pairs}
        held -= told["file"] - told["shmem"]
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
