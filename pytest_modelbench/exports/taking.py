"""Takes one step of an export: what it saw or why the file is not ready, with what was printed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_modelbench.errors import ModelbenchError, NotApplicable
from pytest_modelbench.exports.quiet import captured
from pytest_modelbench.exports.remedies import explained, remedy_for_warning
from pytest_modelbench.exports.steps import Status, Step


class NotReadyError(Exception):
    """A step found that the file is not ready.

    Args:
        evidence: what was seen.
        remedy: what to do about it; "" for nothing.
        numbers: measured values by name.
        status: `error` for a step that could not be tried, `inconclusive` for one that noise decides.
    """

    def __init__(
        self,
        evidence: str,
        remedy: str = "",
        numbers: Mapping[str, Any] | None = None,
        *,
        status: Status = Status.FAIL,
    ) -> None:
        super().__init__(evidence)
        self.evidence, self.remedy, self.numbers, self.status = evidence, remedy, numbers or {}, status


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a step that passed saw."""

    evidence: str = ""
    remedy: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    status: Status = Status.PASS


def taken(name: str, work: Callable[[], Seen]) -> Step:
    """Take a step, and keep everything that is printed, warned and logged meanwhile for its evidence."""
    started = time.perf_counter()
    failure: Exception | None = None
    with captured() as output:
        try:
            seen = work()
        except Exception as error:  # noqa: BLE001 - exporters and runtimes raise whatever they meet
            failure = error
    seconds = time.perf_counter() - started
    if failure is None:
        heard = output.worth_telling() if name == "export" else []
        evidence = "; ".join([*filter(None, [seen.evidence]), *heard])
        return Step(
            name=name,
            status=seen.status,
            seconds=seconds,
            evidence=evidence,
            remedy=seen.remedy or next(filter(None, map(remedy_for_warning, heard)), ""),
            numbers=seen.numbers,
        )
    if isinstance(failure, NotReadyError):
        evidence, remedy, numbers, status = failure.evidence, failure.remedy, failure.numbers, failure.status
    else:
        (evidence, remedy), inapplicable = explained(failure), isinstance(failure, NotApplicable)
        numbers, status = ({"applies": False}, Status.ERROR) if inapplicable else ({}, Status.FAIL)
        evidence = str(failure) if isinstance(failure, ModelbenchError) else evidence
    return Step(
        name=name,
        status=status,
        seconds=seconds,
        evidence="; ".join([evidence, *output.worth_telling()]),
        remedy=remedy,
        numbers=numbers,
    )
