"""What a student is held against on `regression`: the student that ships today, or an earlier report.

The previous student is measured in the same rounds and on the same samples. A report is another session's: what
depends on the machine is compared as a ratio to something that both sessions measured, never as a bare time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pytest_modelbench.bargains import Bargain
from pytest_modelbench.behaviour import BehaviourMeasurements
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.kpis.kpi import Question, evidence_for
from pytest_modelbench.limits import BoundLimit
from pytest_modelbench.reports.record import environment
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reading, Reference
from pytest_modelbench.stats.sessions import difference_across, ratio_across, worsening, worsening_by_ratio
from pytest_modelbench.store.baseline import Baseline, Entry, Measured, worse_than
from pytest_modelbench.store.contract import Contract
from pytest_modelbench.store.recorded import RecordedReading
from pytest_modelbench.verdicts import NO_BASELINE, Judgement, judge

USUAL_LIMIT = 0.05
FINEST = 0.001


class EarlierMeasurements(BehaviourMeasurements):
    """The part of a gate's measurements that knows what was before."""

    def looks(self, question: Question) -> Iterator[Evidence]:
        """Yield the evidence of every look, with the comparison that limits on `regression` judge."""
        own, gate = evidence_for(question, self), self.gate
        if gate.regresses and self._has_previous():
            yield from self._against_previous(own, question)
            return
        if gate.workload or (gate.kpi.of_machine and question.with_teacher):
            own = self._with_reference(own, question)
        if gate.beside_contract and self.session.contract is not None:
            own = self._beside_contract(own, self.session.contract)
        if gate.regresses:
            own = self._against_baseline(own)
        yield from own

    def judged(self, question: Question, limits: Sequence[BoundLimit | Bargain]) -> Judgement:
        """Judge a gate's limits; what is to be a baseline is then known as well as the last look knows it."""
        looks, unit = self.looks(question), self.gate.kpi.unit
        if not self._is_saved():
            return judge(limits, looks, unit)
        every = list(looks)
        return replace(judge(limits, every, unit), evidence=every[-1])

    def _is_saved(self) -> bool:
        given = self.plan.settings
        return bool(given.save_baseline or given.record_contract) and self.gate.kpi.of_machine

    def worth_comparing_with(self, evidence: Evidence) -> bool:
        """Whether a value that is to be a baseline is known well enough, a quarter of what its limits allow."""
        if not self._is_saved():
            return True
        ratio = evidence.reference.ratio if evidence.reference is not None else evidence.student.estimate
        if ratio.low is None or ratio.high is None:
            return True  # more of it would not give it an interval
        limits = [limit for limit in self.gate.limits if isinstance(limit, BoundLimit) and limit.regresses]
        least = min((abs(limit.threshold) for limit in limits), default=USUAL_LIMIT)
        return max(ratio.high / ratio.value - 1, 1 - ratio.low / ratio.value) <= max(least / 4, FINEST)

    def _has_previous(self) -> bool:
        if self.gate.kpi.probe == "record":
            return "previous" in self.sources.recorded(self.gate.kpi.name)
        return self.gate.previous

    def _against_previous(self, own: Iterator[Evidence], question: Question) -> Iterator[Evidence]:
        """Add the previous student's value and the paired comparison with it."""
        kpi = self.gate.kpi
        if kpi.paired or kpi.alone:  # its own values are made from both models, or from no other one
            before = evidence_for(question, self.acting({"student": "previous"}))
            for look, earlier in zip(own, before, strict=False):
                baseline = earlier.student
                gap = difference_across(look.student.estimate, baseline.estimate)
                yield replace(look, baseline=baseline, regression=worsening(gap, baseline.value, kpi.better))
            return
        asked = replace(question, with_teacher=True)
        for look, both in zip(own, evidence_for(asked, self.acting({"teacher": "previous"})), strict=False):
            if both.teacher is None or both.comparison is None:
                raise MeasurementError(f"{kpi.name} was not measured for the previous student")
            found = _worsening(both, both.teacher, kpi.better, by_ratio=kpi.of_machine)
            notes = tuple(dict.fromkeys([*look.notes, *both.notes]))
            yield replace(look, baseline=both.teacher, regression=found, notes=notes)

    def _with_reference(self, own: Iterator[Evidence], question: Question) -> Iterator[Evidence]:
        """Add the ratio to what other sessions can measure as well."""
        if not self.gate.workload:
            for look in own:
                yield replace(look, reference=self._reference("teacher", look))
            return
        asked = replace(question, with_teacher=True)
        beside = evidence_for(asked, self.acting({"teacher": "workload"}))
        for look, both in zip(own, beside, strict=False):
            yield replace(look, reference=self._reference("workload", both))

    def _reference(self, kind: str, look: Evidence) -> Reference | None:
        ratio = look.comparison.ratio if look.comparison is not None else None
        if ratio is None:
            return None
        return Reference(kind=kind, hash=self.session.hash_of(self.model(kind)), ratio=ratio)

    def _beside_contract(self, own: Iterator[Evidence], contract: Contract) -> Iterator[Evidence]:
        """Add the teacher's value as it was recorded, and what can be compared with it."""
        kpi = self.gate.kpi
        inputs = self.session.inputs_hash(self.data()) if kpi.needs_data else None
        found = contract.reading(kpi.name, self.gate.told_options, inputs)
        if isinstance(found, str) and self.gate.compares:
            raise MeasurementError(found)
        for look in own:
            yield look if isinstance(found, str) else self._compared(look, found, contract)

    def _compared(self, look: Evidence, found: RecordedReading, contract: Contract) -> Evidence:
        threads, teacher = self.plan.settings.threads, found.reading
        both = replace(look, teacher=teacher)
        now, then = look.student.estimate, teacher.estimate
        if self.gate.kpi.of_machine:
            here, there = look.reference, found.reference
            if here is not None and there is not None and (here.kind, here.hash) == (there.kind, there.hash):
                ratio = ratio_across(here.ratio, there.ratio)
                note = "compared with the teacher through the reference workload, in two sessions"
                return replace(both, comparison=Comparison(ratio=ratio, method=note), notes=(*look.notes, note))
            differ = contract.other_hardware(environment(), threads)
            if differ:
                told = f"the teacher was timed on another machine ({differ})"
                if self.gate.kpi.probe == "timing":
                    told += "; --modelbench-reference=workload compares through a workload that both have timed"
                return replace(both, not_comparable=told)
        relative = ratio_across(now, then) if now.value > 0 and then.value > 0 else None
        return replace(
            both,
            comparison=Comparison(ratio=relative, difference=difference_across(now, then), method="two sessions"),
        )

    def _against_baseline(self, own: Iterator[Evidence]) -> Iterator[Evidence]:
        baseline, plan, gate = self.session.baseline, self.plan, self.gate
        found: Entry | str = NO_BASELINE
        if baseline is not None:
            found = baseline.find(gate.kpi.name, plan.student, gate.told_options, plan.nodeid)
        for look in own:
            if isinstance(found, str) or baseline is None:
                yield replace(look, no_baseline=str(found))
                continue
            both = replace(look, baseline=found.reading, notes=(*look.notes, *_undecided(found, baseline)))
            here = self.session.data_notes.get(plan.suite, {}).get("hash")
            worse = worse_than(
                Measured(reading=look.student, reference=look.reference, data=here),
                found,
                better=gate.kpi.better,
                of_machine=gate.kpi.of_machine,
            )
            yield replace(both, no_baseline=worse) if isinstance(worse, str) else replace(both, regression=worse)


def _undecided(entry: Entry, baseline: Baseline) -> tuple[str, ...]:
    return (f"in {baseline.path} it was inconclusive; its interval counts",) if entry.undecided else ()


def _worsening(both: Evidence, before: Reading, better: str, *, by_ratio: bool) -> Estimate | None:
    comparison = both.comparison
    if comparison is None:
        return None
    if by_ratio and comparison.ratio is not None:
        return worsening_by_ratio(comparison.ratio, better)
    if comparison.difference is not None:
        return worsening(comparison.difference, before.value, better)
    return worsening(difference_across(both.student.estimate, before.estimate), before.value, better)
