"""The reading of `export`: the formats that the student is ready for, and at which step the others stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_modelbench.errors import NotApplicable
from pytest_modelbench.exports.steps import Exported, Status, Step
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.kinds import EXPORT
from pytest_modelbench.results import Estimate, Evidence, Member, Reading


def ready_formats(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count the formats that the student is ready for, and name the step at which each other one stopped.

    Raises:
        NotApplicable: the student is of a kind that is not exported to any of them.
    """
    exports = measurements.of(EXPORT, "student")
    stopped = [export.stopped_at for export in exports]
    inapplicable = [step for step in stopped if step is not None and step.numbers.get("applies") is False]
    if exports and len(inapplicable) == len(exports):
        raise NotApplicable(inapplicable[0].evidence)
    ready = [export.target for export in exports if export.ready]
    members = {export.target: _member(export) for export in exports}
    at_most = len(ready) + sum(member.inconclusive for member in members.values())
    yield Evidence(
        student=Reading(
            estimate=Estimate(value=float(len(ready)), low=float(len(ready)), high=float(at_most)),
            unit=question.kpi.unit,
            method=f"ready: {', '.join(ready) or 'none'}; tried: {', '.join(export.target for export in exports)}",
        ),
        notes=tuple(map(_in_short, exports)),
        breakdown=tuple(row for export in exports for row in _rows(export)),
        members=members,
        sampled=True,
    )


def _member(export: Exported) -> Member:
    step = export.stopped_at
    return Member(
        included=export.ready,
        reason="" if export.ready else _why_not(export),
        untried=step is not None and step.status is Status.ERROR,
        inconclusive=step is not None and step.status is Status.INCONCLUSIVE,
    )


def _in_short(export: Exported) -> str:
    if export.ready:
        return f"{export.target} is ready: {_about(export.steps)}"
    return (
        f"{export.target} stopped at {export.stopped_at.name if export.stopped_at else 'a step that was not taken'}"
    )


def _why_not(export: Exported) -> str:
    """Say at which step a format stopped, why, and what to do."""
    step = export.stopped_at
    if step is None:
        return f"{export.target} is not ready: a required step was not taken"
    remedy = f". {step.remedy}" if step.remedy else ""
    words = {Status.ERROR: "could not be tried", Status.INCONCLUSIVE: "is inconclusive"}
    return f"{export.target} {words.get(step.status, 'is not ready')}: {step.name}: {step.evidence}{remedy}"


def _about(steps: Sequence[Step]) -> str:
    """Return what a reader wants to know of a format that is ready: its parity, its size, and what to think of."""
    by_name = {step.name: step for step in steps}
    remarks = [
        f"parity {value:.2g}" for value in [by_name["parity"].numbers.get("value")] if isinstance(value, int | float)
    ]
    size = by_name["export"].numbers.get("bytes") if "export" in by_name else None
    remarks += [f"{size:,} bytes"] if isinstance(size, int) else []
    alone = by_name.get("alone_and_in_batch")
    remarks += [alone.evidence] if alone is not None and alone.numbers.get("changed") else []
    remarks += [step.remedy for step in steps if step.remedy]
    return "; ".join([*remarks, f"{sum(step.seconds for step in steps):.0f} s"])


def _rows(export: Exported) -> Iterator[dict[str, Any]]:
    for step in export.steps:
        yield {
            "name": f"{export.target}: {step.name}",
            "format": export.target,
            "ready": export.ready,
            "step": step.name,
            "status": step.status.value,
            "seconds": step.seconds,
            "evidence": step.evidence,
            "remedy": step.remedy,
            "numbers": dict(step.numbers),
        }
