"""What a diagnosis found out: causes with the share of the student's time that removing them gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_modelbench.results import Estimate, json_object

if TYPE_CHECKING:
    from pytest_modelbench.diagnosis.waterfall import Waterfall

WORTH_TELLING = 0.05
"""The least share of the student's time whose lower end makes a cause worth telling."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one hypothesis came to.

    Attributes:
        cause: the name of the hypothesis, such as "masks_attached"; also the heading in docs/diagnosis.md.
        text: the cause in one sentence, with its number.
        evidence: numbers that were read off without timing, as JSON types.
        counterfactual: what was timed beside the student, such as "the masks made permanent"; "" for nothing.
        gives_back: the share of the student's time that the counterfactual saves, with its interval; None if nothing
            could be timed.
        remedy: what to do, in one sentence.
        explains: names of general causes that this specific one produces, which are not told as well.
        skipped: why the hypothesis could not be tested; "" if it was.
    """

    cause: str
    text: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    counterfactual: str = ""
    gives_back: Estimate | None = None
    remedy: str = ""
    explains: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def holds(self) -> bool:
        """Whether the counterfactual gives back more time than is worth telling."""
        return self.gives_back is not None and (self.gives_back.low or 0.0) > WORTH_TELLING

    def because(self, reason: str) -> Finding:
        """Return the same, not tested for a reason."""
        return replace(self, skipped=reason, gives_back=None)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        gain = self.gives_back
        return json_object(
            {
                "cause": self.cause,
                "text": self.text,
                "evidence": dict(self.evidence),
                "counterfactual": self.counterfactual,
                "gives_back": None if gain is None else gain.value,
                "gives_back_low": None if gain is None else gain.low,
                "gives_back_high": None if gain is None else gain.high,
                "remedy": self.remedy,
                "skipped": self.skipped,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings of one student, the strongest first.

    Attributes:
        student: its label.
        causes: those that hold, by the lower end of what they give back; a specific one stands before the general one
            that it produces.
        refuted: hypotheses whose counterfactual gives nothing back, each with its number.
        skipped: hypotheses that were not tested, or whose effect another cause explains, each with the reason.
        reason: why the student was diagnosed, or why it was not.
        time_ratio: the student's time over the teacher's, with its interval; None if no teacher was timed.
        waterfall: layer by layer from the teacher's time to the student's; None if it was not measured.
        no_waterfall: why not; "" if it was.
        seconds: how long the diagnosis took.
    """

    student: str
    causes: tuple[Finding, ...] = ()
    refuted: tuple[Finding, ...] = ()
    skipped: tuple[Finding, ...] = ()
    reason: str = ""
    time_ratio: Estimate | None = None
    waterfall: Waterfall | None = None
    no_waterfall: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        ratio = self.time_ratio
        return json_object(
            {
                "student": self.student,
                "causes": [finding.to_json() for finding in self.causes],
                "refuted": [finding.to_json() for finding in self.refuted],
                "skipped": [finding.to_json() for finding in self.skipped],
                "reason": self.reason,
                "time_ratio": None if ratio is None else ratio.value,
                "time_ratio_low": None if ratio is None else ratio.low,
                "time_ratio_high": None if ratio is None else ratio.high,
                "waterfall": None if self.waterfall is None else self.waterfall.to_json(),
                "no_waterfall": self.no_waterfall,
                "seconds": self.seconds,
            }
        )
