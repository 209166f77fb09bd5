"""Limits judge evidence. A limit is decided by an interval that lies on one side of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pytest_modelbench.bench.memberships import included, with_reasons
from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.conditional import ConditionalLimit
from pytest_modelbench.grammar.formats import ESTIMATED, format_interval, format_judged, marked
from pytest_modelbench.grammar.limits import BoundLimit
from pytest_modelbench.grammar.units import humanise
from pytest_modelbench.results import Estimate, Evidence, LimitResult, Verdict

NO_BASELINE = (
    "there is nothing to compare with. Define the fixture previous_model, or pass a baseline with "
    "--modelbench-baseline=PATH"
)
_FRACTIONS = {"reduction", "increase", "drop_relative", "regression"}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The limits' results, and the evidence of the look at which they were judged."""

    limits: tuple[LimitResult, ...]
    evidence: Evidence

    @property
    def decided(self) -> bool:
        """Whether no limit is open."""
        return all(limit.verdict is not Verdict.INCONCLUSIVE for limit in self.limits)


def judge(bounds: Sequence[BoundLimit | ConditionalLimit], looks: Iterable[Evidence], unit: str) -> Judgement:
    """Judge limits by evidence that comes in looks, all at the first look that decides every one of them.

    Where no look decides them all, the last look stands, except for limits that an earlier look decided.

    Args:
        bounds: the limits of one gate.
        looks: at least one piece of evidence.
        unit: the KPI's unit, for texts.
    """
    decided: dict[int, LimitResult] = {}
    judgement: Judgement | None = None
    for evidence in looks:
        results = [_judge_one(bound, evidence, unit) for bound in bounds]
        judgement = Judgement(limits=tuple(results), evidence=evidence)
        if bounds and judgement.decided:
            return judgement
        for i, result in enumerate(results):
            if result.verdict is not Verdict.INCONCLUSIVE:
                decided.setdefault(i, result)
    if judgement is None:
        raise MeasurementError("the measurement ended before there was anything to judge")
    limits = tuple(decided.get(i, result) for i, result in enumerate(judgement.limits))
    return Judgement(limits=limits, evidence=judgement.evidence)


def _judge_one(bound: BoundLimit | ConditionalLimit, evidence: Evidence, unit: str) -> LimitResult:
    if isinstance(bound, BoundLimit):
        return judge_limit(bound, evidence, unit)
    results = [judge_limit(branch, evidence, unit) for branch in bound.branches]
    first = next((result for result in results if result.verdict is Verdict.ERROR), results[0])
    reason = f"{bound.because}, so {first.reason}"
    if first.verdict is not Verdict.ERROR and len({result.verdict for result in results}) > 1:
        return replace(
            first,
            text=str(bound),
            verdict=Verdict.INCONCLUSIVE,
            reason=f"{bound.because}, and both limits may hold: {'; '.join(result.reason for result in results)}",
        )
    return replace(first, text=str(bound), reason=reason)


def judge_limit(bound: BoundLimit, evidence: Evidence, unit: str) -> LimitResult:
    """Judge one limit at one look: by the interval where the value is sampled, otherwise by the point."""
    text = str(bound.limit)
    if bound.regresses and evidence.regression is None:
        return LimitResult(
            text=text,
            source=bound.source,
            verdict=Verdict.NO_BASELINE,
            reason=f"{text}: {evidence.no_baseline or NO_BASELINE}",
        )
    if bound.needs_teacher and evidence.not_comparable:
        reason = f"{text}: {evidence.not_comparable}"
        return LimitResult(text=text, source=bound.source, verdict=Verdict.NOT_APPLICABLE, reason=reason)
    try:
        _refuse_estimates(bound, evidence)
        estimate = judged_estimate(bound, evidence)
    except MeasurementError as error:
        return LimitResult(text=text, source=bound.source, verdict=Verdict.ERROR, reason=str(error))
    verdict, weak = _decide(bound, estimate, sampled=evidence.sampled)
    half, distance = _half_width(estimate), abs(estimate.value - bound.threshold)
    growth = (half / distance) ** 2 if half is not None and distance else math.inf
    n = evidence.student.n
    open_ended = weak or verdict is Verdict.INCONCLUSIVE
    result = LimitResult(
        text=text,
        source=bound.source,
        verdict=verdict,
        value=estimate.value,
        ci_low=estimate.low,
        ci_high=estimate.high,
        margin=bound.margin(estimate.value),
        unit=_unit_of(bound, unit),
        n=n,
        weak=weak,
        needed_n=math.ceil(n * growth) if open_ended and n and growth < 1e6 else None,
        resolution=half,
        needed_seconds=_needed_seconds(evidence, growth) if open_ended else None,
    )
    result = _with_reason(result, bound, evidence)
    return with_reasons(result, bound.limit, evidence) if evidence.members else result


def _needed_seconds(evidence: Evidence, growth: float) -> float | None:
    """Return how long a measurement must take to decide: by the interval that it has, or for one with both ends."""
    if evidence.seconds and growth < 1e6:
        return evidence.seconds * growth
    return evidence.needed_s if math.isinf(growth) else None


