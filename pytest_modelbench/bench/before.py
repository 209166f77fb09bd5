"""Evidence for `regression` limits: the previous student, or an earlier report.

The previous student is measured in the same rounds and on the same samples. A report is another session's: what
depends on the machine is compared as a ratio to something that both sessions measured, never as a bare time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from pytest_modelbench.bench.asking import Asking, settings_that_count
from pytest_modelbench.bench.verdicts import NO_BASELINE, Judgement, judge
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.gates.assignment import TeacherUse
from pytest_modelbench.grammar.conditional import ConditionalLimit, branches_of
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.kpis.kpi import Measurements, Question, evidence_for
from pytest_modelbench.probes.machine import environment
from pytest_modelbench.results import Comparison, Estimate, Evidence, Reference
from pytest_modelbench.stats.sessions import difference_across, ratio_across, worsening, worsening_by_ratio
from pytest_modelbench.store.baseline import Baseline, Entry, Measured, differing, worse_than
from pytest_modelbench.store.contract import Contract
from pytest_modelbench.store.recorded import RecordedReading

USUAL_LIMIT = 0.1
FINEST = 0.001


class Before:
    """Derives and judges a gate's KPI, with what was before where its limits need it.

    Args:
        asking: the gate.
        measured: returns measurements, also with other models in the place of some.
    """

    def __init__(self, asking: Asking, measured: Callable[[Asking], Measurements]) -> None:
        self._asking = asking
        self._measured = measured
        self._plan, self._gate, self._roles = asking.plan, asking.gate, asking.roles
        self._contract, self._notes = asking.bench.contract, asking.bench.notes

    def _own(self, question: Question) -> Iterator[Evidence]:
        return evidence_for(question, self._measured(self._asking))

    def _acting(self, question: Question, role: str, actor: str) -> Iterator[Evidence]:
        """Return the evidence with another model in the place of a role's."""
        return evidence_for(question, self._measured(self._asking.acting({role: actor})))

    def looks(self, question: Question, *, earlier: bool = True) -> Iterator[Evidence]:
        """Yield the evidence of every look, with the comparison that limits on `regression` judge.

        Args:
            question: what is asked.
            earlier: False leaves that comparison out.
        """
        own, gate = self._own(question), self._gate
        if "workload" in gate.others or (gate.kpi.of_machine and question.with_teacher):
            own = self._with_reference(own, question)
        if gate.teacher is TeacherUse.RECORDED_VALUE and self._contract is not None:
            own = self._beside_contract(own, self._contract)
        if gate.regresses and earlier:
            own = self._against_previous(own, question) if self._has_previous() else self._against_baseline(own)
        same = self._same_model() if question.with_teacher and gate.compares else ""
        for look in own:
            if same:
                look = replace(look, notes=(*look.notes, same))  # noqa: PLW2901 - the look with what must be said
            if gate.kpi.of_inputs:  # a later session's may be larger, and cost more
                self._notes.data.setdefault(self._plan.suite, {})["form"] = self._asking.data().form()
            yield look

    def _same_model(self) -> str:
        """Say that student and teacher are one model, so that every comparison is of a model with itself."""
        if self._roles or self._contract is not None:
            return ""
        student, teacher = self._asking.model("student"), self._asking.model("teacher")
        if self._asking.hash_of(student) != self._asking.hash_of(teacher):
            return ""
        return f"{student.name} and the teacher have equal content: the model is compared with itself"

    def judged(self, question: Question, limits: Sequence[BoundLimit | ConditionalLimit]) -> Judgement:
        """Judge a gate's limits; what is to be a baseline is then known as well as the last look knows it."""
        looks, unit = self.looks(question), self._gate.kpi.unit
        if not self._is_saved():
            return judge(limits, looks, unit)
        every = list(looks)
        return replace(judge(limits, every, unit), evidence=every[-1])

    def settled(self, question: Question, limits: Sequence[BoundLimit | ConditionalLimit]) -> bool:
        """Whether a measurement that is not complete decides all that it is about (see `deciding.Growing`).

        Beside the previous student that is the comparison with it; in its place, or where only the two values are
        compared, it is a narrow interval; else it is every other limit.
        """
        flat = [branch for limit in limits for branch in branches_of(limit)]
        unit, previous = self._gate.kpi.unit, self._gate.regresses and self._has_previous()
        if "student" in self._roles:
            return self._narrow(list(self._own(question))[-1].student.estimate)
        if self._roles.get("teacher") == "previous":
            both = self._own(replace(question, with_teacher=True))
            looks = (replace(look, regression=self._worse_than_previous(look)) for look in both)
            mine = [limit for limit in flat if limit.regresses]
            return not mine or judge(mine, looks, unit).decided
        mine = [limit for limit in flat if not (limit.regresses and previous)]
        if not mine and not previous and not self._is_saved():
            return True
        judgement = judge(mine, self.looks(question, earlier=not previous), unit)
        narrow = self._narrow(judgement.evidence.student.estimate) if self._gate.kpi.alone and previous else True
        return judgement.decided and narrow and self.worth_comparing_with(judgement.evidence)

    def _is_saved(self) -> bool:
        settings = self._plan.settings
        return bool(settings.save_baseline or settings.record_contract) and self._gate.kpi.of_machine

    def worth_comparing_with(self, evidence: Evidence) -> bool:
        """Whether a value that is to be a baseline is known well enough."""
        if not self._is_saved():
            return True
        reference = evidence.reference
        return self._narrow(evidence.student.estimate if reference is None else reference.ratio)

    def _narrow(self, estimate: Estimate) -> bool:
        """Whether an interval is a quarter of what the limits allow, for a tail as much as they allow.

        Where it has none, more would not give one.
        """
        if estimate.low is None or estimate.high is None or not estimate.value:
            return True
        limits = [limit for limit in self._gate.limits if isinstance(limit, BoundLimit) and limit.regresses]
        least = min((abs(limit.threshold) for limit in limits), default=USUAL_LIMIT)
        half = max(estimate.high - estimate.value, estimate.value - estimate.low)
        return half <= max(least if self._gate.kpi.tail else least / 4, FINEST) * abs(estimate.value)

    def _has_previous(self) -> bool:
        if self._gate.kpi.probe.recorded:
            return "previous" in self._asking.sources.recorded(self._gate.kpi.name)
        return "previous" in self._gate.others

    def _against_previous(self, own: Iterator[Evidence], question: Question) -> Iterator[Evidence]:
        """Add the previous student's value and the paired comparison with it."""
        kpi = self._gate.kpi
        if kpi.paired or kpi.alone:  # its own values are made from both models, or from no other one
            before = self._acting(question, "student", "previous")
            for look, earlier in _in_step(own, before):
                baseline = earlier.student
                gap = difference_across(look.student.estimate, baseline.estimate)
                yield replace(look, baseline=baseline, regression=worsening(gap, baseline.value, kpi.better))
            return
        asked = replace(question, with_teacher=True)
        for look, both in _in_step(own, self._acting(asked, "teacher", "previous")):
            notes = tuple(dict.fromkeys([*look.notes, *both.notes]))
            worse = self._worse_than_previous(both)
            yield replace(look, baseline=both.teacher, regression=worse, notes=notes)

    def _worse_than_previous(self, both: Evidence) -> Estimate:
        """Return how much worse the student is by evidence in which the previous one is in the teacher's place."""
        kpi, before, comparison = self._gate.kpi, both.teacher, both.comparison
        if before is None or comparison is None:
            raise MeasurementError(both.not_comparable or f"{kpi.name} was not measured for the previous student")
        if kpi.of_machine and comparison.ratio is not None:
            return worsening_by_ratio(comparison.ratio, kpi.better)
        gap = comparison.difference or difference_across(both.student.estimate, before.estimate)
        return worsening(gap, before.value, kpi.better)

    def _with_reference(self, own: Iterator[Evidence], question: Question) -> Iterator[Evidence]:
        """Add the ratio to what other sessions can measure as well."""
        if "workload" not in self._gate.others:
            for look in own:
                yield replace(look, reference=self._reference("teacher", look))
            return
        asked = replace(question, with_teacher=True)
        beside = self._acting(asked, "teacher", "workload")
        for look, both in _in_step(own, beside):
            yield replace(look, reference=self._reference("workload", both))

    def _reference(self, kind: str, look: Evidence) -> Reference | None:
        ratio = look.comparison.ratio if look.comparison is not None else None
        if ratio is None or self._gate.kpi.probe.brackets:
            return None
        return Reference(
            kind=kind,
            hash=self._asking.hash_of(self._asking.model(kind)),
            ratio=ratio,
            settings=settings_that_count(self._plan.settings),
        )

    def _beside_contract(self, own: Iterator[Evidence], contract: Contract) -> Iterator[Evidence]:
        """Add the teacher's value as it was recorded, and what can be compared with it."""
        recorded = self._recorded_reading(contract)
        if isinstance(recorded, str) and self._gate.compares:
            raise MeasurementError(recorded)
        for look in own:
            yield look if isinstance(recorded, str) else self._compared(look, recorded, contract)

    def _recorded_reading(self, contract: Contract) -> RecordedReading | str:
        kpi, options = self._gate.kpi, self._gate.told_options
        data, settings = self._asking.data() if kpi.needs_data else None, settings_that_count(self._plan.settings)
        test = self._plan.test if kpi.probe.recorded else ""
        key = (
            "recorded",
            kpi.name,
            kpi.unit,
            repr(options),
            None if data is None else data.key,
            repr(settings),
            test,
        )
        return self._asking.bench.shelf.once(
            key, lambda: contract.reading(kpi.name, kpi.unit, options, data, settings, test)
        )

    def _compared(self, look: Evidence, recorded: RecordedReading, contract: Contract) -> Evidence:
        teacher = recorded.reading
        both = replace(look, teacher=teacher)
        now, then = look.student.estimate, teacher.estimate
        if self._gate.kpi.of_machine:
            machine = self._asking.bench.shelf.once(("environment",), environment)
            otherwise = differing(recorded.settings, settings_that_count(self._plan.settings))
            differ = "; ".join(filter(None, (otherwise, contract.other_machine(machine))))
            here, there = look.reference, recorded.reference
            asked = self._plan.settings.reference == "workload" and not otherwise
            if asked and here and there and (here.kind, here.hash) == (there.kind, there.hash):
                ratio = ratio_across(here.ratio, there.ratio)
                note = "compared with the teacher through the reference workload, in two sessions"
                return replace(both, comparison=Comparison(ratio=ratio, method=note), notes=(*look.notes, note))
            if differ:
                reason = f"the teacher was timed on another machine or with other settings ({differ})"
                if "threads" in otherwise:
                    reason += "; state the same --modelbench-threads in both sessions"
                if self._gate.kpi.probe.interleaved and not otherwise:
                    reason += "; --modelbench-reference=workload compares through a workload that both have timed"
                return replace(both, not_comparable=reason)
        brackets = self._gate.kpi.probe.brackets
        relative = ratio_across(now, then, brackets=brackets) if now.value > 0 and then.value > 0 else None
        if now.value == 0 < then.value:
            relative = Estimate.exact(0.0) if now.high == 0 else Estimate(value=0.0)
        return replace(
            both,
            comparison=Comparison(
                ratio=relative,
                difference=difference_across(now, then, brackets=brackets),
                method="two sessions",
            ),
        )

    def _against_baseline(self, own: Iterator[Evidence]) -> Iterator[Evidence]:
        baseline, plan, gate = self._asking.bench.baseline, self._plan, self._gate
        entry: Entry | str = NO_BASELINE
        if baseline is not None:
            entry = baseline.find(gate.kpi.name, plan.student, gate.told_options, plan.nodeid)
        for look in own:
            if isinstance(entry, str) or baseline is None:
                yield replace(look, no_baseline=str(entry))
                continue
            both = replace(look, baseline=entry.reading, notes=(*look.notes, *_doubts(entry, look, baseline)))
            samples = self._notes.data.get(plan.suite, {})
            form = self._asking.data().form() if gate.kpi.of_inputs else None
            worse = worse_than(
                Measured(reading=look.student, reference=look.reference, data=samples.get("hash"), form=form),
                entry,
                better=gate.kpi.better,
                of_machine=gate.kpi.of_machine,
                of_samples=gate.kpi.of_samples,
            )
            yield replace(both, no_baseline=worse) if isinstance(worse, str) else replace(both, regression=worse)


def _doubts(entry: Entry, look: Evidence, baseline: Baseline) -> Iterator[str]:
    if entry.inconclusive:
        yield f"in {baseline.path} it was inconclusive; its interval counts"
    hashes = [
        reference.hash
        for reference in (entry.reference, look.reference)
        if reference is not None and reference.kind == "teacher"
    ]
    if any(":object-" in digest for digest in hashes):
        yield f"that the teacher is that of {baseline.path} cannot be verified: its content cannot be hashed"


def _in_step(own: Iterator[Evidence], other: Iterator[Evidence]) -> Iterator[tuple[Evidence, Evidence]]:
    """Pair the looks of two measurements; of one that ended earlier the last look stands."""
    mine = theirs = None
    for look, beside in zip_longest(own, other):
        mine, theirs = look or mine, beside or theirs
        if mine is not None and theirs is not None:
            yield mine, theirs
