"""The process that sends: reads a request, makes the rows and the files of the report, and answers in a file."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import cause_of
from pytest_modelbench.reports.html.html_report import whole_report, write_html
from pytest_modelbench.reports.json_report import write_report
from pytest_modelbench.reports.markdown import markdown
from pytest_modelbench.reports.trackers.tracked_run import tracked_runs
from pytest_modelbench.reports.trackers.tracker import Shipment, tracker_in

_ROOTS = frozenset({"builtins", "socket"})
NOTHING = "no gate was run, so no run was logged"


def main(request: Path, answer: Path) -> int:
    """Send what a request names; return the exit code.

    Args:
        request: a file with `report` (its path), the `module` of the tracker, and `where` to send to.
        answer: the file to write: `line`, or `error`; how many runs `arrived`, `of` how many.
    """
    asked = json.loads(request.read_text(encoding="utf-8"))
    told: dict[str, Any] = {"arrived": 0, "of": 0}
    try:
        report = whole_report(Path(asked["report"]))
        runs = tracked_runs(report)
        told["of"] = len(runs)
        with tempfile.TemporaryDirectory(dir=request.parent) as folder:
            files = _files(report, Path(folder)) if runs else []
            shipment = Shipment(runs=runs, files=files, where=asked["where"])
            place = NOTHING
            for where in tracker_in(asked["module"]).send(shipment) if runs else ():
                told["arrived"] += 1
                place = f"{len(runs)} run{'s' * (len(runs) != 1)} {where}"
                _write(answer, told)
        told["line"] = place
    except BaseException as error:  # noqa: BLE001 - a tracker may raise anything, SystemExit included
        told["error"] = cause_of(_root(error))
    _write(answer, told)
    return 1 if "error" in told else 0


def _root(error: BaseException) -> BaseException:
    """Return why a server could not be reached, if that is behind an error; clients wrap it in long texts."""
    part: BaseException | None = error
    root = error
    while part is not None:
        if isinstance(part, ConnectionError | TimeoutError | socket.gaierror) and type(part).__module__ in _ROOTS:
            root = part
        part = part.__cause__ or (None if part.__suppress_context__ else part.__context__)
    return root


def _files(report: Mapping[str, Any], folder: Path) -> list[Path]:
    paths = [folder / name for name in ("report.json", "report.html", "report.md")]
    write_report(report, paths[0], final=False)
    write_html(report, paths[1])
    paths[2].write_text(markdown(report), encoding="utf-8", errors="backslashreplace")
    return paths


def _write(path: Path, told: Mapping[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(told), encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    code = main(Path(sys.argv[1]), Path(sys.argv[2]))
    os._exit(code)  # all runs have arrived or failed: threads that a tracker left behind are not waited for
