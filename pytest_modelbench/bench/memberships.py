"""Limits on sets: how many names of `includes` are in the set that a KPI counts, and why the others are not."""

from __future__ import annotations

from dataclasses import replace

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.limits import Limit
from pytest_modelbench.results import Estimate, Evidence, LimitResult, Verdict


def included(limit: Limit, evidence: Evidence) -> Estimate:
    """Return how many of a limit's names are in the set, up to as many as noise leaves open.

    Raises:
        MeasurementError: a name was not looked for, or cannot be looked for here; it is never counted as missing.
    """
    unknown = [name for name in limit.names if name not in evidence.members]
    if unknown:
        raise MeasurementError(f"{limit}: nothing was found out about {', '.join(unknown)}")
    untried = [evidence.members[name].reason for name in limit.names if evidence.members[name].untried]
    if untried:
        raise MeasurementError(f"{limit} cannot be judged: {'; '.join(untried)}")
    members = [evidence.members[name] for name in limit.names]
    sure = float(sum(member.included for member in members))
    return Estimate(value=sure, low=sure, high=sure + sum(member.inconclusive for member in members))


def with_reasons(result: LimitResult, limit: Limit, evidence: Evidence) -> LimitResult:
    """Return a limit's result with a reason that says of each name that is not in the set why it is not.

    Args:
        result: of the limit, with the reason that any limit has.
        limit: on a KPI that counts a set; one without names is about all members that were looked for.
        evidence: that was judged.
    """
    names = limit.names or tuple(evidence.members)
    lacking = [evidence.members[name].reason for name in names if not evidence.members[name].included]
    if result.verdict is Verdict.PASS:
        return replace(result, reason=f"{limit} holds") if limit.names else result
    word = "is inconclusive" if result.verdict is Verdict.INCONCLUSIVE else "does not hold"
    summary = f"{limit} {word}: {len(names) - len(lacking)} of {len(names)}"
    return replace(result, reason="; ".join([summary if limit.names else result.reason, *lacking]))
