"""Which findings are causes, which are refuted, and which another cause explains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_modelbench.diagnosis.finding import Finding

MOST_OF = 0.5
"""A specific cause explains a general one unless it clearly gives back less than this share of its time."""
UNTIMED = "nothing could be timed beside the student"


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Findings by what they came to; see `Diagnosis`."""

    causes: tuple[Finding, ...]
    refuted: tuple[Finding, ...]
    skipped: tuple[Finding, ...]


def rank(findings: Sequence[Finding]) -> Ranked:
    """Sort findings: causes by the lower end of what they give back, without those that another one explains."""
    holding = sorted(
        (finding for finding in findings if finding.holds and not finding.skipped), key=_least, reverse=True
    )
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


def _explained(general: Finding, holding: Sequence[Finding]) -> str:
    """Return the name of the strongest cause that produces a general one; "" if there is none."""
    for finding in holding:
        produced = general.cause in finding.explains and finding.cause != general.cause
        if produced and _most(finding) >= MOST_OF * _least(general):
            return finding.cause
    return ""
