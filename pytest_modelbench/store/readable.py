"""Files that are read whole: regular ones, of a size that a file of their kind may have."""

from __future__ import annotations

import math
import stat
from pathlib import Path

from pytest_modelbench.errors import UsageMistake, message_of

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def regular_file(path: Path, most_bytes: float) -> Path:
    """Return a path that leads to a file which ends, and soon enough.

    Raises:
        UsageMistake: there is none, it is a folder, a device or a pipe, or it is too large; the message starts with
            `cannot read`.
    """
    problem = why_unreadable(path, most_bytes)
    if problem:
        raise UsageMistake(f"cannot read {path}: {problem}")
    return path


def why_unreadable(path: Path, most_bytes: float = math.inf) -> str:
    """Return why a path is not a file that can be read whole; empty if it is one."""
    try:
        status = path.stat()
    except OSError as error:
        return error.strerror or message_of(error)
    except (ValueError, RuntimeError) as error:  # a NUL in it; a loop of links in older versions of Python
        return message_of(error)
    if not stat.S_ISREG(status.st_mode):
        return f"it is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}, expected a file"
    if status.st_size > most_bytes:
        return f"it has {status.st_size:,} bytes, expected at most {most_bytes:,}"
    return ""
