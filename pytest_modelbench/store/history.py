"""The history: one line of JSON for each run, in a file that only ever grows.

JSON lines, because a run can be added without reading what is there, a writer that is killed damages the last line
only, and git merges two branches of it line by line (`merge=union`). A line is one `write` of a file opened to
append, under a lock: two writers never mix. The next writer ends a part of a line, and readers leave it out with a
note.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import UsageMistake, shown
from pytest_modelbench.results import json_object
from pytest_modelbench.store.forms import Form, are, has, is_flag, is_number, is_reference, is_table, is_text, maybe
from pytest_modelbench.store.readable import regular_file
from pytest_modelbench.store.recognising import HISTORY_KEY, is_history, starts_history

SCHEMA = 1
"""Of a line: within it fields may be added, and none is renamed."""
MOST_BYTES = 512 * 2**20
LOCK_S = 10.0
LEAST_HASH = 4
"""Characters of a hash that name a commit."""
WRITE_ONE = "Write one with --modelbench-history=PATH"
_STEP_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Run:
    """One line of a history: a run. `number` counts runs from 1, `line` is where it is in the file."""

    number: int
    line: int
    content: Mapping[str, Any]

    @property
    def commit(self) -> str | None:
        """The hash of the commit; None where it was unknown."""
        commit: str | None = self.content["commit"]
        return commit

    @property
    def name(self) -> str:
        """What messages call it, such as `run 12 (3f2a9c1)`."""
        return f"run {self.number}" + (f" ({self.commit[:7]})" if self.commit else "")


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The reason of the change that came with a commit: it raises no alarm any more."""

    commit: str
    reason: str
    kpi: str | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """All runs in the order of the file, explanations, and notes on what is odd about the file."""

    path: str
    runs: Sequence[Run]
    explanations: Sequence[Explanation] = ()
    notes: Sequence[str] = ()

    def of_branches(self, branches: Sequence[str]) -> History:
        """Return the history of some branches.

        Raises:
            UsageMistake: it has no run of one of them.
        """
        known = {run.content["branch"] for run in self.runs}
        for branch in branches:
            if branch not in known:
                names = ", ".join(sorted(str(name) for name in known)) or "none"
                raise UsageMistake(f"{self.path} has no run of the branch {shown(branch)}. Its branches: {names}")
        runs = [run for run in self.runs if not branches or run.content["branch"] in branches]
        return History(path=self.path, runs=runs, explanations=self.explanations, notes=self.notes)


def append(path: Path, content: Mapping[str, Any]) -> None:
    """Add one line to a history, or leave it as it was.

    Args:
        path: of the file, which is made where there is none.
        content: what the line says; its schema is put before it.

    Raises:
        OSError: it cannot be written, is not a history, or another writer has held it for 10 seconds.
    """
    text = json.dumps(json_object({HISTORY_KEY: SCHEMA, **content}), allow_nan=False)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with _locked(handle):
            size = os.fstat(handle).st_size
            if size and not is_history(path):
                raise OSError(errno.EEXIST, "it is not a history of pytest-modelbench")
            cut = bool(size) and _last_byte(handle) != b"\n"
            line = (("\n" if cut else "") + text + "\n").encode()
            written = os.write(handle, line)
            if written < len(line):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
    finally:
        os.close(handle)


def _last_byte(handle: int) -> bytes:
    os.lseek(handle, -1, os.SEEK_END)
    return os.read(handle, 1)


@contextlib.contextmanager
def _locked(handle: int) -> Iterator[None]:
    """Hold an open file alone; a process that dies gives it back. Without `flock`, the single write must do.

    Raises:
        OSError: another writer has held it for 10 seconds.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    end = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() >= end:
                raise OSError(errno.ETIMEDOUT, f"another process has held it for {LOCK_S:.0f} s") from error
            time.sleep(_STEP_S)
    yield


def read_history(path: Path) -> History:
    """Read a history.

    Raises:
        UsageMistake: it cannot be read, is not a history, has no run, or has a line of a newer schema.
    """
    try:
        raw = regular_file(path, MOST_BYTES).read_bytes()
    except (OSError, UsageMistake) as error:
        problem = str(error) if isinstance(error, UsageMistake) else f"cannot read {path}: {error.strerror or error}"
        raise UsageMistake(f"{problem}. {WRITE_ONE}") from error
    if not raw.strip():
        raise UsageMistake(f"{path} is empty. {WRITE_ONE}")
    if not is_history(path):
        raise UsageMistake(f"{path} is not a history of pytest-modelbench: its first line is not one. {WRITE_ONE}")
    runs, explanations, notes = list[Run](), list[Explanation](), list[str]()
    lines = raw.decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        content = _content(line, f"{path}, line {number}")
        if isinstance(content, str):
            cut = number == len(lines) or starts_history(line)
            notes.append(f"line {number} is {'cut off: its writer was ended' if cut else content}. It is left out")
        elif "explains" in content:
            reason, kpi = content["reason"], content.get("kpi")
            explanations.append(Explanation(commit=content["explains"], reason=reason, kpi=kpi))
        else:
            runs.append(Run(number=len(runs) + 1, line=number, content=content))
    if not runs:
        raise UsageMistake(f"{path} has no whole line of a run. {WRITE_ONE}")
    return History(path=str(path), runs=runs, explanations=explanations, notes=[*notes, *_backwards(runs)])


def _content(line: str, where: str) -> dict[str, Any] | str:
    """Return what a line says, or what it is instead.

    Raises:
        UsageMistake: it is of a newer schema.
    """
    if line.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        return "a conflict marker of git"
    try:
        content = json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(content, dict) or HISTORY_KEY not in content:
        return "not of a history"
    if content[HISTORY_KEY] != SCHEMA:
        raise UsageMistake(
            f"{where}: found schema {shown(content[HISTORY_KEY])}, and this version of pytest-modelbench reads "
            f"{SCHEMA}. Update pytest-modelbench"
        )
    if not (has(content, _EXPLANATION, {"kpi": maybe(is_text)}) or has(content, _RUN, _MAYBE)):
        return "not of a run or an explanation: a field is missing, or of another type"
    return content


def _backwards(runs: Sequence[Run]) -> Iterator[str]:
    """Note where a clock went back: the order of the file counts."""
    for before, after in itertools.pairwise(runs):
        then, now = (datetime.fromisoformat(run.content["time"]) for run in (before, after))
        if now < then:
            yield (
                f"{after.name} is dated {now:%Y-%m-%d %H:%M}, before the run above it ({then:%Y-%m-%d %H:%M}). "
                "Runs count in the order of the file"
            )


def _is_time(value: Any) -> bool:
    """Whether a field is a date and time with its offset."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_GATE: Form = {
    "suite": is_text,
    "student": is_text,
    "kpi": is_text,
    "nodeid": is_text,
    "options": is_table,
    "unit": is_text,
    "better": is_text,
    "of_machine": is_flag,
    "verdict": is_text,
    "value": is_number,
    "ci_low": is_number,
    "ci_high": is_number,
    "reference": maybe(is_reference),
    "settings": is_table,
    "data": maybe(is_text),
}
_RUN: Form = {
    "time": _is_time,
    "commit": maybe(is_text),
    "branch": maybe(is_text),
    "machine": is_table,
    "gates": are(lambda gate: has(gate, _GATE, {"model": maybe(is_text), "provenance": is_text})),
}
_MAYBE: Form = {"complete": is_flag, "dirty": maybe(is_flag)}
_EXPLANATION: Form = {"explains": lambda value: is_text(value) and len(value) >= LEAST_HASH, "reason": is_text}
