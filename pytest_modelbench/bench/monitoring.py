"""Judges the gates of an accepted run by predictions that were recorded in production; no model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pytest_modelbench.bench.gate_results import judged, unjudged
from pytest_modelbench.bench.produced import ProductionMeasurements, by_option, contract_rows
from pytest_modelbench.bench.verdicts import judge, judge_limit
from pytest_modelbench.errors import DoesNotFit, ModelbenchError, NotApplicable, UsageMistake
from pytest_modelbench.gates.accepted import Accepted
from pytest_modelbench.gates.gate import Gate, conditions_of
from pytest_modelbench.grammar.conditional import ConditionalLimit
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.kpis.catalogue import CATALOGUE
from pytest_modelbench.kpis.kpi import Measurements, Question, evidence_for
from pytest_modelbench.kpis.speed.recorded import recorded_latency
from pytest_modelbench.probes.kinds import OUTPUTS, PRODUCTION, TIMING
from pytest_modelbench.results import Comparison, Evidence, GateResult, Verdict
from pytest_modelbench.stats.design_effect import widened
from pytest_modelbench.stats.sessions import difference_across, ratio_across
from pytest_modelbench.store.baseline import Baseline, Entry, Measured, worse_than
from pytest_modelbench.store.contract import Contract

RECORDED = "recorded"
NOT_RECORDED = "it cannot be derived from recorded predictions"
NO_TEACHER = "no value of the teacher: give --baseline a report that has one, or --contract"
NOTHING_BESIDE = "recorded in production, where nothing was timed alongside"
ANOTHER_LATENCY = (
    "timed the model alone, and a latency of production is another quantity. Give --baseline the report that this "
    "command wrote for an earlier window"
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A gate's result, and the test that states it."""

    nodeid: str
    result: GateResult


class Monitor:
    """Judges gates by production.

    Args:
        measured: what is known of production.
        student: the name of the model.
        baseline: the report of the accepted run, or of an earlier window.
        contract: the teacher's; its answers are paired with production by id.
        seed: of resampling.
    """

    def __init__(
        self,
        measured: ProductionMeasurements,
        student: str,
        *,
        baseline: Baseline | None = None,
        contract: Contract | None = None,
        seed: int = 0,
    ) -> None:
        self._measured, self._student, self._baseline, self._seed = measured, student, baseline, seed
        self._paired = None if contract is None else contract_rows(measured, contract)

    def judged(self, accepted: Accepted) -> Judged:
        """Judge one gate; what does not apply to production is said with its reason."""
        gate = replace(accepted.gate, confidence=accepted.gate.question(with_teacher=False, seed=0).confidence)
        return Judged(nodeid=accepted.nodeid, result=self._result(gate, accepted.nodeid))

    def _result(self, gate: Gate, nodeid: str) -> GateResult:
        try:
            return self._judged(gate, nodeid)
        except NotApplicable as reason:
            return unjudged(self._student, gate, Verdict.NOT_APPLICABLE, str(reason))
        except DoesNotFit as reason:
            why = self._measured.without_labels() or by_option(str(reason))
            return unjudged(self._student, gate, Verdict.NOT_APPLICABLE, why)
        except ModelbenchError as error:
            return unjudged(self._student, gate, Verdict.ERROR, by_option(str(error)))

    def _judged(self, gate: Gate, nodeid: str) -> GateResult:
        evidence = self._evidence(gate)
        entry = self._entry(gate, nodeid)
        evidence = self._beside(evidence, gate, entry)
        return judged(self._student, gate, judge(self._limits(gate), [evidence], gate.kpi.unit))

    def _limits(self, gate: Gate) -> list[BoundLimit | ConditionalLimit]:
        """Return the limits, with conditions judged by the values of the accepted run; production has no others."""
        conditions = iter(conditions_of(gate))
        return [
            self._settled(limit, next(conditions)) if isinstance(limit, ConditionalLimit) else limit
            for limit in gate.limits
        ]

    def _settled(self, limit: ConditionalLimit, condition: Gate) -> ConditionalLimit:
        entry = self._entry(condition, "")
        if isinstance(entry, str):
            return limit.settled(Verdict.INCONCLUSIVE, f"{limit.kpi} {limit.when} is not known ({entry})")
        evidence = _with_teacher(Evidence(student=entry.reading), entry)
        when = judge_limit(limit.when, evidence, condition.kpi.unit)
        decided = when.verdict in {Verdict.PASS, Verdict.FAIL}
        return limit.settled(when.verdict if decided else Verdict.INCONCLUSIVE, f"{limit.kpi} {when.reason}")

    def _evidence(self, gate: Gate) -> Evidence:
        kpi, question = gate.kpi, gate.question(with_teacher=False, seed=self._seed)
        if kpi.from_rounds and kpi.probe == TIMING:
            return self._latency(gate, question)
        if not gate.from_predictions and kpi.probe != PRODUCTION:
            raise NotApplicable(NOT_RECORDED)
        measured = self._measured
        if kpi.probe in {OUTPUTS, PRODUCTION}:
            measured = measured.of_all_rows()
        elif self._paired is not None and (kpi.paired or gate.compares):
            measured, question = self._paired, replace(question, with_teacher=not kpi.paired)
        elif kpi.paired:
            raise NotApplicable("it needs the teacher's answers to the same rows: give --contract")
        evidence = _last(question, measured)
        effect = 1.0 if kpi.probe in {OUTPUTS, PRODUCTION} else measured.design_effect
        return _worth_less(replace(evidence, notes=(*measured.notes(), *evidence.notes)), effect, kpi.bounds)

    def _latency(self, gate: Gate, question: Question) -> Evidence:
        latency_ms = self._measured.production.latency_ms
        if latency_ms is None:
            raise NotApplicable("production has no latencies. Name their column by --latency")
        others = {name: gate.options[name] for name in ("batch_size", "compile") if name in gate.options}
        changed = {name: value for name, value in others.items() if value != gate.kpi.options[name]}
        if changed:
            options = ", ".join(f"{name}={value}" for name, value in changed.items())
            raise NotApplicable(f"it is for {options}, and production has one latency for each row")
        return replace(recorded_latency(question, latency_ms), not_comparable=NOTHING_BESIDE)

    def _entry(self, gate: Gate, nodeid: str) -> Entry | str:
        if self._baseline is None:
            return "no baseline. Give --baseline the report of the accepted run"
        return self._baseline.find(gate.kpi.name, self._student, gate.told_options, nodeid)

    def _beside(self, evidence: Evidence, gate: Gate, entry: Entry | str) -> Evidence:
        """Add what was accepted: the student's value then, and the teacher's where it is not paired."""
        if isinstance(entry, str):
            why = "" if evidence.comparison else evidence.not_comparable or NO_TEACHER
            return replace(evidence, not_comparable=why, no_baseline=entry)
        evidence = replace(evidence, baseline=entry.reading)
        if evidence.comparison is None and not evidence.not_comparable:
            evidence = (
                _with_teacher(evidence, entry) if entry.teacher else replace(evidence, not_comparable=NO_TEACHER)
            )
        if gate.kpi.of_machine and entry.reading.provenance != RECORDED:
            return replace(evidence, baseline=None, no_baseline=f"{entry.path} {ANOTHER_LATENCY}")
        now = Measured(reading=evidence.student)
        worse = worse_than(now, entry, better=gate.kpi.better, of_machine=False, of_samples=False)
        return replace(evidence, no_baseline=worse) if isinstance(worse, str) else replace(evidence, regression=worse)


