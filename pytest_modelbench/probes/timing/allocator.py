"""The C library's allocator, the largest noise of CPU timings on Linux.

With glibc's defaults, freed blocks may go back to the kernel after every call and be faulted in again in the
next; whether that happens depends on the order of earlier allocations, so that fresh processes of one program
settle at different speeds. Raising the thresholds keeps freed memory in the process.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MMAP_BYTES = 32 * 2**20  # the largest value that mallopt accepts on 64-bit glibc (HEAP_MAX_SIZE / 2)
_TRIM_BYTES = 2**31 - 1
_steady_since: list[bool] = []


def steady_allocator() -> str:
    """Keep freed memory in the process from now on; it cannot be undone.

    Returns:
        The mode in force: `steady`, or `system (why)` where the C library has no such switch.
    """
    if not sys.platform.startswith("linux"):
        return f"system (no mallopt on {sys.platform})"
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return "system (this C library has no mallopt)"
    if not (mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES) and mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)):
        return "system (mallopt refused the thresholds)"
    _steady_since[:] = [True]
    return "steady"


def system_allocator() -> str:
    """Leave the C library's defaults; say so where an earlier measurement of this process has changed them."""
    return "steady (an earlier measurement of this process made it so)" if _steady_since else "system"


def set_allocator(mode: str) -> str:
    """Set the allocator to `steady` or `system` and return the mode in force."""
    return steady_allocator() if mode == "steady" else system_allocator()


def release_free_memory() -> None:
    """Give freed memory back to the kernel, so that what is taken next can be seen; nothing where it cannot be."""
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def is_steady() -> bool:
    """Whether this process keeps its freed memory since some earlier measurement."""
    return bool(_steady_since)


def minor_faults() -> int:
    """Return the page faults of this process that needed no disk; 0 where the platform does not count them."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
