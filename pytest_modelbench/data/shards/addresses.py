"""Where shards are: paths, patterns and URLs, and what each shard is called in messages and manifests."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pytest_modelbench.errors import DataError, cause_of, message_of, shown

URL = "://"
_WRITE = 'Write a list of paths or URLs, or a pattern such as "data/*.parquet"'


def is_url(name: str) -> bool:
    """Whether a shard is something else than a file of this machine."""
    return URL in name


def addresses_of(shards: Any, folder: str | Path = ".") -> tuple[str, ...]:
    """Return the absolute path or the URL of each shard, in order; the files of a pattern are sorted.

    Args:
        shards: paths, URLs or patterns, or one of them.
        folder: where relative paths start.

    Raises:
        DataError: there is none, one is not there, is a folder, or is named twice.
    """
    given = [shards] if isinstance(shards, str | os.PathLike) else shards
    if not isinstance(given, list | tuple):
        raise DataError(f"shards: found {shown(shards)}, expected paths. {_WRITE}")
    names: list[str] = []
    for shard in given:
        if not isinstance(shard, str | os.PathLike) or not os.fspath(shard):
            raise DataError(f"shards: found {shown(shard)} among them, expected paths. {_WRITE}")
        names += _files_of(os.fspath(shard), Path(folder))
    if not names:
        raise DataError(f"shards: there is none. {_WRITE}")
    seen: dict[str, str] = {}
    for name in names:
        place = name if is_url(name) else str(Path(name).resolve())
        if place in seen:
            raise DataError(
                f"shards: {name} is there twice{'' if seen[place] == name else f', also as {seen[place]}'}: its "
                "samples would count twice. Name each shard once"
            )
        seen[place] = name
    return tuple(names)


def _files_of(shard: str, folder: Path) -> list[str]:
    if is_url(shard):
        if any(mark in shard.partition(URL)[2] for mark in "*["):
            raise DataError(f"shards: {shard} is a pattern, and URLs have none. List each shard")
        return [shard]
    path = folder.absolute() / Path(shard).expanduser()
    if glob.has_magic(shard) and not path.exists():
        return _matching(path, shard, folder)
    if path.is_dir():
        raise DataError(f"shards: {shard} is a folder. Write the pattern of its files, such as {shard}/*.parquet")
    if not path.is_file():
        raise DataError(
            f"shards: there is no file {path}. Correct the path; for something that is not a file write a URL that "
            "load= understands, such as table://day/1"
        )
    return [str(path)]


def _matching(path: Path, pattern: str, folder: Path) -> list[str]:
    """Return the files of a pattern; what looks like one and cannot be read is not left out.

    Raises:
        DataError: there is none, a broken link, or a folder named like a file whose files are not in the pattern.
    """
    names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    found = [name for name in names if Path(name).is_file()]
    for name in (name for name in names if not Path(name).is_file()):
        if not Path(name).is_dir():
            raise DataError(f"shards: {name}, of the pattern {pattern}, is a link to a file that is not there")
        if Path(name).suffix and not any(file.startswith(f"{name.rstrip(os.sep)}{os.sep}") for file in found):
            raise DataError(
                f"shards: {name}, of the pattern {pattern}, is a folder, and its files would be left out. Write the "
                f"pattern of its files, too, such as {name}/*"
            )
    if not found:
        raise DataError(f"shards: no file fits the pattern {pattern} in {folder.absolute()}")
    return found


def labels_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return what is different in the addresses: paths relative to the folder that all are in.

    >>> labels_of(["/data/a/0.npz", "/data/b/0.npz"])
    ('a/0.npz', 'b/0.npz')
    >>> labels_of(["s3://lake/day/7.parquet"])
    ('7.parquet',)
    """
    parts = [name.replace(os.sep, "/").split("/") for name in names]
    common = 0
    while all(len(part) > common + 1 and part[common] == parts[0][common] for part in parts):
        common += 1
    return tuple("/".join(part[common:]) for part in parts)


def stamp_of(name: str, *, timed: bool) -> str:
    """Return the size of a file, with its time of modification if that counts; empty for a URL."""
    if is_url(name):
        return ""
    status = Path(name).stat()
    return f"{status.st_size} {status.st_mtime_ns}" if timed else f"{status.st_size}"


def opened(name: str) -> BinaryIO:
    """Open a shard to read its bytes; URLs by fsspec.

    Raises:
        DataError: it cannot be read, or fsspec is missing.
    """
    try:
        if not is_url(name):
            return Path(name).open("rb")
        import fsspec  # type: ignore[import-untyped]

        remote: BinaryIO = fsspec.open(name, "rb").open()
    except ImportError as error:
        raise DataError(
            f"reading {name} needs fsspec with its package for {name.partition(URL)[0]} ({message_of(error)}). "
            'Install it, or write load="module:function"'
        ) from error
    except Exception as error:
        raise DataError(f"it cannot be opened: {cause_of(error)}") from error
    return remote