def _worth_less(evidence: Evidence, effect: float, bounds: tuple[float, float]) -> Evidence:
    """Return evidence of rows that are alike for a while: its ends are those of fewer rows."""
    student = evidence.student
    method = student.method
    if effect > 1 and student.n:
        method += f"; ends widened to those of {student.n / effect:,.0f} independent rows"
    student = replace(
        student, estimate=widened(student.estimate, effect).within(*bounds), provenance=RECORDED, method=method
    )
    both = evidence.comparison
    if both is not None:
        ratio, difference = (part and widened(part, effect) for part in (both.ratio, both.difference))
        both = replace(both, ratio=ratio, difference=difference)
    return replace(evidence, student=student, comparison=both)


def _last(question: Question, measured: ProductionMeasurements) -> Evidence:
    """Derive a KPI as in a session: the same function, over what production has."""
    *_, evidence = evidence_for(question, cast("Measurements", measured))
    return evidence


def _with_teacher(evidence: Evidence, entry: Entry) -> Evidence:
    """Compare with the teacher's value of the accepted run: other samples, so the errors of both add up."""
    if entry.teacher is None:
        return evidence
    now, then = evidence.student.estimate, entry.teacher.estimate
    ratio = ratio_across(now, then) if now.value > 0 and then.value > 0 else None
    comparison = Comparison(ratio=ratio, difference=difference_across(now, then), method="two samples")
    note = "compared with the teacher's value on the evaluation data of the accepted run"
    return replace(evidence, teacher=entry.teacher, comparison=comparison, notes=(*evidence.notes, note))


def open_baseline(path: Path) -> Baseline:
    """Read the report of an accepted run, or of an earlier window.

    Raises:
        UsageMistake: it cannot be read, or is not a report.
    """
    return Baseline.read(path, CATALOGUE)


def student_of(report: Mapping[str, Any] | None, path: str, stated: str | None) -> str:
    """Return whose predictions these are.

    Args:
        report: of the accepted run, if any.
        path: of the report.
        stated: by the user, if at all.

    Raises:
        UsageMistake: the report has several students, or no such one.
    """
    if report is None:
        return stated or "student"
    names = list(dict.fromkeys(gate["student"] for gate in report["gates"]))
    listed = ", ".join(map(repr, names)) or "none"
    if stated is not None and stated not in names:
        raise UsageMistake(f"--student: {path} has no student {stated!r}. Its students: {listed}")
    if stated is None and len(names) != 1:
        raise UsageMistake(f"{path} has {len(names)} students: {listed}. Write --student NAME")
    return stated or names[0]
