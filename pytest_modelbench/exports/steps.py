"""What an export comes to: the steps that it took, each with its result, its reason and its remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

REQUIRED = ("install", "export", "check", "load", "run", "parity", "dynamic_batch")
"""The steps without which no format is ready, in their order."""


class Status(StrEnum):
    """What a step came to.

    `error` means that it could not be tried, such as for a runtime that is not installed; `inconclusive` that noise
    decides.
    """

    PASS = "pass"  # noqa: S105 - a status, not a password
    FAIL = "fail"
    SKIP = "skip"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"


STOPPING = frozenset({Status.FAIL, Status.ERROR, Status.INCONCLUSIVE})
"""After such a step no other one is taken."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of an export.

    Attributes:
        name: such as "export", "check" or "parity".
        status: what it came to.
        seconds: how long it took.
        evidence: what was seen, in one line.
        remedy: what to do about a failure, in one sentence; "" for none.
        numbers: measured values by name, as JSON types.
    """

    name: str
    status: Status
    seconds: float = 0.0
    evidence: str = ""
    remedy: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A model exported to one format.

    Attributes:
        target: the format with its variant as the user wrote it, such as "onnx" or "onnx:fp16".
        steps: those that were taken, in order; none follows a required one that did not pass.
        file: the file that a runtime loads; None if there is none.
        tools: versions of what exported, checked and ran it, by name.
    """

    target: str
    steps: tuple[Step, ...] = ()
    file: Path | None = None
    tools: Mapping[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether no step failed and all required ones passed; a variant may skip `dynamic_batch`."""
        passed = {step.name for step in self.steps if step.status is Status.PASS}
        failed = [step for step in self.steps if step.status in STOPPING]
        skipped = {step.name for step in self.steps if step.status is Status.SKIP}
        return not failed and set(REQUIRED) <= passed | skipped and {"load", "run", "parity"} <= passed

    @property
    def stopped_at(self) -> Step | None:
        """The first step that failed, could not be tried, or could not be decided."""
        return next((step for step in self.steps if step.status in STOPPING), None)

    def step(self, name: str) -> Step | None:
        """Return a step by its name."""
        return next((step for step in self.steps if step.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, which `from_json` reads."""
        return {
            "target": self.target,
            "ready": self.ready,
            "file": None if self.file is None else str(self.file),
            "tools": dict(self.tools),
            "steps": [{**asdict(step), "status": step.status.value} for step in self.steps],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Exported:
        """Return what `to_json` made plain."""
        steps: Sequence[Mapping[str, Any]] = record["steps"]
        return cls(
            target=record["target"],
            steps=tuple(Step(**{**step, "status": Status(step["status"])}) for step in steps),
            file=None if record["file"] is None else Path(record["file"]),
            tools=record["tools"],
        )
