"""Values of two sessions against each other: nothing is paired, so the errors of both add up."""

from __future__ import annotations

import math

from pytest_modelbench.results import Estimate


def ratio_across(now: Estimate, then: Estimate, *, brackets: bool = False) -> Estimate:
    """Return `now / then` of two independent positive estimates.

    The half-widths of the logarithms add in quadrature, as those of independent normal errors do.

    Args:
        now: of this session.
        then: of the other one.
        brackets: whether the ends are tried values, of which one was proven and one refuted: then ends are divided.

    >>> ratio = ratio_across(Estimate(value=2, low=2, high=2.2), Estimate(value=1, low=0.8, high=1))
    >>> [round(value, 3) for value in (ratio.low, ratio.value, ratio.high)]
    [2.0, 2.0, 2.549]
    >>> ratio_across(Estimate(value=2, low=2, high=3), Estimate(value=1, low=0.5, high=1), brackets=True)
    Estimate(value=2.0, low=2.0, high=6.0)
    """
    value = now.value / then.value
    if now.low is None or now.high is None or then.low is None or then.high is None:
        return Estimate(value=value)
    if brackets:
        ends = (0.0 if math.isinf(then.high) else now.low / then.high, now.high / then.low if then.low else math.inf)
        return Estimate(value=value, low=min(ends[0], value), high=max(ends[1], value))
    low = math.hypot(_log(now.value, now.low), _log(then.high, then.value))
    high = math.hypot(_log(now.high, now.value), _log(then.value, then.low))
    return Estimate(value=value, low=value * math.exp(-low), high=math.inf if high > 700 else value * math.exp(high))


def _log(larger: float, smaller: float) -> float:
    return math.log(larger / smaller) if smaller > 0 and math.isfinite(larger) else math.inf


def difference_across(now: Estimate, then: Estimate, *, brackets: bool = False) -> Estimate:
    """Return `now - then` of two estimates, whose half-widths add in quadrature.

    Values of the same samples go up and down together, which makes the interval wider than it need be.

    >>> difference_across(Estimate(value=5, low=2, high=9), Estimate.exact(4))
    Estimate(value=1, low=-2.0, high=5.0)
    """
    value = now.value - then.value
    if now.low is None or now.high is None or then.low is None or then.high is None:
        return Estimate(value=value)
    if brackets:
        return Estimate(value=value, low=now.low - then.high, high=now.high - then.low)
    low = math.hypot(now.value - now.low, then.high - then.value)
    high = math.hypot(now.high - now.value, then.value - then.low)
    return Estimate(value=value, low=value - low, high=value + high)


def worsening_by_ratio(ratio: Estimate, better: str) -> Estimate:
    """Return how much worse a value is than the one it is divided by, as a fraction.

    >>> [worsening_by_ratio(Estimate.exact(0.75), better).value for better in ("lower", "higher")]
    [-0.25, 0.25]
    """
    return ratio.map(lambda r: r - 1) if better == "lower" else ratio.map(lambda r: 1 - r)


def worsening(difference: Estimate, base: float, better: str) -> Estimate:
    """Return how much worse a value is by a difference from its base, as a fraction of the base.

    Against a base of 0 it is 0 where nothing has changed, and infinite where something has.

    >>> worsening(Estimate.exact(-2.0), 80.0, "higher").value, worsening(Estimate.exact(0.0), 0.0, "lower").value
    (0.025, 0.0)
    """
    sign = 1 if better == "lower" else -1

    def relative(gap: float) -> float:
        if base == 0:
            return math.copysign(math.inf, sign * gap) if gap else 0.0
        return sign * gap / abs(base)

    return difference.map(relative)