def _refuse_estimates(bound: BoundLimit, evidence: Evidence) -> None:
    """Refuse to hold a value that nothing measured against an absolute limit; relative ones share its error.

    Raises:
        MeasurementError: it is modelled or constant, and the gate does not allow that.
    """
    student = evidence.student
    if (
        bound.measure in {"value", "difference"}
        and student.provenance in ESTIMATED
        and not evidence.estimates_allowed
    ):
        raise MeasurementError(
            f"{bound.limit} would judge {humanise(student.value, student.unit)} that is {student.provenance}, not "
            "measured. Write allow_estimated=True to judge the estimate, or a relative limit: 'reduction >= 50%'"
        )


def _decide(bound: BoundLimit, estimate: Estimate, *, sampled: bool) -> tuple[Verdict, bool]:
    """Return the verdict and whether it is weak."""
    if math.isnan(estimate.value):
        return Verdict.ERROR, False
    has_interval = estimate.low is not None and estimate.high is not None
    by_interval = bound.decide(estimate.low or 0.0, estimate.high or 0.0) if has_interval else None
    if sampled:
        if by_interval is None:
            return Verdict.INCONCLUSIVE, False
        return (Verdict.PASS if by_interval else Verdict.FAIL), False
    verdict = Verdict.PASS if bound.holds(estimate.value) else Verdict.FAIL
    return verdict, has_interval and by_interval is None


def judged_estimate(bound: BoundLimit, evidence: Evidence) -> Estimate:
    """Return what a limit judges, in the limit's own terms.

    Raises:
        MeasurementError: there is no teacher's value, or it is zero or negative in a denominator.
    """
    if bound.measure == "value":
        return evidence.student.estimate
    if bound.regresses and evidence.regression is not None:
        return evidence.regression
    if bound.limit.names:
        return included(bound.limit, evidence)
    comparison, teacher = evidence.comparison, evidence.teacher
    if comparison is None or teacher is None:
        raise MeasurementError("there is no teacher's value to compare with")
    if bound.measure in {"difference", "drop_points"}:
        if comparison.difference is None:
            raise MeasurementError("the difference from the teacher is unknown")
        return comparison.difference if bound.measure == "difference" else comparison.difference.map(lambda d: -d)
    ratio = comparison.ratio
    if ratio is None and teacher.value > 0:
        raise MeasurementError(
            f"{bound.limit} is relative, and the two values have no ratio. Write 'difference ...' or a limit on the "
            "student's own value"
        )
    if ratio is None or teacher.value <= 0:
        raise MeasurementError(
            f"the teacher's value is {teacher.value:g}: nothing can be relative to it. "
            "Write 'difference ...' or a limit on the student's own value"
        )
    if bound.measure == "speedup":
        return ratio.map(lambda r: 1 / r if r else math.inf)
    if bound.measure == "ratio":
        return ratio
    return ratio.map(lambda r: r - 1) if bound.measure == "increase" else ratio.map(lambda r: 1 - r)


def _half_width(estimate: Estimate) -> float | None:
    if estimate.low is None or estimate.high is None:
        return None
    return max(estimate.high - estimate.value, estimate.value - estimate.low)


def _unit_of(bound: BoundLimit, unit: str) -> str:
    if bound.measure in _FRACTIONS:
        return "fraction"
    if bound.measure in {"ratio", "speedup"}:
        return "x"
    return "pp" if unit == "%" and bound.measure in {"drop_points", "difference"} else unit


def _with_reason(result: LimitResult, bound: BoundLimit, evidence: Evidence) -> LimitResult:
    value = math.nan if result.value is None else result.value
    provenance = evidence.student.provenance
    shown = marked(format_judged(value, result.unit, bound.threshold), provenance)
    exact = result.ci_low == result.ci_high == result.value
    if not exact:
        shown += f" {format_interval(result.ci_low, result.ci_high, result.unit)}"
    if provenance in ESTIMATED:
        shown += f" ({provenance})"
    if result.verdict is Verdict.ERROR:
        reason = f"{result.text}: the value is not a number"
    elif result.verdict is Verdict.FAIL:
        note = f" ({evidence.notes[0]})" if math.isinf(value) and evidence.notes else ""
        reason = f"{result.text} does not hold: {shown}{note}"
    elif result.verdict is Verdict.INCONCLUSIVE:
        reason = f"{result.text} is inconclusive: {shown} {_why_open(result, bound, evidence)}"
    else:
        reason = f"{result.text} holds: {shown}"
    if result.weak:
        reason += "; weak: the interval crosses the limit"
        reason += f", about {result.needed_n:,} samples would settle it" if result.needed_n else ""
    return LimitResult(**{**vars(result), "reason": reason})


def _why_open(result: LimitResult, bound: BoundLimit, evidence: Evidence) -> str:
    if result.ci_low is None or result.ci_high is None:
        return "(the resamples are all alike, or the metric is undefined on them: too few samples)"
    low_matters, high_matters = math.isinf(result.ci_low), math.isinf(result.ci_high)
    if (low_matters or high_matters) and bound.holds(result.value or 0.0):
        reason = evidence.doubt or "; ".join(evidence.notes)
        return f"({reason})" if reason else "(the sample is too small for an interval)"
    text = "spans the limit"
    if result.resolution is not None and math.isfinite(result.resolution):
        text += f"; smallest effect resolved: {format_judged(result.resolution, result.unit)}"
    if result.needed_seconds and evidence.seconds:
        text += (
            f"; measured for {evidence.seconds:.0f} s, about {result.needed_seconds:,.0f} s would be needed "
            "(--modelbench-budget)"
        )
    elif result.needed_n:
        text += f"; about {result.needed_n:,} samples would be needed"
    return f"{text}; {evidence.doubt}" if evidence.doubt else text
