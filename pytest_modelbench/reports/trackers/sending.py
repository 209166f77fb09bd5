"""Sends a report to a tracker in a process of its own, so that one that hangs, exits or prints disturbs no run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import visible
from pytest_modelbench.grammar.option_values import Destination, without_credentials
from pytest_modelbench.reports.trackers.tracker import tracker_in

FIRST_S, EACH_S = 60.0, 15.0
"""Seconds that a tracker has for its start, and for each student, at the end of a session."""
PROCESS = "pytest_modelbench.reports.trackers.process"
_LAST_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What became of a report: whether it was sent, and one line that says where it is, or why it is not."""

    ok: bool
    text: str


def send(
    report: Path,
    destination: Destination,
    limit_s: float,
    folder: Path | None = None,
    watch: Callable[[float], None] = lambda _: None,
) -> Sent:
    """Send a JSON report to a tracker.

    Args:
        report: the file.
        destination: which tracker, and where.
        limit_s: seconds after which the process is ended.
        folder: that relative places are in; None for the current one.
        watch: called twice a second with the seconds that it has taken.
    """
    title = tracker_in(destination.module).title
    with tempfile.TemporaryDirectory(prefix="modelbench-") as name:
        request, answer, output = (Path(name, file) for file in ("request.json", "answer.json", "output.txt"))
        request.write_text(
            json.dumps({"report": str(report.resolve()), "module": destination.module, "where": destination.where}),
            encoding="utf-8",
        )
        command = [sys.executable, "-P", "-m", PROCESS, str(request), str(answer)]
        code = _ended(command, folder, output, limit_s, watch)
        told = _answer(answer)
        if "error" not in told and "line" in told:
            return Sent(ok=True, text=f"{title}: {told['line']}")
        if "error" in told:
            why = told["error"]
        elif code is None:
            why = f"it did not answer within {limit_s:.0f} s"
        else:
            why = f"its process ended with {_named(code)}{_last_line(output)}"
        arrived = f" after {told['arrived']} of {told['of']} runs" if told.get("arrived") else ""
    why = without_credentials(visible(why)).rstrip(". ")
    return Sent(ok=False, text=f"{title} did not take the report{arrived}: {why}")


def _ended(
    command: Sequence[str], folder: Path | None, output: Path, limit_s: float, watch: Callable[[float], None]
) -> int | None:
    """Run a command and end what it started as well; return its exit code, or None if it took too long."""
    start = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, with our own module
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # for its end with all its children; Ctrl-C reaches it through this process
        )
        try:
            while (passed := time.monotonic() - start) < limit_s:
                watch(passed)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(min(0.5, limit_s - passed))
            return None
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _answer(path: Path) -> dict[str, Any]:
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _named(code: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


def _last_line(output: Path) -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f": {lines[-1][:_LAST_CHARACTERS]}" if lines else ""
