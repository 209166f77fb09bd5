"""The reading of `export`: the formats that the student is ready for, and at which step the others stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_modelbench.exports.steps import Exported, Status, Step
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.probes.kinds import EXPORT
from pytest_modelbench.results import Estimate, Evidence, Member, Reading


def ready_formats(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Count the formats that the student is ready for, and name the step at which each other one stopped."""
    exports = measurements.of(EXPORT, "student")
    ready = [one.target for one in exports if one.ready]
    yield Evidence(
        student=Reading(
            estimate=Estimate.exact(float(len(ready))),
            unit=question.kpi.unit,
            n=len(exports),
            method=f"ready: {', '.join(ready) or 'none'}; tried: {', '.join(one.target for one in exports)}",
        ),
        notes=tuple(map(_in_short, exports)),
        breakdown=tuple(row for one in exports for row in _rows(one)),
        members={one.target: _member(one) for one in exports},
    )


def _member(found: Exported) -> Member:
    step = found.stopped_at
    untried = step is not None and step.status is Status.ERROR
    return Member(included=found.ready, reason="" if found.ready else _why_not(found), untried=untried)


def _in_short(found: Exported) -> str:
    if found.ready:
        return f"{found.target} is ready: {_about(found.steps)}"
    return f"{found.target} stopped at {found.stopped_at.name if found.stopped_at else 'a step that was not taken'}"


def _why_not(found: Exported) -> str:
    """Say at which step a format stopped, why, and what to do."""
    step = found.stopped_at
    if step is None:
        return f"{found.target} is not ready: a required step was not taken"
    remedy = f". {step.remedy}" if step.remedy else ""
    word = "could not be tried" if step.status is Status.ERROR else "is not ready"
    return f"{found.target} {word}: {step.name}: {step.evidence}{remedy}"


def _about(steps: Sequence[Step]) -> str:
    """Return what a reader wants to know of a format that is ready: its parity, its size, and what to think of."""
    by_name = {step.name: step for step in steps}
    told = [
        f"parity {value:.2g}" for value in [by_name["parity"].numbers.get("value")] if isinstance(value, int | float)
    ]
    size = by_name["export"].numbers.get("bytes") if "export" in by_name else None
    told += [f"{size:,} bytes"] if isinstance(size, int) else []
    alone = by_name.get("alone_and_in_batch")
    told += [alone.evidence] if alone is not None and alone.numbers.get("changed") else []
    told += [step.remedy for step in steps if step.remedy]
    return "; ".join([*told, f"{sum(step.seconds for step in steps):.0f} s"])


def _rows(found: Exported) -> Iterator[dict[str, Any]]:
    for step in found.steps:
        yield {
            "name": f"{found.target}: {step.name}",
            "format": found.target,
            "ready": found.ready,
            "step": step.name,
            "status": step.status.value,
            "seconds": step.seconds,
            "evidence": step.evidence,
            "remedy": step.remedy,
            "numbers": dict(step.numbers),
        }
