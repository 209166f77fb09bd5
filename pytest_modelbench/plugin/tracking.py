"""The result trackers that a session sends its report to: at its very end, when all files are written."""

from __future__ import annotations

import functools
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_modelbench.errors import cause_of
from pytest_modelbench.grammar.option_values import Destination
from pytest_modelbench.plugin.progress import ProgressLine
from pytest_modelbench.reports.json_report import write_report

FLAG = "--modelbench-log"


def tracker_mistakes(destinations: Sequence[Destination]) -> Iterator[str]:
    """Yield a mistake for each tracker that cannot be sent to; without a tracker nothing is imported."""
    if destinations:
        from pytest_modelbench.reports.trackers.tracker import mistakes_of

        yield from mistakes_of(destinations, FLAG)


class Tracking:
    """Sends the report of one session. A failure becomes a line of the summary, and changes nothing else.

    Args:
        destinations: the trackers, each with its place.
        folder: where pytest was started, to which places are relative.
        progress: shows that something is sent.
    """

    def __init__(self, destinations: Sequence[Destination], folder: Path, progress: ProgressLine) -> None:
        self.destinations = list(dict.fromkeys(destinations))
        self.folder = folder
        self.progress = progress
        self.lines: list[str] = []
        """What the summary says, one line for each destination."""

    def send(self, report: Mapping[str, Any], kept: str | None) -> None:
        """Send a report to each destination, and keep it in a file if one did not take it.

        Args:
            report: the JSON report.
            kept: where a file has it already, as the user wrote it; None for nowhere.
        """
        interrupted = False
        for destination in self.destinations:
            try:
                why = "an earlier one was interrupted" if interrupted else self._send(report, destination)
            except KeyboardInterrupt:
                why, interrupted = "sending was interrupted", True
            except Exception as error:  # noqa: BLE001 - the run is judged and written, and no tracker changes that
                why = f"it cannot be sent: {cause_of(error)}"
            if why is not None:
                kept = kept or self._keep(report)
                self.lines.append(f"ERROR: {FLAG}={destination}: {why}. {_again(kept, destination)}")
        self.progress.clear()

    def _send(self, report: Mapping[str, Any], destination: Destination) -> str | None:
        """Send to one destination; return why that failed, or None."""
        from pytest_modelbench.reports.trackers.sending import EACH_S, FIRST_S, send

        limit_s = FIRST_S + EACH_S * len(report["models"]["students"])
        watch = functools.partial(self.progress.show, f"sending to {destination}", budget_s=limit_s)
        with tempfile.TemporaryDirectory(prefix="modelbench-") as name:
            path = Path(name, "report.json")
            write_report(report, path, final=False)
            sent = send(path, destination, limit_s, self.folder, watch)
        if sent.ok:
            self.lines.append(sent.text)
        return None if sent.ok else sent.text

    def _keep(self, report: Mapping[str, Any]) -> str | None:
        """Write the report for a later attempt to send it; return the file's name, or None where that failed too."""
        name = f"modelbench-unsent-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"
        try:
            write_report(report, self.folder / name)
        except OSError:
            return None
        return name


def _again(kept: str | None, destination: Destination) -> str:
    if kept is None:
        return "The report could not be kept in a file either: add --modelbench-json=PATH"
    words = ("report", kept, "--log", str(destination))
    return f"Send it later: python -m pytest_modelbench {shlex.join(words)}"
