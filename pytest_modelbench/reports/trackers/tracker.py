"""What a result tracker is: which package it needs, where it may send to, and the function that sends."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_modelbench.errors import UsageMistake, cause_of, shown
from pytest_modelbench.grammar.option_values import Destination
from pytest_modelbench.reports.trackers.tracked_run import TrackedRun


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """What is sent in one go.

    Attributes:
        runs: one for each student.
        files: the report as `report.json`, `report.html` and `report.md`.
        where: what the user wrote behind the tracker's name; empty for the tracker's own settings.
    """

    runs: Sequence[TrackedRun]
    files: Sequence[Path]
    where: str


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """A result tracker.

    Attributes:
        title: its name in messages, such as `MLflow`.
        package: the module that must be importable.
        install: the command that brings it.
        send: sends the runs one after the other, in a process of its own, and yields after each where the runs are,
            for the terminal. An exception becomes a line of the summary.
        amiss: returns what is wrong with a place to send to, or None. It is called before anything is measured.
    """

    title: str
    package: str
    install: str
    send: Callable[[Shipment], Iterator[str]]
    amiss: Callable[[str], str | None]

    @property
    def installed(self) -> bool:
        """Whether its package can be imported; a folder of that name, in which a tracker keeps runs, is none."""
        try:
            spec = importlib.util.find_spec(self.package)
        except (ImportError, ValueError):
            return False
        return spec is not None and spec.origin is not None


def tracker_in(module: str) -> Tracker:
    """Return the tracker that a module describes as `TRACKER`; the tracker's package is not imported.

    Raises:
        UsageMistake: it describes something else.
    """
    tracker = getattr(importlib.import_module(module), "TRACKER", None)
    if not isinstance(tracker, Tracker):
        raise UsageMistake(f"{module} has TRACKER {shown(tracker)}, expected a pytest_modelbench.extend.Tracker")
    return tracker


def mistakes_of(destinations: Sequence[Destination], flag: str) -> Iterator[str]:
    """Yield a mistake for each destination that nothing can be sent to.

    Args:
        destinations: what the user wrote.
        flag: the option, for messages.
    """
    for destination in destinations:
        try:
            tracker = tracker_in(destination.module)
        except UsageMistake as mistake:
            yield f"{flag}={destination.name}: {mistake}"
            continue
        except Exception as error:  # noqa: BLE001 - an extension's module may raise anything
            yield f"{flag}={destination.name}: {destination.module} cannot be read: {cause_of(error)}"
            continue
        if not tracker.installed:
            yield f"{flag}={destination.name}: {tracker.title} is not installed. Run: {tracker.install}"
        elif (amiss := tracker.amiss(destination.where)) is not None:
            yield f"{flag}={destination}: {amiss}"
