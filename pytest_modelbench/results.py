"""What travels: readings, comparisons, verdicts. Frozen, made of JSON types, no behaviour but arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = "1"
"""Of the JSON report: within it fields may be added, and none is renamed."""

FACTS = ("better", "timed", "of_machine", "of_samples", "of_inputs", "report_only")
"""What a reader of a report must know of a gate's KPI; see `kpis.kpi.Kpi` for the meaning of each."""


def facts_of(kpi: object) -> dict[str, Any]:
    """Return what a reader of a report must know of a KPI, by name."""
    return {name: getattr(kpi, name) for name in FACTS}


class Verdict(StrEnum):
    """What a gate or a limit came to; the order is from worst to best.

    `reported` is a value that was measured and that no limit judges: neither a pass nor a failure.
    """

    ERROR = "error"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NO_BASELINE = "no_baseline"
    NOT_APPLICABLE = "not_applicable"
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REPORTED = "reported"
    NOT_RUN = "not_run"


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the worst verdict; a gate without limits only reports its value.

    >>> worst([Verdict.PASS, Verdict.INCONCLUSIVE]).value, worst([]).value
    ('inconclusive', 'reported')
    """
    order = list(Verdict)
    return min(verdicts, key=order.index, default=Verdict.REPORTED)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with the interval that decides, `low <= high`; infinite ends mean that side is not supported.

    `low` and `high` are None where no interval exists (a metric of the user's that is too slow to resample).
    """

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """Return a value that was counted, not sampled."""
        return cls(value=value, low=value, high=value)

    def map(self, function: Callable[[float], float]) -> Estimate:
        """Apply a monotone function to the value and both ends, and keep the ends in order."""
        if self.low is None or self.high is None:
            return Estimate(value=function(self.value))
        low, high = sorted((function(self.low), function(self.high)))
        return Estimate(value=function(self.value), low=low, high=high)

    def within(self, least: float, most: float) -> Estimate:
        """Return the estimate with finite ends no further out than a value can be.

        An infinite end stays: it says that the samples support none. So does everything of a value that is outside.

        >>> Estimate(value=98.0, low=92.0, high=106.0).within(0.0, 100.0).high
        100.0
        """
        if self.low is None or self.high is None or not least <= self.value <= most:
            return self
        low = max(self.low, least) if math.isfinite(self.low) else self.low
        high = min(self.high, most) if math.isfinite(self.high) else self.high
        return Estimate(value=self.value, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A KPI's value for one model.

    `confidence` is that of each side of the interval. `n` counts the independent things the value rests on
    as the method defines them: timed calls, or samples. `provenance` is `measured`, `modelled`, `constant` or
    `recorded` (by the test's body).
    """

    estimate: Estimate
    unit: str
    n: int | None = None
    confidence: float | None = None
    provenance: str = "measured"
    method: str = ""

    @property
    def value(self) -> float:
        """The value in the reading's unit."""
        return self.estimate.value

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; numbers that JSON cannot hold become null."""
        return json_object(
            {
                "value": self.estimate.value,
                "unit": self.unit,
                "ci_low": self.estimate.low,
                "ci_high": self.estimate.high,
                "confidence": self.confidence,
                "n": self.n,
                "provenance": self.provenance,
                "method": self.method,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Student against teacher: S/T and S-T, each with the interval of the paired measurement."""

    ratio: Estimate | None = None
    difference: Estimate | None = None
    method: str = ""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What a KPI of this machine was measured beside, so that other sessions and machines can be compared.

    `kind` is `teacher` or `workload`, `hash` its content, `ratio` the student's value over its. `settings` are those
    without which times cannot be compared.
    """

    kind: str
    hash: str
    ratio: Estimate
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        ratio = self.ratio
        return json_object(
            {
                "kind": self.kind,
                "hash": self.hash,
                "ratio": ratio.value,
                "ci_low": ratio.low,
                "ci_high": ratio.high,
                "settings": dict(self.settings),
            }
        )


@dataclass(frozen=True, kw_only=True)
class Member:
    """Whether a name is in the set that a KPI counts.

    `reason` says why it is not. `untried`: it cannot be known here, such as without the runtime of a format.
    `inconclusive`: noise decides whether it is in the set.
    """

    included: bool
    reason: str = ""
    untried: bool = False
    inconclusive: bool = False


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the limits of one gate are judged by, at one look at the data.

    `sampled` says that a limit must be decided by the interval; otherwise the point decides, and the interval
    only tells whether the verdict is weak. `notes` are shown behind the verdict. `worst_samples` are ids of
    samples that the student lost. `needed_s` is about how long a measurement must take for an interval to have both
    ends. `breakdown` has a row for each class, slice, group or layer that the value is made of, with its `name` and
    numbers. `estimates_allowed` lets an absolute limit judge what was only estimated.
    `baseline` is the reading of the previous student, or that of an earlier report; `regression` how much worse the
    student is, as a fraction of it; where that is None, `no_baseline` says why. `not_comparable` says why nothing can
    be relative to the teacher. `seconds` is how long was measured until this look. `members` are the names that were
    looked for in the set that the KPI counts. `doubt` says what besides the size of the sample keeps a limit open.
    `load` is what the plots of a load need.
    """

    student: Reading
    teacher: Reading | None = None
    comparison: Comparison | None = None
    sampled: bool = False
    notes: tuple[str, ...] = ()
    worst_samples: tuple[str, ...] = ()
    breakdown: tuple[dict[str, Any], ...] = ()
    seconds: float | None = None
    needed_s: float | None = None
    estimates_allowed: bool = False
    baseline: Reading | None = None
    regression: Estimate | None = None
    no_baseline: str = ""
    not_comparable: str = ""
    reference: Reference | None = None
    members: Mapping[str, Member] = field(default_factory=dict)
    doubt: str = ""
    load: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class LimitResult:
    """One limit's verdict with its evidence; `value`, ends and `margin` are in the limit's own terms.

    `n` is the sample that decided: calls timed by then, or samples of the data.

    `weak` marks a point verdict whose interval crosses the limit; `needed_n` is the sample count at which the
    interval would be expected to clear it.
    """

    text: str
    source: str
    verdict: Verdict
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    margin: float | None = None
    unit: str = ""
    n: int | None = None
    reason: str = ""
    weak: bool = False
    needed_n: int | None = None
    resolution: float | None = None
    needed_seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return json_object(vars(self))


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One gate's verdict: the worst of its limits', and everything it rests on. `facts` are those of its KPI."""

    kpi: str
    pillar: str
    facts: Mapping[str, Any]
    student: str
    verdict: Verdict
    reason: str
    targets: tuple[str, ...] = ()
    unit: str = ""
    limits: tuple[LimitResult, ...] = ()
    student_reading: Reading | None = None
    teacher_reading: Reading | None = None
    baseline_reading: Reading | None = None
    reference: Reference | None = None
    notes: tuple[str, ...] = ()
    worst_samples: tuple[str, ...] = ()
    breakdown: tuple[dict[str, Any], ...] = ()
    load: Mapping[str, Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def json_object(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as a JSON object; see `json_types`."""
    return {key if type(key) is str else str(key): json_types(value) for key, value in mapping.items()}


def json_types(value: Any) -> Any:
    """Return a value made of JSON types only: enums become their values, NaN and infinities null.

    Anything else that JSON cannot hold becomes its `repr`, so that a report never fails to be written.

    >>> json_types({"a": float("nan"), "b": (1, Verdict.PASS)})
    {'a': None, 'b': [1, 'pass']}
    """
    kind = type(value)
    if value is None or kind is str or kind is bool or kind is int:  # most values: a report has very many
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None  # NumPy's own is a float, and crosses no process
    if isinstance(value, dict):
        return json_object(value)
    if isinstance(value, list | tuple):
        return [json_types(item) for item in value]
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        return json_types(item())
    return repr(value)
