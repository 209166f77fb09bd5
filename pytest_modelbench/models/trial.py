"""A first load of a file in a fresh process: a damaged file may end the process that loads it. No heavy import."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import ModelError

LIMIT_S = 300.0
"""How long the first load may take; native code that hangs cannot be interrupted in this process."""
_PROCESS = "pytest_modelbench.models.adapters.first_load"
_RAISED = 1
_survived: set[tuple[Any, ...]] = set()


def try_first(load: str, path: Path, loading: Mapping[str, Any], limit_s: float = LIMIT_S) -> None:
    """Load a file and run it once in a fresh process; a file that survived it is not tried again until it changes.

    Args:
        load: the function that loads it, as "module:function".
        path: of the file or folder.
        loading: the fields of its `Loading`.
        limit_s: seconds after which the process is ended.

    Raises:
        ModelError: the process died or did not end.
    """
    name, asked = loading["name"], json.dumps({**loading, "load": load, "path": str(path.resolve())})
    key = (asked, *_state(path))
    if key in _survived:
        return
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, with our own module
            [sys.executable, "-P", "-m", _PROCESS, asked],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        raise ModelError(
            f"{name}: {path} did not load and run one batch of zeros within {limit_s:g} s in a fresh process"
        ) from expired
    if done.returncode not in {0, _RAISED}:
        raise ModelError(
            f"{name}: {path} ends the process that loads it ({_end(done.returncode)}). It is damaged, or was written "
            "for another version of its runtime. Export it once more"
        )
    _survived.add(key)


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Return size and time of what a model consists of: its folder's files, or those with its name."""
    files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.stem}.*")
    return sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file())


def _end(returncode: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-returncode).name
    return f"exit code {returncode}"
