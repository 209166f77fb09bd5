"""Files that are written whole or not at all, and never in the place of something that is not ours.

A regular file is replaced through its links. A device or a FIFO is written to, and stays what it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

READER_S = 10.0
"""Seconds without progress after which writing to a FIFO is given up."""

_OTHERS = {stat.S_IFSOCK: "a socket", stat.S_IFBLK: "a disk"}
Recognise = Callable[[Path], bool]


def anything(_path: Path) -> bool:
    """Recognise every regular file: for a folder in which everything is ours."""
    return True


def is_stream(path: Path) -> bool:
    """Whether a path names a device or a FIFO, which can be written to once and is never replaced."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def why_not(path: Path, what: str, ours: Recognise, *, appends: bool = False) -> str | None:
    """Say why a file must not be written there: what was found, and what to write instead; None where it may.

    Args:
        path: as given, with its links.
        what: the kind of file, such as "JSON report".
        ours: recognises one that may be replaced, or added to.
        appends: whether an earlier one is added to and read again, so that it must be a regular file.
    """
    try:
        return _unfit_to_append(path) or _found_amiss(path, what, ours) if appends else _found_amiss(path, what, ours)
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a NUL in the path
        return str(error)


def _found_amiss(path: Path, what: str, ours: Recognise) -> str | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return _folder_amiss(Path(os.path.realpath(path)).parent)
    mode = stat.S_IFMT(status.st_mode)
    if mode == stat.S_IFDIR:
        return "it is a folder. Write the path of a file in it"
    if mode in _OTHERS:
        return f"it is {_OTHERS[mode]}. Write the path of a file"
    if mode == stat.S_IFREG and status.st_size and not ours(path):
        article = "an" if what.startswith("HTML") else "a"
        return f"it exists and is not {article} {what} of pytest-modelbench. Write another path, or remove it first"
    return None if is_stream(path) else _folder_amiss(Path(os.path.realpath(path)).parent)


def _unfit_to_append(path: Path) -> str | None:
    if is_stream(path):
        return "it is a device or a FIFO, and what is added to must be read again. Write the path of a file"
    if path.is_file() and not os.access(path, os.W_OK):
        return "the file cannot be written to (permission denied)"
    return None


def _folder_amiss(folder: Path) -> str | None:
    if not folder.exists():
        return f"there is no folder {folder}. Make it first: mkdir -p {folder}"
    if not folder.is_dir():
        return f"{folder} is not a folder. Write another path"
    return None if os.access(folder, os.W_OK) else f"the folder {folder} cannot be written to (permission denied)"


@contextlib.contextmanager
def replacing(path: Path, what: str = "file", ours: Recognise = anything) -> Iterator[Path]:
    """Yield a file to write to; it takes the path's place at the end, or is poured into it, unless something raised.

    Raises:
        OSError: it cannot be written, or is something that must not be replaced (see `why_not`).
    """
    amiss = why_not(path, what, ours)
    if amiss is not None:
        raise OSError(errno.EEXIST, amiss)
    stream = is_stream(path)
    target = path if stream else Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(dir=None if stream else target.parent, prefix=f".{target.name[:100]}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if stream:
            _pour(temporary, target)
        else:
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _pour(source: Path, stream: Path) -> None:
    """Write a file's content to a device or FIFO without waiting for ever for its reader.

    Raises:
        OSError: the FIFO has no reader, or its reader does not read to the end.
    """
    try:
        handle = os.open(stream, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "this FIFO has no reader. Start its reader first") from error
        raise
    with source.open("rb") as file, os.fdopen(handle, "wb", buffering=0) as out:
        shutil.copyfileobj(file, _Patient(out))


class _Patient:
    """A non-blocking stream whose `write` waits, up to a limit, until it takes everything."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, data: bytes) -> None:
        while data:
            written = self._out.write(data)  # None where a full pipe takes nothing
            data = data[written or 0 :]
            if not written and not select.select([], [self._out], [], READER_S)[1]:
                raise OSError(errno.ETIMEDOUT, "the reader of this FIFO stopped reading")
