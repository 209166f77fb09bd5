"""What a gate came to: its result with the evidence, or the reason why there is none."""

from __future__ import annotations

from pytest_modelbench.bench.verdicts import Judgement
from pytest_modelbench.gates.gate import Gate
from pytest_modelbench.results import GateResult, Verdict, facts_of, worst


def unjudged(student: str, gate: Gate, verdict: Verdict, reason: str) -> GateResult:
    """Return the result of a gate that no evidence was found for."""
    return GateResult(
        kpi=gate.kpi.name,
        pillar=gate.kpi.pillar,
        facts=facts_of(gate.kpi),
        student=student,
        verdict=verdict,
        reason=reason,
        targets=gate.targets,
        unit=gate.kpi.unit,
        options=gate.told_options,
    )


def judged(student: str, gate: Gate, judgement: Judgement) -> GateResult:
    """Return the result of a gate: the worst of its limits' verdicts, and what they rest on."""
    verdict = worst([limit.verdict for limit in judgement.limits])
    decisive = next((limit for limit in judgement.limits if limit.verdict is verdict), None)
    evidence = judgement.evidence
    return GateResult(
        kpi=gate.kpi.name,
        pillar=gate.kpi.pillar,
        facts=facts_of(gate.kpi),
        student=student,
        verdict=verdict,
        reason=decisive.reason if decisive else "reported, there is no limit",
        targets=gate.targets,
        unit=gate.kpi.unit,
        limits=judgement.limits,
        student_reading=evidence.student,
        teacher_reading=evidence.teacher,
        baseline_reading=evidence.baseline,
        reference=evidence.reference,
        notes=evidence.notes,
        worst_samples=evidence.worst_samples,
        breakdown=evidence.breakdown,
        load=evidence.load,
        options=gate.told_options,
    )
