"""Which findings are causes, which are refuted, and which another cause explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_modelbench.diagnosis.finding import Finding

MOST_OF = 0.5
"""A specific cause explains a general one unless it clearly gives back less than this share of its time."""
PART_OF = 0.25
"""A specific cause stands before the general one that it produces unless it gives back less than this share of it."""
UNTIMED = "nothing could be timed beside the student"


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Findings by what they came to; see `Diagnosis`."""

    causes: tuple[Finding, ...]
    refuted: tuple[Finding, ...]
    skipped: tuple[Finding, ...]


def rank(findings: Sequence[Finding]) -> Ranked:
    """Sort findings: causes by the lower end of what they give back, without those that another one explains.

    A specific cause that gives back a good part of a general one stands before it: it is what can be removed.
    """
    shown = [finding for finding in findings if finding.holds and not finding.skipped]
    holding = sorted(shown, key=lambda finding: _place(finding, shown), reverse=True)
    explained = {finding.cause: _explained(finding, holding) for finding in holding}
    causes = tuple(finding for finding in holding if not explained[finding.cause])
    general = [
        replace(finding, skipped=f"{explained[finding.cause]} explains it")
        for finding in holding
        if explained[finding.cause]
    ]
    skipped = [finding if finding.skipped else finding.because(UNTIMED) for finding in findings if _untested(finding)]
    refuted = tuple(finding for finding in findings if not finding.holds and not _untested(finding))
    return Ranked(causes=causes, refuted=refuted, skipped=(*general, *skipped))


def _untested(finding: Finding) -> bool:
    return bool(finding.skipped) or finding.gives_back is None


def _least(finding: Finding) -> float:
    return (finding.gives_back.low or 0.0) if finding.gives_back else 0.0


def _most(finding: Finding) -> float:
    gain = finding.gives_back
    return 0.0 if gain is None else gain.value if gain.high is None else gain.high


def _produces(specific: Finding, general: Finding) -> bool:
    return general.cause in specific.explains and general.cause != specific.cause


def _place(finding: Finding, others: Sequence[Finding]) -> tuple[float, bool]:
    """Return what a cause is sorted by: the lower end of its own share, or of that of a general one that it leads."""
    led = [_least(general) for general in others if _leads(finding, general)]
    return max([_least(finding), *led]), bool(led)


def _leads(specific: Finding, general: Finding) -> bool:
    return _produces(specific, general) and _most(specific) >= PART_OF * _least(general)


def _explained(general: Finding, holding: Sequence[Finding]) -> str:
    """Return the name of the strongest cause that produces a general one; "" if there is none."""
    for specific in holding:
        if _produces(specific, general) and _most(specific) >= MOST_OF * _least(general):
            return specific.cause
    return ""
