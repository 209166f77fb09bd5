"""Whether a measurement over time has decided every limit of all gates that share it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_modelbench.bench.asking import Asking, Limits
from pytest_modelbench.bench.verdicts import Judgement
from pytest_modelbench.errors import ModelbenchError
from pytest_modelbench.gates.assignment import Assignment
from pytest_modelbench.gates.sharing import Sharing
from pytest_modelbench.grammar.conditional import ConditionalLimit
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.kpis.kpi import Question
from pytest_modelbench.kpis.speed.timing import seconds_for_bound
from pytest_modelbench.probes.cost.energy import EnergyMeasurement
from pytest_modelbench.probes.load.measure import LoadMeasurement
from pytest_modelbench.probes.text.measured_times import TokenTimes
from pytest_modelbench.probes.timing.engine import TimingMeasurement
from pytest_modelbench.results import Evidence

PATIENCE_WITH_HOPELESS = 0.2
GateLimits = Sequence[tuple[Assignment, Limits | None]]
"""Gates with their limits; None where a condition cannot be judged: that is the gate's own error."""


@dataclass(frozen=True, kw_only=True)
class SoFar:
    """Incomplete measurements, used until the complete ones are there."""

    timing: TimingMeasurement | None = None
    energy: EnergyMeasurement | None = None
    compiled: TimingMeasurement | None = None
    load: LoadMeasurement | None = None
    token_times: TokenTimes | None = None


class Growing(Protocol):
    """The measurements of a gate while one of them is not complete."""

    def judged(self, question: Question, limits: Sequence[BoundLimit | ConditionalLimit]) -> Judgement:
        """Judge limits by what is known."""

    def settled(self, question: Question, limits: Sequence[BoundLimit | ConditionalLimit]) -> bool:
        """Whether more of it would decide nothing."""

    def worth_comparing_with(self, evidence: Evidence) -> bool:
        """Whether a value that is to be a baseline is known well enough."""


class Deciding:
    """Judges all gates that share a measurement by as much of it as there is.

    Args:
        asking: the gate that takes the measurement.
        growing: returns another gate's measurements with an incomplete one among them.
    """

    def __init__(self, asking: Asking, growing: Callable[[Assignment, SoFar], Growing]) -> None:
        self._asking = asking
        self._growing = growing

    def limits_of(self, sharing: Sharing) -> GateLimits:
        """Return the limits of all gates that share a measurement, found once for all of them."""
        return self._asking.bench.shelf.once(
            ("limits", sharing), lambda: [(other, self._known_limits(other)) for other in sharing.gates]
        )

    def _known_limits(self, gate: Assignment) -> Limits | None:
        """Return a gate's limits with their conditions judged; None where one cannot be: that is the gate's error."""
        asking = self._asking
        try:
            return asking.bench.settled(asking.plan, gate, asking.sources)
        except ModelbenchError:
            return None

    def settled(self, limits: GateLimits, so_far: SoFar, *, with_teacher: bool) -> bool:
        """Whether a measurement so far decides every limit; what cannot be judged is never decided by more of it."""
        for gate, bounds in limits:
            if bounds is None or ("teacher" in gate.others and not with_teacher):
                continue
            question = self.question(gate, with_teacher=with_teacher and gate.with_teacher)
            try:
                if not self._growing(gate, so_far).settled(question, bounds):
                    return False
            except ModelbenchError:
                continue
        return True

    def timed(self, limits: GateLimits, measurement: TimingMeasurement, roles: set[str]) -> bool:
        """Whether a timed measurement so far decides every limit, or will not within the budget.

        Args:
            limits: of all gates that share it.
            measurement: as far as it is.
            roles: the models that it times.
        """
        return all(self._timed(gate, bounds, measurement, roles) for gate, bounds in limits)

    def _timed(
        self, gate: Assignment, limits: Limits | None, measurement: TimingMeasurement, roles: set[str]
    ) -> bool:
        if limits is None or not roles.issuperset(gate.others):
            return True  # it is never decided here
        question = self.question(gate, with_teacher="teacher" in roles)
        growing = self._growing(gate, SoFar(timing=measurement))
        judgement = growing.judged(question, limits)
        if not growing.worth_comparing_with(judgement.evidence):
            return False
        if not gate.limits:
            return len(measurement.looks) > 1
        budget_s = self._asking.settings.budget_s
        hopeless = (
            seconds_for_bound(question, measurement) > budget_s
            and measurement.elapsed_s[-1] > budget_s * PATIENCE_WITH_HOPELESS
            and all((limit.margin or 0) > 0 for limit in judgement.limits)  # else it may still be proven to fail
        )
        return judgement.decided or hopeless

    def loaded(self, limits: GateLimits, measurement: LoadMeasurement, *, with_teacher: bool) -> bool:
        """Whether a load so far decides every limit, or will not within the budget."""
        return self.enough(limits, SoFar(load=measurement), with_teacher=with_teacher)

    def enough(self, limits: GateLimits, so_far: SoFar, *, with_teacher: bool) -> bool:
        """Whether a measurement so far decides every limit, or will not within the budget."""
        return self.settled(limits, so_far, with_teacher=with_teacher) or all(
            bounds is None or self._hopeless(gate, bounds, so_far, with_teacher=with_teacher)
            for gate, bounds in limits
        )

    def _hopeless(self, gate: Assignment, limits: Limits, so_far: SoFar, *, with_teacher: bool) -> bool:
        """Whether an upper end needs more than the budget, and no limit looks as if it might be proven to fail."""
        question = self.question(gate, with_teacher=with_teacher and gate.with_teacher)
        try:
            judgement = self._growing(gate, so_far).judged(question, limits)
        except ModelbenchError:
            return True
        evidence, high = judgement.evidence, judgement.evidence.student.estimate.high
        return judgement.decided or (
            high == math.inf
            and (evidence.needed_s or 0.0) > self._asking.settings.budget_s
            and all((limit.margin or 0) > 0 for limit in judgement.limits)
        )

    def question(self, gate: Assignment, *, with_teacher: bool) -> Question:
        """Return what is asked of a gate's KPI."""
        return gate.question(with_teacher=with_teacher, seed=self._asking.settings.seed)
