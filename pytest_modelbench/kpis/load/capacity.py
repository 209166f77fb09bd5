"""The largest rate at which a bound on responses holds: decided at the limit's rate, and searched for to be shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from pytest_modelbench.errors import MeasurementError
from pytest_modelbench.grammar.load import Within, within_of
from pytest_modelbench.kpis.kpi import Measurements, Question
from pytest_modelbench.kpis.load.comparing import compared
from pytest_modelbench.kpis.load.curves import curves
from pytest_modelbench.kpis.load.estimates import all_facts, failed_lines, queue_of, segment_of, under_load
from pytest_modelbench.probes.kinds import CAPACITY
from pytest_modelbench.probes.load.measure import LoadMeasurement, alpha_at
from pytest_modelbench.results import Estimate, Evidence, Reading
from pytest_modelbench.stats.queueing import Queue, Services
from pytest_modelbench.stats.under_load import largest_rate

LOWER_RATES = (0.5, 0.75)
"""The shares of a limit's rate at which the bound must hold too: with batches, a lower rate may be slower."""


def bound_on(question: Question) -> Within:
    """Return the bound on responses that a gate asks for.

    Raises:
        MeasurementError: it states none.
    """
    within = within_of(question.options.get("within"))
    if within is None:
        raise MeasurementError("within= is missing. Write within='p99 <= 50 ms'")
    return within


def share_at(measurement: LoadMeasurement, within: Within, alpha: float) -> Estimate:
    """Return the share of responses over the bound at the measurement's rate, with its interval at the last look."""
    if "student" in measurement.overloaded:
        return Estimate.exact(1.0)
    last = len(measurement.looks) - 1
    return under_load(measurement, "student", last).share_over(within.seconds, alpha_at(alpha, last))


def holds(share: Estimate, within: Within) -> bool | None:
    """Return whether the bound holds by an interval of the share over it; None if it is open."""
    allowed = 1 - within.quantile
    if share.high is not None and share.high <= allowed:
        return True
    return False if share.low is not None and share.low > allowed else None


def searched(measurement: LoadMeasurement, within: Within) -> float:
    """Return the largest rate at which the bound holds on a replay with the measured service times."""
    settings, (services, queue) = measurement.settings, _replayed(measurement)
    unit = settings.arrivals.at(1.0)
    return largest_rate(services, unit.fresh, queue, within.seconds, within.quantile, settings.seed)


def _replayed(measurement: LoadMeasurement) -> tuple[Services, Queue]:
    """Return the service times and the queue that hold for any rate."""
    queue, lone = queue_of(measurement, "student"), measurement.settings.lone
    if lone is not None and queue.max_batch == 1:
        times = np.array(lone.service_s)
        return Services(times=times, sizes=np.ones(len(times), dtype=np.int64)), replace(queue, servers=lone.servers)
    segments = [segment_of(served, queue.servers) for served in measurement.served["student"]]
    return Services.joined([segment.services for segment in segments]), queue


def lower_rates(rate: float) -> list[float]:
    """Return the rates that are tried before a rate, ascending."""
    return [share * rate for share in LOWER_RATES]


class Ends(NamedTuple):
    """The largest rate proven, 0 if none is, and the smallest one refuted, infinite if none is."""

    proven: float
    refuted: float


def alpha_of(question: Question) -> float:
    """Return the error of one side for one model: two that are compared have half of it each."""
    return question.alpha / 2 if question.with_teacher else question.alpha


def shares_of(runs: Mapping[float, LoadMeasurement], within: Within, alpha: float) -> dict[float, Estimate]:
    """Return the share of responses over the bound at each rate, ascending."""
    return {rate: share_at(run, within, alpha) for rate, run in sorted(runs.items())}


def ends_of(shares: Mapping[float, Estimate], within: Within) -> Ends:
    """Return what shares at several rates prove; no rate is proven above one that is refuted or doubtful."""
    refuted = min((rate for rate, share in shares.items() if holds(share, within) is False), default=math.inf)
    over = min((rate for rate, share in shares.items() if share.value > 1 - within.quantile), default=math.inf)
    below = min(refuted, over)
    return Ends(
        max((rate for rate, share in shares.items() if holds(share, within) and rate < below), default=0.0), refuted
    )


def max_qps(question: Question, measurements: Measurements) -> Iterator[Evidence]:
    """Read the largest rate: its interval goes from the largest rate proven to the smallest one refuted."""
    runs, within, alpha = measurements.of(CAPACITY, "student"), bound_on(question), alpha_of(question)
    shares = shares_of(runs, within, alpha)
    ends = ends_of(shares, within)
    rows = tuple(_row(rate, runs[rate], share, within) for rate, share in shares.items())
    student, teacher = _reading(question, runs, shares), None
    if question.with_teacher:
        others = measurements.of(CAPACITY, "teacher")
        teacher = _reading(question, others, shares_of(others, within, alpha))
    yield Evidence(
        student=student,
        teacher=teacher,
        comparison=None if teacher is None else compared(student.estimate, teacher.estimate),
        sampled=True,
        notes=tuple(line for row in rows for line in failed_lines(row)),
        breakdown=rows,
        load=_decisive(runs, ends.refuted),
        doubt=_doubt(shares, within, ends.proven, ends.refuted),
    )


def _reading(question: Question, runs: Mapping[float, LoadMeasurement], shares: Mapping[float, Estimate]) -> Reading:
    within = bound_on(question)
    proven, refuted = ends_of(shares, within)
    high = math.inf if math.isinf(refuted) else math.nextafter(refuted, 0.0)
    return Reading(
        estimate=Estimate(value=min(max(searched(runs[max(runs)], within), proven), high), low=proven, high=high),
        unit="qps",
        n=sum(len(served.arrivals) for run in runs.values() for served in run.served["student"]),
        confidence=question.confidence,
        method=f"{within} at {', '.join(f'{rate:.4g}/s' for rate in shares)} by difference estimates; the value is "
        "searched for on a replay",
    )


def _decisive(runs: Mapping[float, LoadMeasurement], refuted: float) -> dict[str, Any]:
    """Return the curves at the smallest rate that is refuted, or else at the largest one."""
    run = runs[min(refuted, max(runs))]
    return curves(run, ("student",), len(run.looks) - 1)


def _row(rate: float, run: LoadMeasurement, share: Estimate, within: Within) -> dict[str, Any]:
    (fact,) = all_facts(run, ("student",), len(run.looks) - 1)
    verdict = {True: "holds", False: "does not hold", None: "inconclusive"}[holds(share, within)]
    ends = {"share_over": share.value, "ci_low": share.low, "ci_high": share.high}
    return {**fact, "name": f"{rate:.6g}/s", **ends, "within": str(within), "verdict": verdict}


def _doubt(shares: Mapping[float, Estimate], within: Within, proven: float, refuted: float) -> str:
    unsure = [(rate, share) for rate, share in shares.items() if rate > proven and rate < refuted]
    return "; ".join(
        f"at {rate:.4g}/s {100 * share.value:.2g}% [{100 * (share.low or 0):.2g}, {100 * (share.high or 0):.2g}]% of "
        f"responses are over {within.seconds * 1e3:g} ms, and {100 * (1 - within.quantile):.3g}% may be"
        for rate, share in unsure
    )
