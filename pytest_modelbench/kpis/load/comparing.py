"""Student against teacher by two intervals."""

from __future__ import annotations

import math

from pytest_modelbench.results import Comparison, Estimate

METHOD = "the two intervals, each with half of the error"
BEYOND = Estimate.exact(math.inf)


def compared(student: Estimate, teacher: Estimate) -> Comparison:
    """Compare by the two intervals, each with half of the error.

    A student whose backlog surely grows is worse than any teacher that has a value.
    """
    if student.low == math.inf and math.isfinite(teacher.value):
        return Comparison(ratio=BEYOND, difference=BEYOND, method=METHOD)
    (s_low, s_high), (t_low, t_high) = ((one.low or 0.0, _or_infinite(one.high)) for one in (student, teacher))
    value = student.value / teacher.value if 0 < teacher.value < math.inf else math.nan
    ratio = None
    if not math.isnan(value):
        low = 0.0 if math.isinf(t_high) else s_low / t_high
        high = s_high / t_low if t_low > 0 else math.inf
        ratio = Estimate(value=value, low=min(low, value), high=max(high, value))
    gap = student.value - teacher.value
    return Comparison(
        ratio=ratio, difference=Estimate(value=gap, low=s_low - t_high, high=s_high - t_low), method=METHOD
    )


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
