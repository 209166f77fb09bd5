"""What a kind of report is: which option asks for it, and who writes it when the session ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from pytest_modelbench.reports.record import Record
from pytest_modelbench.settings import Settings
from pytest_modelbench.store.replacing import Recognise


class ContractWriter(Protocol):
    """What records a contract while the session runs."""

    def write(
        self, path: Path, teacher: Mapping[str, Any], environment: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> str:
        """Write the contract, and return what the summary says of it."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A session at its end, as reports see it.

    `folder` is the root of the tests.

    `complete` says whether the run came to its end. `report` returns the JSON report for an exit status; `contract`
    records one, where it was asked for.
    """

    record: Record
    settings: Settings
    exit_status: int
    complete: bool
    report: Callable[[int], Mapping[str, Any]]
    contract: ContractWriter | None = None
    folder: Path = Path()

    @cached_property
    def told(self) -> Mapping[str, Any]:
        """The JSON report."""
        return self.report(self.exit_status)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A kind of file that a session writes at its end.

    Attributes:
        name: what it is called in messages, such as `JSON report`.
        flag: the option that asks for it.
        asked: returns the path that the settings give it, or None.
        ours: recognises an earlier file of the kind: nothing else is replaced.
        write: writes it whole or not at all. It returns why nothing was written, or what the summary says in its own
            words; None where the path is all there is to say, and "" for nothing.
        as_it_runs: whether the JSON report so far is kept at its path while the session runs.
        appends: whether it adds to an earlier file instead of replacing it.
    """

    name: str
    flag: str
    asked: Callable[[Settings], str | None]
    ours: Recognise
    write: Callable[[Ending, Path], str | None]
    as_it_runs: bool = False
    appends: bool = False
