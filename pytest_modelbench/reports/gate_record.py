"""The gate as a report has it: what it is made of, what nothing is known of yet, and what each field holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from pytest_modelbench.results import GateResult, Reading, Verdict, facts_of, json_object

if TYPE_CHECKING:
    from pytest_modelbench.kpis.kpi import Kpi

ROLES = ("teacher", "student", "baseline")
"""Whose readings a gate has."""


def _told(description: str, form: Mapping[str, Any] | None = None, *, always: bool = True) -> dict[str, Any]:
    """Return the metadata of a field.

    Args:
        description: what it holds, for the documentation and the schema.
        form: its JSON Schema, where that does not follow from its type.
        always: False for a field that reports of earlier versions lack.
    """
    return {"description": description, "form": form, "always": always}


_NUMBERS = {"type": "array", "items": {"type": ["number", "null"]}}
_BY_ROLE = {"type": "object", "additionalProperties": _NUMBERS}
_LOAD: Mapping[str, Any] = {
    "type": ["object", "null"],
    "required": ["rate", "levels", "responses_ms", "services_ms", "most_by_segment", "backlog"],
    "properties": {
        "rate": {"type": "number"},
        "levels": _NUMBERS,
        **dict.fromkeys(("responses_ms", "services_ms", "most_by_segment"), _BY_ROLE),
        "backlog": {
            "type": "object",
            "required": ["segment", "seconds", "requests"],
            "properties": {"segment": {"type": "integer"}, "seconds": _NUMBERS, "requests": _BY_ROLE},
        },
    },
}


@dataclass(frozen=True, kw_only=True)
class GateRecord:
    """One gate in the JSON report, made of JSON types.

    Its fields are those of the file: `to_json`, the gate's part of the schema and the table of docs/report.md follow.
    """

    nodeid: str = field(metadata=_told("the test that states it"))
    outcome: str | None = field(
        default=None,
        metadata=_told(
            "of the test, as pytest names it",
            {"enum": ["passed", "failed", "error", "skipped", "xfailed", "xpassed", "rerun", None]},
        ),
    )
    kpi: str = field(metadata=_told("the name of the KPI"))
    pillar: str = field(
        metadata=_told(
            "the group of KPIs that it is in", {"enum": ["quality", "efficiency", "footprint", "reliability"]}
        )
    )
    better: str = field(
        metadata=_told("which values of the KPI are better", {"enum": ["higher", "lower", ""]}, always=False)
    )
    student: str = field(metadata=_told("the student's name"))
    suite: str = field(metadata=_told("equal where teacher and data are the same", always=False))
    verdict: str = field(
        default=Verdict.NOT_RUN.value,
        metadata=_told("the worst of its limits' verdicts", {"enum": [verdict.value for verdict in Verdict]}),
    )
    reason: str = field(default="the item was not run to its end", metadata=_told("why it has this verdict"))
    targets: Sequence[str] = field(metadata=_told("the devices that it is stated for"))
    unit: str = field(metadata=_told("the unit of the KPI; empty for plain numbers"))
    options: Mapping[str, Any] = field(default_factory=dict, metadata=_told("how the KPI was measured"))
    settings: Mapping[str, Any] = field(
        default_factory=dict,
        metadata=_told(
            "the settings that hold for this gate where they differ from the report's `settings`, such as those of "
            "its modelbench.toml",
            always=False,
        ),
    )
    limits: Sequence[Any] = field(
        default=(),
        metadata=_told("its limits, each with its verdict", {"type": "array", "items": {"$ref": "#/$defs/limit"}}),
    )
    readings: Mapping[str, Any] = field(
        default_factory=lambda: dict.fromkeys(ROLES),
        metadata=_told(
            "the values of `teacher`, `student` and `baseline`",
            {
                "type": "object",
                "properties": {role: {"$ref": "#/$defs/reading"} for role in ROLES},
                "required": list(ROLES),
            },
        ),
    )
    reference: Mapping[str, Any] | None = field(
        default=None,
        metadata=_told(
            "what a value that depends on the machine was measured beside: the ratio of the student's to its",
            {
                "type": ["object", "null"],
                "required": ["kind", "hash", "ratio", "ci_low", "ci_high", "settings"],
                "properties": {
                    "kind": {"enum": ["teacher", "workload"]},
                    "hash": {"type": "string"},
                    "ratio": {"type": ["number", "null"]},
                    "ci_low": {"type": ["number", "null"]},
                    "ci_high": {"type": ["number", "null"]},
                    "settings": {"type": "object", "description": "Device, threads and allocator."},
                },
            },
            always=False,
        ),
    )
    notes: Sequence[str] = field(default=(), metadata=_told("what is shown behind the verdict"))
    worst_samples: Sequence[str] = field(default=(), metadata=_told("ids of samples that the student lost"))
    breakdown: Sequence[Any] = field(
        default=(),
        metadata=_told(
            "a row for each class, slice, group or layer that the value is made of; for `top1_accuracy` against a "
            "teacher, a row for each pair of right and predicted label among the samples that only the teacher gets "
            "right, with their number and up to three ids",
            {
                "type": "array",
                "items": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            },
        ),
    )
    load: Mapping[str, Any] | None = field(
        default=None,
        metadata=_told(
            "what the plots of a load need: the `rate` of its requests, `responses_ms` and `services_ms` (of calls) "
            "of each model at the `levels` (percent of the requests; null beyond the last one that was answered), "
            "the largest backlog of each segment (`most_by_segment`), and the `backlog` over time in the segment in "
            "which the student's was largest, at most 200 numbers for each model; for `max_qps` that of the smallest "
            "rate that is refuted, or else of the largest one that was tried",
            _LOAD,
            always=False,
        ),
    )
    timed: bool = field(metadata=_told("whether the KPI comes from timed calls", always=False))
    of_machine: bool = field(
        metadata=_told(
            "whether the KPI depends on the machine, so that only ratios compare across sessions", always=False
        )
    )
    of_samples: bool = field(metadata=_told("whether the KPI depends on which samples are evaluated", always=False))
    of_inputs: bool = field(metadata=_told("whether the KPI depends on the size of the inputs", always=False))
    report_only: bool = field(metadata=_told("whether the KPI takes no limit", always=False))
    worker: str | None = field(default=None, metadata=_told("the process of pytest-xdist that judged it"))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return json_object({attribute.name: getattr(self, attribute.name) for attribute in fields(self)})


def record_of(result: GateResult, nodeid: str, suite: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a report has of a gate's result.

    Args:
        result: of the gate.
        nodeid: of its item.
        suite: equal where teacher and data are the same.
        settings: those that hold for it and differ from the session's.
    """
    readings = (result.teacher_reading, result.student_reading, result.baseline_reading)
    return GateRecord(
        nodeid=nodeid,
        kpi=result.kpi,
        pillar=result.pillar,
        student=result.student,
        suite=suite,
        verdict=result.verdict,
        reason=result.reason,
        targets=result.targets,
        unit=result.unit,
        options=result.options,
        settings=settings,
        limits=[limit.to_json() for limit in result.limits],
        readings={role: _reading(reading) for role, reading in zip(ROLES, readings, strict=True)},
        reference=result.reference.to_json() if result.reference else None,
        notes=result.notes,
        worst_samples=result.worst_samples,
        breakdown=result.breakdown,
        load=result.load,
        **result.facts,
    ).to_json()


def expected_gate(
    nodeid: str, kpi: Kpi, student: str, targets: Sequence[str], suite: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the record of a gate that nothing is known of yet.

    `settings` are those that hold for it and differ from the session's.
    """
    return GateRecord(
        nodeid=nodeid,
        kpi=kpi.name,
        pillar=kpi.pillar,
        student=student,
        suite=suite,
        targets=targets,
        unit=kpi.unit,
        settings=settings,
        **facts_of(kpi),
    ).to_json()


def _reading(reading: Reading | None) -> dict[str, Any] | None:
    return reading.to_json() if reading is not None else None
